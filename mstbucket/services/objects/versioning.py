"""Versioning: the state of a bucket as a writer knows it, and the ids of new versions.

A manifest holds its version's id, and its CID is made before the transaction that stores it. So a writer that takes one
round trip has to believe in a state of the bucket beforehand; the transaction refuses where the belief is out of date
([VSN-7]). Everybody else reads the state behind the barrier.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final, TypeVar

from mstbucket.core.s3rules.versions import ENABLED, SUSPENDED
from mstbucket.errors import InvalidInput, VersioningChanged
from mstbucket.index.versioning import state
from mstbucket.services.blocks.context import Context

ATTEMPTS: Final = 5  # a write that finds the state changed this often gives up: somebody switches without end
_ID_BYTES: Final = 24  # of randomness: 32 characters, as S3's ids have

_T = TypeVar("_T")


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
