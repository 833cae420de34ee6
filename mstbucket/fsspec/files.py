"""Open files: one that is read in ranges, and one that is written as an upload in parts, or as one put."""

from __future__ import annotations

import contextlib
import errno
import warnings
from io import BytesIO, RawIOBase
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from fsspec.spec import AbstractBufferedFile

from mstbucket.api.bucket import Bucket
from mstbucket.errors import InvalidInput, MstBucketError
from mstbucket.fsspec.failures import telling
from mstbucket.fsspec.paths import Place
from mstbucket.limits import FSSPEC_BLOCK_SIZE, MIB, PART_SIZE_MIN, PARTS_MAX
from mstbucket.model.uploads import Part, Upload

if TYPE_CHECKING:
    from mstbucket.fsspec.fetching import ReadableFileSystem

ANY: Final = "*"  # in If-None-Match: whatever is there


class ReadFile(AbstractBufferedFile):
    """An object that is read; every range comes from the object that was there when it was opened ([FS-10])."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        fs: ReadableFileSystem = self.fs
        return fs.read_again(self.path, start, end, self.details["etag"])


class WrittenFile(AbstractBufferedFile):
    """An object that is written. It is there, whole and durable, when `close` returns, and not before ([FS-11]).

    It holds one block. What fits in a block is one put; more is an upload in parts of one block each ([FS-12]).
    """

    def __init__(
        self,
        fs: ReadableFileSystem,
        place: Place,
        bucket: Bucket,
        block_size: int | None,
        exclusive: bool,
        autocommit: bool,
    ) -> None:
        # Parts that are multiples of 1 MiB become an object without being cut anew ([MPU-8]).
        size = FSSPEC_BLOCK_SIZE if block_size is None else max(-(-block_size // MIB) * MIB, PART_SIZE_MIN)
        super().__init__(fs, str(place), "wb", size, autocommit)
        self._place = place
        self._bucket = bucket
        self._condition = ANY if exclusive else None
        self._upload: Upload | None = None
        self._parts: list[Part] = []
        self._failed: BaseException | None = None
        self._is_over = False

    def write(self, data: Any) -> int:
        """Take bytes; send each block that is full."""
        if self.closed:
            raise InvalidInput(f"{self.path} is closed: open it again")  # a ValueError, as with files
        view = memoryview(data).cast("B")
        at = 0
        while at < len(view):
            at += super().write(view[at : at + self.blocksize - self.buffer.tell()])
        return len(view)

    def _upload_chunk(self, final: bool = False) -> bool:
        try:
            with telling(self.path):
                self._send(final)
        except BaseException as error:
            self._failed = error
            self.discard()
            self.closed = True
            raise
        return True

    def _send(self, final: bool) -> None:
        body = self.buffer.getbuffer()
        key = self._place.key
        if final and self.autocommit and self._upload is None:
            self._bucket.put_object(key, body, if_none_match=self._condition)
            self._is_over = True
            return
        if self._upload is None:
            self._upload = self._bucket.create_multipart_upload(key)
        if len(body) > 0 or not self._parts:
            number = len(self._parts) + 1
            if number > PARTS_MAX:
                why = f"the object has more than {PARTS_MAX} blocks of {self.blocksize} bytes: it needs a larger block_size"
                raise OSError(errno.EFBIG, why, self.path)
            self._parts.append(self._bucket.upload_part(key, self._upload.id, number, body))
        if final and self.autocommit:
            self._complete()

    def _complete(self) -> None:
        assert self._upload is not None
        self._bucket.complete_multipart_upload(
            self._place.key, self._upload.id, self._parts, if_none_match=self._condition
        )
        self._is_over = True

    def commit(self) -> None:
        """Store a file of a transaction, durably. For all other files `close` does it.

        Raises:
            OSError: that failed; it is not stored.
        """
        if self._failed is not None:
            raise OSError(errno.EIO, f"it is not stored: {self._failed}", self.path) from self._failed
        if self._is_over:
            return
        if not self.closed:
            self.close()
        try:
            with telling(self.path):
                self._complete()
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Drop what was written. Repeatable; it does nothing to an object that is stored."""
        if self._is_over:
            return
        self._is_over = True
        self.buffer = BytesIO()
        if self._upload is not None:
            with contextlib.suppress(MstBucketError):  # an upload that cannot be dropped now is garbage when it is old
                self._bucket.abort_multipart_upload(self._place.key, self._upload.id)

    def abandon(self) -> None:
        """Close the file and store nothing: half of a file is none ([FS-13])."""
        self.discard()
        self.closed = True

    def dropped(self) -> None:
        """Abandon a file that nobody can close any more, and say so."""
        with contextlib.suppress(Exception):
            self.abandon()
        warnings.warn(f"{self.path} was written and never closed: it is not stored", RuntimeWarning, stacklevel=3)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def __del__(self) -> None:
        if not self.closed:
            self.dropped()


class PackedFile(RawIOBase):
    """A file that is compressed on its way. fsspec's own wrappers leave the file below them open; this one closes both."""

    def __init__(self, packer: BinaryIO, file: WrittenFile) -> None:
        super().__init__()
        self._packer = packer
        self._file = file

    def writable(self) -> bool:
        """It can be written only."""
        return True

    def write(self, data: Any) -> int:
        """Compress bytes, and write the result."""
        return self._packer.write(data)

    def close(self) -> None:
        """Write what is left, and close the file: then the object is there."""
        if not self.closed:
            try:
                self._packer.close()
                self._file.close()
            except BaseException:
                self._file.abandon()
                raise
            finally:
                super().close()

    def _abandon(self) -> None:
        with contextlib.suppress(Exception):
            self._packer.close()
        self._file.abandon()
        super().close()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self._abandon()

    def __del__(self) -> None:
        if not self.closed:
            self._abandon()
            self._file.dropped()
