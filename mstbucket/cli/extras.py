"""The options about new objects: `--content-type`, `--metadata`, `--header` and `--tag`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mstbucket.errors import InvalidInput

if TYPE_CHECKING:
    from mstbucket.sync.extras import Extras


def are_given(arguments: argparse.Namespace) -> bool:
    """Whether any of these options is given; `InvalidInput` if one is malformed."""
    return any(part is not None for part in _parts(arguments))


def extras_of(arguments: argparse.Namespace) -> Extras:
    """What the options say; `None` for what no option says."""
    from mstbucket.sync.extras import Extras

    return Extras(*_parts(arguments))


_Pairs = Mapping[str, str] | None


def _parts(arguments: argparse.Namespace) -> tuple[str | None, _Pairs, _Pairs, _Pairs]:
    metadata, headers = _given("metadata", arguments.metadata), _given("header", arguments.header)
    if arguments.content_type == "":
        raise InvalidInput("--content-type takes a type such as text/plain, not ''")
    return arguments.content_type, metadata, headers, _given("tag", arguments.tag)


def _given(option: str, texts: Sequence[str]) -> _Pairs:
    return pairs(option, texts) if texts else None


def pairs(option: str, given: Sequence[str]) -> Mapping[str, str]:
    """`NAME=VALUE` options as a map."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise InvalidInput(f"--{option} takes NAME=VALUE, not {text!r}")
        found[name] = value
    return found
