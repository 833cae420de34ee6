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
        """Whether it is certain that no key below *folder* is."""


class Everything:
    """Every key, the root itself included: what a copy takes."""

    def __call__(self, _key: str) -> bool:
        """Whether this one is: yes."""
        return True

    def leaves_out_all_below(self, _folder: str) -> bool:
        """Whether it is certain that no key below is: no."""
        return False


class Filters:
    """Patterns in order. The last one that matches a key decides. A key that none matches is included.

    [SYNC-9] `*` is any text, slashes too, `?` one character, `[abc]` and `[!abc]` one of these and none of these. A
    pattern is compared with the whole key below the root of the sync; case counts.
    """

    def __init__(self, rules: Sequence[tuple[bool, str]] = ()) -> None:
        """Take the rules: whether it includes, and the pattern."""
        self._rules: Final = [(include, _Glob(pattern)) for include, pattern in reversed(rules)]

    def __call__(self, key: str) -> bool:
        """Whether the sync is about that key. The root itself, "", is no key below it ([SYNC-2])."""
        return key != "" and next((include for include, glob in self._rules if glob.matches(key)), True)

    def leaves_out_all_below(self, folder: str) -> bool:
        """Whether it is certain that no key below *folder* is included. False does not say that one is."""
        for include, glob in self._rules:
            if include and glob.may_match_below(folder + "/"):
                return False
            if not include and glob.matches_all_below(folder + "/"):
                return True
        return False


class _Glob:
    """One pattern. Its tokens are `None` for a star, else an expression for one character."""

    def __init__(self, pattern: str) -> None:
        self._whole = re.compile(translate(pattern))
        self._open_end = pattern.endswith("*")
        self._tokens = [None if text == "*" else re.compile(translate(text)) for text in _TOKENS.findall(pattern)]

    def matches(self, key: str) -> bool:
        return self._whole.match(key) is not None

    def matches_all_below(self, start: str) -> bool:
        """Surely every text that begins with *start*: what the last star matches may be any text."""
        return self._open_end and self.matches(start)

    def may_match_below(self, start: str) -> bool:
        """Whether some text that begins with *start* may be matched: false only if none is."""
        places = self._past_stars({0})  # of the tokens, where the pattern may stand
        for character in start:
            further = set()
            for place in places:
                token = self._tokens[place] if place < len(self._tokens) else _NEVER
                if token is None:
                    further.add(place)
                elif token.match(character) is not None:
                    further.add(place + 1)
            places = self._past_stars(further)
        return bool(places)

    def _past_stars(self, places: set[int]) -> set[int]:
        found = set(places)
        for place in places:
            at = place
            while at < len(self._tokens) and self._tokens[at] is None:
                at += 1
                found.add(at)
        return found


# As `fnmatch` reads them: a set ends at the first bracket that is not its first character; one without end is a bracket.
_TOKENS: Final = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)
_NEVER: Final = re.compile(r"(?!)")
