"""The limits of a bucket: whether they are ones, and the document that is kept ([GW-63])."""

from __future__ import annotations

import json
import re
from typing import Final

from mstbucket.errors import InvalidInput
from mstbucket.limits import CONTENT_TYPES_MAX, OBJECT_SIZE_MAX
from mstbucket.model.access_policy import BucketLimits

_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+*-]{1,127}/[A-Za-z0-9!#$&^_.+*-]{1,127}")


def check_limits(limits: BucketLimits) -> None:
    """Raise `InvalidInput`, saying what is wrong, unless a bucket can have these limits."""
    if not isinstance(limits, BucketLimits):
        raise InvalidInput(f"limits are BucketLimits, not {type(limits).__name__}")
    size, types = limits.object_size, limits.content_types
    if size is not None and (type(size) is not int or not 0 <= size <= OBJECT_SIZE_MAX):
        raise InvalidInput(f"the largest object of a bucket has from 0 to {OBJECT_SIZE_MAX} bytes, not {str(size)[:40]}")
    if not isinstance(types, tuple) or len(types) > CONTENT_TYPES_MAX:
        raise InvalidInput(f"a bucket has a tuple of up to {CONTENT_TYPES_MAX} content types")
    for one in types:
        if not isinstance(one, str) or _TYPE.fullmatch(one) is None:
            raise InvalidInput(f"{str(one)[:100]!r} is no content type, such as image/png, nor a pattern, such as image/*")


def kept(limits: BucketLimits) -> str:
    """The document."""
    return json.dumps({"object_size": limits.object_size, "content_types": list(limits.content_types)})


def read(document: str) -> BucketLimits:
    """The limits that a document says."""
    said = json.loads(document)
    return BucketLimits(said["object_size"], tuple(said["content_types"]))
