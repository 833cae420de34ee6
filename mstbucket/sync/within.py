"""From one prefix to another, in one store: no byte of a body is read or moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mstbucket.limits import COPY_SIZE_MAX
from mstbucket.sync.entry import Compare, Copy, Entry
from mstbucket.sync.mover import Meter, Moved, Mover, Outcome, as_copy
from mstbucket.sync.objects import Objects


class Within(Mover):
    """Objects become objects with the same body, metadata and tags."""

    def __init__(self, source: Objects, target: Objects, meter: Meter) -> None:
        self._source = source
        self._target = target
        self.meter = meter

    def move(self, step: Copy | Compare) -> Outcome:
        """Copy the object; one of more than 5 GiB in parts."""
        source, target = self._source.key(step.source), self._target.key(step.source)
        if step.source.size > COPY_SIZE_MAX:
            self._copy_in_parts(source, target, step.source.size)
        else:
            self._target.bucket.copy_object(source, target, source_bucket=self._source.bucket.name)
        self.meter.add(step.source.size)
        return Moved(as_copy(step))

    def probe(self, step: Copy | Compare) -> Outcome:
        """Nothing to look at: the CIDs have told whether the bodies differ."""
        return Moved(as_copy(step))

    def delete(self, targets: Sequence[Entry]) -> Iterator[tuple[Entry, Exception | None]]:
        """Remove objects."""
        return self._target.delete(targets)

    def _copy_in_parts(self, source: str, target: str, size: int) -> None:
        info = self._source.bucket.head_object(source)
        bucket = self._target.bucket
        upload = bucket.create_multipart_upload(
            target, content_type=info.content_type, metadata=info.metadata, headers=info.headers, tags=info.tags
        )
        try:
            parts = []
            for number, start in enumerate(range(0, size, COPY_SIZE_MAX), 1):
                span = f"bytes={start}-{min(start + COPY_SIZE_MAX, size) - 1}"
                part = bucket.upload_part_copy(
                    target, upload.id, number, source, source_bucket=self._source.bucket.name, range=span
                )
                parts.append((number, part.etag))
            bucket.complete_multipart_upload(target, upload.id, parts)
        except BaseException:
            bucket.abort_multipart_upload(target, upload.id)
            raise
