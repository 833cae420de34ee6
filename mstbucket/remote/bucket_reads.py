"""One bucket of an S3-compatible service, as far as it is read: its objects, by their whole keys, and their listing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mstbucket.errors import NoSuchBucket, NoSuchKey, StorageError
from mstbucket.limits import LIST_KEYS_MAX
from mstbucket.remote.attempts import Attempts
from mstbucket.remote.client import make_client
from mstbucket.remote.download import S3Stream, read_exactly
from mstbucket.remote.failures import server_time
from mstbucket.remote.objects import S3Listed, S3Object, bare
from mstbucket.remote.place import S3Place


@dataclass(frozen=True, slots=True)
class _Listing:
    """One page of a listing: its items, whether more follow, how to ask for these, and the service's clock."""

    items: tuple[S3Listed, ...]
    truncated: bool
    next: str
    time: datetime | None

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> _Listing:
        items = tuple(
            S3Listed(item["Key"], item["Size"], bare(item.get("ETag")), item["LastModified"])
            for item in answer.get("Contents", ())
        )
        next_, time = answer.get("NextContinuationToken", ""), server_time(answer.get("ResponseMetadata", {}))
        return cls(items, bool(answer.get("IsTruncated")), next_, time)


class S3BucketReads:
    """The part of `S3Bucket` that changes nothing."""

    def __init__(self, place: S3Place) -> None:
        self.place = place
        self._client = make_client(place)
        self._bucket = {"Bucket": place.bucket}

    def __repr__(self) -> str:
        return f"S3Bucket({str(self.place)!r})"

    def head(self, key: str) -> S3Object:
        """Everything about an object but its bytes.

        Raises:
            NoSuchKey: there is none of that key.
            StorageError: the service failed, or there is no such bucket.
        """
        attempts = Attempts("an object cannot be looked at", self._where(key))
        try:
            return attempts.run(lambda: S3Object.from_answer(key, self._client.head_object(**self._bucket, Key=key)))
        except (NoSuchKey, StorageError):
            self._explain(attempts.code)
            raise

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Exactly `length` bytes, at least one, from byte `start` on.

        Raises:
            NoSuchKey: there is none of that key.
            StorageError: it ends before, or the service failed. Never fewer bytes.
        """
        return read_exactly(self._client, self.place.bucket, key, start, length)

    def open_read(self, key: str) -> S3Stream:
        """A stream over an object's bytes, from one request; `S3Stream.object` is what `head` gives. Close it.

        Raises:
            NoSuchKey: there is none of that key.
            StorageError: the service failed.
        """
        return S3Stream(self._client, self.place.bucket, key)

    def list(self, prefix: str = "", after: str = "", *, page: int = LIST_KEYS_MAX) -> Iterator[S3Listed]:
        """Iterate over the objects whose keys start with `prefix` and stand above `after`, by key, `page` a request.

        Raises:
            StorageError: the service failed, also in the middle. A listing that ends without an error is complete.
        """
        given: dict[str, Any] = {"Prefix": prefix, "MaxKeys": page}
        if after:
            given["StartAfter"] = after
        while True:
            found = self._list_page(given)
            yield from found.items
            if not found.truncated:
                return
            if not found.next:
                raise StorageError(f"{self._where(prefix)}: the service broke off a listing without saying how to go on")
            given["ContinuationToken"] = found.next

    def check(self) -> None:
        """Return if the bucket can be listed; raises `StorageError` that says why not."""
        self._list_page({"MaxKeys": 1})

    def require(self) -> None:
        """As `check`, for a bucket that is a source or target and not the place of a store.

        Raises:
            NoSuchBucket: there is none of that name on the service.
            StorageError: the service failed.
        """
        attempts = Attempts("a bucket cannot be listed", self._where(""))
        try:
            self._try_list_page(attempts, {"MaxKeys": 1})
        except StorageError as error:
            if attempts.code == "NoSuchBucket":
                raise NoSuchBucket(str(error)) from error
            raise

    def server_time(self) -> datetime | None:
        """The service's clock, to the second; None where it does not tell."""
        return self._list_page({"MaxKeys": 1}).time

    def _explain(self, code: str) -> None:
        """The answer to HEAD has no body, so it says little, and a missing bucket looks like a missing key: ask further."""
        attempts = Attempts("a bucket cannot be looked at", self._where(""))
        try:
            if code == "404":
                attempts.run(lambda: self._client.head_bucket(**self._bucket))
        except (NoSuchKey, StorageError):
            self.check()
        if code in ("400", "403", "301"):
            self.check()

    def _list_page(self, given: dict[str, Any]) -> _Listing:
        return self._try_list_page(Attempts("a bucket cannot be listed", self._where(given.get("Prefix", ""))), given)

    def _try_list_page(self, attempts: Attempts, given: dict[str, Any]) -> _Listing:
        return attempts.run(lambda: _Listing.from_answer(self._client.list_objects_v2(**self._bucket, **given)))

    def _where(self, key: str) -> str:
        at = "" if self.place.endpoint is None else f" at {self.place.endpoint}"
        return f"s3://{self.place.bucket}/{key}{at}"
