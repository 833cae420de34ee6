"""Databases for tests, on one server, over one connection: made, removed, and emptied for the next test.

To make a database, fill its first session's caches and remove it took half of what a test of a verb took. So a database that
a test has left is emptied and lent to the next one, where nothing but rows has changed in it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg import conninfo, sql

_LENT_MAX: Final = 25  # times that one is lent: what is deleted stays in its files
_SIZE_MAX: Final = 2 << 20  # bytes of a table; a database with a larger one is removed
_LEAVING_SECONDS: Final = 0.5  # that a session may take to end after its client closed it
_FIRST_OID: Final = 16384  # of what does not come with Postgres

#: What says that more than rows was changed: how many entries there are of each kind, and which transaction wrote the last.
_FINGERPRINT: Final = " UNION ALL ".join([
    *(f"SELECT count(*), max(xmin::text::bigint) FROM {catalog} WHERE {oid} >= {_FIRST_OID}"
      for catalog, oid in {"pg_class": "oid", "pg_attribute": "attrelid", "pg_index": "indexrelid", "pg_proc": "oid",
                           "pg_type": "oid", "pg_constraint": "oid", "pg_trigger": "oid", "pg_rewrite": "oid",
                           "pg_namespace": "nspname !~ '^pg_' AND oid", "pg_event_trigger": "oid", "pg_policy": "oid",
                           "pg_statistic": "starelid", "pg_publication": "oid"}.items()),
    "SELECT count(*), max(xmin::text::bigint) FROM pg_extension",
    "SELECT count(*), max(xmin::text::bigint) FROM pg_db_role_setting",
    "SELECT count(*), max(xmin::text::bigint) FROM pg_database WHERE datname = current_database()",
    f"SELECT sum(relpages), sum(reltuples)::bigint FROM pg_class WHERE oid >= {_FIRST_OID}",  # somebody counted the rows
])  # fmt: skip
_SESSIONS: Final = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'
"""
_TABLES: Final = f"""
    SELECT oid::regclass::text, pg_relation_size(oid) FROM pg_class WHERE relkind = 'r' AND oid >= {_FIRST_OID}
"""
_SEQUENCES: Final = """
    SELECT format('%I.%I', schemaname, sequencename), coalesce(last_value, start_value), last_value IS NOT NULL
    FROM pg_sequences
"""


class Databases:
    """The databases of a test run."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._admin = psycopg.connect(url, autocommit=True)
        self._run = secrets.token_hex(4)  # several runs may share an outside server
        self._made = 0
        self._names: list[str] = []
        self._free: dict[str, list[_Lent]] = {}
        self._pure: dict[str, _Pure] = {}
        row = self._admin.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        # Only a superuser may turn off foreign keys and forget statistics, and only since Postgres 15 at a known moment.
        self._may_empty = row == (True,) and self._admin.info.server_version >= 150000

    def create(self, template: str = "template0", encoding: str = "UTF8") -> str:
        """Make a database of 7 MB; return its name. WAL_LOG, the default strategy, beat FILE_COPY: 70 ms to 220."""
        # The server's own locale may be one for UTF8 only.
        locale = "" if encoding == "UTF8" else " LOCALE_PROVIDER libc LOCALE 'C'"
        self._made += 1
        name = f"mstbucket_test_{self._run}_{self._made}"
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING '{encoding}'{locale}")
        self._names.append(name)
        return name

    def url(self, name: str) -> str:
        """The connection string of a database."""
        return conninfo.make_conninfo(self._url, dbname=name)

    def remove(self, name: str) -> None:
        """Remove a database, whoever still uses it: 5 ms in memory, 15 on a disk."""
        self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        self._names.remove(name)

    def remove_if_there(self, name: str) -> None:
        """Remove a database that somebody else may have made."""
        self._admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @contextmanager
    def lent(self, template: str) -> Iterator[str]:
        """The name of a database that is as the template is. It goes with the block, or is emptied for the next one."""
        if not self._may_empty:
            name = self.create(template)
            yield name
            self.remove(name)
            return
        if template not in self._pure:
            with closing(self._connect(template)) as connection:
                self._pure[template] = _Pure(connection)
        free = self._free.setdefault(template, [])
        lent = free.pop() if free else self._lend(template)
        lent.begin()
        yield lent.name
        emptied = False
        with suppress(psycopg.OperationalError):  # the test ended all sessions
            emptied = lent.empty(self._pure[template])
        if emptied:
            free.append(lent)
        else:
            lent.close()
            self.remove(lent.name)

    def remove_all(self) -> None:
        """Remove those that are left."""
        for name in list(self._names):
            self.remove(name)

    def close(self) -> None:
        """Close the connections."""
        for lent in (one for free in self._free.values() for one in free):
            lent.close()
        self._admin.close()

    def _lend(self, template: str) -> _Lent:
        name = self.create(template)
        return _Lent(name, self._connect(name))

    def _connect(self, name: str) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(name), autocommit=True)


class _Pure:
    """What the tables and sequences of a template hold."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        _, _, sizes, self.places = _look(connection)
        rows = {table: connection.execute(f"SELECT jsonb_agg(t)::text FROM {table} t").fetchone() for table in sizes}
        self.filling = "".join(
            f"INSERT INTO {table} OVERRIDING SYSTEM VALUE "
            f"SELECT * FROM jsonb_populate_recordset(NULL::{table}, {_literal(row[0])}::jsonb);"
            for table, row in rows.items() if row is not None and row[0] is not None
        )  # fmt: skip


class _Lent:
    """A database that tests get one after the other. A session stays in it: a new one would have to learn the catalogs."""

    def __init__(self, name: str, connection: psycopg.Connection[Any]) -> None:
        self.name = name
        self._connection = connection
        self._left = _LENT_MAX
        _, self._fingerprint, _, _ = _look(connection)

    def begin(self) -> None:
        """Forget what the last one did, where it is counted."""
        self._connection.execute("SELECT pg_stat_reset()")

    def empty(self, pure: _Pure) -> bool:
        """Make it as the template is; False where it was lent often, is still in use, or more than rows has changed."""
        self._left -= 1
        deadline = time.monotonic() + _LEAVING_SECONDS
        others, fingerprint, sizes, places = _look(self._connection)
        while others > 0 and time.monotonic() < deadline:  # a client that closed may be gone before its session is
            time.sleep(0.002)
            others, fingerprint, sizes, places = _look(self._connection)
        if self._left == 0 or others > 0 or fingerprint != self._fingerprint or max(sizes.values()) > _SIZE_MAX:
            return False
        moved = {name: pure.places[name] for name, place in places.items() if place != pure.places[name]}
        self._connection.execute(
            "SET LOCAL session_replication_role = replica;"  # no triggers, and rows in any order
            + "".join(f"DELETE FROM {table};" for table, size in sizes.items() if size > 0)
            + pure.filling
            + "".join(f"SELECT setval({_literal(name)}, {place}, {given});" for name, (place, given) in moved.items())
            + "SELECT pg_stat_force_next_flush()"
        )
        return True

    def close(self) -> None:
        """End the session."""
        self._connection.close()


_Look = tuple[int, list[Any], dict[str, int], dict[str, tuple[int, bool]]]


def _look(connection: psycopg.Connection[Any]) -> _Look:
    """Other sessions in a database; its fingerprint; bytes of each table; each sequence's place, and if that was given."""
    cursor = connection.execute(f"{_SESSIONS}; {_FINGERPRINT}; {_TABLES}; {_SEQUENCES}")
    found = [cursor.fetchall()]
    while cursor.nextset():
        found.append(cursor.fetchall())
    sessions, fingerprint, sizes, places = found
    return sessions[0][0], fingerprint, dict(sizes), {name: (place, given) for name, place, given in places}


def _literal(text: str) -> str:
    return sql.Literal(text).as_string(None)
