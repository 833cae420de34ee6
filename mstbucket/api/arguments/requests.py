"""The requests of puts: each is checked as `put_object` would check its arguments; those of a bulk put in their turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields, replace
from operator import attrgetter, is_
from typing import Any, Final

from mstbucket.api.arguments import plain
from mstbucket.api.arguments.plain import Check, optional, wrong
from mstbucket.api.arguments.tags import tag_pairs
from mstbucket.model.objects import EMPTY, PutRequest

_ONE: Final = "a PutRequest(key, body, …)"
_FORM: Final = "an iterable of PutRequest(key, body, …)"
_KINDS: Final[Mapping[str, Check]] = {
    "str": plain.text,
    "Body": plain.body,
    "Mapping[str, str]": plain.text_map,
    "Tags": tag_pairs,
    "str | None": optional(plain.text),
    "datetime | None": optional(plain.moment),
    "bool | None": optional(plain.truth),
    "Callable[[], Mapping[str, str]] | None": optional(plain.called),
}
#: Name, check and default of every field. The factories give EMPTY; key and body have no default, so always are checked.
#: They are the first two.
_FIELDS: Final = [
    (field.name, _KINDS[str(field.type)], field.default if field.default_factory is MISSING else EMPTY)
    for field in fields(PutRequest)
]

_DEFAULTS: Final = [default for _, _, default in _FIELDS[2:]]
_SAID: Final = attrgetter(*[name for name, _, _ in _FIELDS[2:]])


def put_requests(name: str, value: Any) -> Iterator[PutRequest]:
    """The requests, one at a time, as `put_objects` asks for them."""
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, bytearray, memoryview, Mapping)):
        raise wrong(name, value, _FORM)
    return (_checked("a request", request, _FORM) for request in value)


def put_request(name: str, value: Any) -> PutRequest:
    """One request."""
    return _checked(name, value, _ONE)


def _checked(what: str, request: Any, form: str) -> PutRequest:
    if not isinstance(request, PutRequest):
        raise wrong(what, request, form)
    changed = {}
    plain_one = all(map(is_, _SAID(request), _DEFAULTS))  # as most are
    for name, check, default in _FIELDS[:2] if plain_one else _FIELDS:
        value = getattr(request, name)
        if value is not default and (better := check(name, value)) is not value:
            changed[name] = better
    return replace(request, **changed) if changed else request
