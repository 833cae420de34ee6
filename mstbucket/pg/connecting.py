"""Making one connection: its settings, what is required of the server, and no password in any message.

A pooler between us and the server may drop the settings of a session, and may give each transaction to another session. So
each new connection is asked what it is: a session of our own with all settings, or else one on which no session is relied
upon ([PG-24]).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg import conninfo as parser
from psycopg.adapt import Dumper
from psycopg.pq import Format

from mstbucket.errors import StorageError, Unsupported
from mstbucket.pg import binaries, binary
from mstbucket.pg.clock import ASK, Clock
from mstbucket.pg.pool import Connection, Full, is_full, patiently
from mstbucket.pg.pooled import PooledConnection
from mstbucket.pg.settings import SESSION, session

SERVER_MIN: Final = binaries.MAJOR_MIN * 10_000
CONNECT_SECONDS: Final = 30  # libpq's own limit for one attempt, where the string does not say otherwise

_STANDBY: Final = (
    "the server is a standby, which cannot write: name the primary, or all of them and target_session_attrs=read-write"
)

# What is asked of each new connection: who serves it, what it does with our settings, and what it cannot be talked out of.
_ASK: Final = f"""
    SELECT {ASK}, pg_backend_pid(), pg_is_in_recovery(), current_setting('fsync'),
           ARRAY(SELECT current_setting(name) FROM unnest(%s::text[]) WITH ORDINALITY AS t (name, n) ORDER BY n)
"""


def connector(source: str | Callable[[], str], return_seconds: float, clock: Clock) -> Callable[[], Connection]:
    """A function that connects to the server that *source* names; waits that long for one that was there before.

    *clock* is told the server's time with each new connection.
    """
    seen = pooled = False

    def connect() -> Connection:
        nonlocal seen
        parameters = _parameters(source if isinstance(source, str) else source())

        def attempt() -> Connection:
            # A server of our own is asked for again each time: it may have been killed since, and is started anew.
            return made(parameters if isinstance(source, str) else _parameters(source()))

        reason: str | None = None
        try:
            # [PG-12] one that was there, or is our own, is waited for; one never seen is not: its name may be wrong
            connection = patiently(attempt, return_seconds if seen or not isinstance(source, str) else 0.0)
        except psycopg.Error as error:
            reason = _without(parameters, error)
            full = is_full(str(error))
            statements = "statement pooling mode" in str(error)
        if reason is not None:
            # [THR-5] Raised here, so that it has no cause and no context: psycopg's error holds the whole connection string.
            if full:
                raise Full(f"the database takes no more connections: close some, or raise its limit ({reason})")
            if statements:
                raise Unsupported("the pooler before the database has pool_mode = statement, which has no transactions: "
                                  "set it to transaction or session, or name the server itself")  # fmt: skip
            raise StorageError(f"cannot connect to the database: {reason}")
        seen = True
        return connection

    def made(parameters: dict[str, Any]) -> Connection:
        nonlocal pooled
        if not pooled:
            try:
                # [PG-11] hot statements are few and repeated: they are prepared on first use
                connection = _opened(Connection, 0, parameters | {"options": _options(parameters)}, clock)
            except psycopg.OperationalError as error:
                if "startup parameter" not in str(error):  # the words of a pooler that knows none of our settings
                    raise
            else:
                if connection.direct:
                    return connection
                connection.close()
            pooled = True  # [PG-24] from here on for all: a pooler does not go away
        return _opened(PooledConnection, None, parameters, clock)

    return connect


def _opened(kind: type[Connection], prepare: int | None, parameters: dict[str, Any], clock: Clock) -> Connection:
    """A connection of that kind, which keeps what is asked of it; `direct` says whether it is a session of our own."""
    connection = kind.connect(autocommit=True, prepare_threshold=prepare, **parameters)
    try:
        for kind_of_value, dumper in _DUMPERS.items():
            connection.adapters.register_dumper(kind_of_value, dumper)
        _require(connection)
        pooled = isinstance(connection, PooledConnection)
        if pooled:
            connection.begin("ISOLATION LEVEL READ COMMITTED READ ONLY")  # by a transaction, which not every pooler has
        settings = session(connection.info.server_version)
        row = connection.execute(_ASK, (list(settings),), prepare=False).fetchone()
        assert row is not None
        clock.told(row[0])
        if pooled:
            connection.execute("COMMIT", prepare=False)
        if row[2]:
            raise StorageError(_STANDBY)
        if row[3] != "on":  # [PG-8]
            raise Unsupported(f"the server runs with fsync = {row[3]}, so that nothing is durable: switch it on")
        held = dict(zip(settings, row[4], strict=True))
        wrong = {name: value for name, value in held.items() if value != settings[name]}
        # A pooler gives its clients numbers of its own making, for they have no backend of their own.
        connection.direct = not wrong.keys() & SESSION.keys() and row[1] == connection.pgconn.backend_pid
        if connection.direct:
            for name in wrong:  # what the first packet could not name, before the server's version was known
                connection.execute(f"SET {name} = '{settings[name]}'", prepare=False)
        if wrong and pooled:
            told = ", ".join(f"{name} = {value}" for name, value in wrong.items())
            raise Unsupported(f"what stands before the database does not keep a transaction's settings ({told}), so nothing "
                              "here would be durable for sure: name the server itself")  # fmt: skip
    except BaseException:
        connection.close()
        raise
    return connection


def _options(parameters: dict[str, Any]) -> str:
    """The settings as they are sent with the first packet: no round trip, and nothing on the server overrides them."""
    own = " ".join("-c {}={}".format(name, value.replace(" ", "\\ ")) for name, value in SESSION.items())
    return f"{parameters.get('options') or ''} {own}".strip()


class _Ready(Dumper):
    """Hands over a value that is in the server's binary form already."""

    format = Format.BINARY

    def dump(self, obj: Any) -> bytes:
        return bytes(obj)


_DUMPERS: Final = {
    kind: type(f"_{kind.__name__}", (_Ready,), {"oid": kind.oid}) for kind in (*binary.ARRAYS, binary.Ready)
}


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
        raise StorageError(_STANDBY)


def _without(parameters: dict[str, Any], error: psycopg.Error) -> str:
    """The message on one line, with every secret of the connection string struck out."""
    text = " ".join(str(error).split())
    for name in ("password", "sslpassword", "passfile"):
        secret = parameters.get(name)
        if secret:
            text = text.replace(str(secret), "***")
    return text
