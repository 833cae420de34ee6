"""Versioning: the state of a bucket, the ids of versions, and what has to be known of it before a write.

A manifest holds its version's id, and its CID is made before the transaction that stores it. So a writer that takes one
round trip has to believe in a state of the bucket beforehand; the transaction refuses where the belief is out of date
([VSN-7]). Everybody else reads the state behind the barrier.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final, TypeVar

from mstbucket.errors import InvalidInput, VersioningChanged
from mstbucket.index.buckets import no_such_bucket
from mstbucket.index.rows import NULL_VERSION
from mstbucket.limits import VERSION_ID_MAX
from mstbucket.pg.database import Database
from mstbucket.services.blocks.context import Context

ENABLED: Final = "Enabled"
SUSPENDED: Final = "Suspended"

ATTEMPTS: Final = 5  # a write that finds the state changed this often gives up: somebody switches without end
_ID_BYTES: Final = 24  # of randomness: 32 characters, as S3's ids have

_T = TypeVar("_T")


def state(db: Database, bucket: str) -> str | None:
    """The versioning of the bucket: Enabled, Suspended, or None where it was never set."""
    with db.reading() as connection:
        row = connection.execute("SELECT versioning FROM buckets WHERE name = %s", (bucket,)).fetchone()
    if row is None:
        raise no_such_bucket(bucket)
    return None if row[0] is None else str(row[0])


def set_state(context: Context, bucket: str, wanted: str) -> None:
    """Set the versioning of the bucket; see `Bucket.put_bucket_versioning`."""
    if wanted not in (ENABLED, SUSPENDED):  # [VSN-1]
        raise InvalidInput(f"versioning is {ENABLED!r} or {SUSPENDED!r}, not {wanted!r}; once set, it stays one of these")
    context.db.run(lambda connection: connection.execute("SELECT set_versioning(%s, %s)", (bucket, wanted)))


def believing(context: Context, bucket: str, work: Callable[[str | None], _T]) -> _T:
    """Call *work* with the state that the bucket is in, as far as is known here; again where the transaction denies it.

    Raises:
        VersioningChanged: the state changed each time in between.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return work(context.versioning.get(bucket))
        except VersioningChanged:
            if attempt == ATTEMPTS:
                raise
            context.versioning[bucket] = state(context.db, bucket)
    raise AssertionError("the last attempt returns or raises")


def new_id(versioning: str | None) -> str | None:
    """The id for a version about to be written: a fresh one, or None for the null version ([VSN-2])."""
    if versioning != ENABLED:
        return None
    made = secrets.token_urlsafe(_ID_BYTES)
    while made.startswith("-"):  # a command line would take it for an option
        made = secrets.token_urlsafe(_ID_BYTES)
    return made


def stored_id(version_id: str) -> str | None:
    """A version id that a caller has given, in the form in which it is kept."""
    if not isinstance(version_id, str) or not version_id:
        raise InvalidInput(f"a version id is a text, not {version_id!r}; leave it out for the current object")
    if len(version_id.encode("utf-8", "surrogatepass")) > VERSION_ID_MAX:
        raise InvalidInput(f"a version id has at most {VERSION_ID_MAX} bytes; this one has {len(version_id)} characters")
    if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in version_id):
        raise InvalidInput(f"a version id holds neither NUL nor a lone surrogate: {version_id!r}")
    return None if version_id == NULL_VERSION else version_id


def check_history(connection: Any, bucket: int) -> str | None:
    """What is not true of the versions of a bucket, or None: every key without an object has a marker on top ([VSN-4])."""
    query = """
        SELECT v.key FROM versions v
        WHERE v.bucket = %(bucket)s AND v.content IS NOT NULL
            AND NOT EXISTS (SELECT FROM versions n WHERE n.bucket = v.bucket AND n.key = v.key AND n.seq > v.seq)
            AND NOT EXISTS (SELECT FROM objects o WHERE o.bucket = v.bucket AND o.key = v.key)
        LIMIT 1
    """
    row = connection.execute(query, {"bucket": bucket}).fetchone()
    return None if row is None else f"key {row[0]!r} has versions, but neither an object nor a delete marker above them"
