"""Room that flushes leave: given back soon, and unnoticed by whoever still sees the rows."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import mstbucket
from mstbucket import PutRequest
from mstbucket.index.space import DEAD_MIN, give_back
from mstbucket.limits import DELETE_KEYS_MAX
from mstbucket.pg.database import Database
from mstbucket.pg.queries import one_row

OBJECTS = 2 * DEAD_MIN
DEADLINE = 60.0  # on a hang: other sessions' dead rows are counted within seconds


@pytest.fixture
def database_url(fresh_database_url: str) -> str:
    """Here sizes and counts of dead rows are judged."""
    return fresh_database_url


def put(bucket: mstbucket.Bucket, n: int) -> None:
    bucket.put_objects([PutRequest(f"{key:05}", f"{key}, {n}".encode()) for key in range(OBJECTS)])


def size(db: Database, table: str) -> int:
    with db.reading() as connection:
        return int(one_row(connection, "SELECT pg_total_relation_size(%s::regclass)", (table,))[0])


def server_version(db: Database) -> int:
    with db.reading() as connection:
        return connection.info.server_version


def vacuums(db: Database, table: str) -> int:
    query = "SELECT vacuum_count + autovacuum_count FROM pg_stat_all_tables WHERE relid = %s::regclass"
    with db.reading() as connection:
        return int(one_row(connection, query, (table,))[0])


def await_size(db: Database, table: str, most: int) -> None:
    deadline = time.monotonic() + DEADLINE
    while size(db, table) > most:
        assert time.monotonic() < deadline, f"{table} has {size(db, table)} bytes, and not {most}"
        time.sleep(0.05)
        give_back(db)


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    with Database(database_url) as db:
        yield db


def test_the_dirty_rows_of_a_flush_leave_no_file_behind(bucket: mstbucket.Bucket, db: Database) -> None:
    """[PG-27]."""
    empty = size(db, "dirty")
    put(bucket, 0)
    full = size(db, "dirty")
    bucket.flush()
    await_size(db, "dirty", empty + (full - empty) // 3)


def test_bodies_that_were_held_until_the_flush_leave_no_file_behind(bucket: mstbucket.Bucket, db: Database) -> None:
    """[PG-27]."""
    empty = size(db, "blocks")
    for key in range(DEAD_MIN):
        bucket.put_object(f"{key:05}", f"{key:5}".encode() * 800)
    full = size(db, "blocks")
    bucket.flush()
    await_size(db, "blocks", empty + (full - empty) // 4)


def test_rounds_of_overwriting_use_the_room_of_the_rounds_before(bucket: mstbucket.Bucket, db: Database) -> None:
    """[PG-27]."""
    put(bucket, 0)
    bucket.flush()
    once = size(db, "objects")
    for n in range(1, 6):
        put(bucket, n)
        bucket.flush()
        give_back(db)
    if server_version(db) >= 150000:  # older ones count dead rows seconds later
        assert size(db, "objects") <= 3 * once
    assert bucket.get_object("00000").read() == b"0, 5"


def test_what_a_collection_removes_is_vacuumed_by_it(
    store: mstbucket.Store, bucket: mstbucket.Bucket, db: Database
) -> None:
    """[PG-27]."""
    put(bucket, 0)
    bucket.flush()
    for start in range(0, OBJECTS, DELETE_KEYS_MAX):
        bucket.delete_objects([f"{key:05}" for key in range(start, start + DELETE_KEYS_MAX)])
    bucket.flush()
    with db.connection() as connection:
        connection.execute("DELETE FROM commits WHERE seq = 1")
    before = vacuums(db, "blocks")
    assert store.collect(force=True, grace=0).freed.blocks > OBJECTS
    deadline = time.monotonic() + DEADLINE
    while server_version(db) >= 150000 and vacuums(db, "blocks") == before:  # older ones count dead rows seconds later
        assert time.monotonic() < deadline
        time.sleep(0.05)  # the server's own was at it, so the other was skipped


def test_an_older_snapshot_goes_on_seeing_what_was_dirty(bucket: mstbucket.Bucket, db: Database) -> None:
    """[PG-27]."""
    put(bucket, 0)
    with db.snapshot() as connection:
        before = one_row(connection, "SELECT seq FROM buckets")
        bucket.flush()
        give_back(db)
        assert one_row(connection, "SELECT seq FROM buckets") == before
        assert one_row(connection, "SELECT count(*) FROM dirty") == (OBJECTS,)
        # by the index, too, which may have been made anew meanwhile
        connection.execute("SET LOCAL enable_seqscan = off")
        assert one_row(connection, "SELECT count(*) FROM dirty WHERE bucket = 1 AND key >= '01000'") == (OBJECTS - 1000,)


def test_a_writer_in_the_middle_neither_waits_nor_loses_anything(bucket: mstbucket.Bucket, db: Database) -> None:
    """[PG-27]."""
    put(bucket, 0)
    with db.transaction() as connection:
        connection.execute("SELECT mark_dirty(1, ARRAY['new'])")
        bucket.flush()
        give_back(db)
        connection.execute("SELECT mark_dirty(1, ARRAY['newer'])")
    with db.reading() as connection:
        keys = connection.execute("SELECT key FROM dirty ORDER BY key").fetchall()
    assert keys == [("new",), ("newer",)]
