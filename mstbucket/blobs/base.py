"""The port to a medium of named, immutable files. The contract stands here; `mstbucket.testing` proves it."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Protocol, Self, TypeVar

from mstbucket.errors import BlobExists, CorruptionError, FormatError, StorageError
from mstbucket.limits import KIB

log = logging.getLogger("mstbucket")

_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A blob's name and its size in bytes."""

    name: str
    size: int


class Reading(NamedTuple):
    """How a medium is best read, in bytes.

    Attributes:
        gap: better read over than read around: about what the medium moves in the time of one call.
        scan_gap: the same for whoever reads on at most places: what stands together comes by that.
        limit: of several blocks that are fetched by one call.
        ahead: read on where many blocks are asked for in a row.
    """

    gap: int
    scan_gap: int
    limit: int
    ahead: int


class BlobWriter(ABC):
    """One blob being written. Nothing of it is visible before `commit`. For one thread at a time.

    It ends with `commit`, `abort`, or the first call that fails; afterwards `write` and `commit` raise `InvalidInput`.
    As a context manager it aborts on leaving, unless it was committed. What a writer leaves that is killed is never
    visible, and goes when the store is opened the next time or by the medium's own rule.
    """

    @abstractmethod
    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of `data`, which is the caller's again when this returns.

        Raises:
            StorageError: the medium failed. The blob is given up: begin it again once the cause is repaired.
        """

    @abstractmethod
    def commit(self) -> int:
        """Make the blob durable and visible, in that order, and return its size in bytes.

        Raises:
            BlobExists: there is one of that name, durable and untouched; this one is gone.
            StorageError: the medium failed; nothing is visible.
            OutcomeUnknown: the medium failed when the blob was visible already. Read it before you write it again.
        """

    @abstractmethod
    def abort(self) -> None:
        """Forget everything written. Harmless after `commit` and when repeated."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.abort()


class BlobStore(ABC):
    """Named, immutable files on some medium (`spec/store/09-blobs.md`, [BLOB-1] to [BLOB-13]).

    *Atomic*: a blob is there whole or not at all, under any crash of any machine. *Durable*: when a method that writes
    or deletes returns, its effect survives the loss of power. *Immutable*: a name, once taken, keeps its bytes until it
    is deleted; callers never use a name again for other bytes (`blobs.names`). *Consistent*: what one call did, every
    later call sees, in every process.

    Thread-safe and safe between processes, except for a `BlobWriter` and an iterator that `list` gave: these are one
    thread's own.

    Every method checks names and raises `InvalidInput` for one that cannot be. A medium that fails raises
    `StorageError` saying what, where and what to do. An ability that a medium cannot offer safely raises `Unsupported`.
    Not checked here: what is in a blob. Bytes may change on the medium; whoever reads them hashes (`packs.read`).

    Attributes:
        reading: how the medium is best read; that of a local disk unless a backend says otherwise.
    """

    # Copying 16 KiB costs about as much as another call; blocks above the limit are read alone, straight into place.
    reading: Reading = Reading(gap=16 * KIB, scan_gap=2 * KIB, limit=512 * KIB, ahead=512 * KIB)

    @abstractmethod
    def open_write(self, name: str) -> BlobWriter:
        """Start a blob of any length. Memory held does not grow with it."""

    @abstractmethod
    def put_if_absent(self, name: str, data: bytes) -> None:
        """Make a blob of `data`, durable and visible when this returns; of all who try at once, one succeeds.

        Raises:
            BlobExists: there is one of that name, durable and untouched, also where this call is the repeat of one
                that succeeded.
            StorageError, OutcomeUnknown: as for `BlobWriter.commit`.
        """

    def put(self, name: str, data: bytes) -> None:
        """Make a blob of `data`, durable and visible when this returns. Repeating it with the same bytes is harmless.

        Raises:
            BlobExists: there is one of that name with other bytes, which is untouched.
            StorageError: the medium failed; repair the cause and repeat the call. `OutcomeUnknown` too may be repeated.
        """
        try:
            self.put_if_absent(name, data)
        except BlobExists:
            if self.head(name).size != len(data):
                raise
            if whole(self.get_range(name, 0, len(data)), name, 0, len(data)) == data:
                return
            self.distrust(name)  # [PACK-10]
            if whole(self.get_range(name, 0, len(data)), name, 0, len(data)) != data:
                raise

    @abstractmethod
    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from byte `start`; b"" where `length` is 0, wherever it starts.

        Raises:
            NoSuchBlob: there is none of that name.
            StorageError: it ends before, or the medium failed. Never fewer bytes.
        """

    @abstractmethod
    def head(self, name: str) -> BlobInfo:
        """Return what is known of a blob, or raise `NoSuchBlob`."""

    @abstractmethod
    def list(self, prefix: str = "", after: str = "") -> Iterator[BlobInfo]:
        """Iterate over the blobs whose names start with `prefix` and stand above `after`, in the order of names.

        `after` is the last name of an earlier page, or "". Foreign files, which have no blob's name, are passed over.
        A blob that is there during the whole iteration is given exactly once.

        Raises:
            StorageError: the medium failed, also in the middle. A listing that ends without an error is complete.
        """

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove a blob for good. One that is not there is no error: a delete can always be repeated.

        Readers that are in the middle of the blob get its bytes or `NoSuchBlob`, never others.
        """

    def delete_many(self, names: Iterable[str]) -> None:
        """Remove blobs for good. When it fails some are gone; repeat it with the same names."""
        for name in names:
            self.delete(name)

    def distrust(self, name: str) -> None:  # noqa: B027 - most stores keep nothing
        """Hear that bytes read of a blob were not its own: what is kept of it near by, as in a cache, must go.

        Nothing happens on the medium, and nothing at all in a store that keeps nothing. Never fails.
        """

    def release(self) -> None:  # noqa: B027 - most stores keep nothing
        """Let go of what is kept open for the next call, such as files. Whoever calls again finds everything as it was.

        `Store.close` calls it. Never fails.
        """


def whole(data: bytes, name: str, start: int, length: int) -> bytes:
    """Return `data`, which a blob store gave for this range, or raise `StorageError` where it is not all of it.

    [BLOB-7] forbids that. It is asked all the same, before anything is concluded from the bytes: an answer that was cut on
    its way is a failure of the medium ([BLOB-13]), and must be taken neither for damage nor for other bytes.
    """
    if len(data) != length:
        asked = f"{length} bytes of blob {name} from byte {start} were asked for"
        raise StorageError(f"{asked}, and the medium gave {len(data)}: repeat the call; if it stays, check the medium")
    return data


class Distrusting(Protocol):
    """What keeps bytes of blobs near by, or may: a `BlobStore`, or a view of one."""

    def distrust(self, name: str) -> None:
        """See `BlobStore`."""


def read_sure(blobs: Distrusting, name: str, read: Callable[[], _Made]) -> _Made:
    """What `read` makes of the blob `name`; made once more, past everything that is kept, where its bytes are wrong.

    [PACK-10] So what is wrong in the end is wrong where it is stored. `read` has to have no effect where it fails.
    """
    try:
        return read()
    except (CorruptionError, FormatError) as error:
        log.info("blob %s is read once more: %s", name, error)
        blobs.distrust(name)
    return read()
