"""Builds bodies as UnixFS files from chunks or from a stream of bytes. `spec/format/05-body.md` is normative."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mstbucket.core.cid import CID, dag_pb_cid, raw_cid
from mstbucket.core.unixfs_shape import encode_node
from mstbucket.errors import EntityTooLarge, InvalidInput
from mstbucket.limits import CHUNK_SIZE, LINKS_PER_NODE, OBJECT_SIZE_MAX, PUT_SIZE_MAX

Block = tuple[CID, bytes]


@dataclass(frozen=True, slots=True)
class Body:
    """A finished body: root CID, size in bytes, and the blocks that were not handed out before."""

    root: CID
    size: int
    blocks: list[Block]


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
