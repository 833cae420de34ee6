"""Open files: one that is read in ranges, and one that is written as an upload in parts, or as one put."""

from __future__ import annotations

import contextlib
import errno
import warnings
from io import BytesIO
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from fsspec.spec import AbstractBufferedFile

from mstbucket.api.bucket import Bucket
from mstbucket.errors import MstBucketError
from mstbucket.fsspec.failures import telling
from mstbucket.fsspec.paths import Place
from mstbucket.limits import FSSPEC_BLOCK_SIZE, MIB, PART_SIZE_MIN, PARTS_MAX
from mstbucket.model.uploads import Part, Upload

if TYPE_CHECKING:
    from mstbucket.fsspec.system import MstBucketFileSystem

ANY: Final = "*"  # in If-None-Match: whatever is there


class ReadFile(AbstractBufferedFile):
    """An object that is read; every range comes from the object that was there when it was opened ([FS-10])."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        fs: MstBucketFileSystem = self.fs
        return fs.read_again(self.path, start, end, self.details["etag"])


class WrittenFile(AbstractBufferedFile):
    """An object that is written. It is there, whole and durable, when `close` returns, and not before ([FS-11]).

    It holds one block. What fits in a block is one put; more is an upload in parts of one block each ([FS-12]).
    """

    def __init__(
        self,
        fs: MstBucketFileSystem,
        place: Place,
        bucket: Bucket,
        block_size: int | None,
        exclusive: bool,
        autocommit: bool,
    ) -> None:
        # Parts that are multiples of 1 MiB become an object without being cut anew ([MPU-9]).
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
        """Take bytes; whenever a block is full it is sent."""
        if self.closed:
            raise ValueError("I/O operation on closed file.")
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
        """Make a file of a transaction the object, durably; `close` does it for all others.

        Raises:
            OSError: it could not be; it is not stored.
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
            with contextlib.suppress(MstBucketError):  # what cannot be dropped now is what an open upload is: garbage by age
                self._bucket.abort_multipart_upload(self._place.key, self._upload.id)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
            return
        self.discard()  # [FS-13] half of a file is none
        self.closed = True

    def __del__(self) -> None:
        if self.closed or not self.autocommit:
            return
        self.closed = True
        with contextlib.suppress(Exception):
            self.discard()
        warnings.warn(f"{self.path} was written and never closed: it is not stored", RuntimeWarning, stacklevel=2)
