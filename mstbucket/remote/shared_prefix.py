"""A prefix of an S3-compatible service, with files that several programs write to."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import BinaryIO, Final, cast

from mstbucket.errors import NoSuchKey, PreconditionFailed, StorageError, Unsupported
from mstbucket.limits import MIB
from mstbucket.model.shared_files import Seen
from mstbucket.model.streams import Readable
from mstbucket.remote.bucket import S3Bucket
from mstbucket.remote.place import S3Place
from mstbucket.remote.upload import S3Writer

_NO_ETAG: Final = "0" * 32


class SharedPrefix:
    """`SharedFiles` below the prefix of *place*. Nothing is sent before the first call."""

    def __init__(self, place: S3Place) -> None:
        self.where = str(place)
        folder = place.prefix.strip("/")
        self._prefix = f"{folder}/" if folder else ""
        self._bucket = S3Bucket(place)
        self._tried = False

    def folders(self) -> Iterator[str]:
        after = ""
        while True:
            item = next(iter(self._bucket.list(self._prefix, after, page=1)), None)
            if item is None:
                return
            folder, slash, _ = item.key[len(self._prefix) :].partition("/")
            if slash:
                yield folder
            after = f"{self._prefix}{folder}0" if slash else item.key  # "0" is the next after "/"

    def read(self, path: str, most: int) -> Seen | None:
        try:
            with self._bucket.open_read(self._prefix + path) as stream:
                data = b""
                while piece := stream.read(most - len(data)):
                    data += piece
                return Seen(data, stream.object.listed.etag)
        except NoSuchKey:
            return None

    def swap(self, path: str, old: Seen | None, new: bytes) -> bool:
        self._try_conditions(path.partition("/")[0])
        try:
            if old is None:
                self._bucket.put_if_absent(self._prefix + path, new)
            else:
                self._bucket.put_if_same(self._prefix + path, new, old.tag)
        except PreconditionFailed:
            return False
        return True

    def size(self, path: str) -> int | None:
        try:
            return self._bucket.head(self._prefix + path).listed.size
        except NoSuchKey:
            return None

    @contextmanager
    def stream(self, path: str) -> Iterator[Readable]:
        with self._bucket.open_read(self._prefix + path) as stream:
            yield stream

    @contextmanager
    def local(self, path: str) -> Iterator[BinaryIO]:
        with tempfile.TemporaryFile(prefix="mstbucket-") as file:
            with self._bucket.open_read(self._prefix + path) as stream:
                while data := stream.read(MIB):
                    try:
                        file.write(data)
                    except OSError as error:
                        raise StorageError(f"the temporary directory takes no more of {self.where}/{path}: "
                                           f"{error.strerror}; set TMPDIR to one with room") from error  # fmt: skip
            file.flush()
            file.seek(0)
            yield cast("BinaryIO", file)

    @contextmanager
    def write(self, path: str) -> Iterator[BinaryIO]:
        # [FILE-4] without a condition: whoever writes this file writes the same bytes
        with self._bucket.open_write(self._prefix + path) as writer:
            yield cast("BinaryIO", _Taking(writer))
            writer.commit()

    def clean(self, folder: str, seconds: int) -> None:
        self._bucket.abort_old_uploads(f"{self._prefix}{folder}/", timedelta(seconds=seconds))

    def _try_conditions(self, folder: str) -> None:
        """[FILE-10] Whether the service refuses a second write, and one of another state. Tried once, and nothing stays."""
        if self._tried:
            return
        key = f"{self._prefix}{folder}/.probe-{secrets.token_hex(8)}"
        try:
            made = self._bucket.put_if_absent(key, b"1")
            refused = _refuses(lambda: self._bucket.put_if_absent(key, b"2"))
            refused_other = _refuses(lambda: self._bucket.put_if_same(key, b"3", _NO_ETAG))
            if not refused or not refused_other:
                ignored = "If-Match" if refused else "If-None-Match"
                raise Unsupported(f"{self.where}: the service ignores {ignored}, so that two who push at once could both "
                                  "win: no files can be shared there")  # fmt: skip
            if _refuses(lambda: self._bucket.put_if_same(key, b"4", made.etag)):
                raise Unsupported(f"{self.where}: the service does not know an object again by the ETag that it gave it: no "
                                  "files can be shared there")  # fmt: skip
        finally:
            self._bucket.delete(key)
        self._tried = True


def _refuses(write: Callable[[], object]) -> bool:
    try:
        write()
    except PreconditionFailed:
        return True
    return False


class _Taking:
    """A binary file of a writer that takes all that it is given."""

    def __init__(self, writer: S3Writer) -> None:
        self._writer = writer

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write all of it."""
        self._writer.write(data)
        return len(data)
