"""Opening and closing: what is there, what is in the way, who is there already, and what goes away under an open store."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

import mstbucket
from mstbucket import errors
from mstbucket.pg import identity
from mstbucket.pg.embedded import EmbeddedPostgres

PACKAGE = str(Path(mstbucket.__file__).parents[1])

OPEN_AND_PUT = """
import sys, mstbucket
from mstbucket import errors
try:
    with mstbucket.open(sys.argv[1], background=False) as store:
        try:
            store.create_bucket("shared")
        except errors.BucketAlreadyExists:
            pass
        store.bucket("shared").put_object(sys.argv[2], sys.argv[2].encode())
        print("done", flush=True)
        sys.stdin.read()
except errors.MstBucketError as error:
    print(type(error).__name__, error, flush=True)
"""


def start(path: Path, word: str, **options: Any) -> subprocess.Popen[str]:
    """A process that opens the store, puts an object, says so, and ends when its standard input does."""
    command = [sys.executable, "-c", OPEN_AND_PUT, str(path), word]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": PACKAGE}, stdin=pipe, stdout=pipe, text=True, **options
    )


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A place for an embedded store; when the test ends, no server may be left."""
    yield tmp_path / "store"
    if (tmp_path / "store" / "postgres").is_dir():
        assert EmbeddedPostgres(tmp_path / "store" / "postgres").await_stopped()


def kept(path: Path) -> list[str]:
    with mstbucket.open(path, background=False) as store:
        return [item.key for item in store.bucket("shared").objects()]


# --- what the call says ---


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"path": "x", "database": "postgresql://h/d", "blobs": "y"},
        {"database": "postgresql://h/d"},
        {"blobs": "y"},
        {"path": ""},
        {"path": "a\0b"},
        {"path": "x", "blobs": ""},
        {"path": "x", "blobs": "a\0b"},
        {"database": "postgresql://h/d", "blobs": ""},
    ],
    ids=lambda arguments: ", ".join(f"{name}={value!r}" for name, value in arguments.items()) or "nothing",
)
def test_what_says_no_place_is_refused_and_makes_nothing(
    arguments: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.InvalidInput):
        mstbucket.open(**arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "database",
    [
        "postgresql://me:s3cret@127.0.0.1:1/x",
        "postgresql://me:s3cret/x@127.0.0.1/x",
        "postgresql://me:s3cret@[::1/x",
        "host=127.0.0.1 port=1 password=s3cret",
        "host='s3cret",
        "s3cret",
    ],
)
def test_a_wrong_database_is_an_error_without_its_password(database: str, tmp_path: Path) -> None:
    with pytest.raises(errors.StorageError) as caught:
        mstbucket.open(database=database, blobs=tmp_path / "blobs")
    assert "s3cret" not in "".join(traceback.format_exception(caught.value)).replace(repr(database), "")
    assert "database" in str(caught.value)


def test_a_user_that_the_server_refuses_is_an_error_that_says_so(database_url: str, tmp_path: Path) -> None:
    url = psycopg.conninfo.make_conninfo(database_url, user="nobody-known", password="s3cret")
    with pytest.raises(errors.StorageError, match="nobody-known") as caught:
        mstbucket.open(database=url, blobs=tmp_path / "blobs")
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_a_store_made_by_a_newer_version_is_refused_and_left_alone(database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO mstbucket.migrations (version, name, sha256) VALUES (9999, 'later', 'x')")
    with pytest.raises(errors.Unsupported, match=r"9999_later.*use the version"):
        mstbucket.open(database=database_url, blobs=tmp_path / "blobs")
    assert list(tmp_path.iterdir()) == []


def test_a_store_whose_newer_schema_says_that_we_can_work_is_opened(database_url: str, tmp_path: Path) -> None:
    """[PG-29]."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO mstbucket.migrations VALUES (9999, 'later', 'x', now(), 1, 1)")
    with mstbucket.open(database=database_url, blobs=tmp_path / "blobs", background=False) as store:
        store.create_bucket("things").put_object("k", b"v")
        store.bucket("things").flush()
        assert store.bucket("things").get_object("k").read() == b"v"


# --- what is in the place ---


def test_a_directory_that_is_missing_is_made_with_those_above_it(path: Path) -> None:
    with mstbucket.open(path / "two" / "below", background=False) as store:
        store.create_bucket("things").put_object("k", b"v")
    assert sorted(entry.name for entry in (path / "two" / "below").iterdir()) == ["blobs", "postgres"]
    with mstbucket.open(str(path / "two" / "below"), background=False) as store:
        assert store.bucket("things").get_object("k").read() == b"v"
    assert EmbeddedPostgres(path / "two" / "below" / "postgres").await_stopped()


def test_what_else_is_in_the_directory_stays_as_it_is(path: Path) -> None:
    path.mkdir()
    (path / "notes.txt").write_text("mine")
    mstbucket.open(path, background=False).close()
    assert (path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("place", [".", "postgres", "blobs"])
def test_a_file_in_the_place_of_a_directory_is_an_error_that_names_it(path: Path, place: str) -> None:
    (path / place).parent.mkdir(parents=True, exist_ok=True)
    (path / place).write_text("mine")
    with pytest.raises(errors.StorageError, match=str(path / place)):
        mstbucket.open(path, background=False)
    assert (path / place).read_text() == "mine"


def test_data_of_something_else_is_refused_and_left_alone(path: Path) -> None:
    (path / "postgres" / "data").mkdir(parents=True)
    (path / "postgres" / "data" / "notes.txt").write_text("mine")
    with pytest.raises(errors.StorageError, match="postgres"):
        mstbucket.open(path, background=False)
    assert [entry.name for entry in (path / "postgres" / "data").iterdir()] == ["notes.txt"]


def without_rights() -> dict[str, Any]:
    """Options of a process that may do no more than the owner of its files may."""
    return {"preexec_fn": identity.enter_namespace} if os.geteuid() == 0 else {}


def test_a_directory_that_may_not_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "above").mkdir(mode=0o555)
    said = start(tmp_path / "above" / "store", "k", **without_rights()).communicate()[0]
    assert said.startswith("StorageError ")
    assert str(tmp_path / "above" / "store") in said
    assert list((tmp_path / "above").iterdir()) == []


@pytest.mark.parametrize("create", [True, False])
def test_a_path_that_cannot_be_looked_at_is_an_error_that_names_it(tmp_path: Path, create: bool) -> None:
    """Neither absence nor a bare error of the system: the name is too long, or a directory above may not be entered."""
    with pytest.raises(errors.StorageError, match=r"a{300}"):
        mstbucket.open(tmp_path / ("a" * 300), background=False, create=create)
    (tmp_path / "above").mkdir(mode=0o000)
    program = """
import sys, mstbucket
try:
    mstbucket.open(sys.argv[1], background=False, create=sys.argv[2] == "True")
except mstbucket.errors.StorageError as error:
    print(error)
"""
    said = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "above" / "store"), str(create)], stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": PACKAGE}, text=True, check=True, **without_rights(),
    ).stdout  # fmt: skip
    (tmp_path / "above").chmod(0o700)
    assert str(tmp_path / "above" / "store") in said
    assert list((tmp_path / "above").iterdir()) == []


def test_packs_that_may_not_be_written_can_be_read(path: Path) -> None:
    """The database can take small objects still; what needs a pack is an error, and nothing of it is left."""
    with mstbucket.open(path, background=False) as store:
        bucket = store.create_bucket("shared")
        bucket.put_object("large", b"x" * 2_000_000)
        bucket.flush()
    program = """
import os, sys, mstbucket
from mstbucket import errors
with mstbucket.open(sys.argv[1], background=False) as store:
    bucket = store.bucket("shared")
    assert len(bucket.get_object("large").read()) == 2_000_000
    bucket.put_object("small", b"x")
    for call in (lambda: bucket.put_object("larger", bytes(3_000_000)), bucket.flush):
        try:
            call()
        except errors.StorageError as error:
            print(error)
    with store._context.db.reading() as connection:
        print(connection.execute("SELECT count(*) FROM packs WHERE state <> 'ready'").fetchone()[0])
"""
    folders = [folder for folder in (path / "blobs").rglob("*") if folder.is_dir()] + [path / "blobs"]
    for folder in folders:
        folder.chmod(0o555)
    ran = subprocess.run(
        [sys.executable, "-c", program, str(path)], env={**os.environ, "PYTHONPATH": PACKAGE}, stdout=subprocess.PIPE,
        text=True, check=False, **without_rights(),
    )  # fmt: skip
    for folder in folders:
        folder.chmod(0o755)
    put, flush, unsettled = ran.stdout.splitlines()
    assert "permission denied: check who owns the directory" in put
    assert "permission denied" in flush
    assert unsettled == "0"
    with mstbucket.open(path, background=False) as store:
        assert store.bucket("shared").flush().objects == 2
        assert store.bucket("shared").verify().objects == 2


def test_a_pack_that_cannot_be_begun_leaves_no_row(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    """[PUT-4]: a flush that is tried every few seconds must not fill the database with packs that never were."""
    (tmp_path / "blobs" / "packs").write_text("in the way")
    bucket.put_object("small", b"x")
    for call in (lambda: bucket.put_object("k", bytes(2_000_000)), bucket.flush):
        with pytest.raises(errors.StorageError, match="a file stands where a directory should be"):
            call()
    with bucket._context.db.reading() as connection:
        assert connection.execute("SELECT count(*) FROM packs").fetchone() == (0,)
    (tmp_path / "blobs" / "packs").unlink()
    bucket.put_object("k", bytes(2_000_000))
    bucket.flush()
    assert bucket.verify().objects == 2


# --- names of files that are given to a bucket ---


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_what_is_no_name_of_a_file_is_refused(store: mstbucket.Store, bucket: mstbucket.Bucket, name: str) -> None:
    bucket.flush()
    for call in (
        lambda: bucket.export_car(name),
        lambda: store.import_car(name),
        lambda: mstbucket.verify_car(name),
    ):
        with pytest.raises(errors.InvalidInput):
            call()
    with pytest.raises(errors.InvalidInput):
        bucket.export_car(Path("/"))


def test_a_path_whose_reading_fails_is_an_error_that_names_it(bucket: mstbucket.Bucket) -> None:
    """[PUT-4]: it opens, and then every read fails."""
    with pytest.raises(errors.StorageError, match=r"/proc/self/mem cannot be read"):
        bucket.put_object("k", Path("/proc/self/mem"))
    assert list(bucket.objects()) == []


# --- who is there already ---


def test_one_process_may_open_a_store_twice(path: Path) -> None:
    first = mstbucket.open(path)
    second = mstbucket.open(path)
    bucket = first.create_bucket("shared")
    bucket.put_object("one", b"1")
    assert second.bucket("shared").get_object("one").read() == b"1"
    first.close()
    second.bucket("shared").put_object("two", b"2")
    with pytest.raises(errors.StorageError, match="the store is closed: open it again"):
        bucket.put_object("three", b"3")
    second.close()
    assert kept(path) == ["one", "two"]


def test_threads_that_open_a_new_store_at_once_share_it(path: Path) -> None:
    barrier = threading.Barrier(6)

    def work(number: int) -> None:
        barrier.wait()
        with mstbucket.open(path, background=number % 2 == 0) as store:
            if number == 0:
                store.create_bucket("shared")
            for _ in range(3000):
                if store.list_buckets():
                    break
                time.sleep(0.01)
            store.bucket("shared").put_object(f"{number}", b"")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert kept(path) == [f"{number}" for number in range(6)]


def test_processes_that_open_a_new_store_at_once_share_it(path: Path) -> None:
    running = [start(path, f"{number}") for number in range(4)]
    for process in running:
        assert process.communicate()[0] == "done\n"
        assert process.returncode == 0
    assert kept(path) == [f"{number}" for number in range(4)]


# --- what goes away meanwhile ---


def test_a_store_whose_last_client_was_killed_opens_with_all_it_held(path: Path) -> None:
    """[PUT-7]: client and server, SIGKILL for both."""
    process = start(path, "k")
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"
    server = postmaster(path)
    process.kill()
    os.kill(server, signal.SIGKILL)
    process.communicate()
    assert kept(path) == ["k"]


def postmaster(path: Path) -> int:
    return int((path / "postgres" / "data" / "postmaster.pid").read_text().split("\n")[0])


def patiently(call: Callable[[], object]) -> int:
    """Repeat a call while the database is away; how often that was needed."""
    for attempt in range(100):
        try:
            call()
        except errors.StorageError:
            time.sleep(0.02)
        else:
            return attempt
    raise AssertionError("the store did not come back")


def test_an_open_store_outlives_its_server(path: Path) -> None:
    """[PUT-7], [PUT-8]: the server is killed three times under writers, readers and the background flush."""
    with mstbucket.open(path) as store:
        bucket = store.create_bucket("shared")
        acknowledged: list[str] = []
        stop = threading.Event()

        def write(number: int) -> None:
            for n in range(10**6):
                if stop.is_set():
                    return
                key = f"{number}-{n}"
                patiently(partial(bucket.put_object, key, key.encode() * (20_000 if n % 5 == 0 else 1)))
                acknowledged.append(key)
                patiently(partial(bucket.head_object, key))

        with ThreadPoolExecutor(2) as pool:
            writers = [pool.submit(write, number) for number in range(2)]
            for _ in range(3):
                before = len(acknowledged)
                while len(acknowledged) < before + 10:
                    time.sleep(0.01)
                server = postmaster(path)
                os.kill(server, signal.SIGKILL)
                patiently(bucket.flush)
                assert postmaster(path) != server
            stop.set()
            for writer in writers:
                writer.result()
        for key in acknowledged:
            assert bucket.get_object(key).read().startswith(key.encode())
        assert bucket.flush().objects == len(acknowledged)
        assert bucket.verify().objects == len(acknowledged)


def test_the_last_to_close_may_remove_the_directory_at_once(tmp_path: Path) -> None:
    """And who is not the last does not wait."""
    place = tmp_path / "store"
    first, second = mstbucket.open(place, background=False), mstbucket.open(place, background=False)
    first.close()
    assert second.create_bucket("still-there").name == "still-there"
    second.close()
    shutil.rmtree(place)
    second.close()


# --- closed, killed, private ---


def supervisor_of(path: Path) -> int:
    """The parent of the server."""
    status = Path(f"/proc/{postmaster(path)}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:")))


def test_a_store_whose_supervisor_was_killed_just_before_opens(path: Path) -> None:
    """[PG-22]: its server answers for a moment, then ends every session by an administrator's command."""
    with mstbucket.open(path, background=False) as store:
        store.create_bucket("shared")
        for number in range(8):
            os.kill(supervisor_of(path), signal.SIGKILL)
            with mstbucket.open(path, background=False) as again:
                assert [info.name for info in again.list_buckets()] == ["shared"], number
            patiently(store.list_buckets)


def test_a_closed_store_starts_no_server(path: Path) -> None:
    """[PG-23]: whatever is asked of it, in a forked child too."""
    store = mstbucket.open(path, background=False)
    bucket = store.create_bucket("shared")
    assert store.conninfo().startswith("host=")
    store.close()

    def refuses() -> bool:
        uses: list[Callable[[], object]] = [
            store.conninfo, store.list_buckets, bucket.flush, lambda: bucket.put_object("k", b"v")
        ]  # fmt: skip
        for use in uses:
            with pytest.raises(errors.StorageError, match="the store is closed: open it again"):
                use()
        return not (path / "postgres" / "data" / "postmaster.pid").exists()

    assert refuses()
    child = os.fork()
    if child == 0:
        refused = False
        try:
            refused = refuses()
        finally:
            os._exit(0 if refused else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_closed_store_on_a_server_of_ones_own_gives_no_connection_string(database_url: str, tmp_path: Path) -> None:
    """[PG-23]: the same answer from both kinds."""
    store = mstbucket.open(database=database_url, blobs=tmp_path / "blobs", background=False)
    store.close()
    with pytest.raises(errors.StorageError, match="the store is closed: open it again"):
        store.conninfo()


@pytest.mark.parametrize("umask", [0o000, 0o077], ids=oct)
def test_a_new_store_is_private_whatever_the_umask(path: Path, umask: int) -> None:
    """[PG-2]."""
    before = os.umask(umask)
    try:
        with mstbucket.open(path, background=False) as store:
            store.create_bucket("shared")
    finally:
        os.umask(before)
    for made in (path, path / "postgres", path / "blobs"):
        assert made.stat().st_mode & 0o777 == 0o700


def test_a_store_in_a_directory_whose_name_is_not_utf8_works(tmp_path: Path) -> None:
    """[PG-9]."""
    for name in (os.fsdecode(b"caf\xe9"), os.fsdecode(b"\xff\xfe")):
        place = tmp_path / name
        with mstbucket.open(place, background=False) as store:
            bucket = store.create_bucket("shared")
            bucket.put_object("large", b"x" * 3_000_000)
            bucket.flush()
            bucket.export_car(place / "x.car")
        assert kept_keys(place) == ["large"]


def kept_keys(place: Path) -> list[str]:
    with mstbucket.open(place, background=False) as store:
        assert store.bucket("shared").verify().objects == 1
        return [item.key for item in store.bucket("shared").objects()]
