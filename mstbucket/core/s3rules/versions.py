"""Versions by S3's rules: the states of a bucket's versioning, and what an id may be."""

from __future__ import annotations

from typing import Final

from mstbucket.errors import InvalidInput
from mstbucket.limits import VERSION_ID_MAX

ENABLED: Final = "Enabled"
SUSPENDED: Final = "Suspended"

#: What S3 calls the version that has no id of its own.
NULL_VERSION: Final = "null"


def stored_id(version_id: str) -> str | None:
    """The form in which a version id is kept, from the one that a caller gives."""
    if not isinstance(version_id, str) or not version_id:
        raise InvalidInput(f"a version id is a text, not {version_id!r}; leave it out for the current object")
    if len(version_id.encode("utf-8", "surrogatepass")) > VERSION_ID_MAX:
        raise InvalidInput(f"a version id has at most {VERSION_ID_MAX} bytes; this one has {len(version_id)} characters")
    if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in version_id):
        raise InvalidInput(f"a version id holds neither NUL nor a lone surrogate: {version_id!r}")
    return None if version_id == NULL_VERSION else version_id
