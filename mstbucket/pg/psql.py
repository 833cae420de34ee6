"""Running `psql` on a database, with its connection string in the environment: an argument would show a password to all."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from psycopg import conninfo, pq

from mstbucket.errors import Unsupported
from mstbucket.pg import binaries

_SETTINGS: Final = "-c default_transaction_read_only=on -c search_path=mstbucket,public"


def run_psql(url: str, programs: str | os.PathLike[str] | None, arguments: Sequence[str]) -> int:
    """Run `psql` until it ends; its exit code. Transactions are read only unless somebody says otherwise in the session.

    Raises:
        Unsupported: there is no `psql`.
    """
    program = _find(programs)
    return subprocess.run([program, *arguments], env=os.environ | _variables(url), check=False).returncode


def _find(programs: str | os.PathLike[str] | None) -> str:
    places = [] if programs is None else [Path(programs)]
    with suppress(Unsupported):
        places.append(binaries.find(programs))
    found = next((place / "psql" for place in places if (place / "psql").is_file()), None)
    if found is not None and os.access(found, os.X_OK):
        return str(found)
    on_path = shutil.which("psql")
    if on_path is None:
        raise Unsupported("there is no psql: install PostgreSQL's client programs, or name their place in MSTBUCKET_PG_BIN")
    return on_path


def _variables(url: str) -> dict[str, str]:
    """What libpq reads from the environment in place of a connection string."""
    variables = {option.keyword.decode(): option.envvar for option in pq.Conninfo.get_defaults()}
    given = conninfo.conninfo_to_dict(url)
    found = {}
    for keyword, value in given.items():
        variable = variables.get(keyword)
        if variable is not None and value is not None:
            found[variable.decode()] = str(value)
    found["PGOPTIONS"] = f"{found.get('PGOPTIONS', '')} {_SETTINGS}".strip()
    return found
