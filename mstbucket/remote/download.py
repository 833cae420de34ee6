"""Reading objects: exactly the bytes asked for, and streams that go on where a connection broke."""

from __future__ import annotations

import hashlib
import re
from contextlib import closing
from types import TracebackType
from typing import Any, Final, Self

from mstbucket.errors import StorageError
from mstbucket.limits import MIB
from mstbucket.remote.attempts import Attempts
from mstbucket.remote.objects import S3Object, bare

_WHERE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


def read_exactly(client: Any, bucket: str, key: str, start: int, length: int) -> bytes:
    """`length` bytes from byte `start` of an object, in one request; see `S3Bucket.get_range`."""
    where = f"s3://{bucket}/{key}"
    stop = start + length

    def read() -> bytes:
        answer = client.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{stop - 1}")
        with closing(answer["Body"]) as body:  # entered itself, it gives the stream below, whose errors nobody knows
            # [BLOB-7] before anything is allocated for it; a service that knows no ranges sends the whole, without this
            found = _WHERE.fullmatch(answer.get("ContentRange", ""))
            if found is None:
                raise StorageError(f"{where}: the service ignores ranges: no store can be kept there")
            if (int(found[1]), int(found[2])) != (start, stop - 1):
                raise StorageError(f"{where} ends at byte {found[3]}; {length} bytes from {start} were asked for")
            data: bytes = body.read()
        if len(data) != length:
            raise StorageError(f"{where}: the service sent {len(data)} bytes instead of {length}: repeat the call")
        return data

    return Attempts("an object cannot be read", where).run(read)


class S3Stream:
    """The bytes of an object, as a stream. For one thread. Close it, or use it in a `with` statement.

    A broken connection is made again. The stream then goes on where it was, if the object is still the same. At the end the
    bytes are compared with the object's MD5, if the service has one.

    Attributes:
        object: what is known of the object; its size is the stream's.
    """

    def __init__(self, client: Any, bucket: str, key: str) -> None:
        self._client = client
        self._name = {"Bucket": bucket, "Key": key}
        self._where = f"s3://{bucket}/{key}"
        self._at = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._body: Any = None
        self.object = Attempts("an object cannot be read", self._where).run(self._first)

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, b"" at the end; all that remain if `size` is negative.

        Raises:
            StorageError: the service failed, the object changed meanwhile, or its bytes are not those of its MD5.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(MIB), b""))
        rest = self.object.listed.size - self._at
        if size == 0 or rest == 0:
            return b""
        data = Attempts("an object cannot be read", self._where).run(lambda: self._read(min(size, rest)))
        self._at += len(data)
        self._md5.update(data)
        wanted = self.object.md5
        if self._at == self.object.listed.size and wanted is not None and self._md5.hexdigest() != wanted:
            raise StorageError(f"{self._where}: the bytes that came are not those of its MD5 {wanted}: read it again")
        return data

    def close(self) -> None:
        """Let go of the connection. Repeatable."""
        if self._body is not None:
            self._body.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _read(self, size: int) -> bytes:
        if self._body is None:
            self._body = self._again()
        try:
            data: bytes = self._body.read(size)
            if data:
                return data
            raise ConnectionResetError("the connection ended before the object did")
        except Exception:
            self._body.close()
            self._body = None
            raise

    def _first(self) -> S3Object:
        answer = self._client.get_object(**self._name)
        try:
            found = S3Object.from_answer(self._name["Key"], answer)
        except BaseException:
            answer["Body"].close()
            raise
        self._body = answer["Body"]
        return found

    def _again(self) -> Any:
        answer = self._client.get_object(**self._name, Range=f"bytes={self._at}-")
        listed = self.object.listed
        found = _WHERE.fullmatch(answer.get("ContentRange", ""))
        # By comparing, not by If-Match: services differ in how they want to have an ETag quoted.
        same = bare(answer.get("ETag")) == listed.etag
        if not same or found is None or (int(found[1]), int(found[3])) != (self._at, listed.size):
            answer["Body"].close()
            raise StorageError(f"{self._where} was changed while it was read: read it again")
        return answer["Body"]
