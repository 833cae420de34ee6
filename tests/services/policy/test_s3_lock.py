"""Object lock: one test for each thing that S3 does, by its name."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import mstbucket
from mstbucket import DefaultRetention, PutRequest, Retention, errors
from mstbucket.errors import AccessDenied, InvalidBucketState, InvalidInput, InvalidRequest, MethodNotAllowed

HOUR = timedelta(hours=1)
FAR = datetime(2100, 1, 1, tzinfo=UTC)
FARTHER = FAR + timedelta(days=1)
MODES = pytest.mark.parametrize("mode", ["GOVERNANCE", "COMPLIANCE"])
PART = bytes(5 << 20)


@pytest.fixture
def bucket(store: mstbucket.Store) -> mstbucket.Bucket:
    """An empty bucket with object lock."""
    return store.create_bucket("things", object_lock=True)


@pytest.fixture
def plain(store: mstbucket.Store) -> mstbucket.Bucket:
    """A bucket without object lock."""
    return store.create_bucket("plain")


def put(bucket: mstbucket.Bucket, key: str = "k", **lock: Any) -> str:
    version = bucket.put_object(key, b"body", **lock).version_id
    assert version is not None
    return version


def retained(bucket: mstbucket.Bucket, mode: Any, key: str = "k") -> str:
    return put(bucket, key, object_lock_mode=mode, object_lock_retain_until=FAR)


def versions(bucket: mstbucket.Bucket) -> list[str]:
    return [v.version_id for v in bucket.list_object_versions().versions if not v.delete_marker]


def markers(bucket: mstbucket.Bucket) -> list[str]:
    return [v.version_id for v in bucket.list_object_versions().versions if v.delete_marker]


def let_time_pass(bucket: mstbucket.Bucket) -> None:
    """Every retention of the store ends now."""
    with bucket._context.db.connection() as connection:
        connection.execute("UPDATE locks SET until = now_ms() WHERE until IS NOT NULL")


def lock_rows(bucket: mstbucket.Bucket) -> int:
    with bucket._context.db.reading() as connection:
        row = connection.execute("SELECT count(*) FROM locks").fetchone()
    assert row is not None
    return int(row[0])


# --- the bucket --------------------------------------------------------------------------------------------------------


def test_a_bucket_created_with_object_lock_is_versioned_and_has_no_default(bucket: mstbucket.Bucket) -> None:
    """[LOCK-1], [LOCK-2]."""
    assert bucket.get_bucket_versioning() == "Enabled"
    assert bucket.get_object_lock_configuration() is None
    version = put(bucket)
    with pytest.raises(errors.NoSuchObjectLockConfiguration):
        bucket.get_object_retention("k")
    assert bucket.delete_object("k", version_id=version).existed


def test_object_lock_is_enabled_on_a_bucket_that_is_there_if_it_is_versioned(plain: mstbucket.Bucket) -> None:
    """[LOCK-1], [LOCK-2]: what was there before can be locked too, the null version among it."""
    plain.put_object("old", b"")
    for refused in (lambda: plain.put_object_lock_configuration(), lambda: suspend_then_lock(plain)):
        with pytest.raises(InvalidBucketState) as caught:
            refused()
        assert (caught.value.code, caught.value.status) == ("InvalidBucketState", 409)
    plain.put_bucket_versioning("Enabled")
    plain.put_object_lock_configuration()
    plain.put_object_retention("old", Retention("COMPLIANCE", FAR), version_id="null")
    plain.put_object("old", b"newer")
    with pytest.raises(AccessDenied):
        plain.delete_object("old", version_id="null")


def suspend_then_lock(bucket: mstbucket.Bucket) -> None:
    bucket.put_bucket_versioning("Suspended")
    bucket.put_object_lock_configuration()


def test_versioning_of_a_bucket_with_object_lock_cannot_be_suspended(bucket: mstbucket.Bucket) -> None:
    """[LOCK-2]."""
    with pytest.raises(InvalidBucketState):
        bucket.put_bucket_versioning("Suspended")
    assert bucket.get_bucket_versioning() == "Enabled"
    bucket.put_bucket_versioning("Enabled")


def test_without_object_lock_everything_about_locks_is_refused(plain: mstbucket.Bucket) -> None:
    """[LOCK-1]: also where the bucket is versioned, and nothing is stored."""
    plain.put_bucket_versioning("Enabled")
    plain.put_object("k", b"")
    with pytest.raises(errors.ObjectLockConfigurationNotFound) as caught:
        plain.get_object_lock_configuration()
    assert (caught.value.code, caught.value.status) == ("ObjectLockConfigurationNotFoundError", 404)
    lock: dict[str, Any] = {"object_lock_mode": "GOVERNANCE", "object_lock_retain_until": FAR}
    calls: list[Callable[[], object]] = [
        lambda: plain.put_object_retention("k", Retention("GOVERNANCE", FAR)),
        lambda: plain.get_object_retention("k"),
        lambda: plain.put_object_legal_hold("k", True),
        lambda: plain.get_object_legal_hold("k"),
        lambda: plain.put_object("new", b"", **lock),
        lambda: plain.put_object("new", b"", object_lock_legal_hold=True),
        lambda: plain.put_object("new", bytes(3 << 20), **lock),
        lambda: plain.put_objects([PutRequest("other", b""), PutRequest("new", b"", **lock)]),
        lambda: plain.copy_object("k", "new", **lock),
        lambda: plain.create_multipart_upload("new", **lock),
    ]
    for call in calls:
        with pytest.raises(InvalidRequest) as refused:
            call()
        assert refused.value.code == "InvalidRequest"
    assert [o.key for o in plain.objects()] == ["k"]
    assert plain.list_multipart_uploads().uploads == ()


@pytest.mark.parametrize(
    "default",
    [
        DefaultRetention("GOVERNANCE", days=1), DefaultRetention("COMPLIANCE", days=36_500),
        DefaultRetention("GOVERNANCE", years=1), DefaultRetention("COMPLIANCE", years=100), None,
    ],
    ids=["a day", "36,500 days", "a year", "100 years", "none"],
)  # fmt: skip
def test_a_default_retention_comes_back(bucket: mstbucket.Bucket, default: DefaultRetention | None) -> None:
    """[LOCK-3]: and takes the place of the one before."""
    bucket.put_object_lock_configuration(DefaultRetention("COMPLIANCE", days=7))
    bucket.put_object_lock_configuration(default)
    assert bucket.get_object_lock_configuration() == default


@pytest.mark.parametrize(
    "default",
    [
        DefaultRetention("GOVERNANCE"), DefaultRetention("GOVERNANCE", days=1, years=1),
        DefaultRetention("GOVERNANCE", days=0), DefaultRetention("GOVERNANCE", days=-1),
        DefaultRetention("GOVERNANCE", days=36_501), DefaultRetention("GOVERNANCE", years=0),
        DefaultRetention("GOVERNANCE", years=101), DefaultRetention("governance", days=1),  # type: ignore[arg-type]
        DefaultRetention("GOVERNANCE", days=1.5),  # type: ignore[arg-type]
    ],
    ids=["no period", "both periods", "0 days", "-1 days", "36,501 days", "0 years", "101 years", "an unknown mode",
         "half a day"],
)  # fmt: skip
def test_a_default_retention_that_s3_refuses_is_refused(bucket: mstbucket.Bucket, default: DefaultRetention) -> None:
    """[LOCK-3]."""
    with pytest.raises(InvalidInput) as caught:
        bucket.put_object_lock_configuration(default)
    assert caught.value.code == "InvalidArgument"
    assert bucket.get_object_lock_configuration() is None


# --- how a version gets its lock -----------------------------------------------------------------------------------------


def by_put(bucket: mstbucket.Bucket, **lock: Any) -> None:
    bucket.put_object("new", b"small", **lock)


def by_large_put(bucket: mstbucket.Bucket, **lock: Any) -> None:
    bucket.put_object("new", bytes(3 << 20), **lock)


def by_bulk_put(bucket: mstbucket.Bucket, **lock: Any) -> None:
    bucket.put_objects([PutRequest("new", b"", **lock), PutRequest("beside", b"")])


def by_copy(bucket: mstbucket.Bucket, **lock: Any) -> None:
    bucket.copy_object("source", "new", **lock)


def by_copy_onto_itself(bucket: mstbucket.Bucket, **lock: Any) -> None:
    by_copy(bucket)
    bucket.copy_object("new", "new", metadata_directive="REPLACE", **lock)


def by_multipart(bucket: mstbucket.Bucket, **lock: Any) -> None:
    upload = bucket.create_multipart_upload("new", **lock)
    part = bucket.upload_part("new", upload.id, 1, b"part")
    bucket.complete_multipart_upload("new", upload.id, [(1, part.etag)])


WAYS = pytest.mark.parametrize(
    "way", [by_put, by_large_put, by_bulk_put, by_copy, by_copy_onto_itself, by_multipart],
    ids=lambda way: way.__name__.replace("_", " "),
)  # fmt: skip


@WAYS
def test_every_way_of_writing_takes_the_default_retention(bucket: mstbucket.Bucket, way: Any) -> None:
    """[LOCK-4], [LOCK-13]: the source's lock is not copied, and versions from before have none."""
    before = bucket.put_object("source", b"source", object_lock_legal_hold=True)
    bucket.put_object_lock_configuration(DefaultRetention("GOVERNANCE", days=2))
    start = datetime.now(UTC) - HOUR
    way(bucket)
    info = bucket.head_object("new")
    assert info.object_lock_mode == "GOVERNANCE"
    assert info.object_lock_retain_until is not None
    assert start < info.object_lock_retain_until - timedelta(days=2) < start + 2 * HOUR
    assert info.object_lock_legal_hold is False
    assert bucket.get_object_retention("new") == Retention("GOVERNANCE", info.object_lock_retain_until)
    with pytest.raises(AccessDenied):
        bucket.delete_object("new", version_id=info.version_id)
    assert bucket.head_object("source", version_id=before.version_id).object_lock_mode is None


@WAYS
def test_every_way_of_writing_takes_a_lock_of_its_own_in_place_of_the_default(
    bucket: mstbucket.Bucket, way: Any
) -> None:
    """[LOCK-5]: the time comes back exactly, and a shorter one than the default is taken."""
    bucket.put_object("source", b"source")
    bucket.put_object_lock_configuration(DefaultRetention("COMPLIANCE", years=100))
    until = datetime(2050, 6, 7, 8, 9, 10, 123_000, tzinfo=UTC)
    way(bucket, object_lock_mode="GOVERNANCE", object_lock_retain_until=until, object_lock_legal_hold=True)
    with bucket.get_object("new") as reader:
        info = reader.info
    lock = (info.object_lock_mode, info.object_lock_retain_until, info.object_lock_legal_hold)
    assert lock == ("GOVERNANCE", until, True)
    assert bucket.head_object("new", version_id=info.version_id) == info
    assert bucket.get_object_legal_hold("new") is True


@WAYS
def test_a_legal_hold_alone_leaves_the_default_retention(bucket: mstbucket.Bucket, way: Any) -> None:
    """[LOCK-5], [LOCK-9]."""
    bucket.put_object("source", b"source")
    bucket.put_object_lock_configuration(DefaultRetention("COMPLIANCE", days=1))
    way(bucket, object_lock_legal_hold=True)
    info = bucket.head_object("new")
    assert (info.object_lock_mode, info.object_lock_legal_hold) == ("COMPLIANCE", True)


def test_years_are_counted_by_the_calendar(bucket: mstbucket.Bucket) -> None:
    """[LOCK-4]."""
    bucket.put_object_lock_configuration(DefaultRetention("COMPLIANCE", years=4))
    put(bucket)
    until, now = bucket.get_object_retention("k").retain_until, datetime.now(UTC)
    assert timedelta(days=4 * 365 - 1) < until - now <= timedelta(days=4 * 366)
    assert abs((until.month - now.month) % 12) in (0, 1, 11)


def test_each_version_of_a_bulk_put_has_its_own_lock(bucket: mstbucket.Bucket) -> None:
    """[LOCK-5]: also of one key."""
    lock: dict[str, Any] = {"object_lock_mode": "COMPLIANCE"}
    bucket.put_objects([
        PutRequest("k", b"1", object_lock_retain_until=FAR, **lock), PutRequest("k", b"2"),
        PutRequest("k", b"3", object_lock_retain_until=FARTHER, **lock),
    ])  # fmt: skip
    infos = [bucket.head_object("k", version_id=version) for version in versions(bucket)]
    assert [info.object_lock_retain_until for info in infos] == [FARTHER, None, FAR]


@pytest.mark.parametrize(
    "lock",
    [
        {"object_lock_mode": "GOVERNANCE"}, {"object_lock_retain_until": FAR},
        {"object_lock_mode": "FOREVER", "object_lock_retain_until": FAR},
        {"object_lock_mode": "GOVERNANCE", "object_lock_retain_until": datetime(2100, 1, 1)},
        {"object_lock_mode": "GOVERNANCE", "object_lock_retain_until": datetime(2020, 1, 1, tzinfo=UTC)},
        {"object_lock_mode": "GOVERNANCE", "object_lock_retain_until": datetime(1, 1, 1, tzinfo=UTC)},
    ],
    ids=["a mode without a time", "a time without a mode", "an unknown mode", "no time zone", "the past", "the year 1"],
)  # fmt: skip
@WAYS
def test_a_lock_that_cannot_be_is_refused_and_nothing_is_stored(
    bucket: mstbucket.Bucket, way: Any, lock: dict[str, Any]
) -> None:
    """[LOCK-5], [LOCK-11]."""
    bucket.put_object("source", b"source")
    for_itself = way is by_copy_onto_itself
    with pytest.raises(InvalidInput) as caught:
        way(bucket, **lock)
    assert caught.value.code == "InvalidArgument"
    assert [o.key for o in bucket.objects()] == (["new", "source"] if for_itself else ["source"])
    assert len(versions(bucket)) == 1 + for_itself
    assert bucket.list_multipart_uploads().uploads == ()
    assert lock_rows(bucket) == 0


# --- what a lock refuses -------------------------------------------------------------------------------------------------


@MODES
def test_a_delete_without_version_id_only_adds_a_marker_which_can_be_removed(
    bucket: mstbucket.Bucket, mode: str
) -> None:
    """[LOCK-10]."""
    version = retained(bucket, mode)
    bucket.put_object_legal_hold("k", True)
    result = bucket.delete_object("k")
    assert result.delete_marker
    assert versions(bucket) == [version]
    for call in (
        lambda: bucket.put_object_retention("k", Retention("GOVERNANCE", FAR), version_id=result.version_id),
        lambda: bucket.put_object_legal_hold("k", True, version_id=result.version_id),
        lambda: bucket.get_object_retention("k", version_id=result.version_id),
    ):
        with pytest.raises(MethodNotAllowed):
            call()
    bucket.delete_object("k", version_id=result.version_id)
    assert bucket.head_object("k").version_id == version


def test_compliance_cannot_be_removed_shortened_or_changed_by_anyone(bucket: mstbucket.Bucket) -> None:
    """[LOCK-7]: the bypass reaches nothing, and the version stays readable."""
    version = retained(bucket, "COMPLIANCE")
    for bypass in (False, True):
        weaker: list[Callable[[bool], object]] = [
            lambda b: bucket.delete_object("k", version_id=version, bypass_governance_retention=b),
            lambda b: bucket.put_object_retention("k", None, bypass_governance_retention=b),
            lambda b: bucket.put_object_retention(
                "k", Retention("COMPLIANCE", FAR - HOUR), bypass_governance_retention=b),
            lambda b: bucket.put_object_retention("k", Retention("GOVERNANCE", FARTHER), bypass_governance_retention=b),
        ]  # fmt: skip
        for call in weaker:
            with pytest.raises(AccessDenied) as caught:
                call(bypass)
            assert (caught.value.code, caught.value.status) == ("AccessDenied", 403)
    assert bucket.get_object("k", version_id=version).read() == b"body"
    bucket.put_object_retention("k", Retention("COMPLIANCE", FAR))
    bucket.put_object_retention("k", Retention("COMPLIANCE", FARTHER))
    assert bucket.get_object_retention("k") == Retention("COMPLIANCE", FARTHER)


def test_governance_is_removed_shortened_or_changed_only_with_the_bypass(bucket: mstbucket.Bucket) -> None:
    """[LOCK-8]."""
    version = retained(bucket, "GOVERNANCE")
    changes: list[Retention | None] = [
        Retention("GOVERNANCE", FAR - HOUR), Retention("COMPLIANCE", FARTHER), Retention("GOVERNANCE", FARTHER), None,
    ]  # fmt: skip
    for change in (changes[0], changes[1], changes[3]):
        with pytest.raises(AccessDenied):
            bucket.put_object_retention("k", change)
    bucket.put_object_retention("k", changes[2])
    with pytest.raises(AccessDenied):
        bucket.delete_object("k", version_id=version)
    bucket.put_object_retention("k", changes[0], bypass_governance_retention=True)
    assert bucket.get_object_retention("k") == changes[0]
    assert bucket.delete_object("k", version_id=version, bypass_governance_retention=True).existed
    assert versions(bucket) == []
    other = retained(bucket, "GOVERNANCE")
    bucket.put_object_retention("k", None, bypass_governance_retention=True)
    with pytest.raises(errors.NoSuchObjectLockConfiguration):
        bucket.get_object_retention("k")
    bucket.delete_object("k", version_id=other)
    retained(bucket, "GOVERNANCE")
    bucket.put_object_retention("k", changes[1], bypass_governance_retention=True)
    assert bucket.get_object_retention("k") == changes[1]


def test_a_legal_hold_is_independent_of_retention_and_bypass(bucket: mstbucket.Bucket) -> None:
    """[LOCK-9], [LOCK-14]."""
    version = put(bucket)
    with pytest.raises(errors.NoSuchObjectLockConfiguration) as caught:
        bucket.get_object_legal_hold("k")
    assert (caught.value.code, caught.value.status) == ("NoSuchObjectLockConfiguration", 404)
    bucket.put_object_legal_hold("k", True)
    with pytest.raises(errors.NoSuchObjectLockConfiguration):
        bucket.get_object_retention("k")
    bucket.put_object_retention("k", Retention("GOVERNANCE", FAR))
    assert bucket.get_object_legal_hold("k") is True
    with pytest.raises(AccessDenied, match="legal hold"):
        bucket.delete_object("k", version_id=version, bypass_governance_retention=True)
    bucket.put_object_legal_hold("k", False)
    assert bucket.get_object_legal_hold("k") is False
    assert bucket.get_object_retention("k") == Retention("GOVERNANCE", FAR)
    with pytest.raises(AccessDenied, match="GOVERNANCE"):
        bucket.delete_object("k", version_id=version)
    bucket.put_object_legal_hold("k", True)
    bucket.put_object_retention("k", None, bypass_governance_retention=True)
    with pytest.raises(AccessDenied, match="legal hold"):
        bucket.delete_object("k", version_id=version)
    bucket.put_object_legal_hold("k", False)
    assert bucket.delete_object("k", version_id=version).existed


@MODES
def test_a_retention_that_has_ended_protects_nothing_and_can_be_replaced(bucket: mstbucket.Bucket, mode: str) -> None:
    """[LOCK-11]: by the database's clock; it is still shown."""
    first, second = retained(bucket, mode), retained(bucket, mode)
    let_time_pass(bucket)
    assert bucket.get_object_retention("k").mode == mode
    assert bucket.delete_object("k", version_id=first).existed
    bucket.put_object_retention("k", Retention("GOVERNANCE", FAR))
    with pytest.raises(AccessDenied):
        bucket.delete_object("k", version_id=second)
    with pytest.raises(InvalidInput):
        bucket.put_object_retention("k", Retention("GOVERNANCE", datetime.now(UTC) - HOUR))


def test_in_a_delete_of_many_a_locked_version_fails_alone(bucket: mstbucket.Bucket) -> None:
    """[LOCK-12]: the others go, in one call, and the report is in the order asked."""
    held, compliant, governed = put(bucket, "h"), retained(bucket, "COMPLIANCE", "c"), retained(bucket, "GOVERNANCE", "g")
    bucket.put_object_legal_hold("h", True)
    free = {key: put(bucket, key) for key in "abz"}
    items = [("z", free["z"]), ("g", governed), ("c", compliant), ("a", free["a"]), "b", ("h", held), ("h", "missing")]
    report = bucket.delete_objects(items)
    assert [(f.key, f.version_id) for f in report.errors] == [("g", governed), ("c", compliant), ("h", held)]
    assert {type(f.error) for f in report.errors} == {AccessDenied}
    assert [r.key for r in report.deleted] == ["z", "a", "b", "h"]
    assert sorted(versions(bucket)) == sorted([held, compliant, governed, free["b"]])
    report = bucket.delete_objects(items, bypass_governance_retention=True)
    assert [f.key for f in report.errors] == ["c", "h"]
    assert sorted(versions(bucket)) == sorted([held, compliant, free["b"]])


def test_a_lock_goes_with_its_version(bucket: mstbucket.Bucket) -> None:
    """[LOCK-15]."""
    for _ in range(3):
        version = retained(bucket, "GOVERNANCE")
        bucket.delete_object("k", version_id=version, bypass_governance_retention=True)
    assert lock_rows(bucket) == 0


@MODES
def test_a_bucket_with_locked_versions_cannot_be_deleted(store: mstbucket.Store, mode: str) -> None:
    """[LOCK-7], [LOCK-8]."""
    bucket = store.create_bucket("things", object_lock=True)
    retained(bucket, mode)
    bucket.delete_object("k")
    with pytest.raises(errors.BucketNotEmpty):
        store.delete_bucket("things")
    let_time_pass(bucket)
    bucket.delete_objects([("k", version) for version in versions(bucket) + markers(bucket)])
    store.delete_bucket("things")


def test_what_is_not_there_cannot_be_locked(bucket: mstbucket.Bucket) -> None:
    put(bucket)
    for call in (
        lambda **a: bucket.put_object_retention("missing", Retention("GOVERNANCE", FAR), **a),
        lambda **a: bucket.get_object_retention("missing", **a),
        lambda **a: bucket.put_object_legal_hold("missing", True, **a),
        lambda **a: bucket.get_object_legal_hold("missing", **a),
    ):
        with pytest.raises(errors.NoSuchKey):
            call()
        with pytest.raises(errors.NoSuchVersion):
            call(version_id="unheard of")
    gone = mstbucket.Bucket(bucket._context, "gone")
    for verb in (gone.get_object_lock_configuration, gone.put_object_lock_configuration):
        with pytest.raises(errors.NoSuchBucket):
            verb()


def test_locks_change_no_manifest_and_do_not_travel(bucket: mstbucket.Bucket, second_store: mstbucket.Store) -> None:
    """[LOCK-1]: service state: the commit is the same with and without, and an import has none."""
    version = put(bucket)
    before = bucket.flush()
    bucket.put_object_retention("k", Retention("COMPLIANCE", FAR))
    bucket.put_object_legal_hold("k", True)
    assert bucket.flush() == before
    target = io.BytesIO()
    bucket.export_car(target)
    target.seek(0)
    copy = second_store.import_car(target)
    assert copy.get_bucket_versioning() == "Enabled"
    with pytest.raises(errors.ObjectLockConfigurationNotFound):
        copy.get_object_lock_configuration()
    assert copy.delete_object("k", version_id=version).existed


# --- races -------------------------------------------------------------------------------------------------------------


def together(works: list[Callable[[], object]]) -> list[object]:
    """Run each on a thread of its own, from the same moment on; what each returned or raised."""
    outcomes: list[object] = [None] * len(works)
    barrier = threading.Barrier(len(works))

    def run(n: int) -> None:
        barrier.wait()
        try:
            outcomes[n] = works[n]()
        except mstbucket.errors.MstBucketError as error:
            outcomes[n] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@MODES
def test_no_one_of_8_racing_deleters_removes_a_locked_version(bucket: mstbucket.Bucket, mode: str) -> None:
    """[LOCK-6], [LOCK-7], [LOCK-8]: alone and in batches, beside puts and deletes of the key."""
    kept = [retained(bucket, mode, f"{n % 4}") for n in range(12)]
    named = [(v.key, v.version_id) for v in bucket.list_object_versions().versions]

    def deleter(me: int) -> int:
        refused = 0
        for key, version in named:
            bucket.put_object(key, f"{me}".encode())
            bucket.delete_object(key)
            if me % 2:
                refused += len(bucket.delete_objects([(key, version), ("other", "missing")]).errors)
            else:
                with pytest.raises(AccessDenied):
                    bucket.delete_object(key, version_id=version)
                refused += 1
        return refused

    assert together([lambda me=me: deleter(me) for me in range(8)]) == [12] * 8  # type: ignore[misc]
    assert set(kept) <= set(versions(bucket))
    bucket.flush()
    bucket.verify()


def test_a_lock_and_8_removals_at_once_come_one_after_the_other(bucket: mstbucket.Bucket) -> None:
    """[LOCK-6]: either the version went before it could be locked, or nobody removed it."""
    for n in range(25):
        key = f"{n}"
        version = put(bucket, key)
        lock, *removals = together([
            lambda k=key, v=version: bucket.put_object_retention(k, Retention("COMPLIANCE", FAR), version_id=v),
            *[lambda k=key, v=version: bucket.delete_object(k, version_id=v)] * 8,
        ])  # type: ignore[list-item]  # fmt: skip
        removed = [r for r in removals if isinstance(r, mstbucket.DeleteResult) and r.existed]
        if lock is None:
            assert not removed
            assert bucket.head_object(key, version_id=version).object_lock_mode == "COMPLIANCE"
            assert all(isinstance(r, AccessDenied) for r in removals)
        else:
            assert isinstance(lock, errors.NoSuchVersion)
            assert len(removed) == 1
    assert lock_rows(bucket) == len(versions(bucket))


def test_a_configuration_waits_for_the_writers_inside(bucket: mstbucket.Bucket) -> None:
    """[LOCK-4]: so that no version is written by the old default after the new one was acknowledged."""
    db = bucket._context.db
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = 7172981"
    thread = threading.Thread(target=bucket.put_object_lock_configuration, args=(DefaultRetention("COMPLIANCE", days=1),))
    with db.transaction() as writer, db.reading() as other:
        writer.execute("SELECT * FROM enter('things')")
        thread.start()
        while other.execute(waiting).fetchone() is None:
            assert thread.is_alive()
            other.execute("SELECT pg_sleep(0.01)")
        assert bucket.get_object_lock_configuration() is None
    thread.join()
    assert bucket.get_object_lock_configuration() == DefaultRetention("COMPLIANCE", days=1)


def test_a_default_retention_misses_no_put_that_began_after_it_was_set(bucket: mstbucket.Bucket) -> None:
    """[LOCK-4]: with puts under way all the time."""
    told = threading.Event()
    late: list[str] = []

    def putter(me: int) -> None:
        for n in range(40):
            after = told.is_set()
            key = f"{me}/{n}"
            put(bucket, key)
            if after:
                late.append(key)

    def setter() -> None:
        bucket.put_object_lock_configuration(DefaultRetention("GOVERNANCE", days=1))
        told.set()

    outcomes = together([*(lambda me=me: putter(me) for me in range(4)), setter])  # type: ignore[misc]
    assert outcomes == [None] * 5
    assert [key for key in late if bucket.head_object(key).object_lock_mode is None] == []
