"""Views of commits, kept open for the next request that reads from one ([GW-34])."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from mstbucket import Bucket, BucketView
from mstbucket.errors import LeaseLost, NoSuchCommit
from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.wire.answer import Stream

VIEWS_MAX: Final = 32  # without a reader: a client that walks through commits leaves no more leases than that
IDLE_SECONDS: Final = 60.0  # long enough for the next page of a listing; being read keeps no commit for longer

_Name = tuple[str, str]  # the name of a bucket, and the CID of a commit


@dataclass(slots=True)
class _Open:
    """A view, how many requests read from it, and when the last one began."""

    view: BucketView
    readers: int = 0
    used: float = 0.0
    lost: bool = False


class Views:
    """The open views of a process; thread-safe. Each request looks up the name of its commit anew."""

    def __init__(self) -> None:
        self._open: OrderedDict[_Name, _Open] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, bucket: Bucket, commit: str) -> Held:
        """Open the state of a bucket at a commit, or take the view that is open. Close what this returns.

        Raises:
            Refused: the bucket has no such commit, or does not keep it any more.
            InvalidInput: *commit* is not the form of a commit's name.
            NoSuchBucket: there is no such bucket.
        """
        try:
            cid = bucket.find_commit(commit).cid
            name = bucket.name, cid
            with self._lock:
                found = self._take(name)
            if found is None:
                view = bucket.at(cid)
                with self._lock:
                    found = self._take(name)
                    if found is None:
                        found = self._open[name] = _Open(view, 1, time.monotonic())
                if found.view is not view:  # another request was faster
                    view.close()
        except NoSuchCommit:  # its message tells of commits that the caller may not be allowed to see
            raise Refused("NoSuchCommit", "The bucket has no such commit, or does not keep it any more.") from None
        self._close_idle()
        return Held(self, name, found)

    def give_back(self, name: _Name, entry: _Open, lost: bool) -> None:
        """Note the end of a request. A view that lost its lease serves no other request."""
        with self._lock:
            entry.readers -= 1
            entry.lost |= lost
            if entry.lost and self._open.get(name) is entry:
                del self._open[name]
            forgotten = entry.readers == 0 and self._open.get(name) is not entry
        if forgotten:
            entry.view.close()
        self._close_idle()

    def close(self) -> None:
        """Close all views that nobody reads from."""
        self._close_idle(0, 0.0)

    def _take(self, name: _Name) -> _Open | None:
        found = self._open.get(name)
        if found is not None:
            found.readers += 1
            found.used = time.monotonic()
            self._open.move_to_end(name)
        return found

    def _close_idle(self, most: int = VIEWS_MAX, seconds: float = IDLE_SECONDS) -> None:
        """Close views that nobody reads from: those unused for long, and the oldest beyond *most*."""
        before = time.monotonic() - seconds
        with self._lock:
            idle = [(name, entry) for name, entry in self._open.items() if entry.readers == 0]
            too_many = len(idle) - most
            closing = [one for place, one in enumerate(idle) if place < too_many or one[1].used <= before]
            for name, _ in closing:
                del self._open[name]
        for _, entry in closing:
            entry.view.close()


class Held:
    """A view that stays open until this is closed; closing it again does nothing."""

    def __init__(self, views: Views, name: _Name, entry: _Open) -> None:
        self._views = views
        self._name = name
        self._entry: _Open | None = entry
        self.view = entry.view

    def close(self, lost: bool = False) -> None:
        """Let the view go."""
        entry, self._entry = self._entry, None
        if entry is not None:
            self._views.give_back(self._name, entry, lost)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(isinstance(error, LeaseLost))


class ReadFrom:
    """A body read from a view. The view stays open until the body is closed."""

    def __init__(self, body: Stream, held: Held) -> None:
        self._body = body
        self._held = held

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._body
        except LeaseLost:
            self._held.close(lost=True)
            raise

    def close(self) -> None:
        """Close the body, and let the view go."""
        self._body.close()
        self._held.close()
