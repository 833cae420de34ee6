"""A folder of files, to push to and to pull from."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import mstbucket


def shown(bucket: mstbucket.Bucket) -> list[Any]:
    """What S3 shows of a bucket."""
    return [bucket.list_object_versions(), list(bucket.objects()), bucket.get_bucket_versioning()]


def cid(bucket: mstbucket.Bucket) -> str:
    head = bucket.head_commit()
    assert head is not None
    return head.cid


def test_a_bucket_goes_there_and_comes_back(
    bucket: mstbucket.Bucket, second_store: mstbucket.Store, tmp_path: Path
) -> None:
    place = tmp_path / "there"
    place.mkdir()
    remote = mstbucket.FileRemote(place)
    rng = random.Random(1)
    for n in range(50):
        bucket.put_object(f"k{n}", rng.randbytes(3000))
    assert bucket.push(remote).outcome == "made"
    assert bucket.push(remote).outcome == "same"
    assert second_store.pull(remote.bucket("things")).outcome == "made"
    copy = second_store.bucket("things")
    assert shown(copy) == shown(bucket)
    bucket.put_object("k1", b"new")
    bucket.put_object("large", rng.randbytes(3 << 20))
    bucket.delete_object("k2")
    assert bucket.push(remote).outcome == "moved"
    (folder,) = place.iterdir()
    assert sorted(one.name.split("-")[0] for one in folder.iterdir()) == ["delta", "full", "head"]
    assert second_store.pull(remote.bucket("things")).outcome == "moved"
    assert (shown(copy), cid(copy)) == (shown(bucket), cid(bucket))
    copy.verify()
