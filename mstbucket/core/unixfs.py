"""Bodies as UnixFS files under the profile `unixfs-v1-2025`: build them from a stream, read their nodes strictly.

Size and height determine everything in a node but the CIDs in it (`unixfs_shape`). So the decoder takes CIDs and size
out of a block, writes the only node they can be in, and compares. `spec/format/05-body.md` is normative. Directories are
those of `unixfs_directory`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mstbucket.core import varint
from mstbucket.core.cid import CID, CID_SIZE, DAG_PB_PREFIX, RAW_PREFIX, dag_pb_cid, raw_cid
from mstbucket.core.unixfs_shape import FILE_AND_SIZE, HASH, LAYOUT, body_height, child_sizes, encode_node, span
from mstbucket.errors import EntityTooLarge, FormatError, InvalidBlock, InvalidInput, InvalidRange, Untrue
from mstbucket.limits import CHUNK_SIZE, LINKS_PER_NODE, OBJECT_SIZE_MAX, PUT_SIZE_MAX, UNIXFS_NODE_MAX

__all__ = [
    "Block",
    "Body",
    "BodyBuilder",
    "DagBuilder",
    "FileNode",
    "body_height",
    "decode_file",
    "open_block",
    "plan_range",
]

Block = tuple[CID, bytes]


@dataclass(frozen=True, slots=True)
class FileNode:
    """One dag-pb node of a body: its children as (CID, body bytes under it), its own body bytes, and its height.

    Height 1 links to chunks, height n to nodes of height n - 1. The root of a body has at least two links.
    """

    links: tuple[tuple[CID, int], ...]
    size: int
    height: int


@dataclass(frozen=True, slots=True)
class Body:
    """A finished body: root CID, size in bytes, and the blocks that were not handed out before."""

    root: CID
    size: int
    blocks: list[Block]


# --- reading ---------------------------------------------------------------------------------------------------------


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


# --- building --------------------------------------------------------------------------------------------------------


class DagBuilder:
    """Builds the nodes of a body from its chunks' CIDs and sizes, in order, without their bytes.

    Serves uploads (through `BodyBuilder`) and bodies composed of chunks that are stored already. Holds at most 1,024
    CIDs per level, so a body of any size takes a few hundred kilobytes. Not for use from two threads at once.
    """

    __slots__ = ("_cids", "_sizes", "_whole", "size")

    def __init__(self) -> None:
        self.size = 0
        self._cids: list[list[CID]] = [[]]  # by height of the child
        self._sizes = [0]  # body bytes under each level's pending children
        self._whole = True  # the last chunk was a full one, so another may follow

    def add(self, cid: CID, size: int) -> list[Block]:
        """Take the next chunk; return the nodes that became full with it, children before parents.

        Raises:
            InvalidInput: a chunk above 1 MiB, an empty chunk in a body that has others, or a chunk after a short one.
            EntityTooLarge: the body grew above the largest object size.
        """
        # [BODY-3] every chunk but the last is full; only an empty body has an empty chunk
        if not self._whole or not 0 <= size <= CHUNK_SIZE or (size == 0 and self.size > 0):
            raise InvalidInput(f"a chunk of {size} bytes cannot follow at byte {self.size} of a body")
        if self.size + size > OBJECT_SIZE_MAX:
            raise EntityTooLarge(f"a body of more than {OBJECT_SIZE_MAX} bytes cannot be stored: split it")
        self._whole = size == CHUNK_SIZE
        self.size += size
        self._push(0, cid, size)
        made: list[Block] = []
        height = 0
        while len(self._cids[height]) == LINKS_PER_NODE:
            made.append(self._close(height))
            height += 1
        return made

    def finish(self) -> Body:
        """Return the body's root and the nodes not handed out yet; the builder is used up.

        Raises:
            InvalidInput: no chunk was added (an empty body has one empty chunk).
        """
        if self._whole and self.size == 0:
            raise InvalidInput("a body has at least one chunk; an empty body has one empty chunk")
        self._whole = False
        made: list[Block] = []
        height = 0
        # [BODY-4] the rest is closed from below; the first single CID with nothing above it is the root
        while len(self._cids) > height + 1 or len(self._cids[height]) > 1:
            if self._cids[height]:
                made.append(self._close(height))
            height += 1
        return Body(self._cids[height][0], self.size, made)

    def _push(self, height: int, cid: CID, size: int) -> None:
        if height == len(self._cids):
            self._cids.append([])
            self._sizes.append(0)
        self._cids[height].append(cid)
        self._sizes[height] += size

    def _close(self, height: int) -> Block:
        """Make a node of what is pending at *height* and put it up to the next level."""
        size = self._sizes[height]
        block = encode_node(self._cids[height], size, height + 1)
        cid = dag_pb_cid(block)
        self._cids[height], self._sizes[height] = [], 0
        self._push(height + 1, cid, size)
        return cid, block


class BodyBuilder:
    """Cuts a stream of bytes into chunks and builds its body; hands every block out as soon as it is complete.

    Holds less than one chunk of the stream, besides what `DagBuilder` holds. The blocks do not depend on how the
    stream was cut into calls [BODY-1]. Not for use from two threads at once.
    """

    __slots__ = ("_dag", "_held", "_pieces", "_taking")

    def __init__(self) -> None:
        self._dag = DagBuilder()
        self._pieces: list[bytes] = []  # less than one chunk in all
        self._held = 0
        self._taking = False

    @property
    def size(self) -> int:
        """Bytes fed so far."""
        return self._dag.size + self._held

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[Block]:
        """Take the next bytes; yield the chunks and nodes they complete, children before parents.

        The iterator does the work: take it to its end before the next call. *data* is copied where it has to be held,
        so its buffer may be used again afterwards.

        Raises:
            InvalidInput: the blocks of the call before were not all taken.
            EntityTooLarge: the stream grew above what one put takes.
        """
        self._check_taken()
        if type(data) is not bytes:
            data = memoryview(data).cast("B")
        if self.size + len(data) > PUT_SIZE_MAX:
            raise EntityTooLarge(
                f"more than {PUT_SIZE_MAX} bytes cannot be put in one go: send them in parts, by a multipart upload"
            )
        self._taking = True
        return self._cut(data)

    def finish(self) -> Body:
        """Return root, size, and the blocks not handed out yet; the builder is used up.

        Raises:
            InvalidInput: the blocks of the last `feed` were not all taken.
        """
        self._check_taken()
        self._taking = True
        rest: list[Block] = []
        if self._held or self._dag.size == 0:  # [BODY-2] an empty body is one empty chunk
            rest = self._chunk(b"".join(self._pieces))
        body = self._dag.finish()
        return Body(body.root, body.size, rest + body.blocks)

    def _check_taken(self) -> None:
        if self._taking:
            raise InvalidInput("the blocks of the call before were not all taken, or the body is finished")

    def _cut(self, data: bytes | memoryview) -> Iterator[Block]:
        view = memoryview(data)
        pos = 0
        while self._held + len(view) - pos >= CHUNK_SIZE:
            stop = pos + CHUNK_SIZE - self._held
            if self._held == 0 and len(view) == CHUNK_SIZE and type(data) is bytes:
                chunk = data  # the one case that needs no copy: the caller's reads are chunks already
            else:
                chunk = b"".join((*self._pieces, view[pos:stop]))
            self._pieces, self._held, pos = [], 0, stop
            yield from self._chunk(chunk)
        if pos < len(view):
            self._pieces.append(data if pos == 0 and type(data) is bytes else bytes(view[pos:]))
            self._held += len(view) - pos
            if len(self._pieces) > 256:  # a stream of single bytes must not become a million objects
                self._pieces = [b"".join(self._pieces)]
        self._taking = False

    def _chunk(self, chunk: bytes) -> list[Block]:
        cid = raw_cid(chunk)
        return [(cid, chunk), *self._dag.add(cid, len(chunk))]
