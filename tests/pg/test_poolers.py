"""PgBouncer before the server: nothing rests on a session, and what cannot be had is refused by name."""

from __future__ import annotations

import io
import re
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo

import mstbucket
from mstbucket import errors
from mstbucket.pg import binary, settings
from mstbucket.pg.database import Database
from mstbucket.pg.embedded import EmbeddedPostgres
from mstbucket.pg.migrate import migrate, shipped
from mstbucket.pg.queries import Call, Lookup
from mstbucket.pg.settings import SESSION

Make = Callable[..., str]

#: Set for the whole database: what a session would have if nothing were said.
HOSTILE = {
    "synchronous_commit": "off", "search_path": "elsewhere", "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on", "statement_timeout": "1h", "lock_timeout": "1h", "TimeZone": "Asia/Tokyo",
    "idle_in_transaction_session_timeout": "1h", "jit": "on", "DateStyle": "German, DMY",
    "standard_conforming_strings": "off",
}  # fmt: skip
DROPPED = {"ignore_startup_parameters": "options"}
MODES = [("session", DROPPED), ("session", {}), ("transaction", DROPPED), ("transaction", {})]
IDS = ["session, settings dropped", "session, settings refused", "transaction, dropped", "transaction, refused"]


@pytest.fixture
def through(load_server: Callable[[str], Any], server_url: str) -> Iterator[Make]:
    """Gives the connection string of a database through a new PgBouncer of a mode."""
    made: list[Any] = []
    folders: list[Path] = []

    def make(database_url: str, mode: str, **settings: str) -> str:
        folders.append(Path(tempfile.mkdtemp(prefix="mstbucket-test-")))
        made.append(load_server("pgbouncer").Pooler(folders[-1], server_url, mode, **settings))
        return str(made[-1].url(str(conninfo.conninfo_to_dict(database_url)["dbname"])))

    yield make
    for pooler in made:
        pooler.close()
    for folder in folders:
        shutil.rmtree(folder)


def make_hostile(url: str) -> None:
    name = conninfo.conninfo_to_dict(url)["dbname"]
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        for setting, value in HOSTILE.items():
            connection.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'")  # type: ignore[arg-type]


def held(connection: Any) -> dict[str, str]:
    return {name: connection.execute(f"SHOW {name}").fetchone()[0] for name in SESSION}


pytestmark = pytest.mark.pooler


@pytest.mark.parametrize(("mode", "options"), MODES, ids=IDS)
def test_every_statement_has_its_settings(through: Make, database_url: str, mode: str, options: dict[str, str]) -> None:
    """[PG-8] [PG-11] [PG-24]: whatever the database has set, in every way in which a statement can be sent."""
    make_hostile(database_url)
    with Database(through(database_url, mode, **options)) as db:
        for _ in range(5):
            for way in (db.connection, db.reading, db.transaction):
                with way() as connection:
                    assert held(connection) == SESSION
                    assert connection.execute("SHOW transaction_isolation").fetchone() == ("read committed",)
                    assert connection.execute("SHOW transaction_read_only").fetchone() == ("off",)
            with db.snapshot() as connection:
                assert held(connection) == SESSION
                assert connection.execute("SHOW transaction_isolation").fetchone() == ("repeatable read",)
            names = ", ".join(f"current_setting('{name}')" for name in SESSION)
            lookup = Lookup("test_settings", f"SELECT {names}, $1, '%', $2, $1", 2)
            assert db.find(lookup, "a%s", "b") == (*SESSION.values(), "a%s", "%", "b", "a%s")


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_calls_are_done_and_undone_behind_a_pooler(through: Make, database_url: str, mode: str) -> None:
    """[PG-33] [PG-24]: each brings its settings, takes NULL, and leaves a connection that works when it fails."""
    shown = "current_setting('synchronous_commit'), $1, $2, pg_current_xact_id()::text, NULL::timestamptz"
    show = Call("test_show", f"SELECT {shown}", (25, 1009))
    insert = Call("test_insert", "INSERT INTO t VALUES (1 / $1) RETURNING n, pg_current_xact_id()::text, NULL", (20,))
    make_hostile(database_url)
    with Database(through(database_url, mode)) as db:
        with db.connection() as connection:
            connection.execute("CREATE TABLE t (n int)")
        for call in (db.call, db.call_settled):
            for _ in range(3):
                assert call(show, (None, binary.text_array(["%s", None])))[:3] == ("on", None, ["%s", None])
            with pytest.raises(errors.StorageError, match="division by zero"):
                call(insert, (binary.int8(0)[4:],))
            assert call(insert, (binary.int8(1)[4:],))[0] == 1
        with db.reading() as connection:
            assert connection.execute("SELECT n FROM t").fetchall() == [(1,), (1,)]


def test_without_a_pooler_a_session_is_used(database_url: str) -> None:
    """[PG-24]: statements are prepared, and no settings are sent again."""
    make_hostile(database_url)
    with Database(database_url) as db, db.reading() as connection:
        assert connection.direct
        assert held(connection) == SESSION


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_transactions_end_whole_or_not_at_all(through: Make, database_url: str, mode: str) -> None:
    """[PG-11] [PG-15] [PG-24]: and a statement that failed leaves a connection that works."""
    with Database(through(database_url, mode)) as db:
        with db.connection() as connection:
            connection.execute("CREATE TABLE t (n int PRIMARY KEY)")
            connection.execute("INSERT INTO t VALUES (%s)", (1,))
            with pytest.raises(psycopg.errors.UniqueViolation):
                connection.execute("INSERT INTO t VALUES (%s)", (1,))
            assert connection.execute("INSERT INTO t VALUES (2), (3) RETURNING n", binary=True).fetchall() == [(2,), (3,)]
            assert connection.execute("UPDATE t SET n = n + 10 WHERE n > 1").rowcount == 2
            with pytest.raises(psycopg.errors.SyntaxError):
                connection.execute("nonsense")
        with pytest.raises(errors.StorageError, match="duplicate key"):
            db.run(lambda connection: [connection.execute(f"INSERT INTO t VALUES ({n})") for n in (4, 1)])
        with pytest.raises(errors.NoSuchBucket), db.connection() as connection:
            connection.execute("SELECT delete_bucket('nothing')")
        with db.reading() as connection:
            assert connection.execute("SELECT n FROM t ORDER BY n").fetchall() == [(1,), (12,), (13,)]


def test_a_backend_that_was_killed_behind_the_pooler(through: Make, database_url: str) -> None:
    """[PG-13]: a statement on its own is unknown, a transaction before COMMIT is undone, the next call works."""
    suicide = "SELECT pg_terminate_backend(pg_backend_pid())"
    with Database(through(database_url, "transaction")) as db:
        with pytest.raises(errors.StorageError) as caught, db.transaction() as connection:
            connection.execute(suicide)
        assert type(caught.value) is errors.StorageError
        with pytest.raises(errors.OutcomeUnknown), db.connection() as connection:
            connection.execute(suicide)
        with db.reading() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_statement_mode_is_refused_by_name(through: Make, database_url: str) -> None:
    """[PG-24]"""
    for options in (DROPPED, {}):
        url = through(database_url, "statement", **options)
        with Database(url) as db, pytest.raises(errors.Unsupported, match="pool_mode = statement"), db.reading():
            pass


def test_a_server_that_syncs_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[PG-8]"""
    monkeypatch.setitem(settings._SERVER, "fsync", "off")
    server = EmbeddedPostgres(tmp_path / "postgres")
    with Database(server.start()) as db, pytest.raises(errors.Unsupported, match="fsync = off"), db.reading():
        pass
    server.close()
    assert server.await_stopped()


@pytest.mark.parametrize(("mode", "options"), [MODES[0], MODES[3]], ids=[IDS[0], IDS[3]])
def test_a_store_behind_a_pooler_does_everything(
    through: Make, empty_database_url: str, tmp_path: Path, mode: str, options: dict[str, str]
) -> None:
    """[PG-24]: made, written by threads, flushed, compacted, versioned, exported, imported, verified, expired."""
    make_hostile(empty_database_url)
    url = through(empty_database_url, mode, **options)
    with mstbucket.open(database=url, blobs=tmp_path / "blobs", background=False) as store:
        bucket = store.create_bucket("things", object_lock=True)
        problems: list[BaseException] = []

        def write(me: int) -> None:
            try:
                for n in range(15):
                    bucket.put_object(f"{me}/{n:03}", secrets.token_bytes(100), tags={"n": "1"})
                    assert len(bucket.get_object(f"{me}/{n:03}").read()) == 100
                bucket.put_objects(mstbucket.PutRequest(f"{me}/many/{n}", b"%d" % n) for n in range(50))
                bucket.flush()
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=write, args=(me,)) for me in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        upload = bucket.create_multipart_upload("large")
        part = bucket.upload_part("large", upload.id, 1, bytes(6_000_000))
        bucket.complete_multipart_upload("large", upload.id, [(1, part.etag)])
        bucket.delete_object("0/001")
        with pytest.raises(errors.PreconditionFailed):
            bucket.put_object("0/000", b"", if_none_match="*")
        assert sum(1 for _ in bucket.objects()) == 6 * 65
        bucket.flush()
        store.compact()
        bucket.verify()
        file = io.BytesIO()
        commit = bucket.export_car(file)
        file.seek(0)
        other = store.import_car(file, "copy")
        assert other.head_commit() is not None
        assert other.head_commit().cid == commit.root
        assert other.get_object("large").read() == bytes(6_000_000)
        other.verify()
    with mstbucket.open(database=empty_database_url, blobs=tmp_path / "blobs", background=False) as store:
        store.bucket("things").verify()


@contextmanager
def other_clients(url: str) -> Iterator[list[psycopg.Connection[Any]]]:
    """Connections of other clients, one for each session of the pooler. What they did stays in the sessions."""
    others = [psycopg.connect(url, prepare_threshold=None) for _ in range(4)]
    yield others
    for other in others:
        other.commit()
        other.close()


def test_what_another_client_left_under_our_passing_names_does_no_harm(
    through: Make, database_url: str, tmp_path: Path
) -> None:
    """[PG-11] [PG-24]: temporary tables and views, and cursors, of every name that the code gives one for a transaction."""
    given = re.findall(r"(?:own_table|own_name|server_cursor)\((?:connection, )?\"(\w+)\"", "".join(
        path.read_text() for path in Path(mstbucket.__file__).parent.glob("index/*.py")
    ))  # fmt: skip
    assert {"repeats", "past", "changed", "new_objects", "new_versions", "forking", "folding", "collecting"} <= set(given)
    url = through(database_url, "transaction")
    with other_clients(url) as others:
        for n, other in enumerate(others):
            for name in sorted(set(given)):
                what = f"TABLE {name} (k int CHECK (k < 0))" if n % 2 else f"VIEW {name} AS SELECT 1 AS k"
                other.execute(f"CREATE TEMPORARY {what}".encode())
                other.execute(f"DECLARE {name} CURSOR WITH HOLD FOR SELECT 1".encode())
    with mstbucket.open(database=url, blobs=tmp_path / "blobs", background=False) as store:
        bucket = store.create_bucket("things")
        bucket.put_objects(mstbucket.PutRequest(f"{n}", b"%d" % (n % 3)) for n in range(9))
        bucket.put_bucket_versioning("Enabled")
        bucket.put_object("0", b"new")
        base, delta = io.BytesIO(), io.BytesIO()
        bucket.flush()
        first = bucket.export_car(base)
        bucket.put_object("1", b"new")
        bucket.delete_object("2")
        bucket.flush()
        bucket.export_delta(first.root, delta)
        copy = store.import_car(io.BytesIO(base.getvalue()), "copy")
        copy.verify()
        store.import_car(io.BytesIO(delta.getvalue()), "copy")
        assert copy.head_commit() == bucket.head_commit()
        fork = store.fork("things", "fork", commit=first.root)
        bucket.restore(first.root, key="1")
        fork.put_object("mine", b"x")
        store.merge("fork", "things")
        store.collect()
        for name in ("things", "copy", "fork"):
            store.bucket(name).verify()


@pytest.mark.parametrize("transaction", ["SET search_path = elsewhere, pg_temp", None], ids=["settings", "tables"])
def test_what_another_client_left_in_the_sessions_does_no_harm(
    through: Make, database_url: str, tmp_path: Path, transaction: str | None
) -> None:
    """[PG-8] [PG-11] [PG-24]: its settings, and temporary tables of our names, into which rows would go and be lost."""
    url = through(database_url, "transaction")
    with closing(psycopg.connect(database_url)) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'mstbucket'").fetchall()
    with other_clients(url) as others:
        for other in others:
            for (table,) in tables if transaction is None else ():
                other.execute(f"CREATE TEMPORARY TABLE {table} (LIKE mstbucket.{table} INCLUDING ALL)".encode())
            if transaction is not None:
                other.execute(f"SET synchronous_commit = off; {transaction}".encode())
    with mstbucket.open(database=url, blobs=tmp_path / "blobs", background=False) as store:
        bucket = store.create_bucket("things")
        bucket.put_object("k", b"v")
        bucket.put_objects(mstbucket.PutRequest(f"{n}", b"%d" % n) for n in range(5))
        bucket.flush()
    with mstbucket.open(database=database_url, blobs=tmp_path / "blobs", background=False) as store:
        assert [info.key for info in store.bucket("things").objects()] == ["0", "1", "2", "3", "4", "k"]
        store.bucket("things").verify()


def test_migrations_run_through_a_pooler(through: Make, empty_database_url: str) -> None:
    """[PG-16] [PG-17] [PG-24]: by several at once."""
    url = through(empty_database_url, "transaction", **DROPPED)
    counts: list[int] = []

    def work() -> None:
        with Database(url) as db:
            counts.append(migrate(db))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == len(shipped())
    with Database(url) as db:
        assert migrate(db) == 0
