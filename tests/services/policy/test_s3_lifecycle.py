"""Lifecycle rules: one test for each thing that S3 does, by its name. Time is a clock that the tests move."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket import LifecycleReport, LifecycleRule, Retention, errors
from mstbucket.errors import InvalidInput, InvalidRequest, InvalidTag
from mstbucket.services.policy import lifecycle_pass as expiring
from mstbucket.services.upkeep import worker

FAR = datetime(2100, 1, 1, tzinfo=UTC)
NOTHING = LifecycleReport(0, 0, 0, 0)
HOUR_MS = 3600 * 1000

Rules = list[LifecycleRule]


def ms(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def run(bucket: mstbucket.Bucket, clock: Any) -> LifecycleReport:
    return expiring.run(bucket._context, bucket.name, clock.ms)


def keys(bucket: mstbucket.Bucket) -> list[str]:
    return [o.key for o in bucket.objects()]


def history(bucket: mstbucket.Bucket, key: str = "k") -> list[str | None]:
    """The versions of a key, newest first: their bodies, and None for a delete marker."""
    return [
        None if v.delete_marker else bucket.get_object(key, version_id=v.version_id).read().decode()
        for v in bucket.list_object_versions(key).versions
        if v.key == key
    ]


@pytest.fixture
def versioned(bucket: mstbucket.Bucket) -> mstbucket.Bucket:
    bucket.put_bucket_versioning("Enabled")
    return bucket


# --- the configuration ---------------------------------------------------------------------------------------------------

FULL: Rules = [
    LifecycleRule("logs", prefix="logs/", expiration_days=30, noncurrent_days=7, newer_noncurrent_versions=3,
                  abort_incomplete_multipart_upload_days=2),
    LifecycleRule("tagged", enabled=False, tags={"kind": "tmp", "größe": ""}, object_size_greater_than=0,
                  object_size_less_than=5 << 40, expiration_date=datetime(2030, 1, 2, tzinfo=UTC)),
    LifecycleRule("x" * 255, expired_object_delete_marker=True),
]  # fmt: skip


def test_rules_come_back_as_they_were_put(bucket: mstbucket.Bucket) -> None:
    """[LIFE-1]: in order; a configuration takes the place of the one before; a rule without an id gets one."""
    with pytest.raises(errors.NoSuchLifecycleConfiguration) as caught:
        bucket.get_bucket_lifecycle_configuration()
    assert (caught.value.code, caught.value.status) == ("NoSuchLifecycleConfiguration", 404)
    bucket.put_bucket_lifecycle_configuration([LifecycleRule(expiration_days=1), LifecycleRule(expiration_days=1)])
    first, second = bucket.get_bucket_lifecycle_configuration()
    assert first.id
    assert second.id
    assert first.id != second.id
    bucket.put_bucket_lifecycle_configuration(FULL)
    assert bucket.get_bucket_lifecycle_configuration() == FULL
    for _ in range(2):
        bucket.delete_bucket_lifecycle()
        with pytest.raises(errors.NoSuchLifecycleConfiguration):
            bucket.get_bucket_lifecycle_configuration()


def test_1000_rules_fit(bucket: mstbucket.Bucket) -> None:
    """[LIFE-1]."""
    rules = [LifecycleRule(f"{n}", prefix=f"{n}/", expiration_days=n + 1) for n in range(1000)]
    bucket.put_bucket_lifecycle_configuration(rules)
    assert bucket.get_bucket_lifecycle_configuration() == rules
    with pytest.raises(InvalidRequest):
        bucket.put_bucket_lifecycle_configuration([*rules, LifecycleRule("more", expiration_days=1)])
    assert len(bucket.get_bucket_lifecycle_configuration()) == 1000


REFUSED: list[tuple[str, type[Exception], Rules]] = [
    ("no rule", InvalidInput, []),
    ("a rule without an action", InvalidRequest, [LifecycleRule(prefix="a")]),
    ("an id twice", InvalidInput, [LifecycleRule("a", expiration_days=1), LifecycleRule("a", expiration_days=2)]),
    ("an id of 256 characters", InvalidInput, [LifecycleRule("x" * 256, expiration_days=1)]),
    ("an empty id", InvalidInput, [LifecycleRule("", expiration_days=1)]),
    ("0 days", InvalidInput, [LifecycleRule(expiration_days=0)]),
    ("-1 days", InvalidInput, [LifecycleRule(expiration_days=-1)]),
    ("half a day", InvalidInput, [LifecycleRule(expiration_days=0.5)]),  # type: ignore[arg-type]
    ("2^31 days", InvalidInput, [LifecycleRule(expiration_days=2**31)]),
    ("0 noncurrent days", InvalidInput, [LifecycleRule(noncurrent_days=0)]),
    ("0 newer versions", InvalidInput, [LifecycleRule(noncurrent_days=1, newer_noncurrent_versions=0)]),
    ("101 newer versions", InvalidInput, [LifecycleRule(noncurrent_days=1, newer_noncurrent_versions=101)]),
    ("newer versions without days", InvalidInput, [LifecycleRule(newer_noncurrent_versions=1, expiration_days=1)]),
    ("0 days of uploads", InvalidInput, [LifecycleRule(abort_incomplete_multipart_upload_days=0)]),
    ("days and a date", InvalidInput, [LifecycleRule(expiration_days=1, expiration_date=FAR)]),
    ("days and delete markers", InvalidInput, [LifecycleRule(expiration_days=1, expired_object_delete_marker=True)]),
    ("a date and delete markers", InvalidInput,
     [LifecycleRule(expiration_date=FAR, expired_object_delete_marker=True)]),
    ("a date that is no midnight", InvalidInput, [LifecycleRule(expiration_date=FAR + timedelta(hours=1))]),
    ("a midnight elsewhere", InvalidInput,
     [LifecycleRule(expiration_date=datetime(2100, 1, 1, tzinfo=timezone(timedelta(hours=1))))]),
    ("a date without a time zone", InvalidInput, [LifecycleRule(expiration_date=datetime(2100, 1, 1))]),
    ("delete markers by tags", InvalidRequest, [LifecycleRule(expired_object_delete_marker=True, tags={"a": "b"})]),
    ("delete markers by size", InvalidRequest,
     [LifecycleRule(expired_object_delete_marker=True, object_size_less_than=1)]),
    ("uploads by tags", InvalidRequest,
     [LifecycleRule(abort_incomplete_multipart_upload_days=1, tags={"a": "b"})]),
    ("uploads by size", InvalidRequest,
     [LifecycleRule(abort_incomplete_multipart_upload_days=1, object_size_greater_than=1)]),
    ("sizes that no object has", InvalidRequest,
     [LifecycleRule(expiration_days=1, object_size_greater_than=5, object_size_less_than=5)]),
    ("a negative size", InvalidInput, [LifecycleRule(expiration_days=1, object_size_greater_than=-1)]),
    ("less than 0 bytes", InvalidInput, [LifecycleRule(expiration_days=1, object_size_less_than=0)]),
    ("a tag key of 129 characters", InvalidTag, [LifecycleRule(expiration_days=1, tags={"k" * 129: ""})]),
    ("11 tags", InvalidTag, [LifecycleRule(expiration_days=1, tags={f"{n}": "" for n in range(11)})]),
    ("a prefix that is no text", InvalidInput, [LifecycleRule(expiration_days=1, prefix=1)]),  # type: ignore[arg-type]
    ("tags that are no map", InvalidInput, [LifecycleRule(expiration_days=1, tags=["a"])]),  # type: ignore[arg-type]
    ("enabled by a text", InvalidInput, [LifecycleRule(expiration_days=1, enabled="no")]),  # type: ignore[arg-type]
    ("a prefix with NUL", InvalidInput, [LifecycleRule(expiration_days=1, prefix="a\0")]),
]  # fmt: skip


@pytest.mark.parametrize(("error", "rules"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_configuration_that_s3_refuses_is_refused_as_a_whole(
    bucket: mstbucket.Bucket, error: type[Exception], rules: Rules
) -> None:
    """[LIFE-1], [LIFE-2], [LIFE-3]: a good rule beside it changes nothing, and the one before stays."""
    bucket.put_bucket_lifecycle_configuration(FULL)
    with pytest.raises(error) as caught:
        bucket.put_bucket_lifecycle_configuration(rules)
    assert type(caught.value) is error
    if rules:
        with pytest.raises(error):
            bucket.put_bucket_lifecycle_configuration([LifecycleRule("good", expiration_days=1), *rules])
    assert bucket.get_bucket_lifecycle_configuration() == FULL


def test_rules_do_not_travel_and_go_with_their_bucket(
    store: mstbucket.Store, bucket: mstbucket.Bucket, second_store: mstbucket.Store
) -> None:
    """[LIFE-14]."""
    before = bucket.flush()
    bucket.put_bucket_lifecycle_configuration(FULL)
    assert bucket.flush() == before
    target = io.BytesIO()
    bucket.export_car(target)
    target.seek(0)
    with pytest.raises(errors.NoSuchLifecycleConfiguration):
        second_store.import_car(target).get_bucket_lifecycle_configuration()
    store.delete_bucket("things")
    for verb in (bucket.get_bucket_lifecycle_configuration, bucket.delete_bucket_lifecycle, bucket.run_lifecycle):
        with pytest.raises(errors.NoSuchBucket):
            verb()


# --- current objects -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "days", "expires"),
    [
        ("2014-01-15T10:30:00", 3, "2014-01-19"),  # the example of S3's documentation
        ("2014-01-15T00:00:00.001", 1, "2014-01-17"),
        ("2014-01-15T00:00:00", 1, "2014-01-16"),
        ("2014-01-15T23:59:59.999", 1, "2014-01-17"),
        ("2016-02-28T12:00:00", 1, "2016-03-01"),
    ],
)  # fmt: skip
def test_days_are_rounded_up_to_the_next_midnight_utc(
    bucket: mstbucket.Bucket, clock: Any, written: str, days: int, expires: str
) -> None:
    """[LIFE-4]."""
    clock.ms = ms(datetime.fromisoformat(written).replace(tzinfo=UTC))
    bucket.put_object("k", b"")
    bucket.put_bucket_lifecycle_configuration([LifecycleRule(expiration_days=days)])
    clock.ms = ms(datetime.fromisoformat(expires).replace(tzinfo=UTC)) - 1
    assert run(bucket, clock) == NOTHING
    clock.ms += 1
    assert run(bucket, clock) == LifecycleReport(1, 0, 0, 0)
    assert keys(bucket) == []


OBJECTS = {
    "a": {}, "logs/1": {"tags": {"x": "1"}}, "logs/2": {"tags": {"x": "1", "y": "2"}}, "logs0": {"tags": {"y": "2"}},
    "logs/写": {"tags": {"x": "2"}}, "z": {"tags": {"z": ""}},
}  # fmt: skip
SIZES = {"a": 0, "logs/1": 1, "logs/2": 10, "logs0": 11, "logs/写": 100, "z": 70_000}


@pytest.mark.parametrize(
    ("rules", "gone"),
    [
        ([LifecycleRule(expiration_days=1)], "a logs/1 logs/2 logs0 logs/写 z"),
        ([LifecycleRule(expiration_days=2)], ""),
        ([LifecycleRule(expiration_days=1, enabled=False)], ""),
        ([LifecycleRule(expiration_days=1, prefix="logs/")], "logs/1 logs/2 logs/写"),
        ([LifecycleRule(expiration_days=1, prefix="logs/写")], "logs/写"),
        ([LifecycleRule(expiration_days=1, prefix="logs/x")], ""),
        ([LifecycleRule(expiration_days=1, tags={"x": "1"})], "logs/1 logs/2"),
        ([LifecycleRule(expiration_days=1, tags={"x": "1", "y": "2"})], "logs/2"),
        ([LifecycleRule(expiration_days=1, tags={"z": ""})], "z"),
        ([LifecycleRule(expiration_days=1, object_size_greater_than=10)], "logs0 logs/写 z"),
        ([LifecycleRule(expiration_days=1, object_size_greater_than=0)], "logs/1 logs/2 logs0 logs/写 z"),
        ([LifecycleRule(expiration_days=1, object_size_less_than=10)], "a logs/1"),
        ([LifecycleRule(expiration_days=1, object_size_greater_than=1, object_size_less_than=100)], "logs/2 logs0"),
        ([LifecycleRule(expiration_days=1, prefix="logs/", tags={"x": "2"}, object_size_greater_than=99)], "logs/写"),
        ([LifecycleRule(expiration_days=1, prefix="a"), LifecycleRule(expiration_days=1, prefix="logs/", tags={"y": "2"}),
          LifecycleRule(expiration_days=9, prefix="logs"), LifecycleRule(expiration_days=9)], "a logs/2"),
        ([LifecycleRule(noncurrent_days=1), LifecycleRule(expired_object_delete_marker=True)], ""),
    ],
    ids=["all that is old", "nothing before its time", "a rule that is not enabled", "a prefix", "a whole key",
         "a prefix of nothing", "a tag", "all tags have to be there", "a tag without a value", "more than so many bytes",
         "0 bytes are not more than 0", "fewer than so many bytes", "between two sizes", "all parts of a filter",
         "what any rule says", "rules about versions"],
)  # fmt: skip
def test_current_objects_expire_by_rule_and_filter(
    bucket: mstbucket.Bucket, clock: Any, rules: Rules, gone: str
) -> None:
    """[LIFE-2], [LIFE-5], [LIFE-6]."""
    for key, more in OBJECTS.items():
        bucket.put_object(key, bytes(SIZES[key]), **more)  # type: ignore[arg-type]
    clock.pass_days(0.5)
    bucket.put_object("late", b"x", tags={"x": "1", "y": "2"})
    bucket.put_bucket_lifecycle_configuration(rules)
    clock.pass_days(0.5)
    report = run(bucket, clock)
    assert sorted(set(OBJECTS) - set(keys(bucket))) == sorted(gone.split())
    assert report == LifecycleReport(len(gone.split()), 0, 0, 0)
    assert "late" in keys(bucket)
    assert run(bucket, clock) == NOTHING
    bucket.flush()
    assert bucket.verify().objects == len(OBJECTS) + 1 - len(gone.split())


def test_from_its_date_on_a_rule_expires_everything_whenever_it_was_written(bucket: mstbucket.Bucket, clock: Any) -> None:
    """[LIFE-6]: also what comes after that date, while the rule is there."""
    date = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=clock.ms) + timedelta(days=2)
    bucket.put_bucket_lifecycle_configuration([LifecycleRule(expiration_date=date)])
    bucket.put_object("old", b"")
    clock.pass_days(1.9)
    assert run(bucket, clock) == NOTHING
    clock.pass_days(0.1)
    bucket.put_object("of this moment", b"")
    assert run(bucket, clock) == LifecycleReport(2, 0, 0, 0)
    clock.pass_days(5)
    bucket.put_object("later", b"")
    assert run(bucket, clock) == LifecycleReport(1, 0, 0, 0)


def test_in_a_versioned_bucket_expiration_puts_a_delete_marker(versioned: mstbucket.Bucket, clock: Any) -> None:
    """[LIFE-5]: nothing is lost, and removing the marker brings the object back."""
    versioned.put_object("k", b"1")
    versioned.put_object("k", b"2")
    versioned.put_bucket_lifecycle_configuration([LifecycleRule(expiration_days=1)])
    clock.pass_days(1)
    assert run(versioned, clock) == LifecycleReport(1, 0, 0, 0)
    assert history(versioned) == [None, "2", "1"]
    marker = versioned.list_object_versions().versions[0]
    assert ms(marker.last_modified) == clock.ms
    clock.pass_days(30)
    assert run(versioned, clock) == NOTHING
    versioned.delete_object("k", version_id=marker.version_id)
    assert versioned.get_object("k").read() == b"2"
    versioned.flush()
    versioned.verify()


def test_while_suspended_expiration_removes_the_null_version_and_keeps_the_others(
    versioned: mstbucket.Bucket, clock: Any
) -> None:
    """[LIFE-5]."""
    versioned.put_object("k", b"with id")
    versioned.put_object("with id", b"")
    versioned.put_bucket_versioning("Suspended")
    versioned.put_object("k", b"null")
    versioned.put_bucket_lifecycle_configuration([LifecycleRule(expiration_days=1)])
    clock.pass_days(1)
    assert run(versioned, clock) == LifecycleReport(2, 0, 0, 0)
    assert history(versioned) == [None, "with id"]
    assert history(versioned, "with id") == [None, ""]
    assert {v.version_id for v in versioned.list_object_versions().versions if v.delete_marker} == {"null"}


def test_new_tags_do_not_make_an_object_younger_but_a_copy_onto_itself_does(
    bucket: mstbucket.Bucket, clock: Any
) -> None:
    """[LIFE-5]: counted from Last-Modified."""
    bucket.put_object("tagged", b"")
    bucket.put_object("copied", b"")
    bucket.put_bucket_lifecycle_configuration([LifecycleRule(expiration_days=2, tags={"go": "1"})])
    clock.pass_days(1)
    bucket.put_object_tagging("tagged", {"go": "1"})
    bucket.copy_object(
        "copied", "copied", metadata_directive="REPLACE", tagging_directive="REPLACE", tags={"go": "1"}
    )
    clock.pass_days(1)
    run(bucket, clock)
    assert keys(bucket) == ["copied"]


# --- versions and markers ------------------------------------------------------------------------------------------------


def test_noncurrent_days_are_counted_from_when_the_successor_was_written(
    versioned: mstbucket.Bucket, clock: Any
) -> None:
    """[LIFE-4], [LIFE-7]: with the example of S3's documentation."""
    versioned.put_bucket_lifecycle_configuration([LifecycleRule(noncurrent_days=3)])
    clock.ms = ms(datetime(2014, 1, 1, 10, 30, tzinfo=UTC))
    versioned.put_object("k", b"old")
    versioned.put_object("deleted", b"old")
    clock.ms = ms(datetime(2014, 1, 15, 10, 30, tzinfo=UTC))
    versioned.put_object("k", b"new")
    versioned.delete_object("deleted")
    clock.ms = ms(datetime(2014, 1, 19, tzinfo=UTC)) - 1
    assert run(versioned, clock) == NOTHING
    clock.ms += 1
    assert run(versioned, clock) == LifecycleReport(0, 2, 0, 0)
    assert history(versioned) == ["new"]
    assert history(versioned, "deleted") == [None]
    clock.pass_days(1000)
    assert run(versioned, clock) == NOTHING
    versioned.flush()
    versioned.verify()


def test_a_version_never_became_noncurrent_before_it_was_written(versioned: mstbucket.Bucket, clock: Any) -> None:
    """[LIFE-7]: where the clock of its writer was ahead of its successor's."""
    versioned.put_bucket_lifecycle_configuration([LifecycleRule(noncurrent_days=1)])
    clock.pass_days(2)
    versioned.put_object("k", b"ahead")
    clock.pass_days(-2)
    versioned.put_object("k", b"behind")
    clock.pass_days(2.9)
    assert run(versioned, clock) == NOTHING
    clock.pass_days(0.1)
    assert run(versioned, clock) == LifecycleReport(0, 1, 0, 0)


@pytest.mark.parametrize(
    ("keep", "left"), [(None, "6"), (1, "65"), (3, "6543"), (5, "654321"), (100, "654321")],
    ids=["none kept", "1 kept", "3 kept", "5 kept", "more kept than there are"],
)  # fmt: skip
@pytest.mark.parametrize("deleted", [False, True], ids=["an object on top", "a delete marker on top"])
def test_so_many_of_the_newest_noncurrent_versions_are_kept_whatever_their_age(
    versioned: mstbucket.Bucket, clock: Any, keep: int | None, left: str, deleted: bool
) -> None:
    """[LIFE-8]: of each key by itself; what is current does not count."""
    for key in ("k", "l"):
        for body in "12345" if deleted else "123456":
            versioned.put_object(key, body.encode())
        if deleted:
            versioned.delete_object(key)
    versioned.put_bucket_lifecycle_configuration(
        [LifecycleRule(noncurrent_days=1, newer_noncurrent_versions=keep), LifecycleRule(noncurrent_days=900)]
    )
    clock.pass_days(0.9)
    assert run(versioned, clock) == NOTHING
    clock.pass_days(0.1)
    removed = len("654321") - len(left)
    assert run(versioned, clock) == LifecycleReport(0, 2 * removed, 0, 0)
    for key in ("k", "l"):
        assert history(versioned, key) == [None if deleted and body == "6" else body for body in left]
    assert run(versioned, clock) == NOTHING


def test_noncurrent_versions_are_filtered_by_what_they_themselves_are(versioned: mstbucket.Bucket, clock: Any) -> None:
    """[LIFE-2], [LIFE-7]: not by what is current; delete markers have neither tags nor sizes."""
    versioned.put_object("k", b"1", tags={"go": "1"})
    versioned.put_object("k", b"22", tags={"stay": "1"})
    versioned.delete_object("k")
    versioned.put_object("k", b"333", tags={"go": "1"})
    versioned.put_object("k", b"4", tags={"go": "1"})
    clock.pass_days(1)
    for rule, left in (
        (LifecycleRule(noncurrent_days=1, tags={"go": "2"}), ["4", "333", None, "22", "1"]),
        (LifecycleRule(noncurrent_days=1, tags={"go": "1"}, object_size_less_than=3), ["4", "333", None, "22"]),
        (LifecycleRule(noncurrent_days=1, object_size_greater_than=2), ["4", None, "22"]),
        (LifecycleRule(noncurrent_days=1, prefix="l"), ["4", None, "22"]),
        (LifecycleRule(noncurrent_days=1), ["4"]),
    ):
        versioned.put_bucket_lifecycle_configuration([rule])
        run(versioned, clock)
        assert history(versioned) == left


def test_a_delete_marker_with_nothing_below_it_goes(versioned: mstbucket.Bucket, clock: Any) -> None:
    """[LIFE-9]: one above versions stays, and so does one that is not newest."""
    versioned.delete_object("lone")
    versioned.put_object("above", b"1")
    versioned.delete_object("above")
    versioned.delete_object("below")
    versioned.put_object("below", b"1")
    versioned.delete_object("two")
    versioned.delete_object("two")
    versioned.put_bucket_lifecycle_configuration([LifecycleRule(expired_object_delete_marker=True)])
    assert run(versioned, clock) == LifecycleReport(0, 0, 1, 0)
    assert [v.key for v in versioned.list_object_versions().versions] == ["above", "above", "below", "below", "two", "two"]
    versioned.flush()
    versioned.verify()


def test_expiration_days_also_remove_lone_delete_markers_of_that_age(versioned: mstbucket.Bucket, clock: Any) -> None:
    """[LIFE-9]: but not where the filter asks for tags or sizes."""
    versioned.delete_object("lone")
    clock.pass_days(2)
    for rule, gone in (
        (LifecycleRule(expiration_days=3), 0),
        (LifecycleRule(expiration_days=1, object_size_less_than=9), 0),
        (LifecycleRule(expiration_days=1, tags={"a": "b"}), 0),
        (LifecycleRule(expiration_days=1, prefix="m"), 0),
        (LifecycleRule(expiration_days=2, prefix="lo"), 1),
    ):
        versioned.put_bucket_lifecycle_configuration([rule])
        assert run(versioned, clock) == LifecycleReport(0, 0, gone, 0)


def test_one_pass_clears_what_was_deleted_long_ago(versioned: mstbucket.Bucket, clock: Any) -> None:
    """[LIFE-9], [LIFE-12]: the versions first, then the marker that is left alone; nothing is left for a second pass."""
    for body in (b"1", b"2"):
        versioned.put_object("k", body)
    versioned.delete_object("k")
    versioned.put_bucket_lifecycle_configuration(
        [LifecycleRule(noncurrent_days=3), LifecycleRule(expired_object_delete_marker=True)]
    )
    clock.pass_days(3)
    assert run(versioned, clock) == LifecycleReport(0, 2, 1, 0)
    assert versioned.list_object_versions().versions == ()
    assert run(versioned, clock) == NOTHING


def test_locked_versions_stay_and_go_when_they_are_free(store: mstbucket.Store, clock: Any) -> None:
    """[LIFE-10]: in compliance and governance mode and under a legal hold; delete markers are put above them."""
    bucket = store.create_bucket("locked", object_lock=True)
    locks: dict[str, dict[str, Any]] = {
        "compliance": {"object_lock_mode": "COMPLIANCE", "object_lock_retain_until": FAR},
        "governance": {"object_lock_mode": "GOVERNANCE", "object_lock_retain_until": FAR},
        "hold": {"object_lock_legal_hold": True},
        "free": {},
    }
    for key, lock in locks.items():
        bucket.put_object(key, b"1", **lock)
    bucket.put_bucket_lifecycle_configuration([LifecycleRule(expiration_days=1, noncurrent_days=1)])
    clock.pass_days(1)
    assert run(bucket, clock) == LifecycleReport(4, 0, 0, 0)
    clock.pass_days(2)
    assert run(bucket, clock) == LifecycleReport(0, 1, 1, 0)
    for key in ("compliance", "governance", "hold"):
        assert history(bucket, key) == [None, "1"]
    hold = bucket.list_object_versions("hold").versions[1].version_id
    bucket.put_object_legal_hold("hold", False, version_id=hold)
    version = bucket.list_object_versions("governance").versions[1].version_id
    soon = Retention("GOVERNANCE", datetime.now(UTC) + timedelta(seconds=0.2))
    bucket.put_object_retention("governance", soon, version_id=version, bypass_governance_retention=True)
    with bucket._context.db.reading() as connection:
        connection.execute("SELECT pg_sleep(0.3)")
    assert run(bucket, clock) == LifecycleReport(0, 2, 2, 0)
    assert [v.key for v in bucket.list_object_versions().versions] == ["compliance", "compliance"]


def test_uploads_that_were_begun_long_ago_are_aborted(bucket: mstbucket.Bucket, clock: Any) -> None:
    """[LIFE-11]: more of them than one transaction takes; those of other prefixes and of today stay."""
    clock.pass_days(0.5)
    for n in range(25):
        upload = bucket.create_multipart_upload(f"logs/{n}")
        bucket.upload_part(f"logs/{n}", upload.id, 1, b"part")
    bucket.create_multipart_upload("other")
    clock.pass_days(0.25)
    done = bucket.create_multipart_upload("logs/done")
    part = bucket.upload_part("logs/done", done.id, 1, b"part")
    bucket.complete_multipart_upload("logs/done", done.id, [(1, part.etag)])
    bucket.put_bucket_lifecycle_configuration([LifecycleRule(prefix="logs/", abort_incomplete_multipart_upload_days=1)])
    clock.pass_days(0.75)
    bucket.create_multipart_upload("logs/new")
    assert run(bucket, clock) == NOTHING
    clock.pass_days(0.5)
    assert run(bucket, clock) == LifecycleReport(0, 0, 0, 25)
    assert [upload.key for upload in bucket.list_multipart_uploads().uploads] == ["logs/new", "other"]
    assert keys(bucket) == ["logs/done"]
    assert bucket.complete_multipart_upload("logs/done", done.id, [(1, part.etag)]).etag


# --- how a pass is carried out -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "versioning"),
    [("_expire_objects", None), ("_expire_objects", "Enabled"), ("_expire_versions", "Enabled"),
     ("_expire_markers", "Enabled")],
    ids=["removal", "by a marker", "of noncurrent versions", "of markers"],
)  # fmt: skip
def test_what_was_overwritten_after_it_was_found_does_not_expire(
    bucket: mstbucket.Bucket, clock: Any, monkeypatch: pytest.MonkeyPatch, phase: str, versioning: str | None
) -> None:
    """[LIFE-12]: decided again when the key is held."""
    if versioning is not None:
        bucket.put_bucket_versioning(versioning)
    for key in ("k", "l"):
        if phase == "_expire_markers":
            bucket.delete_object(key)
        else:
            bucket.put_object(key, b"old")
        if phase == "_expire_versions":
            bucket.put_object(key, b"current")
    bucket.put_bucket_lifecycle_configuration([{
        "_expire_objects": LifecycleRule(expiration_days=1),
        "_expire_versions": LifecycleRule(noncurrent_days=1, newer_noncurrent_versions=1),
        "_expire_markers": LifecycleRule(expired_object_delete_marker=True),
    }[phase]])  # fmt: skip
    if phase == "_expire_versions":  # the older of two noncurrent ones is found, then the newer one goes
        for key in ("k", "l"):
            bucket.put_object(key, b"newest")
    clock.pass_days(1)
    act = getattr(expiring, phase)

    def overtaken(batch: Any, candidates: Any) -> int:
        if phase == "_expire_versions":
            version = bucket.list_object_versions("k").versions[1]
            bucket.delete_object("k", version_id=version.version_id)
        else:
            bucket.put_object("k", b"new")
        return int(act(batch, candidates))

    monkeypatch.setattr(expiring, phase, overtaken)
    report = run(bucket, clock)
    assert (report.expired, report.noncurrent, report.delete_markers) == {
        "_expire_objects": (1, 0, 0), "_expire_versions": (0, 1, 0), "_expire_markers": (0, 0, 1),
    }[phase]  # fmt: skip
    kept = "old" if phase == "_expire_versions" else "new"
    assert kept in history(bucket)
    assert history(bucket, "l")[-1:] != [kept]
    bucket.flush()
    bucket.verify()


def test_rules_that_are_removed_during_a_pass_do_nothing_more(
    bucket: mstbucket.Bucket, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[LIFE-12]: from the moment on at which the call that removes them has returned."""
    monkeypatch.setattr(expiring, "BATCH", 1)
    bucket.put_objects(mstbucket.PutRequest(f"{n}", b"") for n in range(5))
    bucket.put_bucket_lifecycle_configuration([LifecycleRule(expiration_days=1)])
    clock.pass_days(1)
    act = expiring._expire_objects
    calls = iter(range(9))

    def changing(batch: Any, candidates: Any) -> int:
        if next(calls) == 1:
            bucket.put_bucket_lifecycle_configuration([LifecycleRule(expiration_days=1, prefix="4")])
        return act(batch, candidates)

    monkeypatch.setattr(expiring, "_expire_objects", changing)
    assert run(bucket, clock) == LifecycleReport(2, 0, 0, 0)
    assert keys(bucket) == ["1", "2", "3"]


@pytest.fixture
def crowded(versioned: mstbucket.Bucket, clock: Any) -> mstbucket.Bucket:
    """Keys under several prefixes, with versions and markers, all due, and as many that are not."""
    for prefix in ("a/", "b/", "c/"):
        for n in range(7):
            for body in ("1", "2", "3")[: 1 + n % 3]:
                versioned.put_object(f"{prefix}{n}", body.encode())
            versioned.delete_object(f"{prefix}deleted {n}")
            versioned.create_multipart_upload(f"{prefix}{n}")
    rules = [
        LifecycleRule(prefix=p, expiration_days=1, noncurrent_days=1, abort_incomplete_multipart_upload_days=1)
        for p in ("c/", "a/", "a/1")
    ]
    versioned.put_bucket_lifecycle_configuration(rules)
    clock.pass_days(1)
    return versioned


DUE = LifecycleReport(14, 12, 14, 14)


def left(bucket: mstbucket.Bucket) -> list[tuple[str, bool]]:
    return [(v.key, v.delete_marker) for v in bucket.list_object_versions().versions]


EXPECTED_LEFT = sorted(
    [(f"{p}/{n}", marker) for p in "ac" for n in range(7) for marker in (True, False)]
    + [(f"b/{n}", False) for n in range(7) for _ in range(1 + n % 3)] + [(f"b/deleted {n}", True) for n in range(7)],
    key=lambda pair: (pair[0].encode(), not pair[1]),
)  # fmt: skip


@pytest.mark.parametrize(("scan", "batch"), [(1, 1), (2, 1), (3, 2), (7, 100), (10_000, 3), (10_000, 1000)])
def test_pages_and_batches_of_any_size_do_the_same(
    crowded: mstbucket.Bucket, clock: Any, monkeypatch: pytest.MonkeyPatch, scan: int, batch: int
) -> None:
    """[LIFE-12]."""
    monkeypatch.setattr(expiring, "SCAN", scan)
    monkeypatch.setattr(expiring, "BATCH", batch)
    monkeypatch.setattr(expiring, "UPLOADS", batch)
    assert run(crowded, clock) == DUE
    assert left(crowded) == EXPECTED_LEFT
    assert run(crowded, clock) == NOTHING
    crowded.flush()
    crowded.verify()


def place_of(bucket: mstbucket.Bucket) -> tuple[Any, ...] | None:
    with bucket._context.db.reading() as connection:
        return connection.execute("SELECT phase, key, seq FROM lifecycle_passes").fetchone()


def age(bucket: mstbucket.Bucket) -> None:
    """What the background work is to find has to be old by the database's own clock."""
    with bucket._context.db.connection() as connection:
        for table in ("objects", "versions"):
            connection.execute(f"UPDATE {table} SET modified = modified - 3 * 86400000")
        connection.execute("UPDATE uploads SET initiated = initiated - 3 * 86400000")


def test_the_background_work_goes_on_where_it_was_and_rests_until_the_next_midnight(
    crowded: mstbucket.Bucket, open_store: Callable[[], mstbucket.Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """[LIFE-13]: a turn at a time, by turns of two stores, which take nobody's work twice."""
    age(crowded)
    monkeypatch.setattr(expiring, "BATCH", 2)
    monkeypatch.setattr(expiring, "TURN", 3)
    contexts = [crowded._context, open_store()._context]
    turns, places = 0, set()
    while expiring.due(contexts[0]):
        expiring.advance(contexts[turns % 2], "things", lambda: False)
        assert place_of(crowded) not in places
        places.add(place_of(crowded))
        turns += 1
    assert turns > 5
    assert left(crowded) == EXPECTED_LEFT
    expiring.advance(contexts[0], "things", lambda: False)
    assert place_of(crowded) in places
    with crowded._context.db.connection() as connection:
        connection.execute("UPDATE lifecycle_passes SET midnight = midnight - 86400000")
    assert expiring.due(contexts[0]) == ["things"]
    expiring.advance(contexts[0], "things", lambda: True)
    assert expiring.due(contexts[0]) == ["things"]
    while expiring.due(contexts[0]):
        expiring.advance(contexts[0], "things", lambda: False)
    crowded.put_bucket_lifecycle_configuration([LifecycleRule("off", expiration_days=1, enabled=False)])
    assert expiring.due(contexts[0]) == []
    crowded.put_bucket_lifecycle_configuration([LifecycleRule(noncurrent_days=1)])
    assert expiring.due(contexts[0]) == ["things"]


def test_a_turn_waits_for_nobody_who_works_on_the_same_pass(crowded: mstbucket.Bucket) -> None:
    """[LIFE-13]: the place in another's hands ends it."""
    expiring.advance(crowded._context, "things", lambda: False)
    before = place_of(crowded)
    with crowded._context.db.connection() as connection:
        connection.execute("UPDATE lifecycle_passes SET phase = 0, key = '', seq = -1")
    with crowded._context.db.transaction() as connection:
        connection.execute("SELECT 1 FROM lifecycle_passes FOR UPDATE")
        expiring.advance(crowded._context, "things", lambda: False)
    assert place_of(crowded) == (0, "", -1)
    expiring.advance(crowded._context, "things", lambda: False)
    assert place_of(crowded) == before


def test_an_open_store_carries_out_the_rules_by_itself_and_says_so(
    crowded: mstbucket.Bucket,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """[LIFE-13]."""
    age(crowded)
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.01)
    with caplog.at_level(logging.INFO, "mstbucket"):
        with mstbucket.open(database=database_url, blobs=tmp_path / "blobs") as store:
            for _ in range(3000):
                if not expiring.due(store._context):
                    break
                with store._context.db.reading() as connection:
                    connection.execute("SELECT pg_sleep(0.01)")
            assert expiring.due(store._context) == []
        assert left(crowded) == EXPECTED_LEFT
    assert "14 objects expired" in caplog.text
    assert crowded.run_lifecycle() == NOTHING
