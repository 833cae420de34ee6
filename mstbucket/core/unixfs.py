"""Bodies as UnixFS files under the profile `unixfs-v1-2025`: their nodes, read strictly. `body_builder` builds them.

Size and height determine everything in a node but the CIDs in it (`unixfs_shape`). So the decoder takes CIDs and size
out of a block, writes the only node they can be in, and compares. `spec/format/05-body.md` is normative. Directories are
those of `unixfs_directory`.
"""

from __future__ import annotations

from dataclasses import dataclass

from mstbucket.core import varint
from mstbucket.core.cid import CID, CID_SIZE, DAG_PB_PREFIX, RAW_PREFIX
from mstbucket.core.unixfs_shape import FILE_AND_SIZE, HASH, LAYOUT, body_height, child_sizes, encode_node, span
from mstbucket.errors import FormatError, InvalidBlock, InvalidRange, Untrue
from mstbucket.limits import LINKS_PER_NODE, OBJECT_SIZE_MAX, UNIXFS_NODE_MAX

__all__ = [
    "FileNode",
    "body_height",
    "decode_file",
    "open_block",
    "plan_range",
]


@dataclass(frozen=True, slots=True)
class FileNode:
    """One dag-pb node of a body: its children as (CID, body bytes under it), its own body bytes, and its height.

    Height 1 links to chunks, height n to nodes of height n - 1. The root of a body has at least two links.
    """

    links: tuple[tuple[CID, int], ...]
    size: int
    height: int


def decode_file(block: bytes) -> FileNode:
    """Return the file node in *block*, if the profile has a node of exactly these bytes.

    Two things are not checked here, but block by block in `open_block`: that the node has the size and height of its
    place, and that its children hold what it says.

    Raises:
        InvalidBlock: any byte differs from the profile's node. Another tool with other settings made it: import the
            body's bytes again instead.
    """
    cids, size = _scan(block)
    wanted = RAW_PREFIX if cids[0].startswith(RAW_PREFIX) else DAG_PB_PREFIX
    for cid in cids:
        if not cid.startswith(wanted):  # [BODY-8] chunks are raw, nodes are dag-pb, never both in one node
            raise InvalidBlock(f"a file node links to {cid[:4].hex(' ')} where {wanted.hex(' ')} is expected")
    if wanted == RAW_PREFIX:
        heights = [1]
    else:
        heights = [h for h in range(2, body_height(OBJECT_SIZE_MAX) + 1) if child_sizes(size, h)[0] == len(cids)]
    for height in heights:
        count, each, last = child_sizes(size, height)
        # [BODY-9] the whole node is written again and compared: links, Tsize, type, block sizes
        if count == len(cids) and encode_node(cids, size, height) == block:
            sizes = [each] * (count - 1) + [last]
            return FileNode(tuple(zip(cids, sizes, strict=True)), size, height)
    raise InvalidBlock(f"a file node of {len(cids)} links over {size} bytes is not as the profile {LAYOUT} writes it")


def open_block(block: bytes, size: int, height: int) -> tuple[tuple[CID, int], ...]:
    """Check one block at its place in a body and return its children as (CID, size); they stand at *height* - 1.

    Start with the root at (size of the manifest, `body_height` of it). A walk that does so for every block has checked
    the whole body: each block's place determines its size, and each size its shape. Hashes are not checked here
    (`cid.verify_block` does).

    Raises:
        InvalidBlock: not a node of the profile.
        Untrue: a good block in the wrong place: a chunk of another length, a node of another size or height.
    """
    if height == 0:
        if len(block) != size:  # [BODY-3]
            raise Untrue(f"a chunk has {len(block)} bytes where {size} are stated; get another copy of the body")
        return ()
    node = decode_file(block)
    if (node.size, node.height) != (size, height):  # [BODY-10]
        raise Untrue(
            f"a file node of height {node.height} over {node.size} bytes stands where height {height} over {size}"
            " bytes is stated; get another copy of the body"
        )
    return node.links


def _scan(block: bytes) -> tuple[list[CID], int]:
    """Return the CIDs and the file size of a node, reading only as much as it takes to find them."""
    if len(block) > UNIXFS_NODE_MAX:  # [BODY-11] before anything is read
        raise InvalidBlock(f"a file node has {len(block)} bytes, more than {UNIXFS_NODE_MAX}")
    cids: list[CID] = []
    pos = 0
    try:
        while block[pos : pos + 1] == b"\x12":
            length, start = varint.decode(block, pos + 1)
            if block[start : start + 2] != HASH or length < CID_SIZE + 2 or start + length > len(block):
                raise InvalidBlock(f"link {len(cids)} of a file node does not start with a CID of {CID_SIZE} bytes")
            if len(cids) == LINKS_PER_NODE:  # [BODY-4]
                raise InvalidBlock(f"a file node has more than {LINKS_PER_NODE} links")
            cids.append(block[start + 2 : start + 2 + CID_SIZE])
            pos = start + length
        if not cids:
            # [BODY-2] a file of one chunk is that raw block; [BODY-5] Data never comes first
            raise InvalidBlock("a file node does not start with a link: no links, or its data stands before them")
        if block[pos : pos + 1] != b"\x0a":
            raise InvalidBlock(f"a file node has no UnixFS data after its {len(cids)} links")
        _, start = varint.decode(block, pos + 1)
        if block[start : start + 3] != FILE_AND_SIZE:
            raise InvalidBlock("a file node's data does not start with type File and a size")
        size, _ = varint.decode(block, start + 3)
    except InvalidBlock:
        raise
    except FormatError as error:  # from varint.decode
        raise InvalidBlock(f"a file node is not dag-pb: {error}") from None
    if not 0 < size <= OBJECT_SIZE_MAX:
        raise InvalidBlock(f"a file node states {size} bytes; 1 to {OBJECT_SIZE_MAX} are allowed")
    return cids, size


def plan_range(node: FileNode, start: int, end: int) -> list[tuple[CID, int, int]]:
    """Return the children of *node* that hold bytes of ``start:end``, as (CID, offset of its first byte, its size).

    Offsets are bytes from the start of *node*. Nothing is read: the caller fetches the children, cuts the first and
    the last one, and plans again inside children that are nodes.

    Raises:
        InvalidRange: not ``0 <= start < end <= node.size``.
    """
    if not 0 <= start < end <= node.size:
        raise InvalidRange(f"bytes {start} to {end} are not a range of {node.size} bytes")
    each = span(node.height - 1)
    first, last = start // each, (end - 1) // each
    return [(cid, index * each, size) for index, (cid, size) in enumerate(node.links[first : last + 1], first)]
