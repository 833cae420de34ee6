"""The database is lost, and made again from the blobs alone."""

from __future__ import annotations

import io
from pathlib import Path

import mstbucket


def test_a_store_comes_back_with_the_same_commits_and_exports(
    store: mstbucket.Store, empty_database_url: str, tmp_path: Path
) -> None:
    bucket = store.create_bucket("things")
    for n in range(300):
        bucket.put_object(f"{n % 7}/{n}", b"x" * (n * 10), metadata={"n": str(n)})
    bucket.put_object("large", bytes(3_000_000))
    first = bucket.flush(message="300, and a large one")
    bucket.delete_object("0/0")
    second = bucket.flush()
    before = io.BytesIO()
    bucket.export_car(before)
    identity = store.identity
    store.close()
    report = mstbucket.Store.rebuild(database=empty_database_url, blobs=tmp_path / "blobs")
    assert report.identity == identity
    with mstbucket.open(database=empty_database_url, blobs=tmp_path / "blobs", background=False) as again:
        bucket = again.bucket("things")
        assert bucket.flush().cid == second.cid
        assert list(bucket.log()) == [second, first]  # their messages, too
        after = io.BytesIO()
        bucket.export_car(after)
        assert after.getvalue() == before.getvalue()
        bucket.verify()
