"""Leases: a commit that is read stays ([PAST-2] to [PAST-4])."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

import mstbucket
from mstbucket.errors import LeaseLost, NoSuchCommit
from mstbucket.services.tree import leases
from mstbucket.services.tree.leases import hold, hold_newest

Rows = Callable[..., list[tuple[Any, ...]]]


def flushed(bucket: mstbucket.Bucket, text: bytes) -> str:
    """The CID of a commit with one object of this body."""
    bucket.put_object("k", text)
    return bucket.flush().cid


def test_a_lease_counts_by_the_clock_of_the_database_and_goes_at_the_end(bucket: mstbucket.Bucket, rows: Rows) -> None:
    """[PAST-2]"""
    flushed(bucket, b"1")
    _, lease = hold_newest(bucket._context, "things")
    with lease:
        found = rows("SELECT l.cid = c.cid AND l.tree = c.tree AND l.versions IS NULL, l.until - now_ms() "
                             "FROM leases l, commits c")  # fmt: skip
        assert [same for same, _ in found] == [True]
        assert 3_500_000 < int(str(found[0][1])) <= 3_600_000
    assert rows("SELECT 1 FROM leases") == []


def test_there_is_no_lease_on_a_commit_without_a_row(bucket: mstbucket.Bucket, rows: Rows) -> None:
    """[PAST-2]"""
    with pytest.raises(NoSuchCommit):
        hold_newest(bucket._context, "things")
    flushed(bucket, b"1")
    _, lease = hold_newest(bucket._context, "things")
    with lease:
        flushed(bucket, b"2")
        rows("DELETE FROM commits WHERE seq = 1")
        with pytest.raises(NoSuchCommit):
            hold(bucket._context, lease.commit)


def test_a_lease_is_renewed_in_time_and_not_more_often(bucket: mstbucket.Bucket, rows: Rows) -> None:
    """[PAST-2]"""
    flushed(bucket, b"1")
    _, lease = hold_newest(bucket._context, "things")
    with lease:
        rows("UPDATE leases SET until = until - 1000000")
        [(before,)] = rows("SELECT until FROM leases")
        lease.renew()
        assert rows("SELECT until FROM leases") == [(before,)]
        lease._next = 0.0
        lease.renew()
        [(after,)] = rows("SELECT until FROM leases")
        assert int(str(after)) > int(str(before))


def test_a_reader_that_stood_still_goes_on_only_if_the_commit_is_there(bucket: mstbucket.Bucket, rows: Rows) -> None:
    """[PAST-3], [PAST-4]"""
    flushed(bucket, b"1")
    _, lease = hold_newest(bucket._context, "things")
    with lease:
        flushed(bucket, b"2")
        rows("UPDATE leases SET until = 0")
        lease._next = 0.0
        lease.renew()
        assert rows("SELECT count(*) FROM leases WHERE until > now_ms()") == [(1,)]
        rows("DELETE FROM leases")
        rows("DELETE FROM commits WHERE seq = 1")
        lease._next = 0.0
        with pytest.raises(LeaseLost):
            lease.renew()


def test_an_export_and_a_verification_hold_a_lease_while_they_read(
    bucket: mstbucket.Bucket, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PAST-3]: also after other flushes, and whatever the reading raises."""
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.0)
    bucket.put_objects([mstbucket.PutRequest(f"{n:05}", b"x" * 3000 + bytes([n % 256])) for n in range(800)])
    cid = bucket.flush().cid
    seen: list[object] = []

    def look(_done: int) -> None:
        flushed(bucket, b"more")
        seen.extend(rows("SELECT l.cid = c.cid FROM leases l, commits c WHERE c.seq = 1 AND l.until > now_ms()"))

    assert bucket.export_car(io.BytesIO(), progress=look).root == cid
    assert seen
    assert set(seen) == {(True,)}
    seen.clear()
    newest = bucket.flush().cid
    assert bucket.verify(progress=lambda _: seen.extend(rows("SELECT count(*) FROM leases"))).commit == newest
    assert seen
    assert set(seen) == {(1,)}

    class Broken(io.BytesIO):
        def write(self, _data: object) -> int:
            raise OSError(28, "no room")

    with pytest.raises(mstbucket.errors.StorageError):
        bucket.export_car(Broken())
    assert rows("SELECT 1 FROM leases") == []
