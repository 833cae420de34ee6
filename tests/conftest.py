"""What the whole test run shares: one real PostgreSQL server, a fresh migrated database per test, hypothesis settings.

MSTBUCKET_TEST_DATABASE names a server of yours (a URL whose user may create databases); without it an embedded server
runs for the session. One that is named and does not answer is an error, never a reason to leave tests out.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import conninfo

from mstbucket.pg.database import Database
from mstbucket.pg.embedded import EmbeddedPostgres
from mstbucket.pg.migrate import migrate

# No deadline: the machine is shared. No example database: what one run found must not change another.
settings.register_profile(
    "mstbucket", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("mstbucket")

STOP_SECONDS: Final = 60.0
MEMORY_MIN: Final = 16 << 30  # bytes free in /dev/shm: 8 MB a test for a thousand tests, and as much for everything else


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


class Databases:
    """Makes and removes databases on one server, over one connection."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._admin = psycopg.connect(url, autocommit=True)
        self._run = secrets.token_hex(4)  # several runs may share an outside server
        self._names: list[str] = []

    def create(self, template: str = "template0", encoding: str = "UTF8") -> str:
        """Make a database of 7 MB; return its name. WAL_LOG, the default strategy, beat FILE_COPY: 70 ms to 220."""
        # The server's own locale may be one for UTF8 only.
        locale = "" if encoding == "UTF8" else " LOCALE_PROVIDER libc LOCALE 'C'"
        name = f"mstbucket_test_{self._run}_{len(self._names)}"
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING '{encoding}'{locale}")
        self._names.append(name)
        return name

    def url(self, name: str) -> str:
        """The connection string of a database."""
        return conninfo.make_conninfo(self._url, dbname=name)

    def remove(self) -> None:
        """Remove all of them; at the end only, since each removal is a checkpoint, slower than most tests."""
        for name in self._names:
            self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        """Close the connection."""
        self._admin.close()


@pytest.fixture(scope="session")
def databases(server_url: str) -> Iterator[Databases]:
    """The maker of databases."""
    maker = Databases(server_url)
    yield maker
    if "MSTBUCKET_TEST_DATABASE" in os.environ:
        maker.remove()  # the embedded server's go with its directory
    maker.close()


@pytest.fixture(scope="session")
def template(databases: Databases) -> str:
    """A database with all migrations applied, which tests get copies of."""
    name = databases.create()
    db = Database(databases.url(name))
    migrate(db)
    db.close()
    return name


@pytest.fixture
def database_url(databases: Databases, template: str) -> str:
    """The connection string of a fresh, migrated database."""
    return databases.url(databases.create(template))


@pytest.fixture
def second_database_url(databases: Databases, template: str) -> str:
    """Another one, for what happens between two stores."""
    return databases.url(databases.create(template))


@pytest.fixture
def empty_database_url(databases: Databases) -> str:
    """The connection string of a fresh database without any migration."""
    return databases.url(databases.create())
