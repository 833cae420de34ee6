"""A backup of a store in use has every pack that its database names, whatever goes between the two."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket import Bucket, KeepPolicy, Store, errors
from mstbucket.api import dumping
from mstbucket.api.dumping import dump_store, restore_store
from mstbucket.files.paths import temporary_name
from mstbucket.services.upkeep.compact import Compactor

DATA = random.Random(3)


@pytest.fixture
def filled(bucket: Bucket) -> Bucket:
    """Small packs that can be compacted, and packs of which much is dead soon."""
    for n in range(4):
        for m in range(3):
            bucket.put_object(f"k{n}-{m}", DATA.randbytes(90_000))
        bucket.flush()
    return bucket


def _collect(store: Store, bucket: Bucket) -> None:
    bucket.delete_objects([info.key for info in bucket.objects() if not info.key.endswith("-2")])
    bucket.flush()
    bucket.put_retention(KeepPolicy(last=1))
    assert store.collect(force=True, grace=0).packs > 0


def _compact(store: Store, _: Bucket) -> None:
    assert Compactor(store._context).run(2).packs > 0


@pytest.mark.parametrize("work", [_collect, _compact])
def test_packs_that_go_while_a_backup_is_written_come_in_another_form(
    store: Store, filled: Bucket, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    work: Callable[[Store, Bucket], None],
) -> None:  # fmt: skip
    """[CLI-153]: the background compacts at any moment."""
    copied: list[Any] = []

    def copy(*places: Any) -> Any:
        if not copied:
            work(store, filled)
        copied.append(None)
        return copy_blobs(*places)

    copy_blobs = dumping.copy_blobs
    monkeypatch.setattr(dumping, "copy_blobs", copy)
    dump_store(None, database_url, None, tmp_path / "blobs", tmp_path / "backup")
    monkeypatch.undo()
    assert len(copied) == 2
    restore_store(tmp_path / "backup", tmp_path / "new", None)
    with mstbucket.open(tmp_path / "new", background=False) as again:
        assert again.check("proof").findings == ()
        found = {info.key: again.bucket("things").get_object(info.key).read() for info in filled.objects()}
        assert found == {key: filled.get_object(key).read() for key in found}


def test_a_pack_that_the_store_has_lost_is_no_hindrance(
    store: Store, filled: Bucket, database_url: str, tmp_path: Path
) -> None:
    """[CLI-153]: no repetition brings it."""
    lost = next((tmp_path / "blobs" / "packs").rglob("*.car"))
    lost.unlink()
    dump_store(None, database_url, None, tmp_path / "blobs", tmp_path / "backup")
    assert (tmp_path / "backup" / "dump.json").is_file()


def test_a_first_dump_that_ends_before_it_says_what_it_is_can_be_repeated(
    store: Store, filled: Bucket, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[CLI-153]: by then the database is there, and so are the blobs."""

    def die(_: Path) -> Any:
        (tmp_path / "backup" / temporary_name().decode()).touch()  # as a killed one leaves it
        raise KeyboardInterrupt

    monkeypatch.setattr(dumping, "replacing", die)
    with pytest.raises(KeyboardInterrupt):
        dump_store(None, database_url, None, tmp_path / "blobs", tmp_path / "backup")
    monkeypatch.undo()
    dump_store(None, database_url, None, tmp_path / "blobs", tmp_path / "backup")
    restore_store(tmp_path / "backup", tmp_path / "new", None)


def test_a_dump_that_ends_before_its_database_has_its_name_is_whole(
    store: Store, filled: Bucket, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[CLI-153] [CLI-154]: and so is the one before, until dump.json names the new one."""
    places = (None, database_url, None, tmp_path / "blobs", tmp_path / "backup")
    replace = os.replace

    def die(old: Path, new: Path) -> None:
        if new.name == dying:
            raise KeyboardInterrupt
        replace(old, new)

    first = dump_store(*places)
    filled.put_object("second", b"second")
    for dying in ("dump.json", "database.dump"):
        monkeypatch.setattr(os, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            dump_store(*places)
        monkeypatch.undo()
        report = dumping._read(tmp_path / "backup")
        assert (report == first) == (dying == "dump.json")
        dumping._database(tmp_path / "backup", report)
    restore_store(tmp_path / "backup", tmp_path / "new", None)
    with mstbucket.open(tmp_path / "new", background=False) as restored:
        assert restored.bucket("things").get_object("second").read() == b"second"
    assert dump_store(*places).identity == first.identity
    assert {path.name for path in (tmp_path / "backup").iterdir()} == {"blobs", "database.dump", "dump.json"}


@pytest.mark.parametrize("place", ["blobs", "blobs/packs/backup", "blobs/../blobs/backup"])
def test_a_backup_inside_the_store_is_refused(
    store: Store, filled: Bucket, database_url: str, tmp_path: Path, place: str
) -> None:
    """[CLI-153]"""
    before = sorted((tmp_path / "blobs").rglob("*"))
    with pytest.raises(errors.InvalidInput, match="inside the store"):
        dump_store(None, database_url, None, tmp_path / "blobs", tmp_path / place)
    assert sorted((tmp_path / "blobs").rglob("*")) == before
