"""A store whose blobs are at a real service, made again without its database."""

from __future__ import annotations

import io
import random
from typing import Any

import pytest

import mstbucket
from mstbucket import Store

pytestmark = pytest.mark.s3


def test_a_store_at_a_service_comes_back(corner: Any, database_url: str, second_database_url: str) -> None:
    """[REB-3] [REB-13] [REB-27]: with large bodies that are stepped over, and a legal hold."""
    source = random.Random(2)
    with mstbucket.open(database=database_url, blobs=corner.url(None), background=False) as store:
        bucket = store.create_bucket("things", object_lock=True)
        for n in range(200):
            bucket.put_object(f"small/{n}", source.randbytes(100 + n))
        for n in range(2):
            bucket.put_object(f"large/{n}", source.randbytes(5 << 20))
        bucket.put_object_legal_hold("large/0", True)
        commit = bucket.flush()
        before = io.BytesIO()
        bucket.export_car(before)
    report = Store.rebuild(database=second_database_url, blobs=corner.url(None))
    (rebuilt,) = report.buckets
    assert (rebuilt.commit, rebuilt.objects, rebuilt.locks, rebuilt.is_whole) == (commit.cid, 202, 1, True)
    with mstbucket.open(database=second_database_url, blobs=corner.url(None), background=False) as again:
        bucket = again.bucket("things")
        assert bucket.flush().cid == commit.cid
        assert bucket.get_object_legal_hold("large/0") is True
        after = io.BytesIO()
        bucket.export_car(after)
        assert after.getvalue() == before.getvalue()
