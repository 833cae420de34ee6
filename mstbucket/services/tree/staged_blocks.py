"""The blocks of an import. All are durable before any has a row; then short transactions record them ([IMP-5])."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from mstbucket.errors import OutcomeUnknown, StorageError
from mstbucket.index.tx import Tx, enter_store
from mstbucket.limits import MIB
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.incoming import Incoming
from mstbucket.services.blocks.registered import RegisteredPack
from mstbucket.spill.scratch import Spooled

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

STAGED_BLOCKS: Final = 20_000  # of one pack, whose rows one transaction makes: some 0.3 s, as of a compacted one

_BATCH: Final = 500  # blocks passed on at a time, since each of the calls below costs as much as a block
_SPOOL: Final = 16 * MIB  # of places held in memory, 48 bytes a block; then on disk
_LANES: Final = 2  # packs recorded at once, each on a connection of its own
_SIZES: Final = struct.Struct("<QQQ")


class Staged:
    """Blocks on their way in, in as many packs as it takes. At its end, what has no row yet is removed.

    It has a pending row of its own. From its making until `withdraw` nothing that it found or wrote is collected ([PUT-11]).
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._claim = RegisteredPack(context)
        self._current, self._room = Incoming(context), STAGED_BLOCKS
        self._batch: dict[bytes, bytes] = {}
        self._held = 0
        self._sealed: list[Incoming] = []
        self._places = Spooled(_SPOOL, "the places of blocks were put aside")

    def add(self, cid: bytes, block: bytes) -> None:
        """Take a block."""
        self._batch[cid] = block
        self._held += len(block)
        if len(self._batch) == _BATCH or len(self._batch) == self._room or self._held >= MIB:
            self._pass_on()
            if not self._room:
                self.seal()

    def add_all(self, blocks: Mapping[bytes, bytes]) -> None:
        """Take blocks, in their order."""
        for cid, block in blocks.items():
            self.add(cid, block)

    def count_on(self, cids: Iterable[bytes]) -> dict[bytes, int]:
        """Count on those of *cids* that the store has, undamaged; the length of each."""
        there = self._current.count_on(cids)
        if len(self._current) >= STAGED_BLOCKS:
            self.seal()
        return there

    def say_alive(self) -> None:
        """Say now and then that the call lives ([STO-9])."""
        self._claim.say_alive()
        for one in self._sealed:
            one.say_alive()

    def seal(self) -> None:
        """Make durable what was taken so far."""
        self._pass_on()
        one, self._current, self._room = self._current, Incoming(self._context), STAGED_BLOCKS
        self._sealed.append(one)
        one.seal()
        dumped = one.dump_places()
        self._places.write(_SIZES.pack(*map(len, dumped)) + b"".join(dumped))

    def _pass_on(self) -> None:
        self._current.add_all(self._batch)
        self._room -= len(self._batch)
        self._batch, self._held = {}, 0

    def record(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Give every block its row, a pack at a time. Until the import has ended, nothing leads to these rows.

        Two threads record packs, and this one does *meanwhile*: the server has more to do for a row than the caller.
        """
        self._places.seek(0)
        rest = iter(self._sealed)
        taking = threading.Lock()  # over the order of packs, and of their places in the file
        stop = threading.Event()

        def lane() -> None:
            try:
                while not stop.is_set():
                    with taking:
                        self._claim.say_alive()
                        one = next(rest, None)
                        if one is None:
                            return
                        sizes = _SIZES.unpack(self._places.read(_SIZES.size))
                        one.load_places(*(self._places.read(size) for size in sizes))
                    one.commit(partial(self._context.db.run, partial(_record, one)))
                    one.__exit__(None, None, None)
            except BaseException:
                stop.set()
                raise

        with ThreadPoolExecutor(_LANES, "mstbucket-record") as lanes:
            try:
                running = [lanes.submit(lane) for _ in self._sealed[:_LANES]]
                meanwhile()
                for one in running:
                    one.result()
            except OutcomeUnknown as error:  # of the recording alone: the bucket is not there, whatever came of it
                raise StorageError(f"the import broke off, and no bucket was made; repeat the call: {error}") from error
            finally:
                stop.set()
        self._sealed.clear()
        self._places.seek(0)
        self._places.truncate()  # more may be sealed, and recorded then

    def withdraw(self, tx: Tx) -> None:
        """Withdraw the pending row, inside the transaction that makes the rows which hold the blocks from now on.

        Raises:
            StorageError: the import took so long that it was given up, and with it the blocks that it counts on.
        """
        self._claim.withdraw(tx.connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._places.close()
        with ExitStack() as stack:  # all of them, whatever becomes of one
            stack.push(self._claim)
            stack.push(self._current)
            for one in self._sealed:
                stack.push(one)
            stack.pop_all().__exit__(kind, error, trace)


def _record(one: Incoming, connection: Connection) -> None:
    one.record(enter_store(connection))  # [PUT-5]
