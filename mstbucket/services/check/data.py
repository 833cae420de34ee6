"""Level `data`: every byte of packs, refs and keys is read and hashed again, and the places of blocks proved ([CHECK-7]).

No transaction is open while bytes are read. A pack that is written again or compacted meanwhile is passed over: its
blocks are in a pack that was hashed as it was written.
"""

from __future__ import annotations

from typing import BinaryIO, Final

from mstbucket.blobs.names import KEYS, REFS, is_key, parse_ref, parse_secret_ref
from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import CID, to_text
from mstbucket.errors import BrokenFrame, CorruptionError, FormatError, NoSuchBlob, StorageError, WrongKey
from mstbucket.index import check_rows, scrubbed
from mstbucket.index.check_rows import PackRow
from mstbucket.index.damage import clear_damaged
from mstbucket.index.rules import damaged_bodies
from mstbucket.limits import FINDINGS_MAX
from mstbucket.packs.frames.data_keys import read_key
from mstbucket.packs.frames.format import unpack_lengths
from mstbucket.packs.frames.read import Packs, TrailerIndex, read_trailer
from mstbucket.services.blocks.context import Context
from mstbucket.services.check.found import Part
from mstbucket.services.tree.refs import read_ref
from mstbucket.spill.seen import Seen

_BATCH: Final = 10_000  # places of blocks asked for at once
_BODIES: Final = 1000  # bodies that the database hashes at once


def check_bodies(context: Context) -> Part:
    """Have the database hash the bodies that it holds itself."""
    part = Part()
    after: bytes | None = b""
    while after is not None:
        wrong, after = damaged_bodies(context.db, after, _BODIES)
        for cid in wrong:
            part.add("data.body", f"the body {to_text(cid)} in the database is not what its CID says", cid=cid)
            part.suspects.append(cid)
    return part


def check_pack(context: Context, pack: PackRow, rows: int) -> Part:
    """Read a pack whole; prove the places of its blocks.

    Args:
        rows: how many rows of blocks led to it when the check began; they only become fewer ([STO-6]).
    """
    part = Part()
    try:
        read = context.blocks.of_pack(pack.name, lambda stream: _read(context, pack, stream))
    except (CorruptionError, FormatError, NoSuchBlob, StorageError) as error:
        if isinstance(error, StorageError) and error.pack is None:
            raise
        _damaged(context, part, pack, error)
        return part
    if read is None:
        return part
    part.counts["packs"] += 1
    part.counts["bytes"] += pack.size or 0
    found, misplaced = read
    for cid, said in misplaced:
        part.add("data.row-misplaced", said, cid=cid, blob=pack.name)
        part.suspects.append(cid)
    if found < rows:
        _find_elsewhere(context, part, pack)
    if pack.plain is not None:
        _check_frames(context, part, pack)
    if not part.findings:
        clear_damaged(context.db, pack.name)  # [PUT-15]
        scrubbed.note(context.db, pack.id, pack.name)
    return part


def _read(context: Context, pack: PackRow, stream: BinaryIO) -> tuple[int, list[tuple[CID, str]]]:
    """How many rows lead to blocks of this pack, and those that lead to the wrong place in it."""
    found = 0
    wrong: list[tuple[CID, str]] = []
    batch: list[tuple[CID, int, int]] = []

    def compare() -> int:
        places = check_rows.places_in(context.db, pack.id, [cid for cid, _, _ in batch])
        for cid, offset, length in batch:
            place = places.get(cid)
            if place is not None and place != (offset, length) and len(wrong) < FINDINGS_MAX:
                said = f"its row leads to {place[1]} bytes at byte {place[0]} of the pack"
                wrong.append((cid, f"{said}, where it has {length} bytes at byte {offset}"))
        batch.clear()
        return len(places)

    for cid, block, offset in CarReader(stream):  # which hashes every block
        batch.append((cid, offset, len(block)))
        if len(batch) >= _BATCH:
            found += compare()
    found += compare() if batch else 0
    if wrong:  # a pack of another name may have taken the place of this one
        now = check_rows.pack_named(context.db, pack.name)
        if now is None or now.id != pack.id or now.state != "ready":
            wrong.clear()
    return found, wrong


def _find_elsewhere(context: Context, part: Part, pack: PackRow) -> None:
    """Tell the rows that lead to a pack which does not hold their block."""
    with Seen() as inside:

        def read(stream: BinaryIO) -> bool:
            for cid, _, _ in CarReader(stream):
                inside.add(cid)
            return True

        if context.blocks.of_pack(pack.name, read) is None:
            return
        stray = [cid for cid in check_rows.blocks_of_pack(context.db, pack.id) if cid not in inside][:FINDINGS_MAX]
    now = check_rows.pack_named(context.db, pack.name)
    if now is None or now.id != pack.id or now.state != "ready":
        return
    for cid in stray:
        part.add("data.row-elsewhere", "its row leads to a pack that does not hold it", cid=cid, blob=pack.name)
        part.suspects.append(cid)


def _damaged(context: Context, part: Part, pack: PackRow, error: Exception) -> None:
    """Tell which blocks of a damaged pack cannot be read any more; of a pack that is gone the level before has told."""
    if not isinstance(error, NoSuchBlob):
        part.add("data.pack", f"pack {pack.name}: {error}", blob=pack.name)
    for cid in check_rows.blocks_of_pack(context.db, pack.id):
        try:
            context.blocks.get(cid)
        except (CorruptionError, FormatError, StorageError) as lost:
            if isinstance(lost, StorageError) and lost.pack is None:
                raise
            part.add("data.block", str(lost), cid=cid, blob=pack.name)
            part.suspects.append(cid)


def _check_frames(context: Context, part: Part, pack: PackRow) -> None:
    """Compare the frames of a pack in the index with the trailer in the blob, by which a lost database is made again."""
    rows = check_rows.frames_of(context.db, pack.id)
    try:
        trailer = read_trailer(context.blobs, pack.name, context.encoding.key)
    except (CorruptionError, FormatError) as error:
        part.add("data.trailer", str(error), blob=pack.name)
        return
    except NoSuchBlob:
        return
    stored = plain = number = 0
    said: list[tuple[int, int]] = []
    try:
        for first, start, place, lengths in rows:
            if (first, start, place) != (number, plain, stored):
                raise BrokenFrame(f"a run of frames begins at frame {first}, where frame {number} is expected")
            run = unpack_lengths(lengths, pack.name)
            said += run
            number += len(run)
            stored += sum(one for one, _ in run)
            plain += sum(one for _, one in run)
        if said != [(entry.stored_length, entry.length) for entry in trailer.entries] or plain != pack.plain:
            raise BrokenFrame("the index has other frames than the blob")
    except BrokenFrame as error:
        now = check_rows.pack_named(context.db, pack.name)
        if now is not None and now.id == pack.id and now.state == "ready":
            part.add("data.frames", f"pack {pack.name}: {error}", blob=pack.name)


def check_small(context: Context) -> Part:
    """Read every ref and every wrapped key."""
    part = Part()
    packs = Packs(context.blobs, TrailerIndex(context.blobs, context.encoding.key), context.encoding.key)
    for info in context.blobs.list(REFS):
        if parse_ref(info.name) is None and parse_secret_ref(info.name) is None:
            continue
        try:
            read_ref(packs, context.encoding.key, info.name)
        except NoSuchBlob:
            continue
        except (CorruptionError, FormatError, WrongKey) as error:
            part.add("data.ref", f"{info.name}: {error}", blob=info.name)
        part.counts["bytes"] += info.size
    for info in context.blobs.list(KEYS):
        if not is_key(info.name):
            continue
        try:
            read_key(context.blobs, info.name)
        except NoSuchBlob:
            continue
        except (CorruptionError, FormatError) as error:
            part.add("data.key", f"{info.name}: {error}", blob=info.name)
    return part
