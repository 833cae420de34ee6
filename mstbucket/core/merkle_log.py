"""Merkle trees over a list that only grows, as RFC 9162 has them: heads, and proofs that are checked without the list.

Everything here is about entries as bytes. What the entries of a log of commits are, says `commit_log`.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from mstbucket.errors import Untrue

HASH_SIZE: Final = 32
EMPTY_HEAD: Final = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry."""
    return sha256(b"\x00" + entry).digest()  # RFC 9162, 2.1.1: the bytes 00 and 01 keep leaves and nodes apart


def _node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


# --- making ----------------------------------------------------------------------------------------------------------


def head(leaves: Sequence[bytes]) -> bytes:
    """The head of the tree over these hashes of entries; that of no entry is the hash of nothing."""
    if not leaves:
        return EMPTY_HEAD
    level = list(leaves)
    while len(level) > 1:  # an odd last one goes up as it is: the largest power of two stands on the left everywhere
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [_node_hash(left, right) for left, right in pairs] + level[len(level) & ~1 :]
    return level[0]


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes beside the way from the entry at *index* up to the head (RFC 9162, 2.1.3.1)."""
    path: list[bytes] = []
    start, end = 0, len(leaves)
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(head(leaves[middle:end]))
            end = middle
        else:
            path.append(head(leaves[start:middle]))
            start = middle
    return path[::-1]


def consistency_path(leaves: Sequence[bytes], since: int) -> list[bytes]:
    """The hashes by which the head of the first *since* entries, one at least, leads to that of all (RFC 9162, 2.1.4.1)."""
    path: list[bytes] = []
    start, end = 0, len(leaves)
    while end != since:
        middle = start + _split(end - start)
        if since <= middle:
            path.append(head(leaves[middle:end]))
            end = middle
        else:
            path.append(head(leaves[start:middle]))
            start = middle
    if start > 0:  # else it is the earlier head itself, which the reader has
        path.append(head(leaves[start:end]))
    return path[::-1]


def _split(size: int) -> int:
    """The largest power of two below *size*, which is two at least."""
    return 1 << (size - 1).bit_length() - 1


# --- checking --------------------------------------------------------------------------------------------------------


def head_by_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The head of the tree of *size* entries that has *leaf* at *index*, as *path* leads up to it (RFC 9162, 2.1.3.2).

    Whoever knows the head compares. A path that leads to the head which is known cannot have been made for another entry.

    Raises:
        Untrue: the path has not the length that index and size demand.
    """
    if not 0 <= index < size:
        raise Untrue(f"entry {index} of a log of {size} entries")
    here, last, found = index, size - 1, leaf
    for beside in path:
        if last == 0:
            raise Untrue("the proof that the commit is in the log is too long")
        if here & 1 or here == last:
            found = _node_hash(beside, found)
            here, last = _to_right_child(here, last)
        else:
            found = _node_hash(found, beside)
        here, last = here >> 1, last >> 1
    if last != 0:
        raise Untrue("the proof that the commit is in the log is too short")
    return found


def check_consistency(since: int, before: bytes, size: int, now: bytes, path: Sequence[bytes]) -> None:
    """Refuse a head *now* of *size* entries, unless the first *since* of them, one at least, are those of the head *before*.

    RFC 9162, 2.1.4.2.

    Raises:
        Untrue: it does not follow.
    """
    if not 0 < since <= size:
        raise Untrue(f"a log of {size} entries does not follow one of {since}")
    if since == size:
        if path or before != now:
            raise Untrue(f"two logs of {size} entries have different heads: entries were changed")
        return
    hashes = [before, *path] if since & (since - 1) == 0 else list(path)
    here, last = since - 1, size - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    if not hashes:
        raise Untrue("the proof that the log has only grown is empty")
    old = new = hashes[0]
    for beside in hashes[1:]:
        if last == 0:
            raise Untrue("the proof that the log has only grown is too long")
        if here & 1 or here == last:
            old, new = _node_hash(beside, old), _node_hash(beside, new)
            here, last = _to_right_child(here, last)
        else:
            new = _node_hash(new, beside)
        here, last = here >> 1, last >> 1
    if last != 0 or old != before or new != now:
        raise Untrue(f"the log of {size} entries does not follow the one of {since} that is known: entries were changed")


def _to_right_child(here: int, last: int) -> tuple[int, int]:
    while here and not here & 1:
        here, last = here >> 1, last >> 1
    return here, last
