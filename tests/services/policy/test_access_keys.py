"""Access keys: what is kept of a secret, and how it survives changes of the store's encryption."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

import mstbucket
from mstbucket.errors import InvalidInput, NoSuchAccessKey

KEY = "ab" * 32


def kept(store: mstbucket.Store) -> list[tuple[bytes, bytes | None]]:
    with psycopg.connect(store.conninfo()) as connection:
        rows = connection.execute("SELECT secret, sealed FROM mstbucket.access_keys ORDER BY created, id").fetchall()
    return [(bytes(secret), None if sealed is None else bytes(sealed)) for secret, sealed in rows]


def test_a_key_is_made_found_changed_and_removed(store: mstbucket.Store) -> None:
    """[GW-30]"""
    keys = store.access_keys
    assert keys.find("nobody") is None
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    made = keys.create("someone", expires=expires)
    assert made.secret not in repr(made)
    assert keys.find(made.key.id) == (made.key, made.secret)
    assert keys.list_all() == [made.key]
    assert made.key.expires == expires
    rotated = keys.rotate(made.key.id)
    assert rotated.secret != made.secret
    assert keys.find(made.key.id) == (made.key, rotated.secret)
    assert keys.disable(made.key.id).disabled
    assert not keys.enable(made.key.id).disabled
    keys.remove(made.key.id)
    for call in (keys.rotate, keys.disable, keys.enable, keys.remove):
        with pytest.raises(NoSuchAccessKey):
            call(made.key.id)
    for label in ("", "x" * 256, "a\nb"):
        with pytest.raises(InvalidInput):
            keys.create(label)


def test_the_first_key_is_made_once(store: mstbucket.Store) -> None:
    """[GW-32]"""
    first = store.access_keys.create_first()
    assert first is not None
    assert store.access_keys.create_first() is None
    assert [key.name for key in store.access_keys.list_all()] == ["administrator"]


def test_a_secret_follows_the_encryption_of_the_store(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[GW-31] In plain, under the data key from the next `reencode` on, and in plain again before that key is forgotten."""
    blobs = tmp_path / "blobs"
    monkeypatch.setenv("MSTBUCKET_KEY", KEY)
    with mstbucket.open(database=database_url, blobs=blobs, background=False) as store:
        made = store.access_keys.create("a")
        assert kept(store) == [(made.secret.encode(), None)]
    with mstbucket.open(database=database_url, blobs=blobs, background=False, encryption="env:MSTBUCKET_KEY") as store:
        assert store.encrypts
        second = store.access_keys.create("b")
        assert second.secret.encode() not in kept(store)[1][0]
        store.reencode()
        assert all(sealed is not None and b"%b" % made.secret.encode() not in secret for secret, sealed in kept(store))
        for one in (made, second):
            assert store.access_keys.find(one.key.id) == (one.key, one.secret)
        store.stop_encryption()
    with mstbucket.open(database=database_url, blobs=blobs, background=False) as store:
        store.reencode()
        assert kept(store) == [(made.secret.encode(), None), (second.secret.encode(), None)]
    monkeypatch.delenv("MSTBUCKET_KEY")
    with mstbucket.open(database=database_url, blobs=blobs, background=False) as store:
        assert store.access_keys.find(second.key.id) == (second.key, second.secret)
