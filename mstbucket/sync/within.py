"""From one prefix to another, in one store: no byte of a body is moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mstbucket.sync.entry import Compare, Copy, Entry
from mstbucket.sync.mover import Meter, Moved, Mover, Outcome, as_copy
from mstbucket.sync.objects import Objects, SourceObjects
from mstbucket.sync.single import copy_object


class Within(Mover):
    """Objects become objects with the same body, metadata and tags."""

    def __init__(self, source: SourceObjects, target: Objects, meter: Meter) -> None:
        self._source = source
        self._target = target
        self.meter = meter

    def move(self, step: Copy | Compare) -> Outcome:
        """Copy the object; one of more than 5 GiB in parts."""
        key, to = self._source.key(step.source), self._target.key(step.source)
        put = copy_object(self._source.bucket, key, self._target.bucket, to, step.source.size)
        self.meter.add(step.source.size)
        return Moved(as_copy(step), put)

    def probe(self, step: Copy | Compare) -> Outcome:
        """Nothing to look at: the CIDs have told whether the bodies differ."""
        return Moved(as_copy(step))

    def delete(self, targets: Sequence[Entry]) -> Iterator[tuple[Entry, Exception | None]]:
        """Remove objects."""
        return self._target.delete(targets)
