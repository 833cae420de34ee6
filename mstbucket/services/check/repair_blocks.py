"""Repair of blocks: those that cannot be read come again from somewhere else, each proved by its hash ([CHECK-20]).

They are written as new packs, and the rows come to these in the transaction that makes each of them ready, as with a put of
the same bytes ([PUT-13]). Packs to which no row leads any more go.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from mstbucket.core.batches import in_batches
from mstbucket.core.body_builder import BodyBuilder
from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import CID, DAG_CBOR_PREFIX, DAG_PB_PREFIX, RAW_PREFIX, from_text, to_text
from mstbucket.errors import CorruptionError, FormatError, InvalidInput, NotFound
from mstbucket.files.whole import failed, reading
from mstbucket.index import check_rows, repairs
from mstbucket.index.damage import damaged_names, doom_healed
from mstbucket.index.rules import broken
from mstbucket.index.tx import enter_store
from mstbucket.limits import CAR_SECTION_MAX, FINDINGS_MAX, MIB
from mstbucket.model.repairs import RepairReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.damage import clear_restored
from mstbucket.services.blocks.pack_in_progress import PackInProgress
from mstbucket.services.blocks.registered import remove_doomed
from mstbucket.services.check.data import check_bodies
from mstbucket.services.check.found import Part
from mstbucket.services.check.marking import mark_bucket
from mstbucket.services.check.nodes import fetch
from mstbucket.services.check.presence import check_blobs
from mstbucket.services.check.trees import check_trees

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

WANTED_MAX: Final = 500_000  # blocks looked for at a time, some 60 MB; the next round looks for the next
_PACK_BLOCKS: Final = 20_000  # of one new pack
_PACK_BYTES: Final = 64 * MIB
_READ: Final = MIB
_BATCH: Final = 256
_UNREADABLE: Final = ("tree.commit-", "tree.node-", "presence.commit-", "presence.block-", "data.body")
_BODIES: Final = ("database.object-body", "database.version-body", "database.part-body")


class BlockFinder(Protocol):
    """Where blocks may be found."""

    def find(self, wanted: Collection[CID]) -> Iterator[tuple[CID, bytes]]:
        """Those of `wanted` that it has, each hashed; one may come more than once."""


class CarFile:
    """The blocks of a CAR; what stands behind a damaged place in it is not found."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path

    def find(self, wanted: Collection[CID]) -> Iterator[tuple[CID, bytes]]:
        try:
            with reading(self._path) as file:
                for cid, block, _ in CarReader(file):  # which hashes every block
                    if cid in wanted:
                        yield cid, block
        except (CorruptionError, FormatError):
            return


class Directory:
    """Files: CARs by their names, and every other file as a body, or as a block by itself."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def find(self, wanted: Collection[CID]) -> Iterator[tuple[CID, bytes]]:
        for directory, _, names in os.walk(self._path, onerror=_raise):
            for name in sorted(names):
                path = Path(directory) / name
                if not path.is_file():
                    continue
                if path.suffix == ".car":
                    yield from CarFile(path).find(wanted)
                else:
                    yield from self._body(path, wanted)

    @staticmethod
    def _body(path: Path, wanted: Collection[CID]) -> Iterator[tuple[CID, bytes]]:
        builder = BodyBuilder()
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size <= CAR_SECTION_MAX:
                    data = file.read(CAR_SECTION_MAX + 1)
                    digest = sha256(data).digest()
                    for prefix in (RAW_PREFIX, DAG_CBOR_PREFIX, DAG_PB_PREFIX):
                        if prefix + digest in wanted:
                            yield prefix + digest, data
                    file.seek(0)
                while data := file.read(_READ):
                    for cid, block in builder.feed(data):
                        if cid in wanted:
                            yield cid, bytes(block)
            for cid, block in builder.finish().blocks:
                if cid in wanted:
                    yield cid, bytes(block)
        except OSError as error:
            raise failed(f"{path} cannot be read", error) from error


class OtherStore:
    """The blocks of another store, which is open."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def find(self, wanted: Collection[CID]) -> Iterator[tuple[CID, bytes]]:
        order = sorted(wanted)
        for start in range(0, len(order), _BATCH):
            good, _ = fetch(self._context.blocks, order[start : start + _BATCH])
            yield from good.items()


def finder_at(path: str | os.PathLike[str]) -> BlockFinder:
    """What finds blocks in a CAR or a directory.

    Raises:
        NotFound: there is nothing of that name.
        InvalidInput: it is neither a file nor a directory.
    """
    if os.path.isdir(path):
        return Directory(path)
    if os.path.isfile(path):
        return CarFile(path)
    if os.path.lexists(path):
        raise InvalidInput(f"{os.fsdecode(path)} is neither a file nor a directory")
    raise NotFound(f"there is nothing at {os.fsdecode(path)}")


def repair_blocks(context: Context, finder: BlockFinder) -> RepairReport:
    """Bring every block that is needed and cannot be read; see `Store.repair_blocks`."""
    repaired = 0
    left = unreadable(context)
    while left:
        brought = _bring(context, finder, left)
        if not brought:
            break
        repaired += brought
        left = unreadable(context)  # below a node that came there may be others
    clear_restored(context.db, context.blocks.of_pack)  # [PUT-15]
    for name in damaged_names(context.db):
        _empty(context, name)
    remove_doomed(context, [pack.name for pack in doom_healed(context.db) if not pack.waits])
    return RepairReport(True, repaired, missing=tuple(sorted(map(to_text, left))[:FINDINGS_MAX]))


def _empty(context: Context, name: str) -> None:
    """Lead the rows of a damaged pack to copies of its blocks, those that can be read: without rows the pack can go."""
    pack = check_rows.pack_named(context.db, name)
    if pack is not None:
        _write(context, _sound_of(context, pack.id))


def _sound_of(context: Context, pack: int) -> Iterator[tuple[CID, bytes]]:
    for batch in in_batches(check_rows.blocks_of_pack(context.db, pack), _BATCH):
        good, _ = fetch(context.blocks, batch)
        yield from good.items()


def unreadable(context: Context) -> set[CID]:
    """Blocks that are needed and cannot be read, at most WANTED_MAX: of damaged and lost packs, or without a row.

    Their packs are recorded as damaged ([PUT-13]). Damage that nobody has found yet is not in it.
    """
    wanted: set[CID] = set()
    blobs = check_blobs(context)
    names = {one.blob for one in blobs.findings if one.code in ("presence.pack-lost", "presence.pack-size")}
    for name in sorted({name for name in names if name is not None} | set(damaged_names(context.db))):
        pack = check_rows.pack_named(context.db, name)
        if pack is not None:
            wanted |= _unreadable_of(context, pack.id, WANTED_MAX - len(wanted))
    parts = [check_bodies(context)]
    for number, bucket in check_rows.buckets(context.db):
        parts += [check_trees(context, number, bucket), mark_bucket(context, number, bucket)]
    for code in _BODIES:
        part = Part()
        for row in broken(context.db, code, FINDINGS_MAX):
            part.add("presence.block-unknown", row.said, cid=row.cid)
        parts.append(part)
    for part in parts:
        told = [one.cid for one in part.findings if one.code.startswith(_UNREADABLE) and not one.code.endswith("-row")]
        wanted |= {from_text(cid) for cid in told if cid is not None}
    return wanted


def _unreadable_of(context: Context, pack: int, limit: int) -> set[CID]:
    bad: set[CID] = set()
    for batch in in_batches(check_rows.blocks_of_pack(context.db, pack), _BATCH):
        _, failures = fetch(context.blocks, batch)  # which records the damage
        bad.update(failures)
        if len(bad) >= limit:
            break
    return bad


def _bring(context: Context, finder: BlockFinder, wanted: set[CID]) -> int:
    """Write the blocks that the finder has; how many there were."""
    return _write(context, finder.find(frozenset(wanted)))


def _write(context: Context, found: Iterator[tuple[CID, bytes]]) -> int:
    """Write blocks, a pack at a time; how many there were. One that comes again is passed over."""
    brought: set[CID] = set()
    more = True
    while more:
        size, more = 0, False
        with PackInProgress(context) as pack:
            lengths: dict[CID, int] = {}
            for cid, block in found:
                if cid in brought:
                    continue
                brought.add(cid)
                pack.add(cid, block)
                lengths[cid] = len(block)
                size += len(block)
                if len(lengths) >= _PACK_BLOCKS or size >= _PACK_BYTES:
                    more = True
                    break
            if not lengths:
                break
            pack.seal()
            _record(context, pack, lengths)
            pack.keep()
    return len(brought)


def _record(context: Context, pack: PackInProgress, lengths: dict[CID, int]) -> None:
    def record(connection: Connection) -> None:
        tx = enter_store(connection)
        repairs.forget_wrong_lengths(connection, list(lengths), list(lengths.values()))
        pack.record(tx)

    context.db.run(record)


def _raise(error: OSError) -> None:
    raise failed("the directory cannot be read", error) from error
