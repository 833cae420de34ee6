"""The keys under a prefix of a bucket of an S3 service, as one side of a sync."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from mstbucket.errors import NoSuchKey, StorageError
from mstbucket.remote import S3Bucket, S3Place
from mstbucket.sync.entry import Entry
from mstbucket.sync.filters import Wanted
from mstbucket.sync.mover import Alone
from mstbucket.sync.plan import Kind


class Remote:
    """The objects of `place`, whose prefix is "" or a text that ends with a slash."""

    kind = Kind.S3

    def __init__(self, place: S3Place, wanted: Wanted) -> None:
        self.bucket = S3Bucket(place)
        self.prefix = place.prefix
        self._wanted = wanted

    def require(self) -> None:
        """Raise `NoSuchBucket` if there is no such bucket, and `NoSuchKey` if nothing is below the prefix."""
        self.bucket.require()
        if self.prefix and next(self.bucket.list(self.prefix), None) is None:  # [SYNC-1] as for a bucket of ours
            raise NoSuchKey(f"there is nothing under {self.bucket.place}")

    def entries(self) -> Iterator[Entry]:
        """The objects in key order. The prefix itself has the key ""."""
        self.bucket.require()
        skip = len(self.prefix)
        for item in self.bucket.list(self.prefix):
            below = item.key[skip:]
            if self._wanted(below):
                yield Entry(below, item.size, milliseconds(item.modified), item.etag)

    def key(self, entry: Entry) -> str:
        """The whole key of an entry of either side."""
        return self.prefix + entry.key

    def delete(self, targets: Sequence[Entry]) -> Iterator[tuple[Entry, Exception | None]]:
        """Remove objects, up to 1,000 by one request."""
        if targets:
            failed = self.bucket.delete_many([self.key(target) for target in targets])
            yield from ((target, failed.get(self.key(target))) for target in targets)

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Turn a failure of the service inside the block into one of this object alone, if it is one: see `alone`."""
        try:
            yield
        except StorageError as error:
            raise self.alone(error) from error

    def alone(self, error: StorageError) -> Exception:
        """The error to raise for *error* of the service: of one object, where the service answers all the same.

        An archived object, or one that a policy denies, must not keep all others from moving.
        """
        try:
            self.bucket.check()
        except StorageError:
            return error
        return Alone(error)


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return round(moment.timestamp() * 1000)
