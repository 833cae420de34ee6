"""Files on a real service, to push to and to pull from."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import pytest

import mstbucket
from mstbucket.remote.shared_prefix import SharedPrefix
from mstbucket.services.remotes import file_push

pytestmark = pytest.mark.s3


def test_a_bucket_goes_to_a_service_and_comes_back(
    corner: Any, bucket: mstbucket.Bucket, second_store: mstbucket.Store
) -> None:
    """[FOLD-10] With a body that goes in parts; a file that a push left behind is not sent again."""
    remote = mstbucket.FileRemote(corner.url())
    rng = random.Random(1)
    for n in range(20):
        bucket.put_object(f"k{n}", rng.randbytes(3000))
    bucket.put_object("large", rng.randbytes(18 << 20))
    assert bucket.push(remote).outcome == "made"
    assert second_store.pull(remote.bucket("things")).outcome == "made"
    bucket.put_object("k1", b"new")
    bucket.flush()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_push._Push, "_swap", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bucket.push(remote)
    report = bucket.push(remote)
    assert (report.outcome, report.bytes) == ("moved", 0)
    report = second_store.pull(remote.bucket("things"))
    assert (report.outcome, report.commit) == ("moved", bucket.head_commit().cid)  # type: ignore[union-attr]
    second_store.bucket("things").verify()
    head = next(name for name in corner.names() if name.endswith("/head"))
    for line in corner.read(head).decode().splitlines():
        if not line.startswith("#"):
            sha256, name = line.split("  ")
            assert hashlib.sha256(corner.read(head.replace("head", name))).hexdigest() == sha256
    assert len(corner.names()) == 3  # nothing stays of what was tried
    assert corner.uploads() == []


def test_of_two_who_replace_a_head_one_wins(corner: Any) -> None:
    """[FOLD-9]"""
    files, others = (SharedPrefix(corner.place()) for _ in range(2))
    assert list(files.folders()) == []
    assert files.read("a/head", 100) is None
    assert files.swap("a/head", None, b"one")
    assert not others.swap("a/head", None, b"two")
    seen = files.read("a/head", 100)
    assert seen is not None
    assert seen.data == b"one"
    assert others.swap("a/head", seen, b"three")
    assert not files.swap("a/head", seen, b"four")
    corner.remove("a/head")
    assert not files.swap("a/head", seen, b"five")
    for folder in ("a", "b", "b0", "c"):
        corner.write(f"{folder}/x", b"")
        corner.write(f"{folder}/y", b"")
    corner.write("file", b"")
    assert list(files.folders()) == ["a", "b", "b0", "c"]
