"""A pack that lost its last blocks, cut between two of them: it reads as a CAR to its end, and is damaged all the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psycopg
import pytest

import mstbucket
from mstbucket import Bucket, Store, errors
from mstbucket.core import car
from mstbucket.core.cid import raw_cid

MIB = 1 << 20


def ask(store: Store, query: str, *arguments: object) -> list[Any]:
    with psycopg.connect(store.conninfo(), autocommit=True, options="-c search_path=mstbucket") as connection:
        cursor = connection.execute(query.encode(), arguments)
        return cursor.fetchall() if cursor.description is not None else []


def cut_last_block(directory: Path, pack: str) -> None:
    path = directory / "blobs" / pack
    data = path.read_bytes()
    start = len(car.header(raw_cid(b"")))
    cid, offset, length = list(car.parse_window(data[start:], start))[-1]
    path.chmod(0o600)
    os.truncate(path, offset + length - len(car.section(cid, data[offset : offset + length])))


def pack_of(store: Store, body: bytes) -> str:
    query = "SELECT p.name FROM blocks b JOIN packs p ON p.id = b.pack WHERE b.cid = %s"
    [(name,)] = ask(store, query, raw_cid(body))
    return str(name)


@pytest.fixture
def cut(store: Store, bucket: Bucket, tmp_path: Path) -> str:
    """The name of a small pack, among others, of which the last block is gone."""
    for n in range(4):
        bucket.put_object(f"k{n}", b"%d" % n * 1000)
        bucket.flush()
    name = pack_of(store, b"1" * 1000)
    cut_last_block(tmp_path, name)
    return name


def state_of(store: Store, pack: str) -> tuple[str, bool]:
    [(state, damaged)] = ask(store, "SELECT state, damaged FROM packs WHERE name = %s", pack)
    return state, damaged


def test_compaction_leaves_it_and_records_it(store: Store, cut: str) -> None:
    """[STO-7] [PUT-13]"""
    report = store.compact()
    assert list(report.damaged) == [cut]
    assert report.packs == 3
    assert state_of(store, cut) == ("ready", True)
    with pytest.raises(errors.CollectionRefused):
        store.collect(grace=0)


def test_it_does_not_count_as_restored_before_its_size_is_as_it_was(
    store: Store, bucket: Bucket, cut: str, tmp_path: Path
) -> None:
    """[PUT-15]"""
    store.compact()
    bucket.put_object("k1", b"another")
    bucket.flush()
    bucket.verify()
    assert state_of(store, cut) == ("ready", True)
    path = tmp_path / "blobs" / cut
    path.write_bytes(path.read_bytes() + b"\0")
    bucket.verify()
    assert state_of(store, cut) == ("ready", True)


def test_a_check_tells_the_pack(store: Store, cut: str) -> None:
    """[CHECK-6] [CHECK-7]"""
    codes = {(finding.code, finding.blob) for finding in store.check("data").findings}
    assert {("presence.pack-size", cut), ("data.pack", cut)} <= codes


def test_a_large_pack_of_which_little_lives_is_not_written_again(store: Store, bucket: Bucket, tmp_path: Path) -> None:
    """[GC-9] [STO-7]"""
    stay, go = os.urandom(MIB), os.urandom(7 * MIB)  # one of a chunk alone, which a collection does not read
    bucket.put_objects([mstbucket.PutRequest("go", go), mstbucket.PutRequest("stay", stay)])
    bucket.flush()
    name = pack_of(store, stay)
    assert pack_of(store, go[:MIB]) == name
    bucket.delete_object("go")
    bucket.flush()
    bucket.put_retention(mstbucket.KeepPolicy(last=1))
    cut_last_block(tmp_path, name)
    report = store.collect(force=True, grace=0)
    assert list(report.damaged) == [name]
    assert state_of(store, name) == ("ready", True)
