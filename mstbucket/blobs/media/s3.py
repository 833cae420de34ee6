"""A blob store below a prefix of a bucket on an S3-compatible service.

What makes names exclusive is the service's own `If-None-Match: *`. A service that ignores it would let two writers both
win, so this is tried where a store is made, and such a service is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Final

from mstbucket.blobs.base import BlobInfo, BlobStore, BlobWriter, Reading
from mstbucket.blobs.names import check_name, is_name
from mstbucket.errors import (
    BlobExists,
    InvalidInput,
    NoSuchBlob,
    NoSuchKey,
    PreconditionFailed,
    StorageError,
    Unsupported,
)
from mstbucket.limits import KIB, MIB, OBJECT_SIZE_MAX
from mstbucket.remote import NO_ATTRIBUTES, S3Attributes, S3Bucket, S3Writer, parse_place

#: The key that says that a store was made here; no blob's name starts with a dot.
MARKER: Final = ".mstbucket"
MARKER_BODY: Final = b"A blob store of mstbucket, version 1. Everything beside this file belongs to it.\n"
ABANDONED: Final = timedelta(days=7)  # S3's advice for the age of multipart uploads that nobody will complete
_CAR: Final = "application/vnd.ipld.car; version=1"
#: [S3B-13] What the service is told of a blob, by the end of its name, so that a browser and other tools know it.
_ATTRIBUTES: Final = {
    ".car": S3Attributes(_CAR),
    ".car.zst": S3Attributes(_CAR, {"content-encoding": "zstd"}),
    ".aes": S3Attributes("application/octet-stream"),  # of no use to whoever has no key
}


class S3Blobs(BlobStore):
    """Blobs as objects of a bucket that exists. See `BlobStore` for the contract.

    Objects below the prefix that have no blob's name are no blobs and left alone. What a killed writer left is
    invisible; it is removed when the store is opened 7 days later, or sooner by a rule of the bucket.

    Args:
        url: `s3://BUCKET/PREFIX?endpoint=URL&region=NAME`. The prefix is that of a folder, also without a "/" at its end.
            Credentials come from boto3's default chain: the environment, a profile, or the machine's role.
        make: whether a store may be made there. Without, nothing is asked and nothing written before the first use.

    Raises:
        InvalidInput: the URL is none of that form.
        Unsupported: the service ignores conditions of writes; or boto3 is not installed.
        StorageError: the bucket is missing, or cannot be used; the message says why and what to do.
    """

    # A request takes as long as a MiB does: read over more, and fetch more at once.
    reading = Reading(gap=256 * KIB, scan_gap=256 * KIB, limit=8 * MIB, ahead=2 * MIB)

    def __init__(self, url: str, *, make: bool = True) -> None:
        place = parse_place(url)
        self._prefix = place.prefix.strip("/") + "/" if place.prefix.strip("/") else ""
        self._bucket = S3Bucket(place)
        if make:
            self._open()
        with suppress(StorageError, Unsupported):  # not allowed or not offered: it is invisible, and only takes room
            self._bucket.abort_old_uploads(self._prefix, ABANDONED)  # [S3B-10]

    def __repr__(self) -> str:
        return f"S3Blobs({str(self._bucket.place)!r})"

    def open_write(self, name: str) -> BlobWriter:
        return _Writer(name, self._bucket.open_write_if_absent(self._key(name), _attributes(name)))

    def put_if_absent(self, name: str, data: bytes) -> None:
        with _translated(name):
            self._bucket.put_if_absent(self._key(name), data, _attributes(name))  # [BLOB-2]

    def get_range(self, name: str, start: int, length: int) -> bytes:
        key = self._key(name)
        if start < 0 or length < 0:
            raise InvalidInput(f"{length} bytes from byte {start} are no range of a blob")
        # A range that no object can have is not for the service to judge: some send the whole object then.
        if length == 0 or start + length > 16 * OBJECT_SIZE_MAX:
            size = self.head(name).size
            if length:
                raise StorageError(f"blob {key} ends at byte {size}; {length} bytes from {start} were asked for")
            return b""
        with _translated(name):
            return self._bucket.get_range(key, start, length)

    def head(self, name: str) -> BlobInfo:
        with _translated(name):
            return BlobInfo(name, self._bucket.head(self._key(name)).listed.size)

    def list(self, prefix: str = "", after: str = "") -> Iterator[BlobInfo]:
        cut = len(self._prefix)
        last = after
        for item in self._bucket.list(self._prefix + prefix, self._prefix + after if after else ""):
            name = item.key[cut:]
            if not is_name(name):
                continue  # [BLOB-8] foreign files are passed over
            # [S3B-12] services without an order, or that start from the beginning, would break whoever pages
            if name <= last:
                raise Unsupported(f"{self._bucket.place}: the service does not list in the order of keys: use another one")
            last = name
            yield BlobInfo(name, item.size)

    def delete(self, name: str) -> None:
        self._bucket.delete(self._key(name))

    def delete_many(self, names: Iterable[str]) -> None:
        failed = self._bucket.delete_many([self._key(name) for name in names])
        if failed:
            raise StorageError(f"{len(failed)} blobs cannot be deleted, the first of them: {next(iter(failed.values()))}")

    def _key(self, name: str) -> str:
        return self._prefix + check_name(name)

    def _open(self) -> None:
        """[S3B-3] One request, where a store was made here before; where not, it is made, and the service tried."""
        marker = self._prefix + MARKER
        try:
            self._bucket.head(marker)
            return
        except NoSuchKey:
            pass
        try:
            self._bucket.put_if_absent(marker, MARKER_BODY)
        except PreconditionFailed:
            return  # somebody else is making it at the same time: the condition works
        try:
            self._bucket.put_if_absent(marker, MARKER_BODY)
        except PreconditionFailed:
            return
        self._bucket.delete(marker)
        raise Unsupported(f"{self._bucket.place}: the service ignores If-None-Match, so that two writers could both win: "
                          "no store can be kept there")  # fmt: skip


class _Writer(BlobWriter):
    def __init__(self, name: str, writer: S3Writer) -> None:
        self._name = name
        self._writer = writer

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._writer.write(data)

    def commit(self) -> int:
        with _translated(self._name):
            return self._writer.commit().size

    def abort(self) -> None:
        self._writer.abort()


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """The terms of blobs for those of objects."""
    try:
        yield
    except NoSuchKey as error:
        raise NoSuchBlob(f"there is no blob {name}: {error}").about(pack=name) from error
    except PreconditionFailed as error:
        raise BlobExists(f"blob {name} exists already, and names are never reused: {error}").about(pack=name) from error


def _attributes(name: str) -> S3Attributes:
    """What goes with the blob `name`."""
    return next((found for end, found in _ATTRIBUTES.items() if name.endswith(end)), NO_ATTRIBUTES)
