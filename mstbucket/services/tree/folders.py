"""Folders made of files that come in the order of their paths, children before parents.

What the open folders hold so far lies on one pile, the innermost on top. Finished nodes go to another, each with the places
of those it links to, so that they can be walked from the root. Memory is bounded, whatever the folders are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple, Self

from mstbucket.core.cid import CID, CID_SIZE
from mstbucket.core.murmur3 import murmur3_64
from mstbucket.core.unixfs_directory import HASH_SIZE, Entry, directory, is_sharded, link_length, sharded_directory
from mstbucket.core.unixfs_shape import body_length
from mstbucket.limits import KIB
from mstbucket.spill.pile import MEMORY_MAX, Pile
from mstbucket.spill.sort_bytes import RUN, SortedBytes

_ENTRY: Final = Struct(f"<H{CID_SIZE}sQQ")  # length of the name, CID, Tsize, place; then the name
_NODE: Final = Struct("<II")  # length of the block, number of links; then the block, and a link for each
_LINK: Final = Struct(f"<{CID_SIZE}sQ")  # CID; of a folder its place and _FOLDER, of a file its size
_FOLDER: Final = 1 << 63
_WINDOW: Final = 64 * KIB  # of entries read at once
_LINKS: Final = 128  # read at once


class Child(NamedTuple):
    """A link of a folder's node.

    Attributes:
        place: of the node that it leads to; None of a file.
        size: of the file.
    """

    cid: CID
    place: int | None
    size: int


@dataclass(slots=True)
class _Open:
    """A folder that may get more: its name, where its entries begin on the pile, and what they would take in one node."""

    name: bytes
    start: int
    length: int = 0


class Folders:
    """Makes folders. A context manager, since there are temporary files.

    Attributes:
        count: folders finished so far.
    """

    def __init__(self, memory_max: int = MEMORY_MAX, run: int = RUN) -> None:
        """*memory_max*: bytes that each of two piles holds in memory; *run*: bytes that a sort of names holds."""
        self._run = run
        self._entries = Pile(memory_max)
        self._nodes = Pile(memory_max)
        self._open = [_Open(b"", 0)]
        self.count = 0

    def add(self, path: Sequence[bytes], cid: CID, size: int) -> None:
        """Take a file. The paths ascend, compared one component after the other."""
        *folders, name = path
        same = 0
        while same < min(len(folders), len(self._open) - 1) and folders[same] == self._open[same + 1].name:
            same += 1
        self._close_to(same)
        for folder in folders[same:]:
            self._open.append(_Open(folder, self._entries.top))
        self._push(Entry(name, cid, body_length(size), size))

    def end(self) -> Entry:
        """The folder that holds all. Nothing can be added afterwards."""
        self._close_to(0)
        return self._close()

    def node(self, place: int) -> tuple[bytes, Iterator[Child]]:
        """The block of a finished node, and its links in order, which are read when they are asked for."""
        size, count = _NODE.unpack(self._nodes.read(place, _NODE.size))
        start = place + _NODE.size
        return self._nodes.read(start, size), self._children(start + size, count)

    def _children(self, start: int, count: int) -> Iterator[Child]:
        for first in range(0, count, _LINKS):
            piece = self._nodes.read(start + first * _LINK.size, min(_LINKS, count - first) * _LINK.size)
            for cid, place in _LINK.iter_unpack(piece):
                yield Child(cid, place ^ _FOLDER, 0) if place & _FOLDER else Child(cid, None, place)

    def _push(self, entry: Entry) -> None:
        self._open[-1].length += link_length(len(entry.name), entry.tsize)
        self._entries.add(_pack(entry))

    def _close_to(self, depth: int) -> None:
        while len(self._open) - 1 > depth:
            self._push(self._close())

    def _close(self) -> Entry:
        """Make the innermost folder of what is on the pile for it, which is in the order of names."""
        done = self._open.pop()
        if not is_sharded(done.length):
            made = directory([*self._since(done.start)], self._put)
        else:
            with SortedBytes(self._run) as by_hash:
                for entry in self._since(done.start):
                    by_hash.add(murmur3_64(entry.name) + _pack(entry))
                made = sharded_directory(((one[:HASH_SIZE], _unpack(one, HASH_SIZE)) for one in by_hash), self._put)
        self._entries.cut(done.start)
        self.count += 1
        return made._replace(name=done.name)

    def _since(self, start: int) -> Iterator[Entry]:
        at, end = start, self._entries.top
        while at < end:
            data = self._entries.read(at, _WINDOW)
            here = 0
            while here + _ENTRY.size <= len(data) and here + _size(data, here) <= len(data):
                yield _unpack(data, here)
                here += _size(data, here)
            at += here

    def _put(self, block: bytes, links: Sequence[Entry]) -> int:
        pieces = [_NODE.pack(len(block), len(links)), block]
        pieces += [_LINK.pack(link.cid, link.place) for link in links]
        return self._nodes.add(b"".join(pieces)) | _FOLDER

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._entries.close()
        self._nodes.close()


def place_of(folder: Entry) -> int:
    """The place of the node of a finished folder."""
    return folder.place ^ _FOLDER


def _pack(entry: Entry) -> bytes:
    return _ENTRY.pack(len(entry.name), entry.cid, entry.tsize, entry.place) + entry.name


def _unpack(data: bytes, at: int) -> Entry:
    length, cid, tsize, place = _ENTRY.unpack_from(data, at)
    start = at + _ENTRY.size
    return Entry(data[start : start + length], cid, tsize, place)


def _size(data: bytes, at: int) -> int:
    return _ENTRY.size + int.from_bytes(data[at : at + 2], "little")
