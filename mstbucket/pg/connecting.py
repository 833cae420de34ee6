"""Making one connection: its settings, what is required of the server, and no password in any message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg import conninfo as parser
from psycopg.adapt import Dumper
from psycopg.pq import Format

from mstbucket.errors import StorageError, Unsupported
from mstbucket.pg import binaries, binary
from mstbucket.pg.pool import Connection, patiently

SERVER_MIN: Final = binaries.MAJOR_MIN * 10_000
CONNECT_SECONDS: Final = 30  # libpq's own limit for one attempt, where the string does not say otherwise

# Sent with the first packet, so they cost no round trip and nothing on the server overrides them.
_SETTINGS: Final = {
    "search_path": "mstbucket",
    "synchronous_commit": "on",  # [PG-8] what is acknowledged is durable, whatever the server's own setting
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_isolation": "read\\ committed",
    "default_transaction_read_only": "off",
    "TimeZone": "UTC",
    "jit": "off",
}


def connector(source: str | Callable[[], str], return_seconds: float) -> Callable[[], Connection]:
    """A function that connects to the server that *source* names; waits that long for one that was there before."""
    seen = False

    def connect() -> Connection:
        nonlocal seen
        parameters = _parameters(source if isinstance(source, str) else source())

        def attempt() -> Connection:
            # A server of our own is asked for again each time: it may have been killed since, and is started anew.
            return _connect(parameters if isinstance(source, str) else _parameters(source()))

        reason: str | None = None
        try:
            # [PG-12] one that was there, or is our own, is waited for; one never seen is not: its name may be wrong
            connection = patiently(attempt, return_seconds if seen or not isinstance(source, str) else 0.0)
        except psycopg.Error as error:
            reason = _without(parameters, error)
        if reason is not None:
            # [THR-5] Raised here, so that it has no cause and no context: psycopg's error holds the whole connection string.
            raise StorageError(f"cannot connect to the database: {reason}")
        try:
            _require(connection)
        except BaseException:
            connection.close()
            raise
        seen = True
        return connection

    return connect


def _connect(parameters: dict[str, Any]) -> Connection:
    # [PG-11] hot statements are few and repeated: they are prepared on first use
    connection = Connection.connect(autocommit=True, prepare_threshold=0, **parameters)
    for array in binary.ARRAYS:
        connection.adapters.register_dumper(array, _DUMPERS[array])
    return connection


class _Ready(Dumper):
    """Hands over a value that is in the server's binary form already."""

    format = Format.BINARY

    def dump(self, obj: Any) -> bytes:
        return bytes(obj)


_DUMPERS: Final = {array: type(f"_{array.__name__}", (_Ready,), {"oid": array.oid}) for array in binary.ARRAYS}


def _parameters(conninfo: str) -> dict[str, Any]:
    try:
        given = parser.conninfo_to_dict(conninfo)
        # A password with an unescaped '/' in a URL ends up here.
        understood = str(given.get("port", "0")).replace(",", "").isdecimal()
    except psycopg.Error:
        understood = False
    if not understood:
        # [PG-14] libpq quotes the string in its message, and with it a password.
        raise StorageError(
            "the database's connection string cannot be understood (it is not shown, since it may hold a password): "
            "write it like postgresql://user:password@host/name, with % escapes for / : @ % in the password"
        )
    own = " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())
    given["options"] = f"{given.get('options') or ''} {own}".strip()
    given["client_encoding"] = "UTF8"
    given.setdefault("application_name", "mstbucket")
    given.setdefault("connect_timeout", CONNECT_SECONDS)
    return given


def _require(connection: Connection) -> None:
    """[PG-14] Refuse a server that cannot hold the store, from what it says unasked when a session begins."""
    version = connection.info.server_version
    if version < SERVER_MIN:
        raise Unsupported(
            f"the server is PostgreSQL {version // 10_000}: PostgreSQL {binaries.MAJOR_MIN} or newer is needed"
        )
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise Unsupported(f"the database's encoding is {encoding}: create one with ENCODING 'UTF8' TEMPLATE template0")
    if connection.info.parameter_status("in_hot_standby") == "on":
        raise StorageError("the server is a standby, which cannot write: name the primary server")


def _without(parameters: dict[str, Any], error: psycopg.Error) -> str:
    """The message on one line, with every secret of the connection string struck out."""
    text = " ".join(str(error).split())
    for name in ("password", "sslpassword", "passfile"):
        secret = parameters.get(name)
        if secret:
            text = text.replace(str(secret), "***")
    return text
