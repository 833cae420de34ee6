"""Processes killed in the middle of a pull: the bucket is at the old commit or at the new one, and the next pull goes on."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import mstbucket

PULLER = """
import os, signal, sys
import mstbucket
from mstbucket.index import following
from mstbucket.services.remotes import pull
from mstbucket.services.remotes.peer import StorePeer

ours, our_blobs, theirs, their_blobs, point = sys.argv[1:]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

get_many, left = StorePeer.get_many, [int(point) if point.isdecimal() else -1]

def counted(self, cids):
    left[0] -= 1
    if left[0] == 0:
        die()
    return get_many(self, cids)

StorePeer.get_many = counted
if point == "in the switch":
    following.move = die
if point == "behind the switch":
    pull.publish_made = die
with (
    mstbucket.open(database=ours, blobs=our_blobs, background=False) as store,
    mstbucket.open(database=theirs, blobs=their_blobs, background=False) as other,
):
    store.pull(other.bucket("things"))
"""


def test_a_pull_killed_at_any_point_is_whole_or_not_at_all(
    bucket: mstbucket.Bucket, second_store: mstbucket.Store, database_url: str, second_database_url: str, tmp_path: Path
) -> None:
    """[RMT-1] [RMT-6] Between two requests, in the switch, and behind it; what came before the kill in full packs stays."""
    rng = random.Random(3)
    for n in range(40):
        bucket.put_object(f"k{n}", rng.randbytes(2000))
    bucket.push(second_store)
    for n in range(20):
        bucket.put_object(f"k{n}", rng.randbytes(2000))
    bucket.put_object("large", rng.randbytes(70 << 20))
    bucket.flush()
    new, copy = bucket.head_commit(), second_store.bucket("things")
    old = copy.head_commit()
    assert new is not None
    assert old is not None
    places = [second_database_url, str(tmp_path / "blobs-2"), database_url, str(tmp_path / "blobs")]
    for point, expected in (("1", old), ("3", old), ("8", old), ("in the switch", old), ("behind the switch", new)):
        ended = subprocess.run([sys.executable, "-c", PULLER, *places, point], check=False, timeout=300)
        assert ended.returncode == -signal.SIGKILL, point
        head = copy.head_commit()
        assert head is not None
        assert head.cid == expected.cid, point
        copy.verify()
    assert second_store.pull(bucket).outcome == "same"
    copy.flush()  # which publishes what the kill left unpublished
    assert copy.get_object("large").read() == bucket.get_object("large").read()


@pytest.mark.parametrize("point", ["2", "5"])
def test_a_first_pull_that_is_killed_leaves_no_bucket(
    bucket: mstbucket.Bucket, second_store: mstbucket.Store, database_url: str, second_database_url: str, tmp_path: Path,
    point: str,
) -> None:  # fmt: skip
    """[RMT-7]"""
    rng = random.Random(4)
    for n in range(300):
        bucket.put_object(f"k{n}", rng.randbytes(2000))
    bucket.put_object("large", rng.randbytes(70 << 20))
    bucket.flush()
    places = [second_database_url, str(tmp_path / "blobs-2"), database_url, str(tmp_path / "blobs")]
    ended = subprocess.run([sys.executable, "-c", PULLER, *places, point], check=False, timeout=300)
    assert ended.returncode == -signal.SIGKILL
    assert second_store.list_buckets() == []
    assert second_store.pull(bucket).outcome == "made"
    second_store.bucket("things").verify()
