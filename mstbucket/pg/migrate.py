"""Bringing a database's schema to the state this code expects: numbered SQL, each applied once, for ever.

Older versions of this package may be able to work on a database after a migration. Each migration names the oldest reader
and the oldest writer: a version is told by the number of the newest migration it knows. So a release that only adds
something does not lock out the one before ([PG-29]).
"""

from __future__ import annotations

import hashlib
import importlib.resources
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Final

from mstbucket.errors import Conflict, StorageError, Unsupported
from mstbucket.pg.database import SCHEMA, Database

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)(\.sql)?")
_LOCK: Final = 0x6D7374_6D6967  # "mstmig": of the one-number advisory locks; those of migration 0001 take two numbers
TURN_WAIT: Final = "10min"  # for others who are migrating
LOCK_WAIT: Final = "5s"  # for a table that others hold; meanwhile all who come later wait behind us


@dataclass(frozen=True, slots=True)
class Migration:
    """One file, or one folder of files, `NNNN_name`.

    Its text may have a line `-- oldest reader: N` and a line `-- oldest writer: N`. They name the oldest versions that can
    work after it, each by the number of the newest migration it knows. Without these lines only versions that know this
    one can.
    """

    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Tells whether an applied file was changed afterwards."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def oldest_reader(self) -> int:
        """The oldest version that may read."""
        return self._oldest("reader")

    @property
    def oldest_writer(self) -> int:
        """The oldest version that may write."""
        return self._oldest("writer")

    def _oldest(self, who: str) -> int:
        found = re.search(rf"^-- oldest {who}: (\d+)$", self.sql, re.MULTILINE)
        return self.version if found is None else int(found[1])


def load(directory: Traversable) -> tuple[Migration, ...]:
    """Read the migrations of *directory*, in order. A folder is one migration, its `.sql` files ordered by number.

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
    parts = sorted((part for part in place.iterdir() if part.name.endswith(".sql")), key=_number)
    return "".join(part.read_text(encoding="utf-8") for part in parts)


def _number(part: Traversable) -> tuple[int, str]:
    """The number that the name of a file begins with: 10 comes behind 9."""
    digits = re.match(r"\d*", part.name)
    return int(digits[0]) if digits is not None and digits[0] else 0, part.name


def shipped() -> tuple[Migration, ...]:
    """The migrations of this package."""
    return load(importlib.resources.files("mstbucket.pg") / "migrations")


def make_ready(
    db: Database,
    embedded: bool,
    migrations: tuple[Migration, ...] | None = None,
    before_making: Callable[[], object] = lambda: None,
) -> None:
    """Make the schema in a fresh database; refuse one that does not fit. One round trip when there is nothing to do.

    An older schema is brought up to date only in an *embedded* server's database where nobody else is at work: never under
    the feet of others ([PG-30]). *before_making* is called where there is no schema yet, and stops it by an error. Without
    *migrations*, those of this package.

    Raises:
        Unsupported: the database is of a newer version of this package, or of an older one; the message says what to do.
        StorageError: as `migrate`.
    """
    wanted = shipped() if migrations is None else migrations
    with db.reading() as connection:
        missing = _missing(connection, wanted)
        old = len(wanted) - len(missing)
        refused = bool(missing) and old > 0 and not (embedded and _is_alone(connection))
    if refused:
        raise Unsupported(
            f"the database has schema {old}, this version of mstbucket needs {len(wanted)}, and others may be using it: "
            "run 'mstbucket store migrate' when nobody writes, or open it with the version that they use"
        )
    if missing and old == 0:
        before_making()
    if missing:
        migrate(db, wanted)


def upgrade(db: Database, migrations: tuple[Migration, ...] | None = None) -> int:
    """As `migrate`, but where others are at work it applies only what they can go on working with ([PG-30]).

    Raises:
        As `migrate`; Conflict also where somebody is connected and could not go on. Nothing was done.
    """
    wanted = shipped() if migrations is None else migrations
    with db.reading() as connection:
        missing = _missing(connection, wanted)
        old = len(wanted) - len(missing)
        if old > 0 and any(migration.oldest_writer > old for migration in missing) and not _is_alone(connection):
            raise Conflict(
                f"others are connected to the database, and with schema {len(wanted)} those who know schema {old} could not "
                "go on: close the store everywhere, then repeat"
            )
    return migrate(db, wanted)


def migrate(db: Database, migrations: tuple[Migration, ...] | None = None) -> int:
    """Apply what is missing, each migration in a transaction of its own; return how many were applied here.

    Safe to call from any number of processes at once: each migration is applied by one of them. Interrupted anywhere,
    the next call goes on. One round trip when there is nothing to do. Without *migrations*, those of this package.
    Others may be at work. If they hold a table for longer than `LOCK_WAIT`, nothing of that migration is done. Nor do they
    wait for longer behind it.

    Raises:
        Unsupported: the database is of a newer version of this package. Use that one.
        Conflict: others hold what is to be changed, or somebody else has been migrating all the time. Repeat it.
        StorageError: a migration was changed after it was applied, or the database refuses it. Nothing of it is done.
    """
    wanted = shipped() if migrations is None else migrations
    with db.reading() as connection:
        missing = _missing(connection, wanted)
    applied = 0
    while missing:
        with db.transaction() as connection:
            # [PG-17] one at a time, and look again: somebody else may have done it while we waited
            connection.execute(f"SET LOCAL lock_timeout = '{TURN_WAIT}'")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            missing = _missing(connection, wanted)
            if missing:
                connection.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")  # [PG-30]
                _apply(connection, missing[0])
                missing = missing[1:]
                applied += 1
    return applied


def _is_alone(connection: Connection) -> bool:
    """Whether no other session is in this database; those of this process's own pool count, too."""
    query = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    """
    return connection.execute(query).fetchone() == (0,)


def _missing(connection: Connection, wanted: tuple[Migration, ...]) -> tuple[Migration, ...]:
    """What has not been applied yet; refuses a database that does not fit."""
    # A query on the catalog, not to_regclass(): that answers from a cache which waiting for the lock does not renew.
    there = connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = 'migrations'", (SCHEMA,))
    if there.fetchone() is None:
        return wanted
    # By jsonb, since a table that was made before the first release has no such columns.
    rows = connection.execute(
        "SELECT version, name, sha256, "
        "(to_jsonb(m) ->> 'oldest_reader')::integer, (to_jsonb(m) ->> 'oldest_writer')::integer "
        f"FROM {SCHEMA}.migrations m ORDER BY version"
    ).fetchall()
    by_version = {migration.version: migration for migration in wanted}
    for version, name, sha256, reader, writer in rows:
        known = by_version.pop(version, None)
        if known is None:
            _check_range(len(wanted), f"{version:04d}_{name}", reader or version, writer or version)
        elif known.sha256 != sha256:
            # [PG-18]
            raise StorageError(
                f"migration {version:04d}_{name} was changed after it was applied to this database: "
                "install the release that applied it, or rebuild the database from the block store"
            )
    return tuple(sorted(by_version.values(), key=lambda migration: migration.version))


def _check_range(ours: int, name: str, reader: int, writer: int) -> None:
    """Refuse a migration that we do not know, unless it says that we can work all the same."""
    # [PG-18], [PG-29]
    if ours < reader:
        raise Unsupported(
            f"the database has migration {name}, and this version of mstbucket knows {ours}: "
            "use the version that wrote it, or a newer one"
        )
    if ours < writer:
        raise Unsupported(
            f"the database has migration {name}, which needs writers that know {writer}, and this version of "
            f"mstbucket knows {ours}: use the version that wrote it, or a newer one; any client can still read the views"
        )


def _apply(connection: Connection, migration: Migration) -> None:
    """Run one file and note it, in the caller's transaction ([PG-16])."""
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {SCHEMA}.migrations (version integer PRIMARY KEY, name text NOT NULL, "
        "sha256 text NOT NULL, applied timestamptz NOT NULL DEFAULT now(), oldest_reader integer, oldest_writer integer)"
    )
    # Unprepared: a file holds many statements. Bytes: it is no template, '%' stands for itself.
    connection.execute(migration.sql.encode(), prepare=False)
    connection.execute(
        f"INSERT INTO {SCHEMA}.migrations (version, name, sha256, oldest_reader, oldest_writer) VALUES (%s, %s, %s, %s, %s)",
        (migration.version, migration.name, migration.sha256, migration.oldest_reader, migration.oldest_writer),
    )
