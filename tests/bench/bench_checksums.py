"""Checksums: the CRCs beside SHA-256, and what one costs a put, beside the same put without."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from functools import partial

from bench_store import _seconds, _store
from rows import Row

from mstbucket.core.checksums import CRCS, SIZES, Hasher, hasher
from mstbucket.limits import MIB


def _cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def run() -> list[Row]:
    """All figures of checksums."""
    return [*_pure(), *_puts()]


def _pure() -> list[Row]:
    data, count = random.Random(1).randbytes(MIB), 200
    rows = []
    for name in SIZES:
        took, bare = (_cpu(partial(_feed, one, data, count)) for one in (hasher(name), hashlib.sha256()))
        target, met = (">= 2", bare / took >= 2) if name in CRCS else ("-", True)
        rows.append(Row(name, count / 1024 / took, "GiB/s", "SHA-256", bare / took, target, met))
    return rows


def _feed(one: Hasher, data: bytes, count: int) -> None:
    for _ in range(count):
        one.update(data)


def _puts() -> list[Row]:
    small = [random.Random(n).randbytes(4096) for n in range(1000)]
    large = b"".join(random.Random(n).randbytes(MIB) for n in range(64)) * 4
    rows = []
    with _store() as store:
        bucket = store.create_bucket("sums")

        def puts(folder: str, algorithm: str | None) -> float:
            return _seconds(
                lambda: [bucket.put_object(f"{folder}/{n}", b, checksum_algorithm=algorithm) for n, b in enumerate(small)]
            )

        puts("warm", "crc32c")
        for name in ("crc32c", "crc64nvme"):
            ratio = puts(f"bare-{name}", None) / puts(name, name)
            rows.append(Row(f"4 KiB put with {name}", ratio, "x", "the same put without", ratio, ">= 0.85", ratio >= 0.85))
        bare = _seconds(lambda: bucket.put_object("large", large))
        for name in ("crc32c", "sha1"):
            ratio = bare / _seconds(partial(bucket.put_object, "large", large, checksum_algorithm=name))
            rows.append(Row(f"256 MiB put with {name}", ratio, "x", "the same put without", ratio, "-", True))
    return rows
