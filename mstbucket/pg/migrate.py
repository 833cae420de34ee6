"""Bringing a database's schema to the state this code expects: numbered SQL, each applied once, for ever."""

from __future__ import annotations

import hashlib
import importlib.resources
import re
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Final

from mstbucket.errors import StorageError, Unsupported
from mstbucket.pg.database import SCHEMA, Database

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)(\.sql)?")
_LOCK: Final = 0x6D7374_6D6967  # "mstmig": of the one-number advisory locks; those of migration 0001 take two numbers


@dataclass(frozen=True, slots=True)
class Migration:
    """One file `NNNN_name.sql`."""

    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """What says whether an applied file was changed afterwards."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load(directory: Traversable) -> tuple[Migration, ...]:
    """Read the migrations of *directory*, in order. A folder is one migration, its `.sql` files in the order of their names.

    Raises:
        StorageError: a `.sql` file is not named `NNNN_name.sql`, or the numbers are not 1, 2, 3, …
    """
    found = []
    for place in directory.iterdir():
        if place.name.endswith(".sql") or place.is_dir():
            match = _NAME.fullmatch(place.name)
            if match is None or (match[3] is None) != place.is_dir():
                raise StorageError(f"the migration {place.name} is not named NNNN_name.sql: the installation is damaged")
            found.append(Migration(int(match[1]), match[2], _text(place)))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise StorageError("the migrations are not numbered 1, 2, 3, …: the installation is damaged, install it again")
    return tuple(found)


def _text(place: Traversable) -> str:
    if place.is_file():
        return place.read_text(encoding="utf-8")
    parts = sorted((part for part in place.iterdir() if part.name.endswith(".sql")), key=lambda part: part.name)
    return "".join(part.read_text(encoding="utf-8") for part in parts)


def shipped() -> tuple[Migration, ...]:
    """The migrations of this package."""
    return load(importlib.resources.files("mstbucket.pg") / "migrations")


def migrate(db: Database, migrations: tuple[Migration, ...] | None = None) -> int:
    """Apply what is missing, each migration in a transaction of its own; return how many were applied here.

    Safe to call from any number of processes at once: each migration is applied by one of them. Interrupted anywhere,
    the next call goes on. One round trip when there is nothing to do. Without *migrations*, those of this package.

    Raises:
        Unsupported: the database is of a newer version of this package. Use that one.
        StorageError: a migration was changed after it was applied, or the database refuses it. Nothing of it is done.
    """
    wanted = shipped() if migrations is None else migrations
    with db.reading() as connection:
        missing = _missing(connection, wanted)
    applied = 0
    while missing:
        with db.transaction() as connection:
            # [PG-17] one at a time, and look again: somebody else may have done it while we waited
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            missing = _missing(connection, wanted)
            if missing:
                _apply(connection, missing[0])
                missing = missing[1:]
                applied += 1
    return applied


def _missing(connection: Connection, wanted: tuple[Migration, ...]) -> tuple[Migration, ...]:
    """What has not been applied yet; refuses a database that does not fit."""
    # A query on the catalog, not to_regclass(): that answers from a cache which waiting for the lock does not renew.
    there = connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = 'migrations'", (SCHEMA,))
    if there.fetchone() is None:
        return wanted
    rows = connection.execute(f"SELECT version, name, sha256 FROM {SCHEMA}.migrations ORDER BY version").fetchall()
    by_version = {migration.version: migration for migration in wanted}
    for version, name, sha256 in rows:
        known = by_version.pop(version, None)
        if known is None:
            # [PG-18]
            raise Unsupported(
                f"the database has migration {version:04d}_{name}, and this version of mstbucket knows {len(wanted)}: "
                "use the version that wrote it, or a newer one"
            )
        if known.sha256 != sha256:
            # [PG-18]
            raise StorageError(
                f"migration {version:04d}_{name} was changed after it was applied to this database: "
                "install the release that applied it, or rebuild the database from the block store"
            )
    return tuple(sorted(by_version.values(), key=lambda migration: migration.version))


def _apply(connection: Connection, migration: Migration) -> None:
    """Run one file and note it, in the caller's transaction ([PG-16])."""
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {SCHEMA}.migrations (version integer PRIMARY KEY, name text NOT NULL, "
        "sha256 text NOT NULL, applied timestamptz NOT NULL DEFAULT now())"
    )
    # Unprepared: a file holds many statements. Bytes: it is no template, '%' stands for itself.
    connection.execute(migration.sql.encode(), prepare=False)
    connection.execute(
        f"INSERT INTO {SCHEMA}.migrations (version, name, sha256) VALUES (%s, %s, %s)",
        (migration.version, migration.name, migration.sha256),
    )
