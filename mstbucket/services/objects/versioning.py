"""Versioning: the state of a bucket as a writer knows it, and the ids of new versions.

A manifest holds the id of its version, so its CID depends on the versioning of the bucket. A writer that takes one round
trip makes the CID before its transaction. So it assumes the state that this process last saw; the transaction refuses a
state that is out of date ([VSN-7]). Every other writer reads the state behind the barrier.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final, TypeVar

from mstbucket.core.s3rules.versions import ENABLED, SUSPENDED
from mstbucket.errors import InvalidInput, VersioningChanged
from mstbucket.index.versions import set_versioning, versioning_of
from mstbucket.services.blocks.context import Context

ATTEMPTS: Final = 5  # a write that meets a new state this often gives up: somebody switches without end
_ID_BYTES: Final = 24  # of randomness: 32 characters, as S3's ids have

_T = TypeVar("_T")


def set_state(context: Context, bucket: str, wanted: str) -> None:
    """Set the versioning of the bucket; see `Bucket.put_bucket_versioning`."""
    if wanted not in (ENABLED, SUSPENDED):  # [VSN-1]
        raise InvalidInput(f"versioning is {ENABLED!r} or {SUSPENDED!r}, not {wanted!r}; once set, it stays one of these")
    set_versioning(context.db, bucket, wanted)


def with_cached_versioning(context: Context, bucket: str, work: Callable[[str | None], _T]) -> _T:
    """Call *work* with the state that this process last saw the bucket in; call it again where the transaction denies that.

    Raises:
        VersioningChanged: the state changed each time in between.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return work(context.versioning.get(bucket))
        except VersioningChanged:
            if attempt == ATTEMPTS:
                raise
            context.versioning[bucket] = versioning_of(context.db, bucket)
    raise AssertionError("the last attempt returns or raises")


def new_id(versioning: str | None) -> str | None:
    """The id of a version that is about to be written: a fresh one, or None for the null version ([VSN-2])."""
    if versioning != ENABLED:
        return None
    made = secrets.token_urlsafe(_ID_BYTES)
    while made.startswith("-"):  # a command line would take it for an option
        made = secrets.token_urlsafe(_ID_BYTES)
    return made
