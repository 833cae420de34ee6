"""Running PostgreSQL's own programs on a database: `psql`, `pg_dump`, `pg_restore`.

The connection string goes by the environment: as an argument it would show a password to all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from psycopg import conninfo, pq

from mstbucket.errors import StorageError, Unsupported
from mstbucket.pg import binaries
from mstbucket.pg.database import SCHEMA
from mstbucket.pg.url import READ_ONLY

Programs = str | os.PathLike[str] | None


def run_psql(url: str, programs: Programs, arguments: Sequence[str]) -> int:
    """Run `psql` until it ends; its exit code. Transactions are read only unless somebody says otherwise in the session.

    Raises:
        Unsupported: there is no `psql`.
    """
    program = _find("psql", programs)
    return subprocess.run([program, *arguments], env=os.environ | _variables(url, READ_ONLY), check=False).returncode


def run_dump(url: str, programs: Programs, file: Path, snapshot: str) -> None:
    """Write the tables of the store to *file*, in the custom format of `pg_dump`, as an exported snapshot has them.

    Raises:
        Unsupported: there is no `pg_dump`.
        StorageError: it failed; the message is its own.
    """
    options = ("-Fc", "-n", SCHEMA, "--no-owner", "--no-privileges", f"--snapshot={snapshot}")
    _run("pg_dump", url, programs, *options, "-f", str(file))


def run_restore(url: str, programs: Programs, file: Path) -> None:
    """Fill an empty database from what `run_dump` has written, all or nothing.

    Raises:
        Unsupported: there is no `pg_restore`.
        StorageError: it failed; the message is its own.
    """
    database = str(conninfo.conninfo_to_dict(url)["dbname"])
    _run("pg_restore", url, programs, "--no-owner", "--no-privileges", "--single-transaction", "-d", database, str(file))


def _run(name: str, url: str, programs: Programs, *arguments: str) -> None:
    command = [_find(name, programs), "-w", *arguments]  # -w: whoever could type a password may not be there
    done = subprocess.run(command, env=os.environ | _variables(url), capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise StorageError(f"{name} ended with code {done.returncode}: {said[0]}")


def _find(name: str, programs: Programs) -> str:
    places = [] if programs is None else [Path(programs)]
    with suppress(Unsupported):
        places.append(binaries.find(programs))
    found = next((place / name for place in places if (place / name).is_file()), None)
    if found is not None and os.access(found, os.X_OK):
        return str(found)
    on_path = shutil.which(name)
    if on_path is None:
        advice = "install PostgreSQL's client programs, or name their place in MSTBUCKET_PG_BIN"
        raise Unsupported(f"there is no {name}: {advice}")
    return on_path


def _variables(url: str, options: str = "") -> dict[str, str]:
    """What libpq reads from the environment in place of a connection string, with settings of the session beside its own."""
    variables = {option.keyword.decode(): option.envvar for option in pq.Conninfo.get_defaults()}
    given = conninfo.conninfo_to_dict(url)
    found = {}
    for keyword, value in given.items():
        variable = variables.get(keyword)
        if variable is not None and value is not None:
            found[variable.decode()] = str(value)
    if options:
        found["PGOPTIONS"] = f"{found.get('PGOPTIONS', '')} {options}".strip()
    return found
