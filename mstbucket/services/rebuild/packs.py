"""The packs of a store and the blocks in them, found by reading the packs ([REB-3])."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from mstbucket.blobs.names import PACKS, Kind, framed, is_pack
from mstbucket.core.batches import in_batches
from mstbucket.core.cid import CID, verify_block
from mstbucket.errors import CorruptionError, NoSuchBlob
from mstbucket.index import frames, rebuild
from mstbucket.index.packs import Written
from mstbucket.index.rebuild import FoundTwice
from mstbucket.index.tx import enter_store
from mstbucket.packs.sections import PackSections
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.pack_in_progress import PackInProgress

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

_TOGETHER: Final = 64  # packs of one transaction: most are small, and each commit is a flush of the disk
_LISTED: Final = 1000


def find_blocks(context: Context, hashing: bool, progress: Callable[[int], object] | None) -> dict[str, str]:
    """Record every pack that has no row yet, and every block in it; say what is wrong with packs, by name.

    A block that is in several packs gets the first place of them that gives its bytes.
    """
    damaged: dict[str, str] = {}
    rebuild.forget_damaged(context.db)
    size = 0
    for names in _new_packs(context):
        for start in range(0, len(names), _TOGETHER):
            together = names[start : start + _TOGETHER]
            done, wrong = context.db.run(lambda connection, some=together: _take(context, connection, some, hashing))  # type: ignore[misc]
            damaged |= wrong
            size += done
            if progress is not None:
                progress(size)
    context.db.run(lambda connection: _merge(context, connection))
    return damaged


def restore_commits(context: Context, commits: Iterable[tuple[CID, bytes]]) -> None:
    """Write the blocks of commits again that no pack gives; the refs have them, too."""
    source = context.blocks.scan()
    lost: list[tuple[CID, bytes]] = []
    for cid, block in commits:
        try:
            source.get(cid)
        except CorruptionError:
            lost.append((cid, block))
    if not lost:
        return
    with PackInProgress(context) as pack:
        for cid, block in lost:
            pack.add(cid, block)
        pack.seal()
        context.db.run(lambda connection: pack.record(enter_store(connection)))
        pack.keep()


def _new_packs(context: Context) -> Iterator[list[str]]:
    """The names of the packs that have no row, some at a time."""
    packs = (info.name for info in context.blobs.list(PACKS) if is_pack(info.name))
    for names in in_batches(packs, _LISTED):
        known = rebuild.known_packs(context.db, names)
        yield [name for name in names if name not in known]


def _take(context: Context, connection: Connection, names: list[str], hashing: bool) -> tuple[int, dict[str, str]]:
    """Record packs; the bytes that they have, and what is wrong with some."""
    size = 0
    damaged: dict[str, str] = {}
    for name in names:
        pack = PackSections(context.blobs, name, context.encoding.key, hashing)
        if pack.readable:
            number = rebuild.add_pack(connection, Written(name, _kind(name), pack.size, pack.plain))
            frames.insert(connection, number, pack.entries)
            rebuild.add_found(connection, number, pack.batches())
            if pack.problems:
                rebuild.mark_pack(connection, number)
        if pack.problems:
            damaged[name] = "; ".join(pack.problems[:3])
        size += pack.size
    return size, damaged


def _kind(name: str) -> Kind:
    form = framed(name)
    return Kind.PLAIN if form is None else form[0]


def _merge(context: Context, connection: Connection) -> None:
    """Give every block its row; of those that stand in several places, try each place until one is good.

    A damaged pack and the one in which its blocks were written again are both there, until the first is compacted. And so
    are the old and the new form of a pack, after a writing again that was interrupted.
    """
    good: bytes | None = None
    for place in rebuild.found_twice(connection):
        if place.cid == good or not _gives(context, place):
            rebuild.drop_found(connection, place)
        else:
            good = place.cid
    rebuild.merge_found(connection)


def _gives(context: Context, place: FoundTwice) -> bool:
    """Whether a place gives the block."""
    pack = PackSections(context.blobs, place.name, context.encoding.key, hashing=False)
    try:
        verify_block(place.cid, pack.read(place.offset, place.length))
    except (CorruptionError, NoSuchBlob):
        return False
    return True
