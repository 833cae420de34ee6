"""The door to PostgreSQL: outcomes that are known, errors that are declared, secrets that stay secret."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo

from mstbucket import errors
from mstbucket.pg import database as database_module
from mstbucket.pg import failures, lost_commit, pool
from mstbucket.pg.database import Database
from mstbucket.pg.embedded import EmbeddedPostgres


@pytest.fixture
def db(empty_database_url: str) -> Iterator[Database]:
    """A database with a schema and one empty table."""
    with Database(empty_database_url) as made:
        with made.connection() as connection:
            connection.execute("CREATE SCHEMA mstbucket")
            connection.execute("CREATE TABLE t (n int PRIMARY KEY)")
        yield made


def rows(db: Database) -> list[int]:
    with db.reading() as connection:
        return [row[0] for row in connection.execute("SELECT n FROM t ORDER BY n")]


# --- connections and transactions --------------------------------------------------------------------------------


def test_a_transaction_is_all_or_nothing(db: Database) -> None:
    """[PG-11]."""
    with db.transaction() as connection:
        connection.execute("INSERT INTO t VALUES (1)")
        connection.execute("INSERT INTO t VALUES (2)")

    def break_off() -> None:
        with db.transaction() as connection:
            connection.execute("INSERT INTO t VALUES (3)")
            raise RuntimeError("mine")

    def collide() -> None:
        with db.transaction() as connection:
            connection.execute("INSERT INTO t VALUES (4)")
            connection.execute("INSERT INTO t VALUES (1)")

    with pytest.raises(RuntimeError, match="mine"):
        break_off()
    with pytest.raises(errors.StorageError, match="duplicate key"):
        collide()
    assert rows(db) == [1, 2]


def test_a_snapshot_does_not_move_and_cannot_write(db: Database) -> None:
    """[PG-11]."""
    with db.snapshot() as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
        with db.connection() as other:
            other.execute("INSERT INTO t VALUES (1)")
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("INSERT INTO t VALUES (2)")
    assert rows(db) == [1]


def test_every_connection_has_our_settings_whatever_the_database_has(db: Database, empty_database_url: str) -> None:
    """[PG-8], [PG-11]: they outrank those of the role and the database."""
    with db.connection() as connection:
        name = connection.info.dbname
        for setting in ("synchronous_commit = off", "search_path = public", "statement_timeout = 1", "jit = on",
                        "default_transaction_isolation = serializable", "TimeZone = 'Asia/Tokyo'"):  # fmt: skip
            connection.execute(f"ALTER DATABASE {name} SET {setting}".encode())
    with Database(empty_database_url) as fresh, fresh.connection() as connection:
        shown = {
            setting: connection.execute(f"SHOW {setting}".encode()).fetchone()
            for setting in (
                "synchronous_commit",
                "search_path",
                "statement_timeout",
                "transaction_isolation",
                "TimeZone",
            )
        }
        assert connection.info.encoding == "utf-8"
    assert shown == {
        "synchronous_commit": ("on",),
        "search_path": ("mstbucket, pg_temp",),
        "statement_timeout": ("0",),
        "transaction_isolation": ("read committed",),
        "TimeZone": ("UTC",),
    }


@pytest.mark.parametrize("setting", [
    "DateStyle = 'German'", "DateStyle = 'SQL, DMY'", "standard_conforming_strings = off", "IntervalStyle = sql_standard",
    "bytea_output = escape", "array_nulls = off", "extra_float_digits = -15", "transform_null_equals = on",
    "quote_all_identifiers = on", "default_transaction_deferrable = on", "client_encoding = LATIN1",
    "transaction_timeout = '1s'",
])  # fmt: skip
def test_no_setting_of_a_database_changes_what_we_read_and_write(empty_database_url: str, setting: str) -> None:
    """[PG-11]"""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        if setting.startswith("transaction_timeout") and connection.info.server_version < 170_000:
            return  # the server does not know it
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET {setting}".encode())
    with Database(empty_database_url) as db:
        given = ["a\\b\x01", b"\0\\x", datetime(2026, 2, 3, 4, 5, 6, 7000, UTC)]
        with db.transaction() as connection:
            assert connection.direct
            connection.execute("CREATE TABLE u (a text, b bytea, c timestamptz, d jsonb)")
            time.sleep(1.2 if setting.startswith("transaction_timeout") else 0)  # longer than the limit
            connection.execute("INSERT INTO u VALUES (%s, %s, %s, '{\"a\": \"\\\\\"}')", given)
        with db.reading() as connection:
            row = connection.execute("SELECT a, b, c, d, '\\x00'::bytea FROM u").fetchone()
    assert row == (*given, {"a": "\\"}, b"\0")


def test_the_users_own_options_are_kept(empty_database_url: str) -> None:
    """[PG-11]."""
    url = conninfo.make_conninfo(empty_database_url, options="-c work_mem=77kB -c synchronous_commit=off")
    with Database(url) as db, db.connection() as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("77kB",)
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)


def test_a_function_given_to_run_is_repeated_after_a_serialization_failure(db: Database) -> None:
    """[PG-11]: two transactions that each read what the other writes; both are done in the end."""
    barrier = threading.Barrier(2)
    calls = []

    def count_and_add(connection: Any) -> int:
        calls.append(1)
        (count,) = connection.execute("SELECT count(*) FROM t").fetchone()
        if len(calls) <= 2:
            barrier.wait()
        connection.execute("INSERT INTO t VALUES (%s)", (count,))
        return int(count)

    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(db.run(count_and_add, "SERIALIZABLE"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == rows(db) == [0, 1]
    assert len(calls) >= 3


def test_run_gives_up_after_its_attempts_and_repeats_nothing_else(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """[PG-11]."""
    monkeypatch.setattr(database_module, "RUN_ATTEMPTS", 3)
    calls = []

    def conflict(connection: Any) -> None:
        calls.append(1)
        connection.execute("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$")

    with pytest.raises(errors.Conflict, match=r"another transaction was there first.*again"):
        db.run(conflict)
    assert len(calls) == 3

    def mine(connection: Any) -> None:
        calls.append(1)
        raise errors.CommitMoved("mine")

    with pytest.raises(errors.CommitMoved, match="mine"):
        db.run(mine)
    assert len(calls) == 4


def test_run_survives_a_lost_connection(db: Database) -> None:
    """[PG-13]: what is known not to be done is done again."""
    calls = []

    def work(connection: Any) -> None:
        calls.append(1)
        connection.execute("INSERT INTO t VALUES (1)")
        if len(calls) == 1:
            end_session(db, connection.info.backend_pid)
        connection.execute("INSERT INTO t VALUES (2)")

    db.run(work)
    assert rows(db) == [1, 2]
    assert len(calls) == 2


# --- lost connections -------------------------------------------------------------------------------------------------


def end_session(db: Database, pid: int) -> None:
    with db.connection() as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))


@pytest.mark.parametrize(
    ("way", "kind"),
    [("connection", errors.OutcomeUnknown), ("reading", errors.StorageError), ("transaction", errors.StorageError)],
)
def test_a_connection_lost_under_a_statement(db: Database, way: str, kind: type[Exception]) -> None:
    """[PG-13]: alone it may have been done; read, or inside a transaction, it certainly changed nothing."""

    def lose() -> None:
        with getattr(db, way)() as connection:
            end_session(db, connection.info.backend_pid)
            connection.execute("SELECT 1")

    with pytest.raises(errors.StorageError) as caught:
        lose()
    assert type(caught.value) is kind
    assert rows(db) == []  # the next one is another connection


def test_connections_that_died_while_idle_are_not_lent(db: Database) -> None:
    """[PG-12]."""
    with contextlib.ExitStack() as stack:
        pids = [stack.enter_context(db.connection()).info.backend_pid for _ in range(5)]
    with psycopg.connect(_url(db), autocommit=True) as other:
        for pid in pids:
            other.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
    for _ in range(5):
        with db.connection() as connection:
            connection.execute("SELECT 1")


def _url(db: Database) -> str:
    assert isinstance(db._conninfo, str)
    return db._conninfo


def insert(db: Database) -> None:
    with db.transaction() as connection:
        connection.execute("INSERT INTO t VALUES (1)")


@pytest.fixture
def proxy(db: Database, top: Path, load_server: Callable[[str], Any]) -> Iterator[Any]:
    """A proxy before the database's server, and `db` closed so that only the proxy's way is used."""
    made = load_server("commit_proxy").Proxy(top, _url(db))
    yield made
    made.close()


def test_a_commit_whose_answer_was_lost_is_followed_up_to_success(db: Database, proxy: Any) -> None:
    """[PG-13]."""
    with Database(proxy.url) as client:
        insert(client)
        with client.reading() as connection:
            assert connection.execute("SELECT n FROM t").fetchall() == [(1,)]


def test_a_commit_that_never_arrived_is_followed_up_to_an_error_that_says_so(db: Database, proxy: Any) -> None:
    """[PG-13]."""
    proxy.at_commit = lambda: False
    with Database(proxy.url) as client, pytest.raises(errors.StorageError, match="nothing was done") as caught:
        insert(client)
    assert type(caught.value) is errors.StorageError
    assert rows(db) == []


def test_a_commit_that_nobody_can_be_asked_about_is_unknown(
    db: Database, proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PG-13]."""
    for module in (database_module, lost_commit):
        monkeypatch.setattr(module, "RETURN_SECONDS", 0.3)

    def shut() -> bool:
        proxy.refuse = True
        return True

    proxy.at_commit = shut
    with Database(proxy.url) as client, pytest.raises(errors.OutcomeUnknown, match="read before repeating the call"):
        insert(client)
    assert rows(db) == [1]  # it was done; the client could not know


@pytest.mark.parametrize("arrives", [True, False], ids=["it arrived", "it never arrived"])
def test_a_commit_lost_with_the_server_itself_is_followed_up_after_its_recovery(
    place: Any, top: Path, kill: Callable[[Any], None], load_server: Callable[[str], Any], arrives: bool
) -> None:
    """[PG-13]: the server is killed with the answer on its way, and numbers of transactions may be given again."""
    url = place.client().conninfo
    with Database(url) as setup, setup.connection() as connection:
        connection.execute("CREATE SCHEMA mstbucket")
        connection.execute("CREATE TABLE t (n int PRIMARY KEY)")
    run = top / "tmp" / "proxy"
    run.mkdir()
    proxy = load_server("commit_proxy").Proxy(run, url)
    killed = threading.Event()

    def crash() -> bool:
        if arrives:
            # Let it be committed and swallow the answer; the crash follows at once.
            threading.Timer(0.05, lambda: (kill(place.postmaster()), killed.set())).start()
        else:
            kill(place.postmaster())
            killed.set()
        return arrives

    proxy.at_commit = crash
    outcome: object = "committed"
    with Database(proxy.url) as client:
        try:
            insert(client)
        except errors.StorageError as error:
            outcome = type(error)
        killed.wait(10)
    proxy.close()
    (run / ".s.PGSQL.5432").unlink()
    run.rmdir()
    with EmbeddedPostgres(place.directory) as server, Database(server.start()) as after:
        there = rows(after)
    assert (outcome, there) == (("committed", [1]) if arrives else (errors.StorageError, []))


def test_a_number_given_again_after_a_crash_is_not_taken_for_ours(db: Database) -> None:
    """[PG-13]: a transaction of that number was committed, but after the crash: so it was another's."""
    with db.connection() as connection:
        (xid,) = connection.execute("INSERT INTO t VALUES (1) RETURNING pg_current_xact_id()::text").fetchone() or ()
        fate = connection.execute(lost_commit.FATE, {"xid": xid, "crashed": "2020-01-01 00:00:00+00"}).fetchone()
        tracked = connection.execute("SHOW track_commit_timestamp").fetchone()
        future = connection.execute(lost_commit.FATE, {"xid": str(2**40), "crashed": None}).fetchone()
    assert fate == ("aborted" if tracked == ("on",) else "unknown",)
    assert future == ("aborted",)  # the server has not come to that number yet (again)


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "kind"), list(failures.OWN.items()))
def test_errors_of_our_own_functions_keep_their_message(db: Database, state: str, kind: type[Exception]) -> None:
    """[PG-15]."""
    with pytest.raises(errors.MstBucketError) as caught, db.connection() as connection:
        connection.execute(f"DO $$ BEGIN RAISE 'what, where, what to do' USING ERRCODE = '{state}'; END $$".encode())
    assert type(caught.value) is kind
    assert str(caught.value) == "what, where, what to do"


@pytest.mark.parametrize(
    ("state", "kind", "advice"),
    [
        ("53100", errors.StorageError, "disk is full: make room"),
        ("53200", errors.StorageError, "out of memory"),
        ("40001", errors.Conflict, "read again, then decide"),
        ("40P01", errors.Conflict, "read again, then repeat"),
        ("42501", errors.StorageError, "lacks a right: grant it"),
        ("25006", errors.StorageError, "name the primary server"),
        ("57014", errors.StorageError, "an operator stopped"),
        ("58030", errors.StorageError, "cannot read or write its files"),
        ("XX001", errors.Untrue, "damaged data: stop"),
        ("0A000", errors.Unsupported, "does not offer this"),
        ("23505", errors.StorageError, "refused a statement"),
        ("57P01", errors.OutcomeUnknown, "an operator stopped"),
    ],
)
def test_the_servers_errors_say_what_to_do(db: Database, state: str, kind: type[Exception], advice: str) -> None:
    """[PG-15]."""
    with pytest.raises(errors.MstBucketError) as caught, db.connection() as connection:
        connection.execute(f"DO $$ BEGIN RAISE 'its words' USING ERRCODE = '{state}', HINT = 'so'; END $$".encode())
    assert type(caught.value) is kind
    assert advice in str(caught.value)
    assert f"its words. so; SQLSTATE {state}" in str(caught.value)


def test_a_call_that_the_driver_refuses_is_declared(db: Database) -> None:
    """[PG-15]."""
    with pytest.raises(errors.StorageError, match="driver refused the call"), db.connection() as connection:
        connection.execute("SELECT %s, %s", (1,))


SECRET = "s3cr3t-p4ss"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{SECRET}@127.0.0.1:1/name",
        f"host=127.0.0.1 port=1 user=u password={SECRET}",
        f"postgresql://user:{SECRET}%zz@127.0.0.1/name",
        f"host=127.0.0.1 password {SECRET}",
        f"postgresql://user:pw@127.0.0.1:1/{SECRET}?password={SECRET}&nonsense=1",
        f"postgresql://u@127.0.0.1:{SECRET}/x",
    ],
    ids=["url, nobody listens", "words, nobody listens", "bad escape", "missing equals", "unknown word", "bad port"],
)
def test_a_password_is_in_no_error_and_no_repr(url: str) -> None:
    """[PG-14]: nor in anything that a traceback prints."""
    db = Database(url)
    with pytest.raises(errors.StorageError) as caught, db.connection():
        pass
    error: BaseException | None = caught.value
    shown = repr(db)
    while error is not None:
        shown += str(error) + repr(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert SECRET not in shown
    db.close()


def test_a_server_that_is_not_there_is_said_at_once(top: Path) -> None:
    """[PG-12]: it is not waited for, since the name may be wrong."""
    started = time.monotonic()
    missing = Database(f"host={top}")
    with pytest.raises(errors.StorageError, match=r"cannot connect to the database: .*No such file"):
        rows(missing)
    assert time.monotonic() - started < database_module.RETURN_SECONDS


class Greeter:
    """A server that says what it is and nothing more: the protocol's start-up, as old or odd servers speak it."""

    def __init__(self, folder: Path, **status: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        self._status = {"server_version": "18.0", "server_encoding": "UTF8", "client_encoding": "UTF8", **status}
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with client:
            client.recv(65536)
            said = b"R" + struct.pack(">ii", 8, 0)
            for name, value in self._status.items():
                text = f"{name}\0{value}\0".encode()
                said += b"S" + struct.pack(">i", 4 + len(text)) + text
            client.sendall(said + b"Z" + struct.pack(">i", 5) + b"I")
            while client.recv(65536):
                pass

    def close(self) -> None:
        self._thread.join()
        self._listener.close()


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        ({"server_version": "13.9"}, errors.Unsupported, "the server is PostgreSQL 13: PostgreSQL 14 or newer"),
        ({"server_encoding": "LATIN1"}, errors.Unsupported, "encoding is LATIN1: create one with ENCODING 'UTF8'"),
        ({"in_hot_standby": "on"}, errors.StorageError, "a standby, which cannot write: name the primary"),
    ],
    ids=["too old", "another encoding", "a standby"],
)
def test_a_server_that_cannot_hold_the_store_is_refused(
    top: Path, status: dict[str, str], kind: type[Exception], words: str
) -> None:
    """[PG-14]."""
    greeter = Greeter(top, **status)
    with pytest.raises(kind, match=words), Database(f"host={top} user=u sslmode=disable").connection():
        pass
    greeter.close()


def test_a_database_of_another_encoding_is_refused(databases: Any) -> None:
    """[PG-14]: on the real server."""
    db = Database(databases.url(databases.create(encoding="SQL_ASCII")))
    with pytest.raises(errors.Unsupported, match="encoding is SQL_ASCII"):
        rows(db)


# --- threads, processes, ends ---------------------------------------------------------------------------------------


def test_many_threads_share_few_connections(empty_database_url: str) -> None:
    """[PG-12]."""
    with Database(empty_database_url, pool_max=3) as db:
        pids: set[int] = set()

        def work() -> None:
            for _ in range(20):
                with db.reading() as connection:
                    pids.add(connection.info.backend_pid)
                    connection.execute("SELECT 1")

        threads = [threading.Thread(target=work) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 1 <= len(pids) <= 3


def test_a_pool_that_stays_exhausted_says_so(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """[PG-12]."""
    monkeypatch.setattr(pool, "WAIT_SECONDS", 0.05)
    with (
        Database(empty_database_url, pool_max=1) as db,
        db.connection(),
        pytest.raises(errors.StorageError, match="all 1 database connections have been in use"),
    ):
        rows(db)


def _in_child(db: Database, parent_pid: int, report: Any) -> None:
    with db.connection() as connection:
        report.put((connection.info.backend_pid != parent_pid, connection.execute("SELECT 41 + 1").fetchone()))
    db.close()
    gc.collect()


def test_a_forked_child_has_connections_of_its_own_and_leaves_the_parents_alone(db: Database) -> None:
    """[PG-12]."""
    context = multiprocessing.get_context("fork")
    with db.connection() as connection:  # one in use, and below one idle: the child inherits both
        pid = connection.info.backend_pid
        with db.connection():
            pass
        report = context.SimpleQueue()
        child = context.Process(target=_in_child, args=(db, pid, report))
        child.start()
        child.join()
        assert report.get() == (True, (42,))
        assert connection.execute("SELECT pg_backend_pid()").fetchone() == (pid,)
    assert rows(db) == []
    assert child.exitcode == 0


def test_a_connection_left_in_a_transaction_or_a_copy_is_not_lent_again(db: Database) -> None:
    """[PG-12]."""
    with db.connection() as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO t VALUES (1)")
        first = connection.info.backend_pid
    with db.connection() as connection:
        assert connection.info.backend_pid != first
    assert rows(db) == []


def test_after_close_nothing_is_lent_and_nothing_is_left_open(db: Database) -> None:
    """[PG-12]: pytest turns the ResourceWarning of a forgotten connection into an error."""
    with db.connection() as kept:
        db.close()
        assert kept.execute("SELECT 1").fetchone() == (1,)
    assert kept.closed
    with pytest.raises(errors.StorageError, match="closed: open it again"), db.connection():
        pass
    db.close()
    del kept
    gc.collect()


def test_a_database_given_as_a_function_brings_back_a_server_that_died(place: Any, kill: Callable[[Any], None]) -> None:
    """[PG-19]: even when its supervisor was killed with it."""
    server = EmbeddedPostgres(place.directory)
    with Database(server.start) as db:
        with db.connection() as connection:
            connection.execute("CREATE TABLE public.kept AS SELECT 1 AS n")
        kill(place.supervisors()[0])
        place.gone()
        with db.reading() as connection:
            assert connection.execute("SELECT n FROM public.kept").fetchone() == (1,)
    server.close()


def test_psycopg_is_not_imported_before_it_is_needed() -> None:
    """[PG-11]: it takes 120 ms, which `--help` must not pay."""
    modules = "mstbucket.pg.database, mstbucket.pg.embedded, mstbucket.pg.migrate"
    code = f"import sys, {modules}; print('psycopg' in sys.modules)"
    root = str(Path(database_module.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "False\n"


# --- the limit of connections ----------------------------------------------------------------------------------------


class Crowd:
    """All connections that a role may have, until they are let go."""

    def __init__(self, url: str, role: str) -> None:
        self._admin = psycopg.connect(url, autocommit=True)
        self._role = role
        self._admin.execute(f"CREATE ROLE {role} LOGIN SUPERUSER CONNECTION LIMIT 2")  # type: ignore[arg-type]
        self._admin.execute(f"ALTER ROLE {role} NOSUPERUSER")  # type: ignore[arg-type]
        self.url = conninfo.make_conninfo(url, user=role)
        self._there = [psycopg.connect(self.url) for _ in range(2)]

    def let_go(self) -> None:
        for connection in self._there:
            connection.close()

    def close(self) -> None:
        self.let_go()
        self._admin.execute(f"DROP ROLE {self._role}")  # type: ignore[arg-type]
        self._admin.close()


@pytest.fixture
def crowd(empty_database_url: str) -> Iterator[Crowd]:
    made = Crowd(empty_database_url, f"crowd_{os.getpid()}_{time.monotonic_ns()}")
    yield made
    made.close()


def test_at_the_limit_of_connections_a_call_waits(crowd: Crowd) -> None:
    """[PG-25]: also the first one, until somebody else lets go."""
    with Database(crowd.url) as db:
        timer = threading.Timer(0.5, crowd.let_go)
        timer.start()
        with db.reading() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        timer.join()


def test_at_the_limit_of_connections_threads_share_what_there_is(crowd: Crowd) -> None:
    """[PG-25]: with two connections and sixteen threads nothing fails."""
    crowd.let_go()
    with Database(crowd.url) as db:
        results: list[int] = []

        def work() -> None:
            for n in range(10):
                with db.reading() as connection:
                    results.append(connection.execute("SELECT %s", (n,)).fetchone()[0])  # type: ignore[index]

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 160


def test_the_wait_at_the_limit_of_connections_ends(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """[PG-25]"""
    monkeypatch.setattr(pool, "WAIT_SECONDS", 0.3)
    with Database(crowd.url) as db:
        with pytest.raises(errors.StorageError, match="takes no more connections: close some"), db.reading():
            pass
        crowd.let_go()
        with db.reading() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_whoever_has_patience_gets_a_lock_as_soon_as_a_connection_can_be_spared(empty_database_url: str) -> None:
    """[GC-17] [PG-24]: a program of many threads is not told that somebody else is at it."""
    busy, ended = threading.Event(), threading.Event()

    def use_connections(db: Database) -> None:
        with db.reading(), db.reading(), db.reading():
            busy.set()
            ended.wait(60.0)

    with Database(empty_database_url, pool_max=4) as db:
        thread = threading.Thread(target=use_connections, args=(db,))
        thread.start()
        assert busy.wait(60.0)
        with db.holding(7) as held:
            assert not held
        threading.Timer(0.05, ended.set).start()
        with db.holding(7, patience=60.0) as held:
            assert held
        thread.join(60.0)
    one, two = Database(empty_database_url), Database(empty_database_url)
    with one, two, one.holding(7), two.holding(7, patience=60.0) as second:
        assert not second  # for a lock that somebody has nobody waits


def test_a_lock_that_is_held_leaves_half_of_the_connections(empty_database_url: str) -> None:
    """[PG-24]: however many hold one and need another, nobody waits for ever."""
    with Database(empty_database_url, pool_max=4) as db, contextlib.ExitStack() as stack:
        assert [stack.enter_context(db.holding(1, n)) for n in range(4)] == [True, True, False, False]
        with db.reading() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    with Database(empty_database_url) as db, Database(empty_database_url) as other:
        with db.holding(7) as first, other.holding(7) as second:
            assert (first, second) == (True, False)
        with other.holding(7) as again:
            assert again
