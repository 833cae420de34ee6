"""Which keys a sync is about: `--exclude` and `--include`, as `aws s3` has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate
from typing import Final, Protocol


class Wanted(Protocol):
    """Which keys below the root of a side are given."""

    def __call__(self, key: str, /) -> bool:
        """Whether this one is."""

    def leaves_out_all_below(self, folder: str, /) -> bool:
        """Whether surely no key below *folder* is."""


class Everything:
    """Every key, the root itself included: what a copy takes."""

    def __call__(self, _key: str) -> bool:
        """Whether this one is: yes."""
        return True

    def leaves_out_all_below(self, _folder: str) -> bool:
        """Whether surely no key below is: no."""
        return False


class Filters:
    """Patterns in order, of which the last one that matches a key decides; a key that none matches is included.

    [SYNC-9] `*` is any text, slashes too, `?` one character, `[abc]` and `[!abc]` one of these and none of these. A
    pattern is compared with the whole key below the root of the sync; case counts.
    """

    def __init__(self, rules: Sequence[tuple[bool, str]] = ()) -> None:
        """Take the rules: whether it includes, and the pattern."""
        self._rules: Final = [
            (include, re.compile(translate(pattern)), pattern.endswith("*")) for include, pattern in reversed(rules)
        ]

    def __call__(self, key: str) -> bool:
        """Whether the sync is about that key. The root itself, "", is no key below it ([SYNC-2])."""
        return key != "" and next((include for include, pattern, _ in self._rules if pattern.match(key)), True)

    def leaves_out_all_below(self, folder: str) -> bool:
        """Whether surely no key below *folder* is included. It may be that none is, and False is returned."""
        for include, pattern, open_end in self._rules:
            if include:
                return False
            if open_end and pattern.match(folder + "/"):  # what the last `*` matches may be any text
                return True
        return False
