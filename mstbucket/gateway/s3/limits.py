"""What may come into a bucket: its limits, and the bytes that the holder of a key may send ([GW-63], [GW-64])."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mstbucket import BucketLimits
from mstbucket.errors import EntityTooLarge
from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.s3.call import Call
from mstbucket.limits import OBJECT_SIZE_MAX

_DEFAULT_TYPE: Final = "binary/octet-stream"
_ANY: Final = BucketLimits()


def _limits(call: Call) -> BucketLimits:
    return call.site.known.of(call.bucket_name).limits


def is_limited(call: Call) -> bool:
    """Whether anything bounds what this request may bring into the bucket."""
    return call.rights.caller.is_counted or _limits(call) != _ANY


def largest(call: Call, most: int = OBJECT_SIZE_MAX) -> int:
    """How many bytes an object of the bucket may have: `most`, or fewer."""
    limit = _limits(call).object_size
    return most if limit is None else min(most, limit)


def check_size(call: Call, size: int, most: int = OBJECT_SIZE_MAX) -> None:
    """Raise unless an object of the bucket may have so many bytes."""
    allowed = largest(call, most)
    if size > allowed:
        raise EntityTooLarge(f"Your proposed upload exceeds the maximum allowed object size: {allowed} bytes.")


def check_type(call: Call, content_type: str | None) -> None:
    """Raise unless an object of the bucket may have this content type; None is for an object that names none."""
    limits = _limits(call)
    said = content_type or _DEFAULT_TYPE
    if not limits.takes_type(said):
        taken = ", ".join(limits.content_types)
        raise Refused("InvalidRequest", f"The bucket does not take the content type {said[:100]!r}, but only {taken}.")


@contextmanager
def spending(call: Call, size: int) -> Iterator[None]:
    """Count bytes against the bound of the caller's key; give them back if the request fails."""
    caller = call.rights.caller
    if caller.key_id is None or not caller.is_counted:
        yield
        return
    keys = call.store.access_keys
    if not keys.spend(caller.key_id, size):
        raise Refused("QuotaExceeded", "The holder of this access key may not send so many bytes any more.")
    try:
        yield
    except BaseException:
        keys.spend(caller.key_id, -size)
        raise
