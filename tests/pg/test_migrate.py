"""Migrations: each applied once, by one of all who try; a database that does not fit is refused."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from mstbucket.errors import Conflict, MstBucketError, StorageError, Unsupported
from mstbucket.pg import migrate as module
from mstbucket.pg.database import Database
from mstbucket.pg.migrate import Migration, load, make_ready, migrate, shipped, upgrade

ONE = Migration(1, "things", "CREATE TABLE things (n int); INSERT INTO things VALUES (1); -- 100% of it\n")
TWO = Migration(2, "more", "INSERT INTO things VALUES (2); SELECT pg_sleep(0.05);")
BROKEN = Migration(2, "broken", "INSERT INTO things VALUES (9); SELECT 1/0;")


ADDS = Migration(2, "adds", "-- It only adds.\n-- oldest reader: 1\n-- oldest writer: 1\nINSERT INTO things VALUES (2);")
READABLE = Migration(2, "readable", "-- oldest reader: 1\nINSERT INTO things VALUES (2);")


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


# --- versions side by side ---


@pytest.mark.parametrize(("newer", "reader", "writer"), [(ADDS, 1, 1), (READABLE, 1, 2), (TWO, 2, 2)])
def test_a_migration_says_who_can_still_read_and_write(
    newer: Migration, reader: int, writer: int, empty_database_url: str
) -> None:
    """[PG-29]."""
    assert (newer.oldest_reader, newer.oldest_writer) == (reader, writer)
    with Database(empty_database_url) as db:
        migrate(db, (ONE, newer))
        with db.reading() as connection:
            rows = connection.execute(
                "SELECT oldest_reader, oldest_writer FROM mstbucket.migrations ORDER BY version"
            ).fetchall()
    assert rows == [(1, 1), (reader, writer)]


def test_a_newer_database_is_opened_where_it_says_that_we_can_work(empty_database_url: str) -> None:
    """[PG-29]."""
    with Database(empty_database_url) as db:
        migrate(db, (ONE, ADDS))
        make_ready(db, False, (ONE,))
        make_ready(db, True, (ONE,))
        assert migrate(db, (ONE,)) == 0


@pytest.mark.parametrize(
    ("newer", "said"), [(TWO, "0002_more.*use the version"), (READABLE, "0002_readable.*needs writers")]
)
@pytest.mark.parametrize("embedded", [False, True])
def test_a_newer_database_is_refused_where_it_does_not(
    newer: Migration, said: str, embedded: bool, empty_database_url: str
) -> None:
    """[PG-18], [PG-29]."""
    with Database(empty_database_url) as db:
        migrate(db, (ONE, newer))
        with pytest.raises(Unsupported, match=said):
            make_ready(db, embedded, (ONE,))


def test_an_older_database_is_left_as_it_is_and_the_error_says_what_to_do(empty_database_url: str) -> None:
    """[PG-30]."""
    with Database(empty_database_url) as db:
        make_ready(db, False, (ONE,))
        with pytest.raises(Unsupported, match=r"schema 1, .* needs 2.*mstbucket store migrate"):
            make_ready(db, False, (ONE, ADDS))
        assert numbers(db) == [1]
        assert upgrade(db, (ONE, ADDS)) == 1
        make_ready(db, False, (ONE, ADDS))
        assert numbers(db) == [1, 2]


def test_an_older_embedded_database_is_brought_up_to_date_when_nobody_else_is_there(empty_database_url: str) -> None:
    """[PG-30]."""
    with Database(empty_database_url) as db:
        make_ready(db, True, (ONE,))
        with Database(empty_database_url) as other:
            assert numbers(other) == [1]
            with pytest.raises(Unsupported, match="mstbucket store migrate"):
                make_ready(db, True, (ONE, ADDS))
        await_alone(db)
        make_ready(db, True, (ONE, ADDS))
        assert numbers(db) == [1, 2]


def test_an_upgrade_beside_others_does_only_what_they_can_go_on_with(empty_database_url: str) -> None:
    """[PG-30]."""
    with Database(empty_database_url) as db:
        make_ready(db, False, (ONE,))
        with Database(empty_database_url) as other:
            assert numbers(other) == [1]
            with pytest.raises(Conflict, match="close the store everywhere"):
                upgrade(db, (ONE, TWO))
            assert upgrade(db, (ONE, ADDS)) == 1
            assert numbers(other) == [1, 2]


def test_a_migration_gives_up_where_others_hold_what_it_changes(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PG-30]."""
    monkeypatch.setattr(module, "LOCK_WAIT", "50ms")
    alters = Migration(
        2, "alters", "-- oldest writer: 1\nINSERT INTO things VALUES (2); ALTER TABLE things ADD COLUMN m integer;"
    )
    with Database(empty_database_url) as db:
        migrate(db, (ONE,))
        with Database(empty_database_url) as other, other.transaction() as connection:
            connection.execute("INSERT INTO mstbucket.things VALUES (3)")
            with pytest.raises(Conflict):
                upgrade(db, (ONE, alters))
            assert numbers(db) == [1]
        assert upgrade(db, (ONE, alters)) == 1
        assert sorted(numbers(db)) == [1, 2, 3]


def await_alone(db: Database) -> None:
    """A session that was closed may show for a moment."""
    deadline = time.monotonic() + 30
    with db.reading() as connection:
        while not module._is_alone(connection):
            assert time.monotonic() < deadline
            time.sleep(0.01)


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
