"""Directories of UnixFS under the profile `unixfs-v1-2025`: one node, or a tree of shards by the hash of the name.

`spec/format/35-files-view.md` is normative. A directory is a function of its entries alone. Nothing is read or written here:
whoever asks for a directory says what becomes of its nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from mstbucket.core import varint
from mstbucket.core.cid import CID, CID_SIZE, dag_pb_cid
from mstbucket.core.unixfs_shape import HASH
from mstbucket.errors import FormatError, Unsupported
from mstbucket.limits import DIRECTORY_BLOCK_MAX

__all__ = ["HASH_SIZE", "Entry", "Put", "directory", "is_sharded", "link_length", "node_kind", "sharded_directory"]

HASH_SIZE: Final = 8  # bytes of a name's hash; each places it in one more level of shards

_DIRECTORY: Final = b"\x08\x01"  # UnixFS Data: Type = Directory
_SHARD: Final = b"\x08\x05\x12"  # Type = HAMTShard; then the bit field
_HASH_AND_FANOUT: Final = b"\x28\x22\x30\x80\x02"  # murmur3-x64-64, and 256
_KINDS: Final = {b"\x08\x00": "file", b"\x08\x01": "directory", b"\x08\x02": "file", b"\x08\x04": "symbolic link",
                 b"\x08\x05": "sharded directory"}  # fmt: skip


class Entry(NamedTuple):
    """What a directory holds under one name.

    Attributes:
        name: UTF-8, 1 to 255 bytes without slash and NUL.
        cid: of the file or the directory.
        tsize: bytes of all blocks from there on; one that is reached twice counts twice.
        place: the caller's own: of a directory it is what `Put` returned.
    """

    name: bytes
    cid: CID
    tsize: int
    place: int


#: Takes a node that is finished, and its links in order; what it returns is the `place` of the link to that node.
Put = Callable[[bytes, Sequence[Entry]], int]


def link_length(name: int, tsize: int) -> int:
    """Return the bytes that a link takes in a node, with a name of *name* bytes."""
    inner = len(HASH) + CID_SIZE + 2 + len(varint.encode(name)) + name + len(varint.encode(tsize))
    return 1 + len(varint.encode(inner)) + inner


def is_sharded(links: int) -> bool:
    """Whether a directory is one of shards, whose links would take so many bytes in one node."""
    # [FILES-4] the whole block counts, and one of exactly the limit is no shard
    return links + 2 + len(_DIRECTORY) > DIRECTORY_BLOCK_MAX


def directory(entries: Sequence[Entry], put: Put) -> Entry:
    """Make a directory of one node; the entries are in the order of their names' bytes. The result has no name yet."""
    return _made(entries, _DIRECTORY, put)


def sharded_directory(entries: Iterable[tuple[bytes, Entry]], put: Put) -> Entry:
    """Make a directory of shards; the entries come with the hashes of their names, in the order of these.

    Holds one shard of each level, so at most 8 times 256 links. The result has no name yet.

    Raises:
        Unsupported: two names have the same hash.
    """
    levels: list[list[Entry]] = [[]]  # the shards on the way to the last entry
    before = held = None
    for digest, entry in entries:
        if before is not None and held is not None:
            _place(levels, before, held, _common(before, digest), put)
            if before == digest:  # [FILES-6]
                raise Unsupported(
                    f"the names {held.name.decode()!r} and {entry.name.decode()!r} have the same hash, and no directory of "
                    "IPFS as large as this one holds both: rename one of them"
                )
        before, held = digest, entry
    if before is not None and held is not None:
        _place(levels, before, held, 0, put)
    return _shard(levels[0], put)


def _place(levels: list[list[Entry]], digest: bytes, entry: Entry, next_common: int, put: Put) -> None:
    """Put an entry where neither the one before nor the next one is; then close what the next one is not in."""
    while len(levels) <= next_common:
        levels.append([])
    depth = len(levels) - 1
    if depth < HASH_SIZE:
        levels[depth].append(entry._replace(name=b"%02X" % digest[depth] + entry.name))
    for level in range(depth, next_common, -1):
        shard = _shard(levels.pop(), put)
        levels[level - 1].append(shard._replace(name=b"%02X" % digest[level - 1]))


def _common(one: bytes, other: bytes) -> int:
    """How many bytes two hashes begin with alike."""
    for at in range(HASH_SIZE):
        if one[at] != other[at]:
            return at
    return HASH_SIZE


def _shard(links: Sequence[Entry], put: Put) -> Entry:
    """[FILES-5] The bit field is a number of 256 bits, the most significant byte first, without zeros before it."""
    bits = 0
    for link in links:
        bits |= 1 << int(link.name[:2], 16)
    field = bits.to_bytes((bits.bit_length() + 7) // 8, "big")
    return _made(links, _SHARD + varint.encode(len(field)) + field + _HASH_AND_FANOUT, put)


def _made(links: Sequence[Entry], data: bytes, put: Put) -> Entry:
    pieces = []
    for name, cid, tsize, _ in links:  # [FILES-3]
        link = b"".join((HASH, cid, b"\x12", varint.encode(len(name)), name, b"\x18", varint.encode(tsize)))
        pieces += [b"\x12", varint.encode(len(link)), link]
    block = b"".join((*pieces, b"\x0a", varint.encode(len(data)), data))
    return Entry(b"", dag_pb_cid(block), len(block) + sum(link.tsize for link in links), put(block, links))


# --- a look ----------------------------------------------------------------------------------------------------------


def node_kind(block: bytes) -> str | None:
    """Return what a dag-pb node of anybody says that it is: "file", "directory", …; None where it says nothing known."""
    at = 0
    with suppress(FormatError):
        while at < len(block):
            length, start = varint.decode(block, at + 1)
            if block[at] == 0x0A:
                return _KINDS.get(block[start : start + 2])
            at = start + length
    return None
