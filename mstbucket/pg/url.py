"""The address of a database as a URL, for tools that do not take libpq's connection strings."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlencode

READ_ONLY: Final = "-c default_transaction_read_only=on -c search_path=mstbucket,public"
_DIALECT: Final = "postgresql+psycopg"  # SQLAlchemy's name of PostgreSQL by psycopg 3


def database_url(conninfo: str) -> str:
    """Write a connection string as a URL whose sessions are read only and find the views of the store.

    Host and port are in the query: there a directory with a socket, a list of hosts and an IPv6 address need no form of
    their own. Without `+psycopg` it is a URL of libpq.
    """
    from psycopg.conninfo import conninfo_to_dict

    given = {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value is not None}
    user, password, database = (given.pop(name, "") for name in ("user", "password", "dbname"))
    who = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    given["options"] = f"{given.get('options', '')} {READ_ONLY}".strip()
    return f"{_DIALECT}://{who}{'@' if who else ''}/{quote(database, safe='')}?{urlencode(given, quote_via=quote)}"
