"""Removal of many keys, in batches. Each batch goes as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mstbucket.api.bucket import Bucket
from mstbucket.core.batches import in_batches
from mstbucket.fsspec.failures import telling, translated
from mstbucket.fsspec.paths import Place
from mstbucket.limits import DELETE_KEYS_MAX


def delete_all(bucket: Bucket, keys: Iterable[str]) -> None:
    """Delete the keys, whether they are there or not, in transactions of 1,000; what a lock protects stays.

    Raises:
        PermissionError: locks protect some; the first is named, and all others are gone.
    """
    refused: Exception | None = None
    for batch in in_batches(keys, DELETE_KEYS_MAX):
        with telling(bucket.name):
            report = bucket.delete_objects(batch)
        for failure in report.errors:
            refused = refused or translated(failure.error, f"{bucket.name}/{failure.key}")
    if refused is not None:
        raise refused


def keys_of_tree(bucket: Bucket, place: Place) -> Iterator[str]:
    """The keys of a folder, also those that only make a folder exist, and the object of the folder's name."""
    if place.key:
        yield place.key
    for item in bucket.objects(place.prefix):
        yield item.key
