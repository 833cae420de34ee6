"""Care of the blobs that publish commits: old ones are removed, and those of another kind are published again."""

from __future__ import annotations

from typing import BinaryIO, Final

from mstbucket.blobs.names import REFS, Kind, framed, parse_ref, parse_secret_ref
from mstbucket.core import car
from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import CID, to_text
from mstbucket.errors import BrokenFrame, CorruptionError, FormatError, NoSuchBlob
from mstbucket.index import commits
from mstbucket.packs.frames.crypto import DataKey
from mstbucket.packs.frames.read import Packs, TrailerIndex
from mstbucket.packs.streams import read_pack
from mstbucket.services.blocks.context import Context
from mstbucket.services.tree.publish import ref_blob

#: Newest commits of a bucket that stay published. One is enough to find the store by. The others help when a blob is
#: damaged, or when the database comes from an older copy.
REFS_KEPT: Final = 64
REFS_EVERY: Final = 16  # commits between two looks for old refs
_DELETED: Final = 1000  # blobs by one call


def trim_refs(context: Context, trimmed: dict[str, int]) -> int:
    """Remove the blobs of commits that are not kept and not among the newest REFS_KEPT, of every identity ([STO-10]).

    Blobs of buckets that this store does not have stay. A listing is a request, so an identity is looked at again only
    after REFS_EVERY more commits.

    Args:
        trimmed: the number of the newest commit at the last look, by identity; kept up to date here.

    Returns:
        How many blobs were removed.
    """
    count = 0
    for identity, last in commits.list_long_histories(context.db, REFS_KEPT):
        if last < trimmed.get(identity, -REFS_EVERY) + REFS_EVERY:
            continue
        trimmed[identity] = last
        count += trim_refs_of(context, identity)
    return count


def trim_refs_of(context: Context, identity: str) -> int:
    """Remove the blobs of commits of one identity that are neither kept nor among the newest REFS_KEPT; how many."""
    names = [info.name for info in context.blobs.list(f"{REFS}{identity}/")]
    # The question comes after the listing: then the listing names no newer commit. An import shares the identity.
    newest = commits.newest_of_identity(context.db, identity)
    old = [(seq, name) for name in names if newest and (seq := _old_number(name, newest)) is not None]
    count = 0
    for start in range(0, len(old), _DELETED):
        batch = old[start : start + _DELETED]
        kept = commits.kept_of_identity(context.db, identity, [seq for seq, _ in batch])  # [PAST-14]
        gone = [name for seq, name in batch if seq not in kept]
        context.blobs.delete_many(gone)
        count += len(gone)
    return count


def _old_number(name: str, newest: list[int]) -> int | None:
    """The number of the commit that this blob publishes, if it is far from the newest ones."""
    ref = parse_ref(name) or parse_secret_ref(name)
    if ref is None or ref[1] > max(newest):  # a store that is ahead of this database made it
        return None
    return None if any(seq - REFS_KEPT < ref[1] <= seq for seq in newest) else ref[1]


def reencode_refs(context: Context) -> dict[str, str]:
    """Publish every commit again whose blob is not of the kind of the store's new blobs ([STO-1]).

    Returns:
        Why a ref could not be read, by its name. These refs are left as they are.
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
            cid, block = read_ref(packs, key, info.name)
        except NoSuchBlob:
            continue
        except (FormatError, CorruptionError) as error:
            damaged[info.name] = str(error)
            continue
        context.blobs.put(*ref_blob(context, identity, seq, cid, car.header(cid) + car.section(cid, block)))
        context.blobs.delete(info.name)
    return damaged


def read_ref(packs: Packs, key: DataKey | None, name: str) -> tuple[CID, bytes]:
    """The commit that the blob *name* publishes, and its block, which is hashed.

    Raises:
        CorruptionError, FormatError: the blob is damaged, or does not hold the one commit that its name tells.
        NoSuchBlob: it has gone.
        WrongKey: it is encrypted, and the key is not that.
    """

    def read(stream: BinaryIO) -> tuple[CID, bytes]:
        reader = CarReader(stream)
        sections = list(reader)
        if len(sections) != 1:
            raise BrokenFrame(f"it holds {len(sections)} blocks instead of one commit")
        cid, block, _ = sections[0]
        if cid != reader.root or not _is_named(name, cid, key):
            raise BrokenFrame(f"it does not hold the commit that its name tells, but {to_text(cid)}")
        return cid, block

    return read_pack(packs, name, read)


def _is_named(name: str, cid: CID, key: DataKey | None) -> bool:
    plain, secret = parse_ref(name), parse_secret_ref(name)
    if plain is not None:
        return plain[2] == to_text(cid)
    return secret is not None and key is not None and secret[2] == key.pseudonym(cid)
