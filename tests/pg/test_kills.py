"""Processes killed for real: whatever dies, no server is left behind and nothing acknowledged is lost."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

Kill = Callable[[Any], None]
Ask = Callable[[str, str], object]
Until = Callable[[Callable[[], object], str], None]


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


def test_a_first_start_killed_at_any_time_heals(place: Any, kill: Kill, ask: Ask) -> None:
    """[PG-5]: the client, and then the supervisor too, killed in the middle of initdb."""
    for delay in (0.05, 0.15, 0.25, 0.35, 0.45):
        client = place.spawn()
        time.sleep(delay + 0.1)  # the client's own imports take 0.1 s
        kill(client)
        for supervisor in place.supervisors():
            kill(supervisor)
    client = place.client()
    assert ask(client.conninfo, "SELECT 1") == 1
    assert not (place.directory / "data.new").exists()


def test_an_initdb_cut_short_is_done_again(place: Any, kill: Kill, ask: Ask, until: Until) -> None:
    """[PG-5]: killed when half of the new cluster is there, for certain."""
    client = place.spawn()
    until((place.directory / "data.new" / "PG_VERSION").exists, "initdb to begin")
    for supervisor in place.supervisors():
        kill(supervisor)
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
