"""One clock: the database's. A client whose own is a day off, or stands still, stores and judges the same times."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

import mstbucket
from mstbucket.pg import clock
from mstbucket.pg.database import Database

DAY = 86_400
NEAR_MS = 120_000  # how long a child may take; a day is far above

CLIENT = """
import sys, time
off = float(sys.argv[3])
real, real_ns = time.time, time.time_ns
time.time = lambda: real() + off
time.time_ns = lambda: real_ns() + int(off * 1e9)
import json, mstbucket
from datetime import datetime, timedelta, UTC
from mstbucket.services.upkeep.worker import due
with mstbucket.open(database=sys.argv[1], blobs=sys.argv[2], background=False) as store:
    bucket = store.create_bucket("things")
    bucket.put_object("inline", b"x")
    bucket.put_object("packed", bytes(100_000))
    bucket.put_objects(mstbucket.PutRequest(f"many/{n}", b"y") for n in range(3))
    bucket.copy_object("inline", "copy")
    upload = bucket.create_multipart_upload("parts")
    part = bucket.upload_part("parts", upload.id, 1, bytes(100))
    bucket.complete_multipart_upload("parts", upload.id, [(1, part.etag)])
    left = bucket.create_multipart_upload("open")
    bucket.upload_part("open", left.id, 1, bytes(100))
    bucket.put_bucket_versioning("Enabled")
    bucket.put_object("inline", b"z")
    bucket.delete_object("inline")
    bucket.delete_objects(["copy"])
    bucket.put_bucket_tagging({"a": "b"})
    due_now = due(store._context)
    with store._context.db.reading() as connection:
        since = [row[0] for row in connection.execute("SELECT since FROM dirty UNION ALL SELECT since FROM dirty_versions")]
    bucket.flush()
    bucket.create_snapshot("named")
    store.access_keys.create("somebody")
    with open(sys.argv[4], "wb") as file:
        bucket.export_car(file)
    store.import_car(sys.argv[4], "imported")
    store.compact()
    print(json.dumps([due_now, since]))
"""

# Every column of the schema that holds a time, of rows that the client has made.
COLUMNS = {
    "buckets": ["created", "tags_since"], "commits": ["time"], "objects": ["created", "modified"],
    "versions": ["created", "modified"], "uploads": ["initiated", "completed"], "packs": ["created", "alive"],
    "parts": ["modified"], "snapshots": ["created"], "access_keys": ["created"],
}  # fmt: skip


@pytest.mark.parametrize("off", [-DAY, DAY, -40 * 365 * DAY], ids=["a day behind", "a day ahead", "in another century"])
def test_a_clients_own_clock_does_not_matter(database_url: str, tmp_path: Path, off: int) -> None:
    """[PG-26]"""
    command = [sys.executable, "-c", CLIENT, database_url, str(tmp_path / "blobs"), str(off), str(tmp_path / "x.car")]
    ran = subprocess.run(command, check=True, timeout=200, stdout=subprocess.PIPE, text=True)
    due, since = json.loads(ran.stdout)
    assert due == []  # nothing has grown old in a moment
    found = {"since": since}
    with closing(psycopg.connect(database_url, options="-c search_path=mstbucket")) as connection:
        for table, columns in COLUMNS.items():
            for column in columns:
                query = f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL"
                found[f"{table}.{column}"] = [row[0] for row in connection.execute(query)]  # type: ignore[call-overload]
        now = connection.execute("SELECT now_ms()").fetchone()[0]  # type: ignore[index]
        bigints = connection.execute(
            "SELECT table_name || '.' || column_name FROM information_schema.columns "
            "WHERE table_schema = 'mstbucket' AND column_name IN "
            "('created', 'modified', 'since', 'time', 'initiated', 'completed', 'alive', 'tags_since')"
        ).fetchall()
    assert {name for (name,) in bigints if not name.startswith(("v_", "dirty"))} == set(found) - {"since"}
    wrong = {name: value for name, values in found.items() for value in values if not now - NEAR_MS <= value <= now}
    assert wrong == {}
    none = {name for name, values in found.items() if not values}
    assert none <= {"packs.alive", "buckets.tags_since", "objects.created", "versions.created"}  # NULL: created as modified


def test_the_time_is_never_ahead_of_the_servers_and_hardly_behind(database_url: str) -> None:
    """[PG-26]: also when it is asked for again."""
    with Database(database_url) as db:
        for n in range(200):
            if n % 50 == 25:
                db._clock._said = None
            ours = db.now_ms()
            with db.reading() as connection:
                servers = connection.execute("SELECT ceil(extract(epoch FROM clock_timestamp()) * 1000)").fetchone()[0]  # type: ignore[index]
            assert 0 <= servers - ours < NEAR_MS


def test_a_put_asks_for_no_time(bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """[PG-26]: the connection has told it."""
    def refuse(_: object) -> int:
        raise AssertionError("the server was asked")

    bucket.put_object("k", b"v")
    monkeypatch.setattr(clock.Clock, "told", refuse)
    for n in range(20):
        bucket.put_object(f"{n}", b"v")


def test_what_was_told_grows_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """[PG-26]: after a minute, and after anything strange of the ticks, the server is asked again."""
    now = 10**18
    monkeypatch.setattr(clock, "ticks", lambda: now)
    told = clock.Clock()
    assert told.now_ms() is None
    told.told(5_000)
    assert told.now_ms() == 5_000
    now += 59_999_999_999
    assert told.now_ms() == 64_999
    now += 1
    assert told.now_ms() is None
    now -= 10**12
    assert told.now_ms() is None


def test_nobody_but_the_edges_asks_this_machine_for_the_time() -> None:
    """[PG-26] [GW-14]: neither the services nor the gateway know any other clock than the database's."""
    package = Path(mstbucket.__file__).parent
    asked = {"time", "time_ns", "now", "utcnow", "today"}
    strays = []
    patterns = ("*.py", "services/*.py", "pg/*.py", "core/**/*.py", "gateway/**/*.py")
    for path in (path for pattern in patterns for path in package.glob(pattern)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in asked:
                owner = node.func.value
                if isinstance(owner, ast.Name) and owner.id in {"time", "datetime", "date"}:
                    strays.append(f"{path.name}:{node.lineno}")
    assert strays == []
    assert time.time() > 0
