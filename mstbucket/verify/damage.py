"""What is hurt in an export: this goes on where the judge stops, and says which objects cannot be had from the file.

It is no verdict. It looks at hashes and links, so that a person knows what is lost. Only `verify_car` says that a file is
whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import BinaryIO, Final

from mstbucket.core import commit as commits
from mstbucket.core import varint
from mstbucket.core.car import header_end
from mstbucket.core.cid import CID, CID_SIZE, DAG_CBOR_PREFIX, DAG_PB_PREFIX, RAW_PREFIX
from mstbucket.core.commit import Commit
from mstbucket.core.unixfs import open_block
from mstbucket.core.unixfs_shape import body_height
from mstbucket.errors import FormatError, InvalidCar, MstBucketError
from mstbucket.limits import (
    CAR_HEADER_MAX,
    CAR_SECTION_MAX,
    CHUNK_SIZE,
    DAMAGED_PLACES_MAX,
    KEY_MAX,
    VARINT_MAX,
    VERSION_KEY_MAX,
)
from mstbucket.spill.seen import SeenNumbers
from mstbucket.verify.manifest import read as read_manifest
from mstbucket.verify.node import Node, Place, judge
from mstbucket.verify.tree import Pair, steps

_PREFIXES: Final = (DAG_CBOR_PREFIX, DAG_PB_PREFIX, RAW_PREFIX)


@dataclass(frozen=True, slots=True)
class Hurt:
    """A key that cannot be had whole from the file.

    Attributes:
        key: as it stands in its tree; for an older version its version key.
        older: it is of the tree of older versions.
        offset: of a damaged block that it needs; None if a block that it needs is not in the file.
    """

    key: bytes
    older: bool
    offset: int | None


class Survey:
    """One look at the export in *file*, which has to have `seek`; a context manager, for its temporary files.

    `find` reads the file to its end; `hurt` then yields what is hurt. Memory is bounded, as that of the judge.

    Attributes:
        damaged: how many blocks do not match their CID.
        first: the byte at which the first damage begins; None if there is none.
        ends: the byte from which on nothing can be read, since no section begins there; None if all could be.
        commit: what the file's commit says; None if the commit itself cannot be read.
        objects: keys of live objects that could be listed, and so were looked at.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._good = SeenNumbers()  # where the section of each sound block begins
        self._bad: dict[CID, int] = {}
        self.damaged = self.objects = 0
        self.first: int | None = None
        self.ends: int | None = None
        self.commit: Commit | None = None

    def __enter__(self) -> Survey:
        return self

    def __exit__(self, *_: object) -> None:
        self._good.close()

    def find(self) -> None:
        """Hash every block.

        Raises:
            FormatError: the file does not begin as a CAR does.
            StorageError: the temporary directory failed.
        """
        self._file.seek(0)
        at = header_end(self._file.read(CAR_HEADER_MAX + VARINT_MAX))
        root: CID | None = None
        try:
            while (found := self._section(at)) is not None:
                cid, block, end = found
                root = cid if root is None else root
                if cid[:4] in _PREFIXES and sha256(block).digest() == cid[4:]:
                    self._good.add(cid, at)
                else:
                    self._note(cid, at)
                at = end
        except InvalidCar:
            self.ends = at
            self.first = at if self.first is None else self.first
        block_of_root = None if root is None else self._block(root)  # [CAR-11] the commit is the first block
        try:
            self.commit = None if block_of_root is None else commits.decode(block_of_root)
        except MstBucketError:
            self.commit = None

    def hurt(self) -> Iterator[Hurt]:
        """Yield every key that can be listed and cannot be had whole; call `find` before."""
        if self.commit is None:
            return
        yield from self._hurt_in(self.commit.tree, KEY_MAX, older=False)
        if self.commit.versions is not None:
            yield from self._hurt_in(self.commit.versions, VERSION_KEY_MAX, older=True)

    def _hurt_in(self, root: CID, key_max: int, *, older: bool) -> Iterator[Hurt]:
        for key, manifest in self._pairs(root, key_max):
            self.objects += not older
            lost = self._lost_of(manifest)
            if lost is not None:
                yield Hurt(key, older, self._bad.get(lost))

    def _pairs(self, root: CID, key_max: int) -> Iterator[Pair]:
        """The keys of a tree, as far as its nodes can be read, with their manifests."""
        stack: list[Iterator[Place | Pair]] = [iter(((root, None, b"", None),))]
        while stack:
            for step in stack[-1]:
                if len(step) != 4:
                    yield step
                    continue
                node = self._node(step, key_max)
                if node is not None:
                    stack.append(steps(node, step))
                    break
            else:
                stack.pop()

    def _node(self, place: Place, key_max: int) -> Node | None:
        block = self._block(place[0])
        try:
            return None if block is None else judge(block, place, key_max)
        except MstBucketError:
            return None

    def _lost_of(self, manifest: CID) -> CID | None:
        """The CID of a block that an object needs and that cannot be had; None if there is none."""
        block = self._block(manifest)
        if block is None:
            return manifest
        try:
            content, size, _, _ = read_manifest(block)
            pending = [] if content is None or size is None else [(content, size, body_height(size))]
            while pending:
                cid, size, height = pending.pop()
                if self._good.get(cid) is None:
                    return cid
                if size > CHUNK_SIZE and height:
                    found = self._block(cid)
                    assert found is not None
                    pending += [(child, below, height - 1) for child, below in open_block(found, size, height)]
        except MstBucketError:  # sound bytes that are not true: that is for the judge
            return None
        return None

    def _note(self, cid: CID, at: int) -> None:
        self.damaged += 1
        self.first = at if self.first is None else self.first
        if len(self._bad) < DAMAGED_PLACES_MAX:
            self._bad.setdefault(cid, at)

    def _block(self, cid: CID) -> bytes | None:
        at = self._good.get(cid)
        found = None if at is None else self._section(at)
        return None if found is None else found[1]

    def _section(self, at: int) -> tuple[CID, bytes, int] | None:
        """The CID and block of the section at *at*, and where the next begins; None at the end of the file."""
        self._file.seek(at)
        head = self._file.read(VARINT_MAX)
        if not head:
            return None
        try:
            length, size = varint.decode(head, 0)
        except FormatError as error:
            raise InvalidCar("no section begins here", at) from error
        if not CID_SIZE <= length <= CAR_SECTION_MAX:
            raise InvalidCar("no section begins here", at)
        self._file.seek(at + size)
        section = self._file.read(length)
        if len(section) < length:
            raise InvalidCar("the file ends inside this section", at)
        return section[:CID_SIZE], section[CID_SIZE:], at + size + length
