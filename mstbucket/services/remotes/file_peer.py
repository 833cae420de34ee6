"""A bucket in a folder of files, as the other side of a pull (`spec/format/36-folder.md`).

Files are read whole, newest first, each when a block is asked for that none of the newer ones has. So of a chain no more
is read than leads on from what the own store has. While a file comes it is hashed, and compared with what the head says.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from typing import BinaryIO, Final, Self

from mstbucket.core import commit as commits
from mstbucket.core import commit_fields, file_head, varint
from mstbucket.core.car import section_head
from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import CID, to_text
from mstbucket.core.file_head import ChainFile, FileHead
from mstbucket.errors import (
    Conflict,
    CorruptionError,
    FormatError,
    MissingBlock,
    MstBucketError,
    NoSuchBucket,
    NoSuchKey,
    Untrue,
)
from mstbucket.files.whole import failed
from mstbucket.limits import CAR_SECTION_MAX, FILE_HEAD_MAX, KIB
from mstbucket.model.shared_files import Seen, SharedFiles
from mstbucket.model.streams import Readable
from mstbucket.spill.seen import SeenNumbers

_EVERY: Final = 4096  # blocks between two signs of life
_AT_ONCE: Final = 8 * KIB  # read for a block whose size is not known: most are smaller


def read_head(files: SharedFiles, bucket: str) -> tuple[FileHead | None, Seen | None]:
    """What the folder of a bucket with that identity says, and the state in which that was read; None where nothing is.

    Raises:
        FormatError, Untrue, Unsupported: it is no head, or that of another bucket.
    """
    path = f"{bucket}/{file_head.HEAD}"
    seen = files.read(path, FILE_HEAD_MAX + 1)
    if seen is None:
        return None, None
    head = file_head.decode(seen.data, f"{files.where}: {path}")
    if head.bucket != bucket:  # [FOLD-5]
        raise Untrue(f"{files.where}: {path} is the head of another bucket, {head.bucket}")
    return head, seen


def find_by_name(files: SharedFiles, name: str) -> str:
    """The identity of the one bucket that was called so when it was pushed last.

    Raises:
        NoSuchBucket: there is none.
        Conflict: there are several.
    """
    found: list[str] = []
    for folder in files.folders():
        try:
            commit_fields.check_bucket_id(folder)
        except MstBucketError:
            continue  # [FOLD-1] somebody else's
        head, _ = read_head(files, folder)
        if head is not None and head.name == name:
            found.append(folder)
    if not found:
        raise NoSuchBucket(f"no bucket {name!r} was pushed to {files.where}").about(bucket=name)
    if len(found) > 1:
        raise Conflict(f"{files.where} has {len(found)} buckets {name!r}, in the folders {', '.join(found[:5])}: import the "
                       "files of the one that is meant, then pull").about(bucket=name)  # fmt: skip
    return found[0]


class FilePeer:
    """A `Peer` over files. A context manager, for one thread.

    Args:
        identity: of the bucket, where the own store knows it; else None, and *name* finds it.
    """

    def __init__(self, files: SharedFiles, identity: str | None, name: str) -> None:
        self._files = files
        self._identity = identity
        self._name = name
        self._head: FileHead | None = None
        self._tip: tuple[CID, bytes] | None = None
        self._loaded = _Loaded(files)
        self._alive: Callable[[], object] = lambda: None
        self.where = files.where
        self.requests = 0

    def newest(self) -> CID:
        return self._read().newest.commit

    def hold(self) -> CID:
        return self._read().newest.commit  # [FOLD-2] files do not change: nothing has to be held

    def has_commits(self, commits: Collection[CID]) -> set[CID]:
        head = self._known()
        line = {file.commit for file in head.files} | {cid for _, cid in head.before}
        before = self._newest().prev
        return set(commits) & (line if before is None else {*line, before})

    def has_merged(self, commit: CID) -> bool:
        return self._newest().merged == commit

    def get_many(self, cids: Collection[CID]) -> dict[CID, bytes]:
        head = self._known()
        if self._loaded.count == 0 and list(cids) == [head.newest.commit]:
            return {head.newest.commit: self._tip_block()}  # [RMT-3] what is refused costs no more than that
        found: dict[CID, bytes] = {}
        missing = list(cids)
        while True:
            found |= self._loaded.get_many(missing)
            missing = [cid for cid in missing if cid not in found]
            index = len(head.files) - 1 - self._loaded.count
            if not missing or index < 0:
                return found
            self.requests += 1
            self._loaded.load(head, index, self._alive)

    def tell(self, alive: Callable[[], object]) -> None:
        self._alive = alive

    def close(self) -> None:
        self._loaded.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> FileHead:
        self.requests += 1
        if self._identity is None:
            self._identity = find_by_name(self._files, self._name)
        head, _ = read_head(self._files, self._identity)
        if head is None:
            raise NoSuchBucket(
                f"bucket {self._name!r}, {self._identity}, was never pushed to {self._files.where}"
            ).about(bucket=self._name)
        if head != self._head:
            self._loaded.close()
            self._loaded = _Loaded(self._files)
            self._head, self._tip = head, None
        return head

    def _known(self) -> FileHead:
        assert self._head is not None  # `hold` comes first
        return self._head

    def _newest(self) -> commits.Commit:
        return commits.decode(self._tip_block())

    def _tip_block(self) -> bytes:
        """The block of the newest commit: it stands at the beginning of the last file."""
        head = self._known()
        if self._tip is None:
            self.requests += 1
            self._tip = head.newest.commit, _block_of_tip(self._files, head)
        return self._tip[1]


def _block_of_tip(files: SharedFiles, head: FileHead) -> bytes:
    last = len(head.files) - 1
    with ExitStack() as stack, _about(files, head, last):
        sections = iter(CarReader(stack.enter_context(files.stream(path_of(head, last)))))
        for cid, block, _ in (one for one, _ in zip(sections, range(2), strict=False)):
            if cid == head.newest.commit:
                _check_commit(head, last, block)
                return block
        raise MissingBlock(f"it does not begin with its commit, {to_text(head.newest.commit)}").about(cid=head.newest.commit)


def path_of(head: FileHead, index: int) -> str:
    """Where a file of the chain is."""
    return f"{head.bucket}/{head.file_name(index)}"


@contextmanager
def _about(files: SharedFiles, head: FileHead, index: int) -> Iterator[None]:
    """Say of which file it is what went wrong."""
    where = f"{files.where}: {path_of(head, index)}"
    try:
        yield
    except NoSuchKey as error:
        raise MissingBlock(f"{where} is not there, and the head names it: push the bucket again") from error
    except FormatError as error:
        raise FormatError(f"{where}: {error}") from error
    except CorruptionError as error:
        raise Untrue(f"{where}: {error}").about(error) from error


def _check_commit(head: FileHead, index: int, block: bytes) -> None:
    """[FOLD-6] The commit of a file is the one that the head says."""
    commit = commits.decode(block)
    if (commit.bucket, commit.seq) != (head.bucket, head.files[index].seq):
        raise Untrue(f"its commit is number {commit.seq} of bucket {commit.bucket}, and the head says another")


class _Loaded:
    """Files of a chain that were read, and where each block is in them."""

    def __init__(self, files: SharedFiles) -> None:
        self._files = files
        self._stack = ExitStack()
        self._places = self._stack.enter_context(SeenNumbers())
        self._starts: list[int] = []  # of each file, if all that were read stood one behind the other
        self._open: list[BinaryIO] = []
        self._end = 0

    @property
    def count(self) -> int:
        """How many files."""
        return len(self._open)

    def close(self) -> None:
        """Let go of them."""
        self._stack.close()

    def load(self, head: FileHead, index: int, alive: Callable[[], object]) -> None:
        """Read a file whole; raises where it is not what the head says ([FOLD-6])."""
        stated = head.files[index]
        with ExitStack() as opening, _about(self._files, head, index):
            file = opening.enter_context(self._files.local(path_of(head, index), alive))
            stream = _Hashed(file)
            self._check_size(file, stated)
            reader = CarReader(stream)
            if reader.root != head.root(index):
                raise Untrue(f"its root is {to_text(reader.root)}, and not the one that its name says")
            known = False
            for number, (cid, block, offset) in enumerate(reader):
                if number % _EVERY == 0:
                    alive()
                if cid == stated.commit:
                    _check_commit(head, index, block)
                    known = True
                self._places.add(cid, self._end + offset - len(section_head(cid, len(block))))
            if stream.digest() != stated.sha256:
                raise Untrue(f"its sha256 is {stream.digest()}, and the head says {stated.sha256}")
            if not known:
                raise MissingBlock(f"it lacks its commit, {to_text(stated.commit)}").about(cid=stated.commit)
            self._stack.push(opening.pop_all())
        self._starts.append(self._end)
        self._open.append(file)
        self._end += stated.size

    def get_many(self, cids: Collection[CID]) -> dict[CID, bytes]:
        """The blocks that these files have. They are hashed again by whoever asks."""
        places = ((cid, self._places.get(cid)) for cid in cids)
        return {cid: self._block(cid, place) for cid, place in places if place is not None}

    def _block(self, cid: CID, place: int) -> bytes:
        number = bisect_right(self._starts, place) - 1
        handle, at = self._open[number].fileno(), place - self._starts[number]
        try:
            data = os.pread(handle, _AT_ONCE, at)
            length, start = _length(data)
            end = start + length
            if end > len(data):
                data += os.pread(handle, end - len(data), at + len(data))
        except OSError as error:
            raise failed(f"a file of {self._files.where} cannot be read", error) from error
        return data[start + len(cid) : end]

    def _check_size(self, file: BinaryIO, stated: ChainFile) -> None:
        size = os.fstat(file.fileno()).st_size
        if size != stated.size:  # before a large file is read for nothing
            raise Untrue(f"it has {size} bytes, and the head says {stated.size}")


def _length(data: bytes) -> tuple[int, int]:
    length, start = varint.decode(data, 0)
    if length > CAR_SECTION_MAX:
        raise Untrue(f"a section of {length} bytes: the file was changed while it was read")
    return length, start


class _Hashed:
    """A stream whose bytes are hashed as they come."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._hash = sha256()

    def read(self, size: int, /) -> bytes:
        """Up to *size* bytes, none at the end."""
        data = self._stream.read(size)
        self._hash.update(data)
        return data

    def digest(self) -> str:
        """The sha256 of all that was read, in hex."""
        return self._hash.hexdigest()
