"""Healthy stores that look odd, and what is given up in the middle of a check: no finding. And the bounds of a report."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.core.cid import CID
from mstbucket.services.check import found, marking, nodes
from mstbucket.services.past.retention import expire

Sql = Callable[..., list[Any]]


def test_an_import_with_versions_is_clean(full: mstbucket.Store, second_store: mstbucket.Store, tmp_path: Path) -> None:
    for name in ("plain", "past"):
        full.bucket(name).flush()
        full.bucket(name).export_car(tmp_path / f"{name}.car")
        second_store.import_car(tmp_path / f"{name}.car")
        full.import_car(tmp_path / f"{name}.car", f"{name}-again")  # the same identity twice in one store
    assert second_store.check("proof").clean
    assert full.check("proof").clean
    second_store.bucket("past").put_object("doc", b"one more")
    second_store.bucket("past").flush()
    assert second_store.check("proof").clean


def test_a_long_history_whose_old_refs_were_removed_is_clean(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    for n in range(70):
        bucket.put_object("k", b"%d" % n)
        bucket.flush()
    bucket.put_retention(mstbucket.KeepPolicy(last=1))
    assert len(list(store._context.blobs.list("refs/"))) == 70
    expire(store._context)
    assert len(list(store._context.blobs.list("refs/"))) == 64
    store.compact()
    assert store.check("proof").clean


def test_an_empty_store_and_an_empty_tree_are_clean(store: mstbucket.Store) -> None:
    assert store.check("proof").clean
    bucket = store.create_bucket("things")
    bucket.flush()
    assert store.check("proof").clean
    bucket.put_object("k", b"")
    bucket.flush()
    bucket.delete_object("k")
    bucket.flush()
    assert store.check("proof").clean


def test_packs_written_again_in_frames_are_clean(full: mstbucket.Store, database_url: str, tmp_path: Path) -> None:
    full.close()
    with mstbucket.open(
        database=database_url, blobs=tmp_path / "blobs", background=False, compression="zstd"
    ) as store:
        store.reencode()
        assert store.check("proof").clean
        store.compact()
        assert store.check("proof").clean


@pytest.mark.parametrize("level", ["tree", "presence"])
def test_a_commit_that_is_given_up_and_collected_meanwhile_is_not_told(
    full: mstbucket.Store, sql: Sql, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    """[CHECK-5] What retention and a collection do, between the question for a commit and the reading of its tree."""
    bucket = full.bucket("plain")
    done: list[int] = []
    real = nodes.fetch

    def fetch(blocks: Any, cids: Collection[CID]) -> Any:
        if not done:
            done.append(1)
            bucket.put_object("k/001", b"new at the last moment")
            bucket.flush()
            of = "(SELECT id FROM buckets WHERE name = 'plain')"
            old = f"bucket = {of} AND seq < (SELECT max(seq) FROM commits WHERE bucket = {of})"
            for tree, cid in sql(f"SELECT tree, cid FROM commits WHERE {old}"):
                sql("DELETE FROM blocks WHERE cid IN (%s, %s)", tree, cid)
            sql(f"DELETE FROM commits WHERE {old}")
        return real(blocks, cids)

    monkeypatch.setattr(nodes, "fetch", fetch)
    monkeypatch.setattr(marking, "fetch", fetch)
    report = full.check(level)
    assert done
    assert report.findings == ()
    assert report.incomplete == ()


def test_more_findings_than_are_told_are_counted(full: mstbucket.Store, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CHECK-2]"""
    monkeypatch.setattr(found, "FINDINGS_MAX", 3)
    sql("DELETE FROM objects WHERE bucket = (SELECT id FROM buckets WHERE name = 'plain') AND key LIKE 'k/01%%'")
    report = full.check("tree")
    assert len(report.findings) == 3
    assert report.omitted >= 7
    assert not report.clean
