"""What `cp` prints: a line or an object for everything that was copied, and one for what was not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mstbucket.cli.address import Address, Local, Place
from mstbucket.cli.exits import FAILED, OK, describe, one_line
from mstbucket.cli.output import Output, complain, count, human_size, warn
from mstbucket.errors import StorageError

if TYPE_CHECKING:
    from mstbucket.cli.progress import Progress
    from mstbucket.model.objects import ObjectInfo, PutResult
    from mstbucket.sync.engine import Event, Summary
    from mstbucket.sync.mover import Failed


class Copied:
    """Prints what becomes of the objects of one command.

    Args:
        shown: counts the copied objects, if there are many: people then see the total, and a line for each with `-v`.

    Attributes:
        unlisted: how many files are missing in a listing.
    """

    def __init__(self, source: Place, target: Place, out: Output, shown: Progress | None = None) -> None:
        self._source = source
        self._target = target
        self._out = out
        self._shown = shown
        self._say = out.report if shown is None else out.item
        self.unlisted = 0

    def uploaded(self, path: str, put: PutResult, target: Address | None = None) -> None:
        """A file, or standard input, is an object now."""
        to = str(self._target if target is None else target)
        record = {
            "action": "upload", "source": path, "target": to, "size": put.size, "etag": put.etag,
            "content": put.content, "manifest": put.manifest,
        }  # fmt: skip
        self._say(record, one_line(f"upload: {path} to {to}"))

    def downloaded(self, source: Address, path: str, info: ObjectInfo) -> None:
        """An object is a file now."""
        record = {"action": "download", "source": str(source), "target": path, "size": info.size, "etag": info.etag}
        self._say(record, one_line(f"download: {source} to {path}"))

    def copied(self, source: Address, target: Address, put: PutResult) -> None:
        """An object was copied to another key."""
        record = {"action": "copy", "source": str(source), "target": str(target), "size": put.size, "etag": put.etag}
        self._say(record, one_line(f"copy: {source} to {target}"))

    # --- of many ---

    def skipped(self, text: str, failed: bool) -> None:
        """A listing had to leave something out."""
        self.unlisted += failed
        (complain if failed else warn)(text)

    def tell(self, event: Event) -> None:
        """One of many was copied, or could not be."""
        from mstbucket.model.objects import PutResult
        from mstbucket.sync.mover import Failed, Moved

        if isinstance(event, Failed):
            complain(self._failure(event))
        elif isinstance(event, Moved) and event.made is not None:
            if self._shown is not None:
                self._shown.one()
            entry, made = event.step.source, event.made
            if not isinstance(made, PutResult):
                self.downloaded(self._from(entry.key), event.path or "", made)
            elif entry.path is not None:
                self.uploaded(os.fsdecode(entry.path), made, self._to(made))
            else:
                self.copied(self._from(entry.key), self._to(made), made)

    def ended(self, summary: Summary) -> int:
        """[CLI-5] Each failure had its line. The end says how many there were, and the exit code whether there was any."""
        failed = summary.failed + self.unlisted
        if failed == 0:
            # [CLI-152]
            self._out.total({}, one_line(f"{self._verb()}: {count(summary.copied, 'object')} ({human_size(summary.bytes)}) "
                                         f"to {_name(self._target)}"))  # fmt: skip
            return OK
        complain(f"{count(failed, 'object')} not copied, {count(summary.copied, 'object')} copied; the reasons are above")
        return FAILED

    def _verb(self) -> str:
        if not isinstance(self._target, Address):
            return "download"
        return "copy" if isinstance(self._source, Address) else "upload"

    def _failure(self, event: Failed) -> str:
        entry, error = event.step.source, event.error
        if entry.path is None:
            return f"{self._from(entry.key)}: {describe(error)}"
        path = os.fsdecode(entry.path)
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            return f"{path!r}: {error.strerror or error}"
        return describe(error) if repr(path) in str(error) else f"{path!r}: {describe(error)}"

    def _from(self, key: str) -> Address:
        assert isinstance(self._source, Address)
        return self._source.child(key)

    def _to(self, put: PutResult) -> Address:
        assert isinstance(self._target, Address)
        return Address(self._target.bucket, put.key)


def _name(place: Place) -> str:
    return place.path if isinstance(place, Local) else str(place)
