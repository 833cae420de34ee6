"""What goes with a body by S3's rules: content type, headers, user metadata and storage class."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mstbucket.core.keys import encode_key
from mstbucket.core.s3rules.tags import tags_of
from mstbucket.errors import InvalidInput, MetadataTooLarge, Unsupported
from mstbucket.limits import METADATA_MAX
from mstbucket.model.objects import ObjectInfo, PutRequest

#: A read may ask for these headers in place of those that were kept.
RESPONSE_HEADERS: Final = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")
#: A read that overrides nothing: neither the content type nor one of these headers.
NO_OVERRIDES: Final = (None,) * (1 + len(RESPONSE_HEADERS))

_UNFIT: Final = re.compile("[\r\n\0\ud800-\udfff]")

DEFAULT_TYPE: Final = "binary/octet-stream"  # what S3 answers for an object put without a content type
STORAGE_CLASS: Final = "STANDARD"  # the only one there is ([ATTR-7])


def check_request(request: PutRequest) -> None:
    """Refuse a request that S3 would refuse, before its body is read.

    The encoder of manifests checks the rest: every text has a UTF-8 form, and every header is a known one.
    """
    encode_key(request.key)
    if request.metadata:
        user_metadata(request.metadata, request.key)
    if request.headers:
        checked_names(request.headers, "headers", request.key)
    if request.content_type is not None:
        checked_names({"content-type": request.content_type}, "headers", request.key)
    if request.tags:
        tags_of(request)


def checked_names(pairs: Mapping[str, str], what: str, key: str) -> dict[str, str]:
    """A map of metadata or headers with its names in lower case ([ATTR-1]).

    Raises:
        InvalidInput: two names differ in case only, one is empty, or a header would hold a line break, NUL or a lone
            surrogate ([ATTR-2]).
    """
    if not pairs:  # of most objects
        return {}
    kept = {name.lower(): value for name, value in pairs.items()}
    if len(kept) < len(pairs):
        raise InvalidInput(f"the {what} of {key!r} hold a name twice, in upper and lower case: {sorted(pairs)}")
    if "" in kept:
        raise InvalidInput(f"the {what} of {key!r} have a value without a name: give it one")
    for name, value in kept.items():
        if _UNFIT.search(name) or _UNFIT.search(value):
            raise InvalidInput(f"{what} {name!r} of {key!r} hold a line break, NUL or a lone surrogate")
    return kept


def lower_names(mapping: Mapping[str, str]) -> dict[str, str]:
    """A map that `check_request` has let pass, with its names as they are kept ([ATTR-1])."""
    return {} if not mapping else {name.lower(): value for name, value in mapping.items()}


def overridden(info: ObjectInfo, content_type: str | None, *headers: str | None) -> ObjectInfo:
    """What is known of an object, with the overrides of a read in place of what is kept ([ATTR-9]).

    Args:
        content_type, headers: the overrides; *headers* in the order of RESPONSE_HEADERS. None keeps what is kept.
    """
    if (content_type, *headers) == NO_OVERRIDES:
        return info
    said = {name: value for name, value in zip(RESPONSE_HEADERS, headers, strict=True) if value is not None}
    kind = info.content_type if content_type is None else content_type
    checked_names({**said, "content-type": kind or ""}, "response headers", info.key)
    return replace(info, content_type=kind, headers={**info.headers, **said})


def user_metadata(metadata: Mapping[str, str], key: str) -> dict[str, str]:
    """User metadata as it is kept, or `MetadataTooLarge` ([ATTR-3])."""
    kept = checked_names(metadata, "metadata", key)
    size = sum(len(text.encode("utf-8", "surrogatepass")) for pair in kept.items() for text in pair)
    if size > METADATA_MAX:
        raise MetadataTooLarge(f"the metadata of {key!r} has {size} bytes; at most {METADATA_MAX} are allowed")
    return kept


def check_storage_class(name: str) -> None:
    """Raise `Unsupported` for a storage class other than the one there is ([ATTR-7])."""
    if name != STORAGE_CLASS:
        raise Unsupported(
            f"storage class {name!r} is not offered: every object is {STORAGE_CLASS}; where its bytes are kept is the "
            "business of the blob store"
        )
