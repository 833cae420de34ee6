"""The blobs that publish commits, once there are many of them, or they are not of the kind that the store's new ones are."""

from __future__ import annotations

from typing import Final

from mstbucket.blobs.names import REFS, Kind, framed, parse_ref, parse_secret_ref
from mstbucket.core import car
from mstbucket.core.car import CarReader
from mstbucket.core.cid import to_text
from mstbucket.errors import BrokenFrame, CorruptionError, FormatError, NoSuchBlob
from mstbucket.index import commits
from mstbucket.packs.frames.read import Packs, TrailerIndex
from mstbucket.packs.streams import read_pack
from mstbucket.services.blocks.context import Context
from mstbucket.services.tree.publish import ref_blob

#: Newest commits of a bucket that stay published. One is enough to find the store by; the others are for one that is
#: damaged, or older than a copy of the database.
REFS_KEPT: Final = 64
REFS_EVERY: Final = 16  # commits between two looks for old refs
_DELETED: Final = 1000  # blobs by one call


def trim_refs(context: Context, trimmed: dict[str, int]) -> int:
    """Remove the blobs of commits that are older than the newest REFS_KEPT of every bucket they are of ([STO-10]).

    Those of buckets that this store does not have are left alone. `trimmed` remembers where that was done last, by identity:
    it is not done again before there are REFS_EVERY more commits, since a listing is a request.
    """
    count = 0
    for identity, last in commits.list_long_histories(context.db, REFS_KEPT):
        if last < trimmed.get(identity, -REFS_EVERY) + REFS_EVERY:
            continue
        trimmed[identity] = last
        names = [info.name for info in context.blobs.list(f"{REFS}{identity}/")]
        # It is asked after the listing, so that no ref in that is newer. An import has the identity of where it came from.
        newest = commits.newest_of_identity(context.db, identity)
        old = [name for name in names if newest and _is_old(name, newest)]
        for start in range(0, len(old), _DELETED):
            context.blobs.delete_many(old[start : start + _DELETED])
        count += len(old)
    return count


def _is_old(name: str, newest: list[int]) -> bool:
    ref = parse_ref(name) or parse_secret_ref(name)
    if ref is None or ref[1] > max(newest):  # of a store that is ahead of this database: not ours to judge
        return False
    return not any(seq - REFS_KEPT < ref[1] <= seq for seq in newest)


def reencode_refs(context: Context) -> dict[str, str]:
    """Publish again, in the kind of the store's new blobs, every commit that was published in another ([STO-1]).

    Returns the refs that could not be read, by name, and why; they are left as they are.
    """
    key = context.encoding.key
    packs = Packs(context.blobs, TrailerIndex(context.blobs, key), key)
    encrypted = Kind.AES in context.encoding.kind
    damaged: dict[str, str] = {}
    for info in context.blobs.list(REFS):
        ref = parse_ref(info.name) or parse_secret_ref(info.name)
        if ref is None or (framed(info.name) is not None) == encrypted:
            continue
        identity, seq, _ = ref
        try:
            sections = read_pack(packs, info.name, lambda stream: list(CarReader(stream)))
            if len(sections) != 1:
                raise BrokenFrame(f"it holds {len(sections)} blocks instead of one commit")
            cid, block, _ = sections[0]
            named = parse_ref(info.name)
            if named is not None and named[2] != to_text(cid):
                raise BrokenFrame(f"it does not hold the commit that its name tells, but {to_text(cid)}")
        except NoSuchBlob:
            continue
        except (FormatError, CorruptionError) as error:
            damaged[info.name] = str(error)
            continue
        context.blobs.put(*ref_blob(context, identity, seq, cid, car.header(cid) + car.section(cid, block)))
        context.blobs.delete(info.name)
    return damaged
