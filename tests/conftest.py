"""What the whole test run shares: one real PostgreSQL server, a fresh migrated database per test, hypothesis settings.

MSTBUCKET_TEST_DATABASE names a server of yours (a URL whose user may create databases); without it an embedded server
runs for the session. One that is named and does not answer is an error, never a reason to leave tests out.

The tests marked `s3` need a real S3 service: MSTBUCKET_TEST_S3_ENDPOINT with the usual AWS variables names one of
yours; else the gateway of `tests/servers/rgw.py` is started, where its packages are installed. Without either they are
deselected, and said to be, unless MSTBUCKET_TEST_S3=required: then they fail.

The tests marked `pooler` need PgBouncer. Without it they are deselected, unless MSTBUCKET_TEST_POOLER=required. Those marked
`node` need node 20 with npm: MSTBUCKET_TEST_NODE. Those marked `dask` need the package
`distributed`: MSTBUCKET_TEST_DASK. Those marked `datatools` need DATA_TOOLS: MSTBUCKET_TEST_DATATOOLS. Those
marked `kubo` need MSTBUCKET_TEST_KUBO, the directory that `tests/verify/kubo/run` installs kubo in.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings

import mstbucket
from mstbucket.pg.database import Database
from mstbucket.pg.embedded import EmbeddedPostgres
from mstbucket.pg.migrate import migrate

# No deadline: the machine is shared. No example database: what one run found must not change another.
settings.register_profile(
    "mstbucket", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("mstbucket")

# Children run as a user's do. With it, what stderr does not take is gone at once; without, it fails again at the end.
os.environ.pop("PYTHONUNBUFFERED", None)

STOP_SECONDS: Final = 60.0
MEMORY_MIN: Final = 4 << 30  # bytes free in /dev/shm: WAL, and the databases of one test at a time, 8 MB each


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The connection string of a server on which databases may be created."""
    given = os.environ.get("MSTBUCKET_TEST_DATABASE")
    if given is not None:
        yield given
        return
    # In memory where there is room: the tests kill servers, but cut no power, and a database takes 20 ms instead of 70.
    # Not pytest's temporary path: that can be too long for a socket.
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > MEMORY_MIN
    with tempfile.TemporaryDirectory(prefix="mstbucket-test-", dir=memory if roomy else None) as directory:
        server = EmbeddedPostgres(Path(directory) / "postgres")
        try:
            yield server.start()
        finally:
            server.close()
            assert server.await_stopped(STOP_SECONDS), "the test server did not stop: a test keeps it open"


@pytest.fixture(scope="session")
def databases(server_url: str) -> Iterator[Any]:
    """The maker of databases."""
    maker = _load("databases").Databases(server_url)
    yield maker
    if "MSTBUCKET_TEST_DATABASE" in os.environ:
        maker.remove_all()  # the embedded server's go with its directory
    maker.close()


@pytest.fixture(scope="session")
def template(databases: Any) -> str:
    """A database with all migrations applied, which tests get copies of."""
    name = databases.create()
    db = Database(databases.url(name))
    migrate(db)
    db.close()
    return name


@pytest.fixture
def database_url(databases: Any, template: str) -> Iterator[str]:
    """The connection string of a migrated database that is as new; it goes with the test, or is emptied for the next one."""
    with databases.lent(template) as name:
        yield databases.url(name)


@pytest.fixture
def second_database_url(databases: Any, template: str) -> Iterator[str]:
    """Another one, for what happens between two stores."""
    with databases.lent(template) as name:
        yield databases.url(name)


@pytest.fixture
def fresh_database_url(databases: Any, template: str) -> Iterator[str]:
    """The connection string of a migrated database that no test had before: for what is about files or dead rows."""
    name = databases.create(template)
    yield databases.url(name)
    databases.remove(name)


@pytest.fixture
def empty_database_url(databases: Any) -> Iterator[str]:
    """The connection string of a fresh database without any migration."""
    name = databases.create()
    yield databases.url(name)
    databases.remove(name)


# --- children -------------------------------------------------------------------------------------------------------


@pytest.fixture
def start_child() -> Callable[..., subprocess.Popen[Any]]:
    """`subprocess.Popen`, of a child that signals end even where this run ignores them, as under `nohup` or after `&`.

    A child inherits what is ignored, and nothing else. *ignoring* names signals that it is to ignore.
    """

    def start(command: list[str], *, ignoring: tuple[signal.Signals, ...] = (), **options: Any) -> subprocess.Popen[Any]:
        ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
        before = {number: signal.getsignal(number) for number in ends}
        for number in ends:
            if number in ignoring:
                signal.signal(number, signal.SIG_IGN)
            elif before[number] is signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        try:
            return subprocess.Popen(command, **options)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    return start


# --- stores: a fresh database on the shared server and a directory of packs, per test ----------------------------------


@pytest.fixture
def open_store(database_url: str, tmp_path: Path) -> Iterator[Callable[..., mstbucket.Store]]:
    """Opens the test's store, any number of times, also with other settings; what was opened is closed at the end."""
    opened: list[mstbucket.Store] = []

    def open_(**settings: Any) -> mstbucket.Store:
        usual = {"database": database_url, "blobs": tmp_path / "blobs", "background": False}
        opened.append(mstbucket.open(**{**usual, **settings}))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], mstbucket.Store]) -> mstbucket.Store:
    """One open store without background work."""
    return open_store()


@pytest.fixture
def bucket(store: mstbucket.Store) -> mstbucket.Bucket:
    """An empty bucket."""
    return store.create_bucket("things")


@pytest.fixture
def second_store(second_database_url: str, tmp_path: Path) -> Iterator[mstbucket.Store]:
    """Another, empty store that shares nothing with the first."""
    with mstbucket.open(database=second_database_url, blobs=tmp_path / "blobs-2", background=False) as store:
        yield store


# --- a real S3 service -----------------------------------------------------------------------------------------------

SERVERS: Final = Path(__file__).parent / "servers"


@cache
def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"mstbucket_test_servers_{name}", SERVERS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def load_server() -> Callable[[str], Any]:
    """Gives a module of `tests/servers` by its name."""
    return _load


def s3_is_there() -> bool:
    """Whether there is a service to test with, or one that has to be."""
    asked = os.environ.get("MSTBUCKET_TEST_S3_ENDPOINT") is not None or os.environ.get("MSTBUCKET_TEST_S3") == "required"
    return asked or all(shutil.which(program) is not None for program in _load("rgw").PROGRAMS)


def pooler_is_there() -> bool:
    """Whether there is a PgBouncer, or has to be one."""
    return os.environ.get("MSTBUCKET_TEST_POOLER") == "required" or _load("pgbouncer").found() is not None


def dask_is_there() -> bool:
    """Whether dask's distributed is installed, or has to be."""
    return os.environ.get("MSTBUCKET_TEST_DASK") == "required" or importlib.util.find_spec("distributed") is not None


def strace_is_there() -> bool:
    """Whether there is a strace that may trace here, or has to be."""
    return os.environ.get("MSTBUCKET_TEST_STRACE") == "required" or _traces()


@cache
def _traces() -> bool:
    program = shutil.which("strace")
    if program is None:
        return False
    return subprocess.run([program, "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0


def node_is_there() -> bool:
    """Whether there is node with npm, or has to be."""
    return os.environ.get("MSTBUCKET_TEST_NODE") == "required" or None not in map(shutil.which, ("node", "npm"))


def clients_are_there() -> bool:
    """Whether somebody has installed clients of S3 to try the gateway with: `tests/gateway/clients/run` does."""
    return "MSTBUCKET_TEST_CLIENTS" in os.environ


def kubo_is_there() -> bool:
    """Whether somebody has installed kubo, and says where: `tests/verify/kubo/run` does."""
    return "MSTBUCKET_TEST_KUBO" in os.environ


#: What pip has and the lock has not: hundreds of MB, for tests of what others do with this package.
DATA_TOOLS: Final = ("pandas", "pyarrow", "duckdb", "zarr", "xarray")


def data_tools_are_there() -> bool:
    """Whether all of them are installed, or have to be."""
    found = [importlib.util.find_spec(name) for name in DATA_TOOLS]
    return os.environ.get("MSTBUCKET_TEST_DATATOOLS") == "required" or None not in found


#: What some tests need that is not in the lock: the mark of these tests, and whether it is there.
WANTED: Final[dict[str, Callable[[], bool]]] = {
    "s3": s3_is_there, "pooler": pooler_is_there, "node": node_is_there, "dask": dask_is_there,
    "datatools": data_tools_are_there, "clients": clients_are_there, "strace": strace_is_there,
    "kubo": kubo_is_there,
}  # fmt: skip


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: a test waits often, for a child, a session or a clock."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of a run in several processes one takes a file as a whole, and one has the S3 service.

    xdist's own groups do not: xdist 3.8 writes them where pytest 9.2 no longer looks.
    """
    from xdist.scheduler import LoadScopeScheduling

    class OneProcessAFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            name = nodeid.partition("::")[0]
            return "s3" if _has_tests_of_s3(config.rootpath / name) else name

    return OneProcessAFile(config, log)


@cache
def _has_tests_of_s3(path: Path) -> bool:
    return "mark.s3" in path.read_text(encoding="utf-8")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # What takes long begins first: else the run waits for it at its end, while all other processes have nothing to do.
    early = {item.path for item in items if item.get_closest_marker("early") is not None}
    items.sort(key=lambda item: (item.get_closest_marker("s3") is None, item.path not in early))
    missing = {name for name, is_there in WANTED.items() if not is_there()}
    out = [item for item in items if any(item.get_closest_marker(name) is not None for name in missing)]
    if out:
        gone = set(out)
        items[:] = [item for item in items if item not in gone]
        config.hook.pytest_deselected(items=out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not pooler_is_there():
        terminalreporter.write_line("Poolers were NOT tested: there is no PgBouncer (apt-get install pgbouncer)")
    if not dask_is_there():
        terminalreporter.write_line("Executors on several machines were NOT tested: pip install distributed")
    if not strace_is_there():
        terminalreporter.write_line("Failing system calls were NOT tested: there is no strace (apt-get install strace)")
    if not node_is_there():
        terminalreporter.write_line("Programs in JavaScript were NOT tested: there is no node with npm")
    if not kubo_is_there():
        terminalreporter.write_line("kubo was NOT let read exports: tests/verify/kubo/run installs it (89 MB)")
    if not data_tools_are_there():
        terminalreporter.write_line(f"Data tools were NOT tested: pip install {' '.join(DATA_TOOLS)}")
    if not s3_is_there():
        terminalreporter.write_line(
            "S3 was NOT tested: there is neither MSTBUCKET_TEST_S3_ENDPOINT nor Ceph's gateway (apt-get install "
            "--no-install-recommends radosgw ceph-mon ceph-osd ceph-mgr ceph-common)"
        )


@dataclass(frozen=True)
class S3Service:
    """A real S3 service: where it is, a bucket of the test run's own, and boto3's client for raw access."""

    endpoint: str
    region: str
    bucket: str
    client: Any


@pytest.fixture(scope="session")
def s3_service() -> Iterator[S3Service]:
    """The service under test; the environment has its credentials as long as it is there."""
    import boto3
    from botocore.config import Config

    with pytest.MonkeyPatch.context() as patch:
        endpoint = os.environ.get("MSTBUCKET_TEST_S3_ENDPOINT")
        process = None
        if endpoint is None:
            process, told = _start_gateway()
            endpoint = told["endpoint"]
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                patch.delenv(name)
            patch.setenv("AWS_ACCESS_KEY_ID", told["access_key"])
            patch.setenv("AWS_SECRET_ACCESS_KEY", told["secret_key"])
            patch.setenv("AWS_DEFAULT_REGION", told["region"])
            patch.setenv("AWS_CONFIG_FILE", os.devnull)
            patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        try:
            config = Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required")
            client = boto3.session.Session().client("s3", endpoint_url=endpoint, region_name=region, config=config)
            bucket = f"mstbucket-test-{secrets.token_hex(6)}"
            elsewhere = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            client.create_bucket(Bucket=bucket, **elsewhere)
            yield S3Service(endpoint, region, bucket, client)
            if process is None:
                _remove_bucket(client, bucket)
            client.close()
        finally:
            if process is not None:
                process.communicate(timeout=STOP_SECONDS)  # it ends with its standard input


def _start_gateway() -> tuple[subprocess.Popen[str], dict[str, str]]:
    missing = [program for program in _load("rgw").PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.fail(f"the tests of S3 are required, but there are no {', '.join(missing)}: apt-get install "
                    "--no-install-recommends radosgw ceph-mon ceph-osd ceph-mgr ceph-common", pytrace=False)  # fmt: skip
    pipe = subprocess.PIPE
    command = [sys.executable, str(SERVERS / "rgw.py")]
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        process.communicate(timeout=STOP_SECONDS)
        pytest.fail("the S3 server for the tests did not start; it says why above", pytrace=False)
    told: dict[str, str] = json.loads(line)
    return process, told


def _remove_bucket(client: Any, bucket: str) -> None:
    for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ()):
        client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for item in page.get("Contents", ()):
            client.delete_object(Bucket=bucket, Key=item["Key"])
    client.delete_bucket(Bucket=bucket)
