"""A prefix of an S3-compatible service, with files that several programs write to."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import BinaryIO, Final, cast

from mstbucket.errors import NoSuchKey, PreconditionFailed, Unsupported
from mstbucket.limits import MIB
from mstbucket.model.shared_files import Seen
from mstbucket.model.streams import Readable
from mstbucket.remote.bucket import S3Bucket
from mstbucket.remote.place import S3Place
from mstbucket.remote.upload import S3Writer
from mstbucket.spill.scratch import scratch

_NO_ETAG: Final = "0" * 32
_FORMS: Final = ('"{}"', "{}")  # of RFC 9110, and of Ceph


class SharedPrefix:
    """`SharedFiles` below the prefix of *place*. Nothing is sent before the first call."""

    def __init__(self, place: S3Place) -> None:
        self.where = str(place)
        folder = place.prefix.strip("/")
        self._prefix = f"{folder}/" if folder else ""
        self._bucket = S3Bucket(place)
        self._form: str | None = None

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
        form = self._match_form(path.partition("/")[0])
        try:
            if old is None:
                self._bucket.put_if_absent(self._prefix + path, new)
            else:
                self._bucket.put_if_same(self._prefix + path, new, form.format(old.tag))
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
    def local(self, path: str, alive: Callable[[], object]) -> Iterator[BinaryIO]:
        with scratch(f"{self.where}/{path} was brought") as file:
            with self._bucket.open_read(self._prefix + path) as stream:
                while data := stream.read(MIB):
                    alive()
                    file.write(data)
            file.seek(0)
            yield cast("BinaryIO", file)

    @contextmanager
    def write(self, path: str) -> Iterator[BinaryIO]:
        # [FOLD-4] without a condition: whoever writes this file writes the same bytes
        with self._bucket.open_write(self._prefix + path) as writer:
            yield cast("BinaryIO", _Taking(writer))
            writer.commit()

    def clean(self, folder: str, seconds: int) -> None:
        self._bucket.abort_old_uploads(f"{self._prefix}{folder}/", timedelta(seconds=seconds))

    def _match_form(self, folder: str) -> str:
        """[FOLD-10] How the service wants to have an ETag in If-Match. Tried once, for real, and nothing stays.

        Raises:
            Unsupported: it does not refuse a second write, or one of another state.
        """
        if self._form is None:
            key = f"{self._prefix}{folder}/.probe-{secrets.token_hex(8)}"
            try:
                self._form = self._tried_form(key)
            finally:
                self._bucket.delete(key)
        return self._form

    def _tried_form(self, key: str) -> str:
        made = self._bucket.put_if_absent(key, b"1")
        if not _refuses(lambda: self._bucket.put_if_absent(key, b"2")):
            raise self._ignores("If-None-Match")
        for form in _FORMS:
            if not _refuses(lambda form=form: self._bucket.put_if_same(key, b"3", form.format(_NO_ETAG))):  # type: ignore[misc]
                raise self._ignores("If-Match")
            if not _refuses(lambda form=form: self._bucket.put_if_same(key, b"4", form.format(made.etag))):  # type: ignore[misc]
                return form
        raise self._ignores("If-Match with the ETag that it gave itself")

    def _ignores(self, header: str) -> Unsupported:
        return Unsupported(f"{self.where}: the service does not do what {header} demands, so of two who push at once both "
                           "could win: no files can be shared there")  # fmt: skip


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
