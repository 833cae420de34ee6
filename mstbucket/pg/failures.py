"""What PostgreSQL's errors mean here: the one table from SQLSTATE to the declared error tree."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import errors as sql

from mstbucket.errors import (
    BlocksMoved,
    BucketAlreadyExists,
    BucketNotEmpty,
    CommitMoved,
    Conflict,
    InvalidBucketState,
    MstBucketError,
    NoSuchBucket,
    NoSuchKey,
    OutcomeUnknown,
    PreconditionFailed,
    StorageError,
    Unsupported,
    Untrue,
    VersioningChanged,
)

# [PG-15] raised by our own SQL functions with USING ERRCODE; their message is written for people and passed on
OWN: Final[dict[str, type[MstBucketError]]] = {
    "MB404": NoSuchBucket,
    "MB405": NoSuchKey,
    "MB409": Conflict,
    "MB410": BucketNotEmpty,
    "MB411": BucketAlreadyExists,
    "MB412": CommitMoved,
    "MB420": PreconditionFailed,
    "MB421": VersioningChanged,
    "MB423": InvalidBucketState,
    "MB424": BlocksMoved,
    "MB501": Unsupported,
}

# By SQLSTATE, or by its class of two characters. Each text says what happened and what to do; the server's follows.
_FOREIGN: Final[dict[str, tuple[type[MstBucketError], str]]] = {
    "40001": (Conflict, "another transaction was there first: read again, then decide"),
    "40P01": (Conflict, "two transactions waited for each other: read again, then repeat"),
    "55P03": (Conflict, "somebody else holds the lock: repeat later"),
    "53100": (StorageError, "the database's disk is full: make room, then repeat the call"),
    "53200": (StorageError, "the database is out of memory: repeat later, or give it more"),
    "53": (StorageError, "the database has reached a limit of its own: raise it, or repeat later"),
    "53300": (StorageError, "the database takes no more connections: close some, or raise its max_connections"),
    "57P03": (StorageError, "the database is starting or stopping: repeat later"),
    "57P04": (StorageError, "the database was dropped: create it, or correct its name"),
    "57": (StorageError, "an operator stopped the statement or the server: repeat later"),
    "58": (StorageError, "the database cannot read or write its files: see its log"),
    "08P01": (StorageError, "the database did not understand what it was sent, and undid the call: look whether a program "
              "between here and it changes what goes through; its log says more"),
    "08": (StorageError, "the connection to the database was lost: repeat later"),
    "28": (StorageError, "the database refuses this user: correct the user or the password"),
    "3D000": (StorageError, "there is no such database: create it, or correct its name"),
    "42501": (StorageError, "the database user lacks a right: grant it"),
    "25P03": (StorageError, "the database's time limit for idle transactions ended it: repeat the call, or raise the limit"),
    "25P04": (StorageError, "the database's time limit for transactions ended it: repeat the call, or raise the limit"),
    "25006": (StorageError, "the database is read-only, a standby perhaps: name the primary server"),
    "0A": (Unsupported, "the database does not offer this"),
    "XX001": (Untrue, "the database has found damaged data: stop, and rebuild it from the block store"),
    "XX002": (Untrue, "the database has found a damaged index: stop, and rebuild it from the block store"),
}


def declared(error: psycopg.Error, *, lost: type[StorageError]) -> MstBucketError:
    """The declared error for one of psycopg's; *lost* is the class for a connection that broke under a statement."""
    state, text = error.sqlstate, said(error)
    if state is None:
        # libpq noticed it, not the server: in practice always a connection that is gone.
        if isinstance(error, psycopg.OperationalError):
            advice = "the statement may have been done: read before repeating" if lost is OutcomeUnknown else "repeat later"
            return lost(f"the connection to the database was lost: {advice} ({text})")
        return StorageError(f"the database driver refused the call ({text})")
    if state in OWN:
        return OWN[state](text)
    gone = has_ended(error)
    exact = None if gone and state[:2] == "08" else _FOREIGN.get(state)
    kind, advice = exact or _FOREIGN.get(state[:2]) or (StorageError, "the database refused a statement")
    if gone and kind is StorageError:
        kind = lost
    return kind(f"{advice} ({text}; SQLSTATE {state})")


def own(text: str) -> MstBucketError:
    """The error that a function of ours has written down instead of raising it: its code, a blank, and its message."""
    return OWN[text[:5]](" ".join(text[6:].split()))


# The server, or a pooler before it, ended our session under a statement; it may have been a COMMIT that is done.
ENDED: Final = frozenset({"57P01", "57P02", "57P04", "57P05", "08000", "08003", "08006", "08P01"})


def has_ended(error: psycopg.Error) -> bool:
    """Whether this error is the end of the session.

    By 08P01 a pooler tells that it gives up a session, and the server that a message within a COPY was none. The server's is
    an ERROR that names its place in the source, and the session goes on; a pooler knows no such place.
    """
    if error.sqlstate == "08P01" and error.diag.severity_nonlocalized == "ERROR":
        return error.diag.source_file is None
    return error.sqlstate in ENDED


def worth_repeating(error: MstBucketError) -> bool:
    """Whether a transaction with this error was undone, and the cause may be over at the next attempt."""
    cause = error.__cause__
    if isinstance(cause, sql.SerializationFailure | sql.DeadlockDetected):
        return True
    # Only a plain StorageError says that nothing was done; OutcomeUnknown does not.
    return type(error) is StorageError and went_away(error)


def went_away(error: MstBucketError) -> bool:
    """Whether the server, or our session with it, ended under a statement."""
    cause = error.__cause__
    return isinstance(cause, psycopg.OperationalError) and (cause.sqlstate is None or has_ended(cause))


def said(error: psycopg.Error) -> str:
    """The server's primary message, or libpq's, on one line; never the statement or its values."""
    text = error.diag.message_primary or str(error)
    if error.diag.message_hint:
        text += f". {error.diag.message_hint}"
    return " ".join(text.split())


def is_lost(error: psycopg.Error, connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    """Whether the session is gone, so that what its last statement did is not known from here."""
    return connection.closed or has_ended(error)
