"""Processes killed for real: whatever dies, no server is left behind and nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mstbucket.pg import launching, processes
from mstbucket.pg.database import Database
from mstbucket.pg.embedded import EmbeddedPostgres
from mstbucket.pg.outlast import outlast

Kill = Callable[[Any], None]
Ask = Callable[[str, str], object]
KillOne = Callable[[Callable[[], list[int]], str], None]
KillAll = Callable[[list[int]], None]
Until = Callable[[Callable[[], object], str], object]


def answers(ask: Ask, conninfo: str) -> bool:
    """Whether the server takes connections at this moment."""
    try:
        return ask(conninfo, "SELECT 1") == 1
    except psycopg.OperationalError:
        return False


def test_the_server_ends_with_the_last_client_and_not_before(place: Any, ask: Ask) -> None:
    """[PG-3], [PG-6]."""
    first, second = place.client(), place.client()
    assert first.conninfo == second.conninfo
    assert len(place.supervisors()) == 1
    server = place.postmaster()
    first.communicate()
    assert ask(second.conninfo, "SELECT 1") == 1
    second.communicate()
    place.gone()
    assert server > 0


def test_the_server_ends_after_its_last_client_was_killed(place: Any, kill: Kill) -> None:
    """[PG-6]."""
    clients = [place.client() for _ in range(3)]
    for client in clients:
        kill(client)
    place.gone()


def test_a_killed_server_is_started_again_for_the_clients_it_had(place: Any, kill: Kill, ask: Ask, until: Until) -> None:
    """[PG-8], [PG-19]."""
    client = place.client()
    ask(client.conninfo, "CREATE TABLE t (n int)")
    ask(client.conninfo, "INSERT INTO t VALUES (1)")
    killed = place.postmaster()
    kill(killed)

    until(lambda: answers(ask, client.conninfo), "the server to come back")
    assert ask(client.conninfo, "SELECT n FROM t") == 1
    assert place.postmaster() != killed
    client.communicate()
    place.gone()


def test_a_server_that_crashes_again_and_again_is_given_up(place: Any, kill: Kill, ask: Ask, until: Until) -> None:
    """[PG-19]: five restarts within a minute each; then the next opener starts afresh, or is told why it cannot."""
    client = place.client()
    for _ in range(6):
        until(lambda: answers(ask, client.conninfo), "a server")
        kill(place.postmaster())
    until(lambda: not place.supervisors(), "the supervisor to give up")
    place.gone()
    assert client.poll() is None
    place.client()


def test_the_server_ends_when_its_supervisor_is_killed(place: Any, kill: Kill, ask: Ask) -> None:
    """[PG-6]: and the next opener, or the same one, starts another."""
    client = place.client()
    ask(client.conninfo, "CREATE TABLE t AS SELECT 7 AS n")
    (supervisor,) = place.supervisors()
    kill(supervisor)
    place.gone()
    assert client.poll() is None
    again = place.client()
    assert ask(again.conninfo, "SELECT n FROM t") == 7


def test_an_opener_that_comes_while_an_orphaned_server_ends_gets_a_new_one(place: Any, kill: Kill, ask: Ask) -> None:
    """[PG-4]."""
    for _ in range(3):
        client = place.client()
        old = place.postmaster()
        (supervisor,) = place.supervisors()
        kill(supervisor)
        another = place.client()  # at once: the old server is still stopping
        assert place.postmaster() != old
        assert ask(another.conninfo, "SELECT 1") == 1
        kill(client)
        kill(another)


@pytest.mark.parametrize("order", list(itertools.permutations(["client", "supervisor", "postmaster"])), ids="-then-".join)
def test_nothing_is_left_after_all_three_were_killed(place: Any, kill: Kill, ask: Ask, order: tuple[str, ...]) -> None:
    """[PG-6], [PG-8]: client, supervisor and postmaster in every order; what was committed is there afterwards."""
    client = place.client()
    ask(client.conninfo, "CREATE TABLE t AS SELECT 5 AS n")
    victims = {"client": client, "supervisor": place.supervisors()[0], "postmaster": place.postmaster()}
    for name in order:
        try:
            kill(victims[name])
        except ProcessLookupError:
            assert name != order[0]  # the one before took it along
    place.gone()
    again = place.client()
    assert ask(again.conninfo, "SELECT n FROM t") == 5


def test_a_first_start_killed_at_any_time_heals(place: Any, kill: Kill, kill_all: KillAll, ask: Ask) -> None:
    """[PG-5]: the client, and then the supervisor too, killed in the middle of initdb."""
    for delay in (0.05, 0.15, 0.25, 0.35, 0.45):
        client = place.spawn()
        time.sleep(delay + 0.1)  # the client's own imports take 0.1 s
        kill(client)
        kill_all(place.supervisors())
    client = place.client()
    assert ask(client.conninfo, "SELECT 1") == 1
    assert not (place.directory / "data.new").exists()


def test_an_initdb_cut_short_is_done_again(
    place: Any, kill: Kill, kill_all: KillAll, ask: Ask, until: Until
) -> None:
    """[PG-5]: killed when half of the new cluster is there, for certain."""
    client = place.spawn()
    until((place.directory / "data.new" / "PG_VERSION").exists, "initdb to begin")
    kill_all(place.supervisors())
    kill(client)
    assert not (place.directory / "data").exists()
    assert ask(place.client().conninfo, "SELECT 1") == 1


def test_stale_files_of_a_dead_server_do_not_keep_a_new_one_from_starting(place: Any, ask: Ask) -> None:
    """[PG-4]: their number may have gone to some other process meanwhile, like the first of this system."""
    client = place.client()
    client.communicate()
    place.gone()
    stale = f"1\n{place.directory}/data\n1700000000\n5432\n{place.directory}/run\n\n  1234  99999\nready   \n"
    (place.directory / "data" / "postmaster.pid").write_text(stale)
    (place.directory / "run" / ".s.PGSQL.5432.lock").write_text(stale)
    assert ask(place.client().conninfo, "SELECT 1") == 1


# --- an opening after any kill, with a deadline ([PG-22]) ---


def backend_of(connection: psycopg.Connection[Any]) -> int:
    return connection.info.backend_pid


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.02, 0.2])
def test_opening_after_a_backend_and_then_the_supervisor_were_killed(
    place: Any, kill: Kill, kill_all: KillAll, ask: Ask, delay: float
) -> None:
    """[PG-22], [PG-6]: told to stop while it recovers, PostgreSQL 18 waits for ever for its checkpointer."""
    client = place.client()
    with psycopg.connect(client.conninfo) as connection:
        kill(backend_of(connection))
        time.sleep(delay)
        kill_all(place.supervisors())
    assert ask(place.client().conninfo, "SELECT 1") == 1


def test_a_server_that_runs_as_nobody_is_ended_as_well(
    place: Any, kill: Kill, kill_all: KillAll, ask: Ask, open_programs: Path
) -> None:
    """[PG-22], [PG-7]: root may not be allowed to look into the processes of another user, in a container say."""
    root_as = "nobody" if os.geteuid() == 0 else ""
    for delay in (0.01, 0.02, 0.03):
        client = place.client(root_as=root_as, programs=open_programs)
        with psycopg.connect(client.conninfo) as connection:
            kill(backend_of(connection))
            time.sleep(delay)
            kill_all(place.supervisors())
        another = place.client(root_as=root_as, programs=open_programs)
        assert ask(another.conninfo, "SELECT 1") == 1
        place.end_clients()
        place.gone()


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.03])
def test_the_last_one_who_leaves_a_recovering_server_does_not_wait_a_minute(place: Any, kill: Kill, delay: float) -> None:
    """[PG-6]: `gone` waits for half of one."""
    client = place.client()
    with psycopg.connect(client.conninfo) as connection:
        kill(backend_of(connection))
        time.sleep(delay)
    client.communicate()
    place.gone()


@pytest.mark.parametrize("victims", [["backend", "supervisor"], ["postmaster", "supervisor"], ["supervisor"]], ids="-".join)
def test_two_that_open_at_once_after_a_kill_share_one_server(
    place: Any, kill: Kill, ask: Ask, victims: list[str]
) -> None:
    """[PG-22], [PG-3]."""
    client = place.client()
    with psycopg.connect(client.conninfo) as connection:
        pids = {
            "backend": backend_of(connection),
            "postmaster": place.postmaster(),
            "supervisor": place.supervisors()[0],
        }
        for victim in victims:
            kill(pids[victim])
    two = [place.spawn() for _ in range(2)]
    answers = {client.stdout.readline().strip() for client in two}
    assert len(answers) == len(place.supervisors()) == 1
    assert ask(answers.pop(), "SELECT 1") == 1


@pytest.mark.parametrize("victim", ["supervisor", "postmaster"])
def test_an_opening_whose_server_is_killed_meanwhile_succeeds(
    place: Any, kill_one: KillOne, victim: str
) -> None:
    """[PG-22], [PG-19]: killed at once when it is there, before it can have answered."""
    place.client().communicate()
    place.gone()
    client = place.spawn()
    kill_one(place.supervisors if victim == "supervisor" else place.servers, f"a {victim}")
    assert client.stdout.readline().startswith("host=")
    client.communicate()


def test_a_first_opening_succeeds_although_its_initdb_is_killed(place: Any, kill_one: KillOne, until: Until) -> None:
    """[PG-22], [PG-5]."""
    client = place.spawn()
    until((place.directory / "data.new" / "PG_VERSION").exists, "initdb to begin")
    kill_one(place.programs, "initdb")
    assert client.stdout.readline().startswith("host=")
    assert not (place.directory / "data.new").exists()


@pytest.mark.parametrize("text", ["garbage", "-1\n"])
def test_garbage_in_postmaster_pid_keeps_nothing_from_starting_or_ending(
    place: Any, kill: Kill, ask: Ask, text: str
) -> None:
    """[PG-4], [PG-22]: while the server runs on, its supervisor gone; such a number is never signalled."""
    client = place.client()
    (place.directory / "data" / "postmaster.pid").write_text(text)
    kill(place.supervisors()[0])
    assert ask(place.client().conninfo, "SELECT 1") == 1
    client.communicate()


def test_a_number_that_another_process_has_got_is_never_signalled(place: Any, kill: Kill, ask: Ask) -> None:
    """[PG-4]: an unlocked copy of the lock, open in a process whose number stands in postmaster.pid, is no proof either."""
    client = place.client()
    with open(place.directory / "run" / "server.lock"), open(place.directory / "data" / "postmaster.pid", "r+") as file:
        file.write(f"{os.getpid()}\n")  # this very process: any of the signals would end the tests
        file.flush()
        kill(place.supervisors()[0])
        assert ask(place.client().conninfo, "SELECT 1") == 1
    client.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("stopped", ["postmaster", "backend"])
def test_a_server_that_hangs_is_ended_by_force_when_its_supervisor_is_gone(
    place: Any, kill: Kill, ask: Ask, stopped: str
) -> None:
    """[PG-22], [PG-6]: stopped processes obey SIGKILL only; that takes a quarter of a minute."""
    client = place.client()
    with psycopg.connect(client.conninfo) as connection:
        os.kill(place.postmaster() if stopped == "postmaster" else backend_of(connection), signal.SIGSTOP)
        kill(place.supervisors()[0])
        assert ask(place.client().conninfo, "SELECT 1") == 1
    client.communicate()


# --- stopped, and not killed ([PG-32]) ---


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def test_a_stopped_supervisor_does_not_keep_the_server_after_its_last_client(place: Any, ask: Ask) -> None:
    """[PG-32]: whoever waits for the end brings it about, and the next opening finds nothing in its way."""
    for _ in range(2):
        with EmbeddedPostgres(place.directory) as server:
            (supervisor,) = place.supervisors()
            stop(supervisor)
        assert server.await_stopped()
        assert place.servers() == place.supervisors() == []
    assert ask(place.client().conninfo, "SELECT 1") == 1


def test_a_stopped_supervisor_is_left_alone_while_somebody_uses_its_server(place: Any, kill: Kill, ask: Ask) -> None:
    """[PG-32]: as far as one who leaves is concerned."""
    with EmbeddedPostgres(place.directory) as server:
        client = place.client()
        (supervisor,) = place.supervisors()
        stop(supervisor)
    assert not server.await_stopped(2.5)
    assert place.supervisors() == [supervisor]
    assert ask(client.conninfo, "SELECT 1") == 1
    kill(supervisor)


@pytest.mark.parametrize(
    "stopped",
    [["supervisor"], pytest.param(["supervisor", "postmaster"], marks=pytest.mark.slow), ["supervisor", "client"]],
    ids="-".join,
)
def test_opening_succeeds_while_those_are_stopped(place: Any, kill: Kill, ask: Ask, stopped: list[str]) -> None:
    """[PG-32]."""
    client = place.client()
    ask(client.conninfo, "CREATE TABLE t AS SELECT 5 AS n")
    pids = {"client": client.pid, "supervisor": place.supervisors()[0], "postmaster": place.postmaster()}
    for name in stopped:
        stop(pids[name])
    another = place.client()
    assert ask(another.conninfo, "SELECT n FROM t") == 5
    assert pids["supervisor"] not in place.supervisors()
    kill(client)


@pytest.mark.slow
def test_opening_succeeds_when_the_supervisor_was_stopped_while_it_ended_the_server(
    place: Any, ask: Ask, until: Until
) -> None:
    """[PG-32]: then it holds the lock that every client needs."""
    client = place.client()
    (supervisor,) = place.supervisors()
    stop(place.postmaster())  # so that ending takes a while
    client.communicate()
    until(lambda: is_held_alone(place.directory / "run" / "clients.lock"), "the supervisor to begin with the end")
    stop(supervisor)
    assert ask(place.client().conninfo, "SELECT 1") == 1
    assert place.supervisors() != [supervisor]


def is_held_alone(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True


@pytest.mark.parametrize("first", [True, False], ids=["the first start", "a later start"])
@pytest.mark.parametrize("victim", ["supervisor", "program"])
def test_an_opening_succeeds_although_something_is_stopped_meanwhile(
    place: Any, until: Until, victim: str, first: bool
) -> None:
    """[PG-32]: the supervisor, or initdb or the server that it has just started."""
    if not first:
        place.client().communicate()
        place.gone()
    client = place.spawn()
    seen: Any = until(place.programs if victim == "program" else place.supervisors, f"a {victim}")
    for pid in seen:
        with contextlib.suppress(ProcessLookupError):
            stop(pid)
    assert client.stdout.readline().startswith("host=")
    client.communicate()


def test_a_report_is_heard_although_who_was_started_is_stopped_before_it_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PG-32]: it has forked the supervisor by then, and still holds the pipe on which that has said all."""
    program = tmp_path / "supervisor.py"
    program.write_text(
        "import os, signal, sys\n"
        "sys.stdin.buffer.read()\n"
        "if os.fork() == 0:\n"
        "    os.write(int(sys.argv[2]), b'ready')\n"
        "    os._exit(0)\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\n"
    )
    monkeypatch.setattr(launching, "__file__", str(tmp_path / "launching.py"))
    with (tmp_path / "lock").open("w") as lock, (tmp_path / "log").open("w") as log:
        launched = launching.Launched({"directory": str(tmp_path)}, lock.fileno(), log.fileno())
        assert launched.report(lambda: None) == "ready"


@pytest.mark.parametrize("stopped", ["postmaster", "backend", "helper"])
def test_a_part_of_the_server_that_is_stopped_is_replaced_under_its_clients(
    place: Any, until: Until, stopped: str
) -> None:
    """[PG-32], [PG-19]: PostgreSQL itself would let everybody wait."""
    with EmbeddedPostgres(place.directory) as server, Database(server.conninfo) as db:
        with db.reading() as connection:
            backend = backend_of(connection)
        postmaster = place.postmaster()
        helper = next(pid for pid in processes.children(postmaster) if b"checkpointer" in processes.words(pid)[0])
        pid = {"postmaster": postmaster, "backend": backend, "helper": helper}[stopped]
        stop(pid)
        until(lambda: pid not in place.servers(), "the stopped one to be gone")

        def one() -> object:
            with db.reading() as connection:
                return connection.execute("SELECT 1").fetchone()

        assert outlast(one) == (1,)
    assert server.await_stopped()


@pytest.mark.slow
def test_a_server_that_hangs_is_ended_by_force_when_nobody_uses_it(place: Any, until: Until) -> None:
    """[PG-6]."""
    client = place.client()
    os.kill(place.postmaster(), signal.SIGSTOP)
    client.communicate()
    place.gone()
