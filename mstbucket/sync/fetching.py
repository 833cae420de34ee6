"""From a bucket of an S3 service into a bucket of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from mstbucket.core.cid import raw_cid
from mstbucket.core.keys import encode_key
from mstbucket.core.s3rules.metadata import DEFAULT_TYPE, check_request
from mstbucket.errors import Conflict
from mstbucket.model.objects import PutRequest
from mstbucket.remote import S3Object, S3Stream
from mstbucket.sync.entry import Compare, Copy, Entry, Same
from mstbucket.sync.extras import Extras
from mstbucket.sync.mover import WHOLE, Meter, Moved, Mover, Outcome, Ready, always, as_copy, content_of
from mstbucket.sync.objects import Objects
from mstbucket.sync.plan import by_time
from mstbucket.sync.remote import Remote

_READ: Final = 1 << 20


class Fetching(Mover):
    """Objects of the service become ours with content type, headers and user metadata ([SYNC-14])."""

    def __init__(self, source: Remote, target: Objects, meter: Meter, trusted: Callable[[Entry], bool] = always) -> None:
        """*trusted* is asked about objects with the source's CID: if it says yes, nothing is fetched again."""
        self._source = source
        self._target = target
        self.meter = meter
        self._trusted = trusted

    def move(self, step: Copy | Compare) -> Outcome:
        """Get the object; a small one is returned to be put, a large one is streamed in."""
        key = self._target.key(step.source)
        encode_key(key)
        with self._open(step) as stream:
            if is_same_by_time(step, stream.object):
                assert step.target is not None
                return Same(step.target)
            if stream.object.listed.size <= WHOLE:
                return self._small(step, key, stream)
            if not isinstance(step, Compare):
                return self._put(step, key, stream)
            if content_of(self._chunks(stream)) == step.target.content and self._trusted(step.target):
                return Same(step.target)
        with self._open(step) as stream:
            return self._put(as_copy(step), key, stream)

    def probe(self, step: Copy | Compare) -> Outcome:
        """Look at the object, and read it where it has to be compared."""
        if isinstance(step, Compare):
            with self._open(step) as stream:
                same = content_of(self._chunks(stream)) == step.target.content and self._trusted(step.target)
        elif step.target is not None:
            with self._source.asked():
                same = is_same_by_time(step, self._source.bucket.head(self._source.key(step.source)))
        else:
            same = False
        return Same(step.target) if same and step.target is not None else Moved(as_copy(step))

    def delete(self, targets: Sequence[Entry]) -> Iterator[tuple[Entry, Exception | None]]:
        """Remove objects of ours."""
        return self._target.delete(targets)

    def _open(self, step: Copy | Compare) -> S3Stream:
        with self._source.asked():
            return self._source.bucket.open_read(self._source.key(step.source))

    def _small(self, step: Copy | Compare, key: str, stream: S3Stream) -> Outcome:
        data = b"".join(self._chunks(stream))
        if isinstance(step, Compare) and raw_cid(data) == step.target.content and self._trusted(step.target):
            return Same(step.target)
        request = self._request(step, key, data, stream.object)
        check_request(request)  # here, where it is about one object, and not in a batch
        return Ready(as_copy(step), request, _passes)

    def _put(self, step: Copy, key: str, stream: S3Stream) -> Outcome:
        body = _Counted(stream, self._source, self.meter)
        return Moved(step, self._target.bucket.put(self._request(step, key, body, stream.object)))

    def _request(self, step: Copy | Compare, key: str, body: bytes | _Counted, found: S3Object) -> PutRequest:
        """[SYNC-17] Tags do not travel from a service: those of the object that is replaced stay."""
        said = found.attributes
        extras = Extras(said.content_type or DEFAULT_TYPE, said.metadata, said.headers)
        return extras.request(key, body, self._target.there(step.target))

    def _chunks(self, stream: S3Stream) -> Iterator[bytes]:
        return iter(_Counted(stream, self._source, self.meter))


class _Counted:
    """A stream that counts its bytes. When it ends, its object must still be the one that was read."""

    def __init__(self, stream: S3Stream, source: Remote, meter: Meter) -> None:
        self._stream = stream
        self._source = source
        self._meter = meter

    def read(self, size: int) -> bytes:
        with self._source.asked():
            data = self._stream.read(size)
            if not data and self._stream.object.md5 is None:
                # [SYNC-12] where only the times can tell, a change during the copy would look older than the copy
                was = self._stream.object.listed
                if self._source.bucket.head(was.key).listed.etag != was.etag:
                    raise Conflict(f"{was.key!r} was changed while it was read: run the command again")
        self._meter.add(len(data))
        return data

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read(_READ):
            yield data


def is_same_by_time(step: Copy | Compare, found: S3Object) -> bool:
    """[SYNC-8] The ETag looked like an MD5, and is none (the object is encrypted with a key of KMS): the times decide."""
    if isinstance(step, Compare) or step.target is None or step.why != "content" or found.md5 is not None:
        return False
    return by_time(step.source, step.target) is None


def _passes() -> None:
    """The stream has compared the bytes with the MD5, or the object's ETag before and after."""
