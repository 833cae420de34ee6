"""Times that no calendar of Python holds: a foreign manifest may state any up to 2^63 - 1 ms ([MAN-7])."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.cli.output import iso, local_time
from mstbucket.core.times import EARLIEST_MS, LATEST_MS, moment

LAST = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)


def test_every_number_of_milliseconds_is_some_moment() -> None:
    """Exact inside the calendar, its ends outside."""
    assert moment(LATEST_MS) == moment(LATEST_MS + 1) == moment(2**63 - 1) == LAST
    assert moment(LATEST_MS - 1) == LAST.replace(microsecond=998000)
    first = datetime(1, 1, 1, tzinfo=UTC)
    assert moment(EARLIEST_MS) == moment(EARLIEST_MS - 1) == moment(-(2**63)) == first
    assert moment(-1) == datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["Etc/GMT-14", "Etc/GMT+12", "UTC"])
@pytest.mark.parametrize("ms", [-(2**63), EARLIEST_MS, 0, LATEST_MS, 2**63 - 1])
def test_every_moment_can_be_shown_in_every_time_zone(zone: str, ms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert len(local_time(moment(ms))) >= 16
        assert iso(moment(ms)).endswith("Z")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_an_object_of_the_last_millisecond_goes_every_way(
    bucket: mstbucket.Bucket, second_store: mstbucket.Store, clock: Any, tmp_path: Path
) -> None:
    """[MAN-7] put, listed, read on conditions, copied, flushed, exported, verified, imported, copied across."""
    bucket.put_bucket_versioning("Enabled")
    clock.ms = 2**63 - 1
    bucket.put_object("k", b"bytes")
    upload = bucket.create_multipart_upload("m")
    assert upload.initiated == LAST
    part = bucket.upload_part("m", upload.id, 1, b"part")
    assert bucket.list_parts("m", upload.id).parts[0] == part
    bucket.complete_multipart_upload("m", upload.id, [part])
    bucket.delete_object("gone")
    bucket.flush()
    bucket.export_car(tmp_path / "x.car")
    mstbucket.verify_car(tmp_path / "x.car")
    there = second_store.import_car(tmp_path / "x.car")
    for one in (bucket, there):
        assert one.head_object("k").last_modified == LAST
        assert one.get_object("k", if_unmodified_since=LAST).read() == b"bytes"
        with pytest.raises(mstbucket.errors.NotModified):
            one.get_object("k", if_modified_since=LAST)
        assert {item.last_modified for item in one.objects()} == {LAST}
        assert {version.last_modified for version in one.list_object_versions().versions} == {LAST}
        one.verify()
    with second_store._context.db.connection() as connection:
        rows = connection.execute("SELECT last_modified::text FROM mstbucket.v_objects").fetchall()
    assert {row[0] for row in rows} == {"infinity"}
    there.copy_object("k", "copied", source_bucket=bucket)
    assert there.get_object("copied").read() == b"bytes"
    assert there.head_commit() is not None
