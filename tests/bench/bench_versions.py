"""Versions: what a long history costs a delete, a read and a put; and what versioning costs a put at all.

Wall time, since the database works in another process. Floors are the same calls on a key with two versions.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence

from rows import Row

import mstbucket
from mstbucket import PutRequest

LONG = 10_000  # versions of one key
ROUNDS = 60


def run() -> list[Row]:
    """All figures of versions."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, mstbucket.open(folder, background=False) as store:
        bucket = store.create_bucket("versions")
        plain = store.create_bucket("plain")
        bucket.put_bucket_versioning("Enabled")
        bucket.put_objects(PutRequest("long", b"") for _ in range(LONG))
        bucket.put_objects(PutRequest(f"short{n:05}", bytes([i])) for n in range(LONG // 2) for i in range(2))
        bucket.flush()
        return [_delete(bucket), _read(bucket), _put(bucket), _page(bucket), _versioning(bucket, plain)]


def _medians(work: Sequence[Callable[[], object]], floor: Sequence[Callable[[], object]]) -> tuple[float, float]:
    """The medians of both in ms. Their calls alternate, so that both meet the same noise."""
    took: tuple[list[float], list[float]] = ([], [])
    for pair in zip(work, floor, strict=True):
        for call, times in zip(pair, took, strict=True):
            start = time.perf_counter()
            call()
            times.append(1000 * (time.perf_counter() - start))
    return statistics.median(took[0]), statistics.median(took[1])


def _ids(bucket: mstbucket.Bucket, key: str, skip: int) -> list[str]:
    page = bucket.list_object_versions(key)
    while skip >= 1000:
        page = bucket.list_object_versions(
            key, key_marker=page.next_key_marker, version_id_marker=page.next_version_id_marker
        )
        skip -= 1000
    return [version.version_id for version in page.versions]


def _delete(bucket: mstbucket.Bucket) -> Row:
    deep = _ids(bucket, "long", 5000)[:ROUNDS]
    short = [(f"short{n:05}", _ids(bucket, f"short{n:05}", 0)[1]) for n in range(ROUNDS)]
    work = [lambda name=name: bucket.delete_object("long", version_id=name) for name in deep]  # type: ignore[misc]
    ms, floor = _medians(work, [lambda k=k, v=v: bucket.delete_object(k, version_id=v) for k, v in short])  # type: ignore[misc]
    return Row("delete a version of 10,000", ms, "ms", "of 2", ms / floor, "<= 1.2", ms / floor <= 1.2)


def _read(bucket: mstbucket.Bucket) -> Row:
    deep = _ids(bucket, "long", 3000)[:ROUNDS]
    short = [(f"short{n:05}", _ids(bucket, f"short{n:05}", 0)[1]) for n in range(100, 100 + ROUNDS)]
    work = [lambda name=name: bucket.head_object("long", version_id=name) for name in deep]  # type: ignore[misc]
    ms, floor = _medians(work, [lambda k=k, v=v: bucket.head_object(k, version_id=v) for k, v in short])  # type: ignore[misc]
    return Row("head of a version of 10,000", ms, "ms", "of 2", ms / floor, "<= 1.2", ms / floor <= 1.2)


def _put(bucket: mstbucket.Bucket) -> Row:
    work = [lambda: bucket.put_object("long", b"x")] * ROUNDS
    ms, floor = _medians(work, [lambda: bucket.put_object("short00200", b"x")] * ROUNDS)
    return Row("put on 10,000 versions", ms, "ms", "on 2 and more", ms / floor, "<= 1.2", ms / floor <= 1.2)


def _page(bucket: mstbucket.Bucket) -> Row:
    marker = bucket.list_object_versions("long").next_version_id_marker
    work = [lambda: bucket.list_object_versions("long", key_marker="long", version_id_marker=marker)] * 20
    ms, floor = _medians(work, [lambda: bucket.list_objects("short")] * 20)
    return Row("page of 1,000 versions of one key", ms, "ms", "page of 1,000 keys", ms / floor, "<= 3", ms / floor <= 3)


def _versioning(bucket: mstbucket.Bucket, plain: mstbucket.Bucket) -> Row:
    work, floor_work = (
        [lambda n=n, b=b: b.put_object(f"k{n % 10}", b"x" * 4096) for n in range(200)]  # type: ignore[misc]
        for b in (bucket, plain)
    )
    ms, floor = _medians(work, floor_work)
    return Row("put over a version, 4 KiB", ms, "ms", "put without versioning", ms / floor, "<= 2", ms / floor <= 2)
