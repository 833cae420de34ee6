"""Work on a store by an executor of `concurrent.futures`: in threads, in processes, or on other machines ([CHECK-10]).

Threads of this process work with the store as it is open. Any other worker is told how the store was opened, and opens it
for itself; it keeps it open for a while, since more work of the same store is likely to come.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Concatenate, Final, ParamSpec, TypeVar

from mstbucket.blobs.media.places import open_existing_blobs
from mstbucket.core.cid import CID, RAW, codec
from mstbucket.errors import MstBucketError, Unsupported
from mstbucket.packs.frames.read import Packs
from mstbucket.packs.read import PackScan
from mstbucket.pg.database import Database
from mstbucket.services.blocks.blocks import StoreBlocks
from mstbucket.services.blocks.context import Context, Origin
from mstbucket.services.blocks.encoding import apply_settings
from mstbucket.services.blocks.frame_index import StoreFrames

KEPT_SECONDS: Final = 10.0  # that a worker keeps a store open without work
_POOL: Final = 4  # connections of a worker
_CHUNKS: Final = 4  # of one piece of work: 4 MiB
_SMALL: Final = 256  # other blocks of one piece

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, repr=False)
class Reach:
    """How a worker reaches the store; it may hold a password, and has no text."""

    conninfo: str
    origin: Origin
    identity: str


def submitter(context: Context, executor: Executor) -> Callable[..., Future[object]]:
    """A function that submits work, which takes a context and plain values, with its values.

    Raises:
        Unsupported: the workers would have to open the blobs by a name, and their place has none.
    """
    if isinstance(executor, ThreadPoolExecutor):
        return lambda work, *values: executor.submit(work, context, *values)
    if context.origin.blobs is None:
        raise Unsupported("an executor's workers open the store by its places, and its blobs are at a place without a name")
    reach = Reach(context.db.conninfo(), context.origin, context.identity)
    return lambda work, *values: executor.submit(_work, reach, work, *values)


def _work(reach: Reach, work: Callable[Concatenate[Context, _P], _T], *values: _P.args, **named: _P.kwargs) -> _T:
    with _keeper.opened(reach) as context:
        return work(context, *values, **named)


@contextmanager
def open_reached(reach: Reach) -> Iterator[Context]:
    """The store, opened anew by its places, for the block."""
    assert reach.origin.blobs is not None
    with ExitStack() as stack:
        db = Database(reach.conninfo, pool_max=_POOL)
        stack.callback(db.close)
        blobs = open_existing_blobs(reach.origin.blobs)
        stack.callback(blobs.release)
        encoding = apply_settings(db, blobs, None, reach.origin.encryption)
        blocks = StoreBlocks(db, Packs(blobs, StoreFrames(db), encoding.key))
        yield Context(db, blobs, blocks, encoding, reach.identity, origin=reach.origin)


class _Keeper:
    """Keeps the store that was worked on last open, until nobody has for a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reach: Reach | None = None
        self._context: Context | None = None
        self._open = ExitStack()
        self._users = 0
        self._timer: threading.Timer | None = None

    @contextmanager
    def opened(self, reach: Reach) -> Iterator[Context]:
        context = self._take(reach)
        if context is None:  # others work on another store
            with open_reached(reach) as context:
                yield context
            return
        try:
            yield context
        finally:
            self._give()

    def _take(self, reach: Reach) -> Context | None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._reach != reach:
                if self._users:
                    return None
                self._close()
                self._context = self._open.enter_context(open_reached(reach))
                self._reach = reach
            self._users += 1
            return self._context

    def _give(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._timer = threading.Timer(KEPT_SECONDS, self._expire)
                self._timer.daemon = True
                self._timer.start()

    def _expire(self) -> None:
        with self._lock:
            if not self._users:
                self._close()

    def _close(self) -> None:
        self._reach = self._context = None
        self._open.close()


_keeper: Final = _Keeper()


class WorkersBlocks:
    """A block source that has an executor read and hash what is asked for, many pieces at once; for one thread.

    It holds what is asked for at a time, and no more. What a worker cannot read is read here, where the error is raised.
    """

    def __init__(self, context: Context, executor: Executor) -> None:
        self._submit = submitter(context, executor)
        self._here: PackScan = context.blocks.scan()

    def get(self, cid: CID) -> bytes:
        """See `BlockSource`."""
        return self._here.get(cid)

    def get_many(self, cids: Collection[CID]) -> dict[CID, bytes]:
        """See `BlockSource`."""
        pieces = [*_cut([cid for cid in cids if codec(cid) == RAW], _CHUNKS), *_cut(
            [cid for cid in cids if codec(cid) != RAW], _SMALL)]  # fmt: skip
        if len(pieces) < 2:
            return self._here.get_many(cids)
        futures = [(piece, self._submit(read_blocks, piece)) for piece in pieces]
        found: dict[CID, bytes] = {}
        for piece, future in futures:
            blocks = future.result()
            if isinstance(blocks, list):
                found.update(zip(piece, blocks, strict=True))
            else:
                found.update(self._here.get_many(piece))
        return found


def read_blocks(context: Context, cids: list[CID]) -> list[bytes] | None:
    """The blocks, each hashed, in the order asked for; None where one cannot be read."""
    try:
        found = context.blocks.get_many(cids)
    except MstBucketError:
        return None
    return [found[cid] for cid in cids]


def _cut(cids: list[CID], size: int) -> Iterator[list[CID]]:
    for start in range(0, len(cids), size):
        yield cids[start : start + size]
