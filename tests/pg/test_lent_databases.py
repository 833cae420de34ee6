"""The tests' own databases: one that is lent again is as a new one, and one that cannot be is not lent again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

import mstbucket


def everything(url: str) -> object:
    """All rows of all tables, all sequences, and what tables and functions there are."""
    with psycopg.connect(url) as connection:
        query = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND oid >= 16384 ORDER BY 1"
        tables = [name for (name,) in connection.execute(query)]
        rows = {name: connection.execute(f"SELECT t::text FROM {name} t ORDER BY 1").fetchall() for name in tables}
        places = connection.execute("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1").fetchall()
        functions = connection.execute("SELECT proname, prosrc FROM pg_proc WHERE oid >= 16384 ORDER BY 1, 2").fetchall()
        return rows, places, functions


def use(url: str, blobs: Path) -> None:
    """Something of everything."""
    with mstbucket.open(database=url, blobs=blobs, background=False) as store:
        store.access_keys.create("somebody")
        bucket = store.create_bucket("things")
        bucket.put_bucket_versioning("Enabled")
        for key in ("a", "b"):
            bucket.put_object(key, b"body" * 100_000, tags={"t": "1"})
        bucket.flush()
        bucket.create_multipart_upload("c")
        bucket.delete_object("a")
        store.create_bucket("others")


def test_a_database_that_is_lent_again_is_as_new(databases: Any, template: str, tmp_path: Path) -> None:
    names = []
    for round_ in range(3):
        with databases.lent(template) as name:
            names.append(name)
            assert everything(databases.url(name)) == everything(databases.url(template))
            use(databases.url(name), tmp_path / str(round_))
            assert everything(databases.url(name)) != everything(databases.url(template))
    assert names[1:] == names[:-1] or len(set(names)) <= 2  # the first may have been lent often before


CHANGES = {
    "a table more": "CREATE TABLE more ()",
    "a function more": "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "a column more": "ALTER TABLE buckets ADD COLUMN more int",
    "a setting of the database":
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 64', current_database()); END $$",
    "rows that were counted": "INSERT INTO collector SELECT n FROM generate_series(2, 99) n; ANALYZE collector",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_database_in_which_more_than_rows_has_changed_is_not_lent_again(
    databases: Any, template: str, change: str
) -> None:
    with databases.lent(template) as name, psycopg.connect(databases.url(name), autocommit=True) as connection:
        connection.execute("SET search_path = mstbucket")
        connection.execute(change)
    with databases.lent(template) as another:
        assert another != name
        assert everything(databases.url(another)) == everything(databases.url(template))


def test_a_database_that_somebody_is_still_in_is_not_lent_again(databases: Any, template: str) -> None:
    with databases.lent(template) as name:
        connection = psycopg.connect(databases.url(name))
    with databases.lent(template) as another:
        assert another != name
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()
