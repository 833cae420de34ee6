"""Repairs: what was damaged is as it was, nothing is lost unasked, and a check finds nothing afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from damaging import flip

import mstbucket
from mstbucket.core.cid import raw_cid
from mstbucket.errors import CorruptionError, NotFound, Untrue

Sql = Callable[..., list[Any]]
Packs = Callable[[], list[Path]]
PLAIN = "(SELECT id FROM buckets WHERE name = 'plain')"
PAST = "(SELECT id FROM buckets WHERE name = 'past')"


def state(store: mstbucket.Store) -> dict[str, Any]:
    """Everything that a user can see."""
    return {
        info.name: (
            [store.bucket(info.name).head_object(one.key) for one in store.bucket(info.name).objects()],
            store.bucket(info.name).list_object_versions(),
        )
        for info in store.list_buckets()
    }


# --- blocks -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(full: mstbucket.Store, tmp_path: Path) -> Path:
    """A directory with all packs as they were."""
    target = tmp_path / "copy"
    for path in (tmp_path / "blobs" / "packs").rglob("*.car"):
        target.mkdir(exist_ok=True)
        (target / path.name).write_bytes(path.read_bytes())
    return target


@pytest.mark.parametrize("which", range(4))
def test_a_pack_that_is_gone_comes_back_from_a_directory_of_packs(
    full: mstbucket.Store, copy: Path, packs: Packs, which: int
) -> None:
    """[CHECK-20]"""
    before = state(full)
    packs()[which].unlink()
    assert full.check("data").damaged
    report = full.repair_blocks(copy)
    assert (report.applied, report.missing) == (True, ())
    assert report.repaired > 0
    assert full.check("proof").clean
    assert state(full) == before


def test_all_packs_gone_come_back_level_by_level(full: mstbucket.Store, copy: Path, packs: Packs) -> None:
    """[CHECK-20] Below a node that came there are others."""
    before = state(full)
    for path in packs():
        path.unlink()
    assert full.repair_blocks(copy).missing == ()
    assert full.check("proof").clean
    assert state(full) == before


def test_blocks_without_rows_come_back_from_an_export_and_a_damaged_byte_from_a_file(
    full: mstbucket.Store, sql: Sql, tmp_path: Path
) -> None:
    """[CHECK-20]"""
    full.bucket("plain").export_car(tmp_path / "plain.car")
    [(tree,)] = sql(f"SELECT tree FROM commits WHERE bucket = {PLAIN} AND seq = 2")
    [(manifest,)] = sql("SELECT manifest FROM objects WHERE key = 'k/001'")
    sql("DELETE FROM blocks WHERE cid IN (%s, %s, %s)", tree, manifest, raw_cid(b"body 1"))
    assert full.repair_blocks(tmp_path / "plain.car").missing == ()
    assert full.check("proof").clean
    body = bytes(range(256)) * (5 * (1 << 20) // 512) + b"end"
    chunk = raw_cid(body[: 1 << 20])
    [(name, offset)] = sql('SELECT p.name, b."offset" FROM blocks b JOIN packs p ON p.id = b.pack WHERE cid = %s', chunk)
    flip(tmp_path / "blobs" / name, offset + 5)
    assert full.check("data").damaged
    files = tmp_path / "files" / "deep"
    files.mkdir(parents=True)
    (files / "large").write_bytes(body)
    report = full.repair_blocks(tmp_path / "files")
    assert (report.repaired, report.missing) == (1, ())
    assert full.check("proof").clean
    assert full.bucket("plain").get_object("large").read() == body


def test_another_store_gives_its_blocks(full: mstbucket.Store, second_store: mstbucket.Store, packs: Packs) -> None:
    """[CHECK-20]"""
    second_store.create_bucket("other").put_object("large", bytes(range(256)) * (5 * (1 << 20) // 512) + b"end")
    packs()[-1].unlink()
    report = full.repair_blocks(second_store)
    assert report.repaired > 0
    assert full.bucket("plain").get_object("large").read().endswith(b"end")


def test_what_the_source_does_not_have_is_said(full: mstbucket.Store, packs: Packs, tmp_path: Path) -> None:
    packs()[-1].unlink()
    (tmp_path / "nothing").mkdir()
    report = full.repair_blocks(tmp_path / "nothing")
    assert report.repaired == 0
    assert report.missing
    with pytest.raises(NotFound):
        full.repair_blocks(tmp_path / "not there")


def test_a_body_in_the_database_that_is_another_comes_back(full: mstbucket.Store, sql: Sql, tmp_path: Path) -> None:
    sql("UPDATE blocks SET body = 'not in a commit yEt' WHERE cid = %s", raw_cid(b"not in a commit yet"))
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "file").write_bytes(b"not in a commit yet")
    assert full.repair_blocks(tmp_path / "one").repaired == 1
    assert full.check("proof").clean
    assert full.bucket("plain").get_object("k/changed").read() == b"not in a commit yet"


# --- index from tree --------------------------------------------------------------------------------------------------


def test_rows_come_back_from_the_tree_and_changed_keys_stay(full: mstbucket.Store, sql: Sql) -> None:
    """[CHECK-21]"""
    before = state(full)
    sql(f"DELETE FROM objects WHERE bucket = {PLAIN} AND key IN ('k/001', 'k/002', 'large')")
    sql(f"UPDATE objects SET content_type = 'text/wrong' WHERE bucket = {PLAIN} AND key = 'k/030'")
    sql(f"DELETE FROM versions v WHERE bucket = {PAST} AND NOT EXISTS (SELECT FROM dirty_versions d WHERE d.seq = v.seq)")
    report = full.repair_index("plain")
    assert (report.applied, report.repaired, report.lost) == (True, 4, ())
    assert full.repair_index("past").applied
    assert full.check("proof").clean
    assert state(full) == before
    assert full.repair_index("plain").repaired == 0


def test_rows_that_no_tree_has_are_listed_before_they_go(full: mstbucket.Store, sql: Sql) -> None:
    """[CHECK-21]"""
    sql(f"UPDATE objects SET key = 'k/new' WHERE bucket = {PLAIN} AND key = 'k/001'")
    report = full.repair_index("plain")
    assert (report.applied, report.repaired) == (False, 0)
    assert [(loss.bucket, loss.key) for loss in report.lost] == [("plain", "k/new")]
    assert full.bucket("plain").head_object("k/new").size == 6
    assert full.repair_index("plain", accept_loss=True).repaired == 2
    assert full.check("proof").clean


# --- tree from index --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bucket", ["plain", "past"])
def test_a_tree_that_is_lost_is_made_from_the_rows(full: mstbucket.Store, sql: Sql, bucket: str) -> None:
    """[CHECK-22]"""
    before = state(full)
    of = PLAIN if bucket == "plain" else PAST
    for (tree, versions, cid) in sql(f"SELECT tree, versions, cid FROM commits WHERE bucket = {of}"):
        sql("DELETE FROM blocks WHERE cid IN (%s, %s, %s)", tree, versions, cid)
    with pytest.raises(CorruptionError):
        full.bucket(bucket).flush()
    report = full.repair_tree(bucket)
    assert (report.applied, report.lost) == (True, ())
    assert full.bucket(bucket).verify().dirty == 0
    assert state(full) == before
    full.bucket(bucket).put_object("after", b"all that")
    full.bucket(bucket).flush()
    full.bucket(bucket).verify()
    found = {finding.code for finding in full.check("proof").findings}  # the commits before are lost all the same
    assert found <= {"presence.commit-lost", "presence.block-unknown"}
    assert not full.repair_lost(bucket).applied
    assert full.repair_lost(bucket, accept_loss=True).applied
    assert full.check("proof").clean
    assert full.repair_lost(bucket).lost == ()


def test_a_tree_from_rows_is_the_tree_that_a_flush_makes(full: mstbucket.Store) -> None:
    """[CHECK-22]"""
    bucket = full.bucket("plain")
    full.repair_tree("plain")
    made = bucket.head_commit()
    bucket.put_object("a", b"")
    bucket.flush()
    bucket.delete_object("a")
    flushed = bucket.flush()
    assert made is not None
    assert (made.tree, made.objects, made.bytes) == (flushed.tree, flushed.objects, flushed.bytes)
    assert full.check("proof").clean


def test_keys_that_only_the_tree_has_are_listed_before_they_go(full: mstbucket.Store, sql: Sql) -> None:
    """[CHECK-22]"""
    sql(f"DELETE FROM objects WHERE bucket = {PLAIN} AND key = 'k/001'")
    report = full.repair_tree("plain")
    assert not report.applied
    assert [loss.key for loss in report.lost] == ["k/001"]
    assert full.repair_tree("plain", accept_loss=True).applied
    assert full.check("proof").clean


def test_a_tree_is_not_made_from_wrong_rows(full: mstbucket.Store, sql: Sql) -> None:
    sql(f"UPDATE objects SET content_type = 'text/wrong' WHERE bucket = {PLAIN} AND key = 'k/001'")
    with pytest.raises(Untrue, match="repair the index first"):
        full.repair_tree("plain")


# --- what is gone for good --------------------------------------------------------------------------------------------


def test_objects_without_bodies_are_given_up_only_when_that_is_accepted(full: mstbucket.Store, packs: Packs) -> None:
    """[CHECK-23]"""
    packs()[-1].unlink()
    full.check("data")
    report = full.repair_lost("plain")
    assert not report.applied
    assert ("large" in [loss.key for loss in report.lost]) or ("large-changed" in [loss.key for loss in report.lost])
    keys = [one.key for one in full.bucket("plain").objects()]
    report = full.repair_lost("plain", accept_loss=True)
    assert report.applied
    gone = {loss.key for loss in report.lost if loss.key is not None}
    assert [one.key for one in full.bucket("plain").objects()] == [key for key in keys if key not in gone]
    full.bucket("plain").flush()
    full.repair_lost("plain", accept_loss=True)  # the commit before, which is not the newest any more
    found = [finding for finding in full.check("presence").findings if finding.code != "presence.pack-lost"]
    assert found == []


def test_a_bucket_that_is_whole_loses_nothing(full: mstbucket.Store) -> None:
    before = state(full)
    for name in ("plain", "past", "empty"):
        assert full.repair_lost(name, accept_loss=True).lost == ()
    assert state(full) == before


