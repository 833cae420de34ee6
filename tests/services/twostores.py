"""What tests of two stores share: changes at random, and what is looked at."""

from __future__ import annotations

import random
from typing import Any, Final

import mstbucket

BODIES: Final = [b"", b"one", b"two", b"three" * 1000, b"x" * (1 << 20) + b"y" * 1000]


def change(bucket: mstbucket.Bucket, rng: random.Random, count: int = 5) -> None:
    for _ in range(count):
        key = f"k{rng.randrange(40)}"
        if rng.random() < 0.3:
            bucket.delete_object(key)
        else:
            bucket.put_object(key, rng.choice(BODIES) + rng.randbytes(rng.randrange(3)))


def shown(bucket: mstbucket.Bucket) -> list[Any]:
    """What S3 shows of a bucket."""
    versions = bucket.list_object_versions()
    assert not versions.is_truncated
    return [versions, list(bucket.objects()), bucket.get_bucket_versioning()]


def cid(bucket: mstbucket.Bucket) -> str:
    head = bucket.head_commit()
    assert head is not None
    return head.cid
