"""Tags, in all the shapes in which they are commonly given, as pairs ([ARG-3])."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final
from urllib.parse import parse_qsl

from mstbucket.api.arguments.plain import wrong
from mstbucket.errors import InvalidTag
from mstbucket.limits import BUCKET_TAGS_MAX

_FORMS: Final = "{'name': 'value'}, pairs, or S3's [{'Key': 'name', 'Value': 'value'}]"
_TAG: Final = {"Key", "Value"}
_SET: Final = {"TagSet"}


def tag_pairs(name: str, value: Any) -> Sequence[tuple[str, str]]:
    """Tags as pairs, in which a key may be there twice.

    Raises:
        InvalidInput: it is none of the shapes. `InvalidTag`, where one of several tags is none.
    """
    if isinstance(value, Mapping):
        if value.keys() == _SET:  # S3's Tagging: {"TagSet": […]}; a text there is a tag of that name
            inner = value["TagSet"]
            if not isinstance(inner, str):
                return tag_pairs(name, inner)
        return [_pair(name, pair) for pair in value.items()]
    if isinstance(value, str):  # S3's header and boto3's put_object: Tagging="a=1&b=2"
        return _from_query(name, value)
    if not isinstance(value, Iterable) or isinstance(value, (bytes, bytearray, memoryview)):
        raise wrong(name, value, _FORMS)
    # An iterator may be endless: one tag above what anything takes is enough to be refused.
    some = value if isinstance(value, Sequence) else islice(value, BUCKET_TAGS_MAX + 1)
    return [_pair(name, tag) for tag in some]


def _pair(name: str, tag: Any) -> tuple[str, str]:
    if isinstance(tag, Mapping):
        tag = (tag["Key"], tag["Value"]) if tag.keys() == _TAG else ()
    if isinstance(tag, (tuple, list)) and len(tag) == 2:
        key, text = tag
        if isinstance(key, str) and isinstance(text, str):
            return str.__str__(key), str.__str__(text)
    raise InvalidTag(f"{name}: key and value of each tag have to be texts, given as {_FORMS}")


def _from_query(name: str, text: str) -> Sequence[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, strict_parsing=text != "", errors="strict")
    except ValueError as error:  # a text without "=", or bytes that are no UTF-8
        raise InvalidTag(f"{name}={text[:80]!r} is no tag set: write {_FORMS}, or a query such as 'a=1&b=2'") from error
