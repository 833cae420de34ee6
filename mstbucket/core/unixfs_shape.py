"""The shape of a body under the profile `unixfs-v1-2025`: which its size alone determines, but for the CIDs.

A body of at most one chunk is one raw block. A larger one is a balanced tree of dag-pb nodes over raw chunks of 1 MiB,
1,024 links a node, filled from the left. `spec/format/05-body.md` is normative.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from mstbucket.core import varint
from mstbucket.core.cid import CID, CID_SIZE
from mstbucket.errors import InvalidInput
from mstbucket.limits import CHUNK_SIZE, LINKS_PER_NODE

LAYOUT: Final = "unixfs-v1-2025"

HASH: Final = b"\x0a\x24"  # PBLink.Hash, 36 bytes
NAME_AND_TSIZE: Final = b"\x12\x00\x18"  # [BODY-6] PBLink.Name is present and empty; then PBLink.Tsize
FILE_AND_SIZE: Final = b"\x08\x02\x18"  # [BODY-12] UnixFS Data: Type = File; then filesize


def span(height: int) -> int:
    """Return the body bytes under a full subtree of *height*; a chunk is height 0."""
    below: int = LINKS_PER_NODE**height
    return CHUNK_SIZE * below


def body_height(size: int) -> int:
    """Return the height of the root of a body of *size* bytes: 0 for a single chunk, at most 3 [BODY-4]."""
    height = 0
    while span(height) < size:
        height += 1
    return height


def child_sizes(size: int, height: int) -> tuple[int, int, int]:
    """Return (count, size of all but the last, size of the last) for the children of a node; *size* is above 0."""
    each = span(height - 1)
    count = -(-size // each)
    return count, each, size - (count - 1) * each


def _node_length(size: int, height: int) -> int:
    count, each, last = child_sizes(size, height)
    link = CID_SIZE + len(HASH + NAME_AND_TSIZE)
    full = link + _varint_length(_tree_length(each, height - 1))
    short = link + _varint_length(_tree_length(last, height - 1))
    data = len(FILE_AND_SIZE) + _varint_length(size) + (count - 1) * (1 + _varint_length(each))
    data += 1 + _varint_length(last)
    return (count - 1) * (2 + full) + (2 + short) + 1 + _varint_length(data) + data


@lru_cache(maxsize=256)
def _tree_length(size: int, height: int) -> int:
    """Return the bytes of all blocks of a subtree, which is what Tsize states [BODY-7]."""
    if height == 0:
        return size
    count, each, last = child_sizes(size, height)
    below = (count - 1) * _tree_length(each, height - 1) + _tree_length(last, height - 1)
    return _node_length(size, height) + below


def body_length(size: int) -> int:
    """Return the bytes of all blocks of a body of *size* bytes: what a link to it states as Tsize."""
    return _tree_length(size, body_height(size))


def _varint_length(n: int) -> int:
    return max(1, -(-n.bit_length() // 7))


def encode_node(cids: Sequence[CID], size: int, height: int) -> bytes:
    """Return the one node of *height* >= 1 whose children are *cids*, over *size* body bytes.

    Raises:
        InvalidInput: a node of that size and height has another number of children.
    """
    if not 0 < size <= span(height) or len(cids) != child_sizes(size, height)[0]:
        raise InvalidInput(f"a node of height {height} over {size} bytes does not have {len(cids)} children")
    count, each, last = child_sizes(size, height)
    full_tail = NAME_AND_TSIZE + varint.encode(_tree_length(each, height - 1))
    last_tail = NAME_AND_TSIZE + varint.encode(_tree_length(last, height - 1))
    full_head = bytes((0x12, len(HASH) + CID_SIZE + len(full_tail))) + HASH
    last_head = bytes((0x12, len(HASH) + CID_SIZE + len(last_tail))) + HASH
    data = b"".join(
        (
            FILE_AND_SIZE,
            varint.encode(size),
            (b"\x20" + varint.encode(each)) * (count - 1),
            b"\x20",
            varint.encode(last),
        )
    )
    links = [full_head + cid + full_tail for cid in cids[:-1]]
    # [BODY-5] canonical dag-pb: the links stand before the data
    return b"".join((*links, last_head, cids[-1], last_tail, b"\x0a", varint.encode(len(data)), data))
