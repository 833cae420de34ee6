"""A copy of a bucket in another store goes on with deltas, and stays what the first one is; or nothing happens to it."""

from __future__ import annotations

import io
import random

import pytest

import mstbucket
from mstbucket import errors
from mstbucket.core.car import CarReader, header, section
from tests.services.tree.test_delta import change, delta, exported


def shown(bucket: mstbucket.Bucket) -> list[object]:
    """What S3 shows of a bucket: all versions, and the tags."""
    versions = bucket.list_object_versions()
    assert not versions.is_truncated
    return [versions, list(bucket.objects()), bucket.get_bucket_versioning()]


@pytest.mark.parametrize("versioned", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_chain_of_deltas_keeps_a_copy_the_same(
    bucket: mstbucket.Bucket, second_store: mstbucket.Store, seed: int, versioned: bool
) -> None:
    """[DELTA-6] [DELTA-7] Rows and commit, whatever happened; and the copy can be written to afterwards."""
    rng = random.Random(seed)
    for n in range(30):
        bucket.put_object(f"k{n}", rng.randbytes(100))
    night = bucket.flush().seq
    copy = second_store.import_car(io.BytesIO(exported(bucket)), "copy")
    for step in range(5):
        if step == 1 and versioned:
            bucket.put_bucket_versioning("Enabled")
        if step == 2:
            bucket.put_bucket_tagging({"step": "two"})
        change(bucket, rng)
        before, night = night, bucket.flush().seq
        if night == before:
            continue
        file = delta(bucket, before, night)
        assert second_store.import_car(io.BytesIO(file)).name == "copy"
        assert copy.head_commit() == bucket.head_commit() or copy.head_commit().cid == bucket.head_commit().cid
        assert exported(copy) == exported(bucket)
        assert shown(copy) == shown(bucket)
        copy.verify()
        second_store.import_car(io.BytesIO(file), "copy")  # again: nothing
    assert copy.get_bucket_versioning() == bucket.get_bucket_versioning()
    copy.put_object("k1", b"goes on")
    copy.put_object("new", b"")
    copy.delete_object("k2")
    copy.flush()
    copy.verify()
