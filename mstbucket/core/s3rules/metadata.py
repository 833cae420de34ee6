"""What goes with a body by S3's rules: content type, headers, user metadata, storage class; and their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mstbucket.core.keys import encode_key
from mstbucket.core.s3rules.tags import tags_of
from mstbucket.errors import InvalidInput, MetadataTooLarge, Unsupported
from mstbucket.limits import METADATA_MAX
from mstbucket.model.objects import ObjectInfo, PutRequest

#: The headers that a read may ask for in place of those kept.
RESPONSE_HEADERS: Final = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")
#: No override: none of the content type, none of these headers.
NO_OVERRIDES: Final = (None,) * (1 + len(RESPONSE_HEADERS))

DEFAULT_TYPE: Final = "binary/octet-stream"  # what S3 answers for an object put without a content type
STORAGE_CLASS: Final = "STANDARD"  # the only one there is ([ATTR-7])


def check_request(request: PutRequest) -> None:
    """Refuse a request that S3 would refuse, before its body is read.

    That the texts have a UTF-8 form and the headers are known ones is checked by the manifest's encoder.
    """
    encode_key(request.key)
    user_metadata(request.metadata, request.key)
    folded(request.headers, "headers", request.key)
    folded({"content-type": request.content_type or ""}, "headers", request.key)
    tags_of(request)


def folded(pairs: Mapping[str, str], what: str, key: str) -> dict[str, str]:
    """A map of metadata or headers with its names in lower case ([ATTR-1]).

    Raises:
        InvalidInput: two names differ in case only, or a header would hold a line break, NUL or a lone surrogate ([ATTR-2]).
    """
    lower = {name.lower(): value for name, value in pairs.items()}
    if len(lower) < len(pairs):
        raise InvalidInput(f"the {what} of {key!r} hold a name twice, in upper and lower case: {sorted(pairs)}")
    for name, value in lower.items():
        if any(c in "\r\n\0" or "\ud800" <= c <= "\udfff" for c in name + value):
            raise InvalidInput(f"{what} {name!r} of {key!r} hold a line break, NUL or a lone surrogate")
    return lower


def lower(mapping: Mapping[str, str]) -> dict[str, str]:
    """A map of names that `check_request` has let pass, as it is kept ([ATTR-1])."""
    return {name.lower(): value for name, value in mapping.items()}


def overridden(info: ObjectInfo, content_type: str | None, *headers: str | None) -> ObjectInfo:
    """What is known of an object with S3's response overrides in place of what is kept ([ATTR-9]).

    *headers* are in the order of RESPONSE_HEADERS; None leaves what there is.
    """
    if (content_type, *headers) == NO_OVERRIDES:
        return info
    said = {name: value for name, value in zip(RESPONSE_HEADERS, headers, strict=True) if value is not None}
    kind = info.content_type if content_type is None else content_type
    folded({**said, "content-type": kind or ""}, "response headers", info.key)
    return replace(info, content_type=kind, headers={**info.headers, **said})


def user_metadata(metadata: Mapping[str, str], key: str) -> dict[str, str]:
    """User metadata as it is kept, or `MetadataTooLarge` ([ATTR-3])."""
    kept = folded(metadata, "metadata", key)
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
