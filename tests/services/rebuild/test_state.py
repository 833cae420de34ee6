"""Service state that is in no commit comes back with the store: a lost lock would be a broken promise."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket import Bucket, BucketLimits, CorsRule, DefaultRetention, LifecycleRule, Retention, Store, errors
from mstbucket.model.access_policy import BucketAccess

Lose = Callable[..., tuple[Store, mstbucket.RebuildReport]]
LATER = datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC)


def state_blobs(directory: Path) -> list[Path]:
    return sorted((directory / "blobs" / "state").rglob("*.car*"))


@pytest.fixture
def locked(store: Store) -> Bucket:
    """A bucket with object lock."""
    return store.create_bucket("locked", object_lock=True)


def test_locks_of_every_kind_come_back(store: Store, locked: Bucket, lose: Lose) -> None:
    """[REB-21] [REB-22] [REB-27]"""
    a = locked.put_object("a", b"1").version_id
    b = locked.put_object("a", b"2").version_id
    locked.put_object_lock_configuration(DefaultRetention("GOVERNANCE", days=3))
    c = locked.put_object("c", b"3").version_id
    locked.flush()
    locked.put_object_retention("a", Retention("COMPLIANCE", LATER), version_id=a)
    locked.put_object_legal_hold("a", True, version_id=b)
    locked.put_object_legal_hold("c", True, version_id=c)
    locked.put_object_legal_hold("c", False, version_id=c)
    until = locked.get_object_retention("c").retain_until
    again, report = lose(store)
    assert [(bucket.locks, bucket.state) for bucket in report.buckets] == [(3, True)]
    bucket = again.bucket("locked")
    assert bucket.get_object_lock_configuration() == DefaultRetention("GOVERNANCE", days=3)
    assert bucket.get_object_retention("a", version_id=a) == Retention("COMPLIANCE", LATER)
    assert bucket.get_object_legal_hold("a", version_id=b) is True
    assert bucket.get_object_legal_hold("c", version_id=c) is False
    assert bucket.get_object_retention("c") == Retention("GOVERNANCE", until)
    for version in (a, b, c):
        with pytest.raises(errors.AccessDenied):
            bucket.delete_object("c" if version == c else "a", version_id=version)
    bucket.put_object_legal_hold("a", False, version_id=b)
    again, _ = lose(again)  # what is changed after a rebuild is newer than all that was
    assert again.bucket("locked").get_object_legal_hold("a", version_id=b) is False
    assert again.bucket("locked").get_object_retention("a", version_id=a) == Retention("COMPLIANCE", LATER)


def test_what_a_gateway_decides_by_comes_back(store: Store, lose: Lose) -> None:
    """[REB-21] [REB-27] Policy, CORS rules and limits; each put, one taken away again, and a change after the rebuild."""
    arn = "arn:aws:s3:::shown/*"
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    cors = [CorsRule(allowed_methods=("GET",), allowed_origins=("https://a.example",))]
    limits = BucketLimits(5, ("image/*",))
    shown, plain = store.create_bucket("shown"), store.create_bucket("plain")
    shown.put_bucket_policy(policy)
    shown.put_bucket_cors(cors)
    shown.put_bucket_limits(limits)
    plain.put_bucket_limits(limits)
    plain.put_bucket_limits(BucketLimits())
    again, _ = lose(store)
    bucket = again.bucket("shown")
    assert (bucket.get_bucket_policy(), bucket.get_bucket_cors(), bucket.get_bucket_limits()) == (policy, cors, limits)
    assert again.bucket("plain").get_access() == BucketAccess()
    bucket.delete_bucket_policy()
    bucket.put_bucket_limits(BucketLimits(6))
    again, _ = lose(again)
    with pytest.raises(errors.NoSuchBucketPolicy):
        again.bucket("shown").get_bucket_policy()
    assert again.bucket("shown").get_bucket_limits() == BucketLimits(6)


def test_rules_names_and_buckets_never_flushed_come_back(store: Store, lose: Lose) -> None:
    """[REB-21] [REB-27]"""
    rules = [LifecycleRule(id="r", prefix="tmp/", expiration_days=3), LifecycleRule(id="s", noncurrent_days=5)]
    one = store.create_bucket("one")
    one.put_bucket_lifecycle_configuration([LifecycleRule(id="old", prefix="x", expiration_days=1)])
    one.put_object("a", b"1")
    one.flush()
    one.put_bucket_lifecycle_configuration(rules)
    store.create_bucket("empty", object_lock=True)
    store.create_bucket("gone")
    store.bucket("gone").put_object("a", b"1")
    store.bucket("gone").flush()
    store.bucket("gone").delete_object("a")
    store.delete_bucket("gone")
    again, report = lose(store)
    assert [bucket.name for bucket in report.buckets] == ["empty", "one"]  # [REB-6] [REB-24]
    assert len(report.deleted) == 1
    assert again.bucket("one").get_bucket_lifecycle_configuration() == rules
    assert again.bucket("empty").get_object_lock_configuration() is None
    assert again.bucket("empty").get_bucket_versioning() == "Enabled"
    again.bucket("empty").flush()
    again.bucket("empty").verify()
    again.bucket("one").delete_bucket_lifecycle()
    again, _ = lose(again)
    with pytest.raises(errors.NoSuchLifecycleConfiguration):
        again.bucket("one").get_bucket_lifecycle_configuration()


def test_state_of_an_encrypted_store_is_encrypted_and_follows_the_encoding(
    database_url: str, databases: Any, template: str, tmp_path: Path
) -> None:
    """[REB-20] [REB-25]"""
    key = tmp_path / "key"
    key.write_text("ab" * 32)
    options: dict[str, Any] = {"database": database_url, "blobs": tmp_path / "blobs", "background": False}
    with mstbucket.open(**options) as store:
        bucket = store.create_bucket("things", object_lock=True)
        bucket.put_object("secret-key", b"1")
        bucket.put_object_legal_hold("secret-key", True)
        assert any(b"secret-key" in path.read_bytes() for path in state_blobs(tmp_path))
        bucket.flush()
    for encrypted in (True, False):
        if not encrypted:
            with mstbucket.open(encryption=key, **options) as store:
                store.stop_encryption()
        with mstbucket.open(encryption=key, **options) as store:
            store.reencode()
        assert {path.suffix for path in state_blobs(tmp_path)} == ({".aes"} if encrypted else {".car"})
        assert any(b"secret-key" in path.read_bytes() for path in state_blobs(tmp_path)) is not encrypted
        url = databases.url(databases.create(template))
        report = Store.rebuild(database=url, blobs=tmp_path / "blobs", encryption=key if encrypted else None)
        assert report.buckets[0].locks == 1


def test_many_changes_leave_few_blobs_and_all_locks(store: Store, locked: Bucket, lose: Lose, tmp_path: Path) -> None:
    """[REB-23]: what is superseded goes, and what is in force stays."""
    for n in range(30):
        locked.put_object(f"{n}", b"x")
    locked.flush()
    for n in range(210):
        locked.put_object_legal_hold(f"{n % 30}", n % 3 == 0)
    assert len(state_blobs(tmp_path)) < 80
    expected = {f"{n}": locked.get_object_legal_hold(f"{n}") for n in range(30)}
    again, _ = lose(store)
    assert {f"{n}": again.bucket("locked").get_object_legal_hold(f"{n}") for n in range(30)} == expected


def test_a_lost_blob_of_state_is_a_loss(store: Store, locked: Bucket, lose: Lose, tmp_path: Path) -> None:
    """[REB-8]"""
    locked.put_object("a", b"1")
    locked.put_object_legal_hold("a", True)
    locked.flush()
    damaged = state_blobs(tmp_path)[-1]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(errors.MissingBlock, match="state/"):
        lose(store)
    _, report = lose(store, accept_loss=True)
    assert len(report.invalid) == 1


def test_a_lock_that_cannot_be_written_beside_the_blobs_is_not_acknowledged(
    store: Store, locked: Bucket, lose: Lose, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[REB-21]: it holds all the same, and the next flush writes it."""
    locked.put_object("a", b"1")
    locked.flush()
    blobs = type(store._context.blobs)

    def fail(*_: object) -> None:
        raise errors.StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(blobs, "open_write", fail)
        with pytest.raises(errors.OutcomeUnknown, match="holds"):
            locked.put_object_legal_hold("a", True)
    with pytest.raises(errors.AccessDenied):
        locked.delete_object("a", version_id=locked.head_object("a").version_id)
    locked.flush()
    again, _ = lose(store)
    assert again.bucket("locked").get_object_legal_hold("a") is True


def test_a_mirror_with_the_same_identity_keeps_its_own_commit(
    store: Store, bucket: Bucket, lose: Lose, tmp_path: Path
) -> None:
    """[REB-5]: also one that is behind, and one whose original was deleted."""
    bucket.put_object("a", b"1")
    bucket.flush()
    bucket.export_car(tmp_path / "export.car")
    for name in ("same", "older", "newer"):
        store.import_car(tmp_path / "export.car", name)
    newer = store.bucket("newer")
    for n in range(3):
        newer.put_object("a", b"%d" % n)
        newer.flush()
    bucket.put_object("a", b"things")
    bucket.flush()
    expected = {info.name: (info.commit, info.identity) for info in store.list_buckets()}
    again, report = lose(store)
    assert {info.name: (info.commit, info.identity) for info in again.list_buckets()} == expected
    newer = again.bucket("newer")
    newer.delete_object("a")
    again.delete_bucket("newer")
    del expected["newer"]
    again, report = lose(again)
    assert {info.name: (info.commit, info.identity) for info in again.list_buckets()} == expected
    assert report.deleted == ()


def test_a_lock_expired_by_its_version_does_not_come_back(store: Store, locked: Bucket, lose: Lose) -> None:
    """[REB-27]"""
    first = locked.put_object("a", b"1").version_id
    locked.put_object_retention("a", Retention("GOVERNANCE", datetime.now(UTC) + timedelta(days=1)), version_id=first)
    locked.put_object("a", b"2")
    locked.flush()
    locked.delete_object("a", version_id=first, bypass_governance_retention=True)
    locked.flush()
    _, report = lose(store)
    assert report.buckets[0].locks == 0
