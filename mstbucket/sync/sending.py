"""From a bucket of ours into a bucket of an S3 service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mstbucket.api.bucket import Bucket
from mstbucket.api.view import BucketView
from mstbucket.errors import Conflict, StorageError
from mstbucket.limits import MIB
from mstbucket.remote import HEADERS, S3Attributes
from mstbucket.services.objects.reader import ObjectReader
from mstbucket.sync.entry import Compare, Copy, Entry, Same
from mstbucket.sync.mover import Meter, Moved, Mover, Outcome, as_copy, content_of
from mstbucket.sync.objects import SourceObjects
from mstbucket.sync.plan import by_time
from mstbucket.sync.remote import Remote

_ONE_PUT: Final = 8 * MIB  # what is sent as one request, and so has its MD5 for an ETag; held in memory meanwhile


class Sending(Mover):
    """Objects of ours become the service's with content type, headers and user metadata ([SYNC-14])."""

    def __init__(self, source: SourceObjects, target: Remote, meter: Meter) -> None:
        self._source = source
        self._target = target
        self.meter = meter

    def move(self, step: Copy | Compare) -> Outcome:
        """Send the object; a large one in parts."""
        if self._is_same(step):
            assert step.target is not None
            return Same(step.target)
        with self._source.bucket.get_object(self._source.key(step.source)) as reader:
            info = reader.info
            headers = {name: value for name, value in info.headers.items() if name in HEADERS}
            self._send(reader, self._target.key(step.source), S3Attributes(info.content_type, headers, info.metadata))
        return Moved(as_copy(step))

    def probe(self, step: Copy | Compare) -> Outcome:
        """Read what is there where it has to be compared."""
        if self._is_same(step):
            assert step.target is not None
            return Same(step.target)
        return Moved(as_copy(step))

    def delete(self, targets: Sequence[Entry]) -> Iterator[tuple[Entry, Exception | None]]:
        """Remove objects of the service."""
        return self._target.delete(targets)

    def _send(self, reader: ObjectReader, key: str, attributes: S3Attributes) -> None:
        if reader.info.size <= _ONE_PUT:
            data = reader.read()
            self.meter.add(len(data))
            with self._target.asked():
                self._target.bucket.put(key, data, attributes)
            return
        body = _Counted(reader, self._source.bucket, self.meter)
        try:
            self._target.bucket.put_stream(key, body, attributes)  # type: ignore[arg-type]
        except StorageError as error:
            if error is body.error:  # it is our store that failed
                raise
            raise self._target.alone(error) from error

    def _is_same(self, step: Copy | Compare) -> bool:
        """By the bytes, or, where what looked like an MD5 is none, by the times ([SYNC-8])."""
        if step.target is None:
            return False
        key = self._target.key(step.target)
        with self._target.asked():
            if isinstance(step, Compare):
                with self._target.bucket.open_read(key) as stream:
                    chunks = iter(lambda: stream.read(MIB), b"")
                    return content_of(self.meter.through(chunks)) == step.source.content
            if step.why != "content" or self._target.bucket.head(key).md5 is not None:
                return False
        return by_time(step.source, step.target) is None


class _Counted:
    """A reader that counts its bytes. When it ends, its object must still be the current one. `error` is its failure."""

    def __init__(self, reader: ObjectReader, bucket: Bucket | BucketView, meter: Meter) -> None:
        self._reader = reader
        self._bucket = bucket
        self._meter = meter
        self.error: StorageError | None = None

    def read(self, size: int) -> bytes:
        try:
            data = self._reader.read(size)
            if not data:
                # [SYNC-12] only the times can tell, and a change during the copy would look older than the copy
                was = self._reader.info
                if self._bucket.head_object(was.key).content != was.content:
                    raise Conflict(f"{was.key!r} was changed while it was read: run the command again")
        except StorageError as error:
            self.error = error
            raise
        self._meter.add(len(data))
        return data
