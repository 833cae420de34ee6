"""What only both trees together tell of versions: the judge of [VER-21], in one pass.

A replay sees all objects first, then the versions in the order of the file. That is not the order of their keys. So the
tree's shape tells what an order would tell: the key before another is in the same node, in the subtree between the two, or
above. Nothing here grows with the file but sets of 16 bytes an entry.
"""

from __future__ import annotations

from hashlib import blake2b, sha256
from secrets import token_bytes
from typing import Final

from mstbucket.core.cid import CID
from mstbucket.core.keys import split_version_key
from mstbucket.errors import Unsupported, Untrue
from mstbucket.limits import SEQ_MAX
from mstbucket.spill.seen import MEMORY_MAX, NUMBER_BITS, Seen, SeenNumbers
from mstbucket.verify.node import Node, Place

_HELD: Final = MEMORY_MAX // 4  # entries of each of the four sets in memory
_SEQ_SIZE: Final = 16  # digits at the end of a version key
_NULL: Final = (0, 0)  # the token of the null version
_HALF: Final = NUMBER_BITS // 8  # bytes


class History:
    """The versions of a bucket against its objects. Tell it every node of the versions tree, then every key.

    Any method raises `StorageError` when the temporary directory fails.
    """

    def __init__(self) -> None:
        self._objects = Seen(_HELD)  # keys that have a current object
        self._ids = Seen(_HELD)  # keys with the id of a version
        # For a manifest with a version id, a token of the id in two halves: other keys may name it again, without its block.
        self._high, self._low = SeenNumbers(_HELD), SeenNumbers(_HELD)
        self._secret = token_bytes(32)
        # The two below are about nodes on the way down, and no others.
        self._newest: set[bytes] = set()  # version keys to come that are the newest of their key
        self._open: dict[bytes, bool] = {}  # whether it needs an object, should it turn out to be the newest

    def close(self) -> None:
        """Give memory and files back."""
        for one in (self._objects, self._ids, self._high, self._low):
            one.close()

    def manifest(self, cid: CID, version_id: str | None) -> None:
        """Hear of a new manifest."""
        if version_id is not None:
            digest = blake2b(version_id.encode(), digest_size=2 * _HALF, key=self._secret).digest()
            self._high.add(cid, int.from_bytes(digest[:_HALF]))
            self._low.add(cid, int.from_bytes(digest[_HALF:]))

    def object(self, key: bytes, cid: CID) -> None:
        """Hear of a current object and its manifest, which was told before."""
        self._objects.add(sha256(key).digest())
        self._identify(key, cid)

    def node(self, node: Node, place: Place) -> None:
        """Hear of a node of the versions tree, before its keys."""
        _, _, before, high = place
        for key, link in zip(node.keys, node.links, strict=False):
            if link is None and not _same(before, key):
                self._newest.add(key)
            before = key
        if node.keys and node.links[0] is not None:
            self._open[node.keys[0]] = False  # its subtree comes behind it
        if high is not None and node.keys and node.links[-1] is None:
            self._follows(node.keys[-1], high)

    def version(self, stored: bytes, cid: CID, marker: bool) -> None:
        """Hear of a key of the versions tree and its manifest, which was told before; objects are all told by now.

        Raises:
            Untrue: two versions of the key have one id, or there is nothing above it and it is no marker.
            Unsupported: it has the last sequence there is.
        """
        key, seq = split_version_key(stored)
        if seq == SEQ_MAX:  # [VER-21] [VSN-9]
            raise last_sequence(key)
        self._identify(key, cid)
        needs = not marker and sha256(key).digest() not in self._objects
        if stored in self._open:
            self._open[stored] = needs
        elif stored in self._newest:
            self._newest.remove(stored)
            if needs:  # [VER-21] [VSN-4]
                raise nothing_above(key)

    def _follows(self, before: bytes, stored: bytes) -> None:
        """Take note of the key right before *stored*, which stands in a node above."""
        newest = not _same(before, stored)
        needs = self._open.pop(stored, None)
        if needs is None:
            if newest:
                self._newest.add(stored)
        elif newest and needs:  # [VER-21] [VSN-4]
            raise nothing_above(stored[: -_SEQ_SIZE - 1])

    def _identify(self, key: bytes, cid: CID) -> None:
        high = self._high.get(cid)
        low = self._low.get(cid)
        token = _NULL if high is None or low is None else (high, low)
        # [VER-21] [VSN-2] The NUL ends the key: no two pairs of key and id are the same bytes.
        if not self._ids.add(sha256(b"%b\0%012x%012x" % (key, *token)).digest()):
            raise two_of_one_id(key, null=token == _NULL)


def _same(one: bytes, other: bytes) -> bool:
    """Whether two version keys are of the same key; b"" is of none."""
    return one[:-_SEQ_SIZE] == other[:-_SEQ_SIZE]


def last_sequence(key: bytes) -> Unsupported:
    """The error of a version that nothing could follow."""
    return Unsupported(f"a version of key {key.decode()!r} has the last sequence there is: nothing could follow it")


def two_of_one_id(key: bytes, *, null: bool) -> Untrue:
    """The error of a key that has two versions of one id, or two null versions."""
    return Untrue(f"key {key.decode()!r} has {'two null versions' if null else 'two versions of one id'}")


def nothing_above(key: bytes) -> Untrue:
    """The error of a key whose newest version is noncurrent, and no delete marker."""
    return Untrue(f"key {key.decode()!r} has versions, but neither an object nor a delete marker above them")
