"""From a directory into a bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mstbucket.core.cid import raw_cid
from mstbucket.core.keys import encode_key
from mstbucket.files.walk import open_file
from mstbucket.files.watched import Watched
from mstbucket.sync.entry import Compare, Copy, Entry, Same
from mstbucket.sync.extras import NO_EXTRAS, Extras
from mstbucket.sync.mover import WHOLE, Meter, Metered, Moved, Mover, Outcome, Ready, always, as_copy, content_of
from mstbucket.sync.objects import Objects


class Inward(Mover):
    """Files become objects: small ones by the batch, large ones streamed. One that changes meanwhile is not stored."""

    together = 64

    def __init__(
        self, target: Objects, meter: Meter, extras: Extras = NO_EXTRAS, trusted: Callable[[Entry], bool] = always
    ) -> None:
        """Prepare to copy into *target*; *trusted* says of an object with the file's CID whether nothing has to be sent.

        Raises:
            InvalidInput: no object could have these *extras*.
        """
        extras.check()
        self._target = target
        self._extras = extras
        self.meter = meter
        self._trusted = trusted

    def move(self, step: Copy | Compare) -> Outcome:
        """Read the file; a small one is returned to be put, a large one is put."""
        return self._do(step, write=True)

    def probe(self, step: Copy | Compare) -> Outcome:
        """Open the file, and read it where it has to be compared."""
        return self._do(step, write=False)

    def _do(self, step: Copy | Compare, *, write: bool) -> Outcome:
        entry, key = step.source, self._target.key(step.source)
        assert entry.path is not None
        encode_key(key)
        with open_file(entry.path) as opened:
            file = Watched(opened, entry.path)  # [SYNC-12]
            if file.size is None or file.size > WHOLE:
                return self._large(step, key, file, write=write)
            if not write and isinstance(step, Copy):
                return Moved(step)
            data = b"".join(self.meter.through(file))
        if isinstance(step, Compare) and raw_cid(data) == step.target.content and self._trusted(step.target):
            return Same(step.target)
        if not write:
            return Moved(as_copy(step))
        return Ready(as_copy(step), self._extras.request(key, data, self._target.there(step.target)), file.check_by_name)

    def _large(self, step: Copy | Compare, key: str, file: Watched, *, write: bool) -> Outcome:
        if isinstance(step, Compare):
            if content_of(self.meter.through(file)) == step.target.content and self._trusted(step.target):
                return Same(step.target)
            file.rewind()
        if not write:
            return Moved(as_copy(step))
        body = Metered(file, self.meter)
        request = self._extras.request(key, body, self._target.there(step.target))
        return Moved(as_copy(step), self._target.bucket.put(request))

    def delete(self, targets: Sequence[Entry]) -> Iterator[tuple[Entry, Exception | None]]:
        """Remove objects."""
        return self._target.delete(targets)
