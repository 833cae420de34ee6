"""Access keys: what is kept of a secret, and how it survives changes of the store's encryption."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

import mstbucket
from mstbucket.errors import InvalidInput, NoSuchAccessKey
from mstbucket.gateway.auth import keyring

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


@pytest.mark.parametrize("days", [0, -1, 36_501, 999_999_999])
def test_a_key_lasts_a_time_that_can_be(store: mstbucket.Store, days: int) -> None:
    """[GW-30]"""
    with pytest.raises(InvalidInput, match="36500 days"):
        store.access_keys.create("someone", expires=timedelta(days=days))
    assert store.access_keys.list_all() == []


CLIENT = """
import sys
import datetime as module
class Off(module.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + module.timedelta(seconds=float(sys.argv[3]))
module.datetime = Off
import json, time
real = time.time
time.time = lambda: real() + float(sys.argv[3])
import mstbucket
from mstbucket.cli.access_keys import _line
from mstbucket.gateway.auth.keyring import Keyring
with mstbucket.open(database=sys.argv[1], blobs=sys.argv[2], background=False) as store:
    ring = Keyring(store, None)
    said = {key.name: (ring.secret_of(key.id) is not None, _line(key).split()[1]) for key in store.access_keys.list_all()}
    new = store.access_keys.create("from the client", expires=module.timedelta(hours=1)).key
    said[new.name] = (ring.secret_of(new.id) is not None, _line(new).split()[1])
print(json.dumps(said))
"""


@pytest.mark.parametrize("off", [-86_400, 86_400], ids=["a day behind", "a day ahead"])
def test_a_gateways_own_clock_does_not_decide_what_has_expired(
    store: mstbucket.Store, database_url: str, tmp_path: Path, off: int
) -> None:
    """[GW-30] [PG-26]: neither for a request nor for the list, and what lasts an hour begins now."""
    now = datetime.now(UTC)
    store.access_keys.create("gone", expires=now - timedelta(hours=12))
    store.access_keys.create("good", expires=now + timedelta(hours=12))
    store.access_keys.create("short", expires=timedelta(hours=12))
    command = [sys.executable, "-c", CLIENT, database_url, str(tmp_path / "blobs"), str(off)]
    ran = subprocess.run(command, check=True, timeout=200, stdout=subprocess.PIPE, text=True)
    counts = [True, "enabled"]
    assert json.loads(ran.stdout) == {
        "gone": [False, "expired"], "good": counts, "short": counts, "from the client": counts
    }  # fmt: skip
    with psycopg.connect(store.conninfo()) as connection:
        query = "SELECT expires - created FROM mstbucket.access_keys WHERE name = 'from the client'"
        row = connection.execute(query).fetchone()
    assert row is not None
    assert abs(row[0] - 3_600_000) < 120_000


def test_a_key_expires_while_a_gateway_knows_it(store: mstbucket.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """[GW-30]: as soon as what is known of it is read again."""
    monkeypatch.setattr(keyring, "KNOWN_SECONDS", 0.0)
    key = store.access_keys.create("someone", expires=timedelta(hours=1)).key
    ring = keyring.Keyring(store, None)
    assert ring.secret_of(key.id) is not None
    with psycopg.connect(store.conninfo()) as connection:
        connection.execute("UPDATE mstbucket.access_keys SET expires = mstbucket.now_ms()")
    assert ring.secret_of(key.id) is None


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
