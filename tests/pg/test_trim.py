"""The write-ahead log of a server that has ended: short after an orderly end, whole after any other."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mstbucket.pg.database import Database
from mstbucket.pg.embedded import EmbeddedPostgres
from mstbucket.pg.queries import one_row
from mstbucket.pg.trim import trim

SEGMENT = 16 << 20
_KEPT_FOR_LATER = 5  # segments to be written, and renamed by a checkpoint


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A stopped server's directory, with a table `n`."""
    place = tmp_path_factory.mktemp("trim") / "made"
    with EmbeddedPostgres(place) as server, Database(server.conninfo) as db, db.connection() as connection:
        connection.execute("CREATE TABLE public.n (n integer); INSERT INTO public.n VALUES (1)", prepare=False)
    stop(server)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def directory(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "postgres", ignore=shutil.ignore_patterns("run")))


def stop(server: EmbeddedPostgres) -> None:
    server.close()
    assert server.await_stopped()


def segments(directory: Path) -> list[str]:
    return sorted(name for name in os.listdir(directory / "data" / "pg_wal") if len(name) == 24)


def keep_segments(db: Database) -> None:
    """Let the server have segments that it has renamed for later."""
    with db.connection() as connection:
        for _ in range(_KEPT_FOR_LATER):
            connection.execute("SELECT pg_logical_emit_message(false, 'x', 'x'), pg_switch_wal()")
        connection.execute("CHECKPOINT")


def values(directory: Path) -> list[int]:
    """What is in the table, by a server of its own; one more is added."""
    with EmbeddedPostgres(directory) as server, Database(server.conninfo) as db, db.connection() as connection:
        found = [row[0] for row in connection.execute("SELECT n FROM public.n ORDER BY n")]
        connection.execute("INSERT INTO public.n SELECT max(n) + 1 FROM public.n")
    stop(server)
    return found


def test_after_an_orderly_end_no_segment_is_kept_for_later(directory: Path) -> None:
    """[PG-28]."""
    with EmbeddedPostgres(directory) as server, Database(server.conninfo) as db:
        keep_segments(db)
        assert len(segments(directory)) > 3
    stop(server)
    assert len(segments(directory)) <= 2
    assert values(directory) == [1]
    assert values(directory) == [1, 2]


@pytest.mark.parametrize("left", [24, 64, 120, 200, 8192])
def test_a_checkpoint_at_the_end_of_a_segment_is_kept_whole(directory: Path, left: int) -> None:
    """[PG-28]: its record may go on in the next segment."""
    with EmbeddedPostgres(directory) as server, Database(server.conninfo) as db, db.connection() as connection:
        connection.execute("SELECT pg_logical_emit_message(false, 'x', 'x'), pg_switch_wal(); CHECKPOINT", prepare=False)
        while True:
            (at,) = one_row(connection, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
            room = SEGMENT - at % SEGMENT - left
            if room < 200:
                break
            # A page of 8 KiB has a header of 24 bytes; a message in one record has about 60 bytes beside its text.
            text = min(room - 100 - room // 8192 * 24, 4 << 20)
            if text <= 0:
                break
            connection.execute("SELECT pg_logical_emit_message(false, 'x', repeat('x', %s))", (text,))
    stop(server)
    assert values(directory) == [1]
    assert values(directory) == [1, 2]


def test_after_a_kill_nothing_is_removed_and_everything_comes_back(directory: Path) -> None:
    """[PG-28]."""
    server = EmbeddedPostgres(directory)
    with Database(server.start()) as db:
        keep_segments(db)
        with db.connection() as connection:
            connection.execute("INSERT INTO public.n VALUES (2)")
        before = segments(directory)
        postmaster = int((directory / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
        assert trim(str(directory / "data")) == 0
        assert set(before) <= set(segments(directory))
    stop(server)
    assert values(directory) == [1, 2]


def test_what_is_not_a_cluster_as_we_know_it_is_left_alone(directory: Path) -> None:
    """[PG-28]."""
    wal = directory / "data" / "pg_wal"
    (last,) = segments(directory)
    later = wal / f"{int(last, 16) + 1:024X}"
    later.write_bytes(b"")
    os.truncate(later, SEGMENT)
    control = directory / "data" / "global" / "pg_control"
    good = control.read_bytes()
    in_production = good[:16] + (6).to_bytes(4, "little") + good[20:]
    elsewhere = good[:32] + (SEGMENT * 100).to_bytes(8, "little") + good[40:]
    for text in (b"", good[:40], in_production, elsewhere):
        control.write_bytes(text)
        assert trim(str(directory / "data")) == 0
    control.write_bytes(good)
    assert trim(str(directory / "data")) == 1
    assert segments(directory) == [last]
    assert values(directory) == [1]
