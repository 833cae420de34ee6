"""Replay an export: one pass over a CAR file that checks every block at the place where the order wants it.

The order of an export is a function of its commit [CAR-11]. So the pass knows, at any moment, which block has to come:
the next link, unless that block came before. Whoever wants more than a verdict consumes the events: an importer makes
its rows of them, and `verify.car` only counts.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Protocol, Self

from mstbucket.core import commit as commits
from mstbucket.core.car import Section
from mstbucket.core.cid import CID, DAG_CBOR, DAG_PB, codec, to_text
from mstbucket.core.commit import Commit
from mstbucket.core.unixfs import open_block
from mstbucket.core.unixfs_shape import body_height
from mstbucket.errors import (
    ExtraBlock,
    FormatError,
    HashMismatch,
    InvalidBlock,
    InvalidCar,
    MissingBlock,
    OtherCommit,
    Unsupported,
    Untrue,
)
from mstbucket.limits import CHUNK_SIZE, KEY_MAX, OBJECT_SIZE_MAX, VERSION_KEY_MAX
from mstbucket.spill.seen import NUMBER_BITS, SeenNumbers
from mstbucket.verify.event import Event, Kind
from mstbucket.verify.foreign import foreign, foreign_block
from mstbucket.verify.history import History
from mstbucket.verify.manifest import read as read_manifest
from mstbucket.verify.node import Place, judge
from mstbucket.verify.tree import Pair, check_node_cid, steps

__all__ = ["Event", "Kind", "Replay", "Sections"]

_END: Final[Section] = (b"", b"", -1)  # no link is b""
_BROKEN: Final[Section] = (b"", b"", -2)  # the container is damaged there
_SIZES: Final = OBJECT_SIZE_MAX + 1  # a body block's number is its height times this, plus its size: heights below 5 fit
_MARKER: Final = (1 << NUMBER_BITS) - 1  # the number of a delete marker; that of another manifest is its object's size
_NODE: Final = Kind.NODE  # a member is found faster here than in its class
_BODY: Final = Kind.BODY
_VERSION: Final = Kind.VERSION
_event = tuple.__new__  # a named tuple made by its name takes twice as long


class Sections(Protocol):
    """An export, section by section: a `core.car.CarReader` of a file, or what would be one. Every block is hashed."""

    @property
    def root(self) -> CID:
        """The one root."""

    def __iter__(self) -> Iterator[Section]:
        """The sections in order; a second iteration goes on where the first one stopped."""


class Replay:
    """The events of the export in *reader*, in file order; a context manager, for the temporary files of a large one.

    Iterate to the end: only then is it known that nothing is missing, nothing too much, and the totals are true. What
    was yielded before an error is good as far as it goes, and must not be kept as a bucket. A second iteration goes on
    where the first one stopped. Memory: two sections, the nodes on the way down, and what `SeenNumbers` holds.

    Args:
        expected: the commit that it has to be; None where any will do.

    Attributes:
        root: the commit's CID, from the header.
        commit: decoded; its totals are true only when the iteration has ended.
        nodes, objects, versions: counted as they come; keys, for the last two.
        bytes: of the live objects' bodies, as S3 counts them: a body shared by two keys counts twice.
        offset: of the block that was looked at last.
        widest: entries of the largest node.

    Raises, from the constructor, which reads the commit, and while iterating:
        InvalidCar, HashMismatch: the container is damaged.
        ForeignCar: it is the container of something else.
        OtherCommit: it is not the commit that is expected.
        InvalidBlock, Untrue: a block is not what it has to be at its place; the message says where.
        MissingBlock, ExtraBlock: the file is not complete, or holds more than that; the message says where.
        Unsupported: a newer format, or a bucket that nothing could follow in.
        StorageError: the temporary directory failed.
    """

    def __init__(self, reader: Sections, expected: CID | None = None) -> None:
        self.root: CID = reader.root
        if expected is not None and self.root != expected:  # [VER-33] before anything of it is read
            raise OtherCommit(
                f"the file holds commit {to_text(self.root)}, and {to_text(expected)} is expected: another state of the "
                "bucket, or another bucket"
            ).about(cid=self.root)
        self.nodes = self.objects = self.versions = self.bytes = self.offset = self.widest = 0
        self._numbers = SeenNumbers()  # of manifests and body blocks: all that may be linked to more than once
        self._damage: InvalidCar | HashMismatch | None = None
        self._sections = self._lazily(reader)
        self._next = _END
        with self._placed():
            if codec(self.root) != DAG_CBOR:  # [VER-22]
                what = "the root of a file or folder of IPFS" if codec(self.root) == DAG_PB else "a block of bytes"
                raise foreign(self.root, what)
            self._next = next(self._sections)
            block = self._take(self.root, "commit")
            self.commit: Commit = self._commit(block)
            commits.check_followed(self.commit)
        self._history = None if self.commit.versions is None else History()
        self._events = self._run(Event(Kind.COMMIT, self.root, block, self.offset, None))

    def __iter__(self) -> Iterator[Event]:
        return self._events

    @property
    def blocks(self) -> int:
        """How many blocks came so far."""
        return 1 + self.nodes + len(self._numbers)

    def close(self) -> None:
        """Give memory and files back."""
        self._events.close()
        self._numbers.close()
        if self._history is not None:
            self._history.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _run(self, first: Event) -> Generator[Event, None, None]:
        yield first
        commit = self.commit
        with self._placed():
            yield from self._tree(commit.tree, KEY_MAX, Kind.OBJECT)
            if commit.versions is not None:
                yield from self._tree(commit.versions, VERSION_KEY_MAX, Kind.VERSION)
        if self._next is not _END:  # [VER-18]
            raise self._extra()
        # [VER-19] the totals
        if (commit.objects, commit.bytes) != (self.objects, self.bytes):
            raise Untrue(
                f"the commit states {commit.objects} objects of {commit.bytes} bytes; its tree has {self.objects} of "
                f"{self.bytes} (noticed at the end of the file, after the block at byte {self.offset})"
            )

    def _commit(self, block: bytes) -> Commit:
        try:
            return commits.decode(block)
        except InvalidBlock as error:
            if commits.resembles(block):
                raise
            raise foreign_block(self.root, block) from error

    @contextmanager
    def _placed(self) -> Iterator[None]:
        """Say where in the file an error about a block was noticed."""
        try:
            yield
        except (FormatError, Untrue, Unsupported) as error:
            if isinstance(error, InvalidCar):
                raise  # it names its byte
            # [VER-31] what reads a single block does not know where it stands
            text = error.message if isinstance(error, InvalidBlock) else str(error)
            told = type(error)(f"{text} (noticed at byte {self.offset} of the file)")
            raise told.about(error, offset=self.offset) from error

    def _tree(self, root: CID, key_max: int, kind: Kind) -> Iterator[Event]:
        """Replay a tree, its manifests and bodies. The stack holds what is left of each node on the way down."""
        check_node_cid(root)
        history, numbers, sections = self._history, self._numbers, self._sections
        stack: list[Iterator[Place | Pair]] = [iter(((root, None, b"", None),))]
        while stack:
            for step in stack[-1]:
                if len(step) == 4:
                    # A node never comes twice: its keys would have to lie in two places. So it has to be here.
                    block = self._take(step[0], "tree node")
                    node = judge(block, step, key_max)
                    self.nodes += 1
                    self.widest = max(self.widest, len(node.keys))
                    if history is not None and kind is Kind.VERSION:
                        history.node(node, step)
                    yield _event(Event, (_NODE, step[0], block, self.offset, None))
                    stack.append(steps(node, step))
                    break
                key, cid = step
                found, block, offset = self._next
                if found != cid:
                    self._count(key, cid, self._known(cid, "manifest"), kind)
                    yield _event(Event, (kind, cid, None, self.offset, key))
                    continue
                # What `_take` and `_add` do, in line here and below: most blocks of most files pass these two places.
                self.offset = offset
                self._next = next(sections)
                content, size, sha256, version_id = read_manifest(block)
                number = _MARKER if size is None else size
                if not numbers.add(cid, number):
                    raise self._repeated(cid, offset)
                if history is not None:
                    history.manifest(cid, version_id)
                self._count(key, cid, number, kind)
                yield _event(Event, (kind, cid, block, offset, key))
                if content is None or size is None:
                    continue
                if size > CHUNK_SIZE:
                    yield from self._body(content, size)
                    continue
                # [VER-16] the digest of one chunk is in its CID; that of several is not looked at
                if sha256 is not None and sha256 != content[4:]:
                    raise Untrue(f"manifest {to_text(cid)} states another sha256 than its content has").about(cid=cid)
                # Most bodies: one chunk. What `_body` does with it, without its stack.
                found, block, offset = self._next
                if found != content:
                    self._compare(content, size, 0)
                    continue
                self.offset = offset
                self._next = next(sections)
                if len(block) != size:
                    open_block(block, size, 0)  # [VER-17] raises
                if not numbers.add(content, size):
                    raise self._repeated(content, offset)
                yield _event(Event, (_BODY, content, block, offset, None))
            else:
                stack.pop()

    def _count(self, key: bytes, cid: CID, number: int, kind: Kind) -> None:
        """Count a key whose manifest is *cid* and has *number*."""
        history = self._history
        if kind is _VERSION:
            self.versions += 1
            if history is not None:
                history.version(key, cid, number == _MARKER)
            return
        # [VER-15] no delete marker among the live objects
        if number == _MARKER:
            raise Untrue(f"key {key[:60]!r} of the objects' tree has a delete marker for its manifest")
        self.objects += 1
        self.bytes += number
        if history is not None:
            history.object(key, cid)

    def _body(self, root: CID, size: int) -> Iterator[Event]:
        """Replay a body. The stack holds the blocks to come, at most the links of one node for each height."""
        pending = [(root, size, body_height(size))]
        while pending:
            cid, size, height = pending.pop()
            if self._next[0] != cid:
                self._compare(cid, size, height)
                continue
            block = self._take(cid, "body")
            links = open_block(block, size, height)  # [VER-17]
            self._add(cid, height * _SIZES + size)
            yield _event(Event, (_BODY, cid, block, self.offset, None))
            pending += [(child, below, height - 1) for child, below in reversed(links)]

    def _compare(self, cid: CID, size: int, height: int) -> None:
        """Check a link to a body block that came before: [VER-17] its size and height hold for this link, too."""
        known = self._known(cid, "body")
        if known != height * _SIZES + size:
            was, bytes_ = divmod(known, _SIZES)
            raise Untrue(
                f"body block {to_text(cid)}, which came before, has {bytes_} bytes at height {was}; a link states {size} at "
                f"height {height}"
            ).about(cid=cid)

    def _take(self, cid: CID, what: str) -> bytes:
        """Return the block of the next section, if it is the one of *cid*, and go on to the section after."""
        found, block, offset = self._next
        if found != cid:  # [CAR-11] [VER-18]
            raise self._missing(cid, what)
        self.offset = offset
        self._next = next(self._sections)
        return block

    def _lazily(self, reader: Sections) -> Iterator[Section]:
        """The sections, one looked at ahead. [VER-30] Damage to one is told when its turn comes, not before."""
        try:
            yield from reader
        except (InvalidCar, HashMismatch) as error:
            self._damage = error
            yield _BROKEN
        while True:
            yield _END

    def _add(self, cid: CID, number: int) -> None:
        if not self._numbers.add(cid, number):
            raise self._repeated(cid, self.offset)

    def _known(self, cid: CID, what: str) -> int:
        """Return the number of a block that came before and is linked to again."""
        number = self._numbers.get(cid)
        if number is None:  # [VER-18]
            raise self._missing(cid, what)
        return number

    def _missing(self, cid: CID, what: str) -> MissingBlock | ExtraBlock | InvalidCar | HashMismatch:
        """Return the error for a link whose block is neither next nor came before."""
        if self._damage is not None:
            return self._damage
        # [VER-18]
        found, _, offset = self._next
        if self._next is _END:
            return MissingBlock(
                f"{what} {to_text(cid)} is missing: the file ends after the one at byte {self.offset}"
            ).about(cid=cid, offset=self.offset)
        if self._numbers.get(found) is not None:
            return self._repeated(found, offset)
        return MissingBlock(
            f"{what} {to_text(cid)} is missing: at byte {offset}, where it has to be, there is {to_text(found)}"
        ).about(cid=cid, offset=offset)

    def _repeated(self, cid: CID, offset: int) -> ExtraBlock:
        # [VER-18]
        return ExtraBlock(
            f"block {to_text(cid)} at byte {offset} came before: an export holds every block once"
        ).about(cid=cid, offset=offset)

    def _extra(self) -> ExtraBlock | InvalidCar | HashMismatch:
        if self._damage is not None:
            return self._damage
        # [VER-18]
        found, _, offset = self._next
        return ExtraBlock(
            f"block {to_text(found)} at byte {offset} is not part of the bucket, or came before"
        ).about(cid=found, offset=offset)
