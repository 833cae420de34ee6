"""Migrations: each applied once, by one of all who try; a database that does not fit is refused."""

from __future__ import annotations

import multiprocessing
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from mstbucket.errors import MstBucketError, StorageError, Unsupported
from mstbucket.pg.database import Database
from mstbucket.pg.migrate import Migration, load, migrate, shipped

ONE = Migration(1, "things", "CREATE TABLE things (n int); INSERT INTO things VALUES (1); -- 100% of it\n")
TWO = Migration(2, "more", "INSERT INTO things VALUES (2); SELECT pg_sleep(0.05);")
BROKEN = Migration(2, "broken", "INSERT INTO things VALUES (9); SELECT 1/0;")


def numbers(db: Database) -> list[int]:
    with db.reading() as connection:
        return [row[0] for row in connection.execute("SELECT n FROM mstbucket.things ORDER BY n")]


def test_what_is_missing_is_applied_in_order_and_once(empty_database_url: str) -> None:
    """[PG-16]."""
    with Database(empty_database_url) as db:
        assert migrate(db, (ONE,)) == 1
        assert migrate(db, (ONE,)) == 0
        assert migrate(db, (ONE, TWO)) == 1
        assert numbers(db) == [1, 2]
        with db.reading() as connection:
            rows = connection.execute("SELECT version, name, sha256 FROM mstbucket.migrations ORDER BY 1").fetchall()
            outside = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert rows == [(1, "things", ONE.sha256), (2, "more", TWO.sha256)]
    assert outside == (0,)


def test_a_migration_that_fails_leaves_nothing_and_can_be_mended(empty_database_url: str) -> None:
    """[PG-16]."""
    with Database(empty_database_url) as db:
        with pytest.raises(StorageError, match="division by zero"):
            migrate(db, (ONE, BROKEN))
        assert numbers(db) == [1]
        assert migrate(db, (ONE, TWO)) == 1
        assert numbers(db) == [1, 2]


def test_a_migration_changed_after_it_was_applied_is_refused(empty_database_url: str) -> None:
    """[PG-18]."""
    with Database(empty_database_url) as db:
        migrate(db, (ONE,))
        with pytest.raises(StorageError, match="0001_things was changed after it was applied"):
            migrate(db, (Migration(1, "things", ONE.sql + " "), TWO))
        assert numbers(db) == [1]


def test_a_database_of_the_eleven_files_before_the_first_release_is_refused(empty_database_url: str) -> None:
    """[PG-18]: the first of them had the number and the name that the whole schema has now."""
    with Database(empty_database_url) as db:
        migrate(db, (Migration(1, "store", ONE.sql), Migration(2, "conditions", "SELECT 1")))
        with pytest.raises(StorageError, match=r"0001_store was changed after.*rebuild the database"):
            migrate(db)


def test_a_database_newer_than_the_code_is_refused(empty_database_url: str) -> None:
    """[PG-18]."""
    with Database(empty_database_url) as db:
        migrate(db, (ONE, TWO))
        with pytest.raises(Unsupported, match=r"0002_more.*knows 1"):
            migrate(db, (ONE,))


def _migrate_at_once(url: str, start: Barrier, done: SimpleQueue[int | str]) -> None:
    with Database(url) as db:
        start.wait()
        try:
            done.put(migrate(db, (ONE, TWO)))
        except MstBucketError as error:
            done.put(str(error))


def test_of_eight_processes_each_migration_is_applied_by_one(empty_database_url: str) -> None:
    """[PG-17]."""
    context = multiprocessing.get_context("fork")
    start, done = context.Barrier(8), context.SimpleQueue()
    processes = [context.Process(target=_migrate_at_once, args=(empty_database_url, start, done)) for _ in range(8)]
    for process in processes:
        process.start()
    counts = [done.get() for _ in processes]
    for process in processes:
        process.join()
    assert sum(count for count in counts if isinstance(count, int)) == 2, counts
    assert not [message for message in counts if isinstance(message, str)]
    with Database(empty_database_url) as db:
        assert numbers(db) == [1, 2]


def test_files_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """[PG-16]."""
    (tmp_path / "0002_b.sql").write_text("SELECT 2")
    (tmp_path / "0001_a.sql").write_text("SELECT 1")
    (tmp_path / "notes.txt").write_text("no migration")
    assert [(m.version, m.name, m.sql) for m in load(tmp_path)] == [(1, "a", "SELECT 1"), (2, "b", "SELECT 2")]


def test_a_folder_is_one_migration_of_its_files_in_order(tmp_path: Path) -> None:
    """[PG-16]."""
    (tmp_path / "0001_a").mkdir()
    for name, text in (("2_b.sql", "SELECT 2;"), ("1_a.sql", "SELECT 1;"), ("notes.txt", "no SQL")):
        (tmp_path / "0001_a" / name).write_text(text)
    (tmp_path / "0002_c.sql").write_text("SELECT 3")
    assert [(m.version, m.name, m.sql) for m in load(tmp_path)] == [(1, "a", "SELECT 1;SELECT 2;"), (2, "c", "SELECT 3")]


@pytest.mark.parametrize("names", [["0002_b.sql"], ["0001_a.sql", "0003_c.sql"], ["1_a.sql"], ["0001_a.sql", "0001_b.sql"]])
def test_gaps_doubles_and_other_names_are_refused(tmp_path: Path, names: list[str]) -> None:
    """[PG-16]."""
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(StorageError, match="installation is damaged"):
        load(tmp_path)


def test_the_shipped_migrations_apply(database_url: str) -> None:
    """[PG-16]: the template that every test's database is a copy of was made by them."""
    with Database(database_url) as db:
        assert migrate(db) == 0
        with db.reading() as connection:
            count = connection.execute("SELECT count(*) FROM mstbucket.migrations").fetchone()
    assert count == (len(shipped()),)
