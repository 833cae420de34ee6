"""Any executor does a check, and finds the same."""

from __future__ import annotations

import importlib
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.errors import HashMismatch, InvalidInput, Unsupported

Sql = Callable[..., list[Any]]


def test_processes_and_threads_find_what_one_thread_finds(
    full: mstbucket.Store, sql: Sql, packs: Callable[[], list[Path]]
) -> None:
    """[CHECK-10]"""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as processes, ThreadPoolExecutor(3) as threads:
        alone = full.check("proof")
        assert alone.clean
        assert full.check("proof", executor=processes) == alone
        path = packs()[-1]
        path.chmod(0o600)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        sql("DELETE FROM objects WHERE key = 'k/001'")
        alone = full.check("proof")
        assert alone.damaged
        for executor in (processes, threads):
            report = full.check("proof", executor=executor)
            assert sorted(map(repr, report.findings)) == sorted(map(repr, alone.findings))


def test_an_encrypted_store_is_opened_by_its_workers(database_url: str, tmp_path: Path) -> None:
    """[CHECK-10] The source of the key goes with the work, the key does not."""
    (tmp_path / "key").write_text("ab" * 32)
    (tmp_path / "key").chmod(0o600)
    with (
        mstbucket.open(
            database=database_url, blobs=tmp_path / "blobs", background=False, encryption=str(tmp_path / "key")
        ) as store,
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor,
    ):
        bucket = store.create_bucket("secret")
        bucket.put_object("k", b"x" * 100_000)
        bucket.flush()
        report = store.check("proof", executor=executor)
        assert report.clean
        assert report.packs > 0


def test_a_place_without_a_name_cannot_be_opened_by_workers(database_url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    with (
        mstbucket.open(database=database_url, blobs="memory:", background=False) as store,
        ProcessPoolExecutor(1, mp_context=spawn) as processes,
        ThreadPoolExecutor(1) as threads,
    ):
        with pytest.raises(Unsupported, match="without a name"):
            store.check(executor=processes)
        assert store.check(executor=threads).clean  # they have the store as it is open


def test_the_subsets_together_are_all_packs(full: mstbucket.Store) -> None:
    """[CHECK-11]"""
    whole = full.check("data")
    parts = [full.check("data", subset=f"{n}/3") for n in (1, 2, 3)]
    assert sum(part.packs for part in parts) == whole.packs


@pytest.mark.parametrize("subset", ["", "0/3", "4/3", "1", "a/b", "1/0", "-1/2"])
def test_what_is_no_subset_is_refused(full: mstbucket.Store, subset: str) -> None:
    with pytest.raises(InvalidInput, match="subset"):
        full.check("data", subset=subset)


def test_what_is_no_level_is_refused(store: mstbucket.Store) -> None:
    with pytest.raises(InvalidInput, match="level"):
        store.check("all")


def test_a_medium_that_fails_makes_the_check_incomplete(full: mstbucket.Store, tmp_path: Path) -> None:
    """[CHECK-9]"""
    (tmp_path / "blobs" / "packs").rename(tmp_path / "away")
    try:
        (tmp_path / "blobs" / "packs").write_bytes(b"")
        report = full.check("presence")
        assert report.incomplete or report.damaged
    finally:
        (tmp_path / "blobs" / "packs").unlink()
        (tmp_path / "away").rename(tmp_path / "blobs" / "packs")
    assert full.check("presence").clean


@pytest.mark.dask
@pytest.mark.filterwarnings("default")  # what the library warns about is not ours to mend
def test_two_workers_of_dask_check_one_store(full: mstbucket.Store, sql: Sql) -> None:
    """[CHECK-10]"""
    distributed = importlib.import_module("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        executor = client.get_executor(pure=False)
        assert full.check("proof", executor=executor) == full.check("proof")
        sql("DELETE FROM objects WHERE key = 'k/001'")
        alone = full.check("proof")
        assert alone.damaged
        report = full.check("proof", executor=executor)
        assert sorted(map(repr, report.findings)) == sorted(map(repr, alone.findings))
        assert len(client.run(lambda: None)) == 2


def test_processes_and_threads_export_the_same_file_and_verify_the_same(full: mstbucket.Store, tmp_path: Path) -> None:
    """[CHECK-12]"""
    plain = full.bucket("plain")
    plain.put_object("many", bytes(range(256)) * (20 * (1 << 20) // 256 - 1))
    plain.flush()
    alone = plain.export_car(tmp_path / "alone.car")
    report = plain.verify()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as processes, ThreadPoolExecutor(3) as threads:
        for number, executor in enumerate((processes, threads)):
            assert plain.export_car(tmp_path / f"{number}.car", executor=executor) == alone
            assert (tmp_path / f"{number}.car").read_bytes() == (tmp_path / "alone.car").read_bytes()
            assert plain.verify(executor=executor) == report
        path = max((tmp_path / "blobs" / "packs").rglob("*.car"), key=lambda one: one.stat().st_size)
        path.chmod(0o600)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        for executor in (processes, threads):
            with pytest.raises(HashMismatch, match="bucket 'plain'"):
                plain.verify(executor=executor)
            with pytest.raises(HashMismatch, match="bucket 'plain'"):
                plain.export_car(tmp_path / "damaged.car", executor=executor)
    assert not (tmp_path / "damaged.car").exists()
