"""Writing what lives of a large pack to new packs, some 64 MiB at a time ([GC-9])."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from mstbucket.core.car_reader import CarReader
from mstbucket.errors import CorruptionError, FormatError, NotFound
from mstbucket.index import collection, packs
from mstbucket.index.blocks import rows_of_pack
from mstbucket.index.packs import Doomed, Pack
from mstbucket.index.tx import enter_store
from mstbucket.limits import MIB
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.pack_in_progress import PackInProgress
from mstbucket.services.blocks.registered import PackMoved, remove_doomed

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

COMPACT_BYTES: Final = 64 * MIB  # of a new pack: as a bulk put makes them
COMPACT_BLOCKS: Final = 20_000  # of a new pack: one transaction changes their rows, and puts of them wait 0.3 s

_ASK_BYTES: Final = 16 * MIB  # of blocks held while the index is asked which of them live
_ASK_BLOCKS: Final = 4000

log = logging.getLogger("mstbucket")


class Report(Protocol):
    """What is told of the work; see `CompactReport`."""

    made: int
    damaged: dict[str, str]


def rewrite_large(context: Context, pack: Pack, report: Report) -> bool:
    """Write the blocks of a pack that live to new packs, and doom it; whether it was done.

    Each new pack takes its rows over in a transaction of its own. So a pack of any size is written again without a long
    one, and what an interrupted call has done stays. The old pack goes at the end, when no row leads there.
    """
    undos = collection.count_undos(context.db)  # [GC-11] before any row is seen

    def copy(stream: BinaryIO) -> bool:
        with _Mover(context, pack.id) as mover:
            for cid, block, _ in CarReader(stream):
                mover.add(cid, block)
            mover.finish()
            report.made += mover.made
        return True

    def doom(connection: Connection) -> list[Doomed]:
        enter_store(connection)
        doomed = packs.doom(connection, [pack.id])
        if not doomed or collection.undos(connection) != undos:
            raise PackMoved(f"pack {pack.name} was collected by somebody else, or rows were brought back to it, meanwhile")
        return doomed

    try:
        if context.blocks.of_pack(pack.name, copy) is None:
            return False
        doomed = context.db.run(doom)
    except PackMoved as error:
        log.debug("the writing of a thin pack was overtaken: %s", error)
        return False
    except (CorruptionError, FormatError, NotFound) as error:  # [STO-7]
        log.warning("pack %s cannot be written again, and is left as it is: %s", pack.name, error)
        report.damaged[pack.name] = str(error)
        return False
    remove_doomed(context, [one.name for one in doomed if not one.waits])
    return True


class _Mover:
    """Takes the blocks of one pack in order, and moves those that live to new packs."""

    def __init__(self, context: Context, old: int) -> None:
        self._context = context
        self._old = old
        self._stack = ExitStack()
        self._held: list[tuple[bytes, bytes]] = []
        self._held_bytes = self._size = 0
        self._new: PackInProgress | None = None
        self.made = 0

    def add(self, cid: bytes, block: bytes) -> None:
        """Take a block."""
        self._held.append((cid, block))
        self._held_bytes += len(block)
        if self._held_bytes >= _ASK_BYTES or len(self._held) >= _ASK_BLOCKS:
            self._write()

    def finish(self) -> None:
        """Move what is left."""
        self._write()
        self._move()

    def _write(self) -> None:
        held, self._held, self._held_bytes = self._held, [], 0
        here = rows_of_pack(self._context.db, self._old, [cid for cid, _ in held])
        for cid, block in held:
            if cid not in here:
                continue
            if self._new is None:
                self._new = self._stack.enter_context(PackInProgress(self._context))
            self._new.add(cid, block)
            self._size += len(block)
            if self._size >= COMPACT_BYTES or len(self._new.cids) >= COMPACT_BLOCKS:
                self._move()

    def _move(self) -> None:
        new, self._new, self._size = self._new, None, 0
        if new is None:
            return
        new.seal()

        def work(connection: Connection) -> None:
            enter_store(connection)
            new.take_rows(connection, [self._old])

        self._context.db.run(work)
        new.keep()
        self._stack.close()
        self.made += 1

    def __enter__(self) -> _Mover:
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.__exit__(*raised)  # type: ignore[arg-type]
