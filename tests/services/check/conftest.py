"""A store with something of everything, and a door to its database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import mstbucket

MIB = 1 << 20


def fill(store: mstbucket.Store) -> None:
    """Buckets with commits and changes, versions and markers, locks, large and small bodies, parts of an upload."""
    plain = store.create_bucket("plain")
    plain.put_objects(mstbucket.PutRequest(f"k/{n:03}", b"body %d" % n) for n in range(60))
    plain.put_object("large", bytes(range(256)) * (5 * MIB // 512) + b"end")
    plain.flush()
    plain.put_objects(mstbucket.PutRequest(f"k/{n:03}", b"again %d" % n) for n in range(20, 40))
    plain.delete_object("k/003")
    plain.put_bucket_tagging({"a": "b"})
    plain.flush()
    plain.put_object("k/changed", b"not in a commit yet")
    plain.put_object("large-changed", b"x" * (2 * MIB + 7))
    past = store.create_bucket("past", object_lock=True)
    for n in range(3):
        past.put_object("doc", b"version %d" % n)
    past.put_object("held", b"held", object_lock_legal_hold=True)
    past.delete_object("doc")
    past.flush()
    past.put_object("doc", b"newest")
    upload = plain.create_multipart_upload("parts")
    plain.upload_part("parts", upload.id, 1, b"p" * (5 * MIB))
    store.create_bucket("empty")


@pytest.fixture
def full(store: mstbucket.Store) -> mstbucket.Store:
    """An open store with something of everything."""
    fill(store)
    return store


@pytest.fixture
def sql(database_url: str) -> Iterator[Callable[..., list[Any]]]:
    """Does a statement in the store's database, as nobody should."""
    with psycopg.connect(database_url, autocommit=True, options="-c search_path=mstbucket") as connection:

        def run(statement: str, *arguments: Any) -> list[Any]:
            cursor = connection.execute(statement, arguments)
            return cursor.fetchall() if cursor.description else []

        yield run


@pytest.fixture
def packs(tmp_path: Path) -> Callable[[], list[Path]]:
    """The files of the packs, by size."""
    return lambda: sorted((tmp_path / "blobs" / "packs").rglob("*.car*"), key=lambda path: path.stat().st_size)
