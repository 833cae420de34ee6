"""Conditions on reads and writes: what the caller expects the object to be, in the meaning of RFC 9110, section 13.

Reads, and the source of a copy, are decided here, on the row that the same query has found. Writes are decided by the
index, in the transaction that makes them visible: this module only brings the ETags into the form that it takes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from mstbucket.core.times import shown_ms
from mstbucket.errors import InvalidInput, NotModified, PreconditionFailed

#: `"…"` or `W/"…"`, or, as S3's clients do it, an ETag without its quotes.
_ELEMENT: Final = re.compile(r'\s*(?:(W/)?"([^"]*)"|([^",*\s][^",\s]*))\s*(?:,|$)')

Verdict = Literal["met", "changed", "unchanged"]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a write expects under its key, as lists of entity-tags (`"…"`, or `*`); None is no condition.

    Attributes:
        match: it is one of these.
        none_match: it is none of these.
    """

    match: tuple[str, ...] | None = None
    none_match: tuple[str, ...] | None = None

    @property
    def anything(self) -> bool:
        """Whether every state of the key will do."""
        return self.match is None and self.none_match is None


ANYTHING: Final = Expected()


def expected(if_match: str | None, if_none_match: str | None) -> Expected:
    """The conditions of a write from the texts of its two headers."""
    if if_match is None and if_none_match is None:
        return ANYTHING
    return Expected(_strong(if_match), _weak(if_none_match))


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a read expects. The times are in seconds since 1970; None is no condition."""

    match: tuple[str, ...] | None = None
    none_match: tuple[str, ...] | None = None
    modified_since: int | None = None
    unmodified_since: int | None = None

    def verdict(self, etag: str, modified: int) -> Verdict:
        """What becomes of a request for an object with this ETag, `modified` ms after 1970.

        "changed" is 412 for everybody; "unchanged" is 304 for a read, and 412 for a copy.
        """
        tag, second = f'"{etag}"', shown_ms(modified) // 1000
        # [COND-2] the order of RFC 9110, section 13.2.2: an ETag that is given makes the time of its kind unimportant
        if self.match is not None:
            if "*" not in self.match and tag not in self.match:
                return "changed"
        elif self.unmodified_since is not None and second > self.unmodified_since:
            return "changed"
        if self.none_match is not None:
            if "*" in self.none_match or tag in self.none_match:
                return "unchanged"
        elif self.modified_since is not None and second <= self.modified_since:
            return "unchanged"
        return "met"

    def check_read(self, etag: str, modified: int, what: str) -> None:
        """Raise PreconditionFailed (412) or NotModified (304) unless `what` may be read."""
        verdict = self.verdict(etag, modified)
        if verdict == "changed":
            raise PreconditionFailed(f"{what} has the ETag {etag!r} now, modified at {modified} ms: not what was asked for")
        if verdict == "unchanged":
            raise NotModified(f"{what} is what you have: its ETag is {etag!r}, modified at {modified} ms")

    def check_source(self, etag: str, modified: int, what: str) -> None:
        """Raise PreconditionFailed unless `what` may be copied; a copy knows no 304."""
        if self.verdict(etag, modified) != "met":  # [COND-5]
            raise PreconditionFailed(f"{what}, the source, has the ETag {etag!r}, modified at {modified} ms: not copied")


UNCONDITIONAL: Final = Conditions()


def conditions(
    if_match: str | None,
    if_none_match: str | None,
    if_modified_since: datetime | None,
    if_unmodified_since: datetime | None,
) -> Conditions:
    """The conditions of a read, or of a copy's source, as they were given."""
    if if_match is None and if_none_match is None and if_modified_since is None and if_unmodified_since is None:
        return UNCONDITIONAL
    return Conditions(
        _strong(if_match), _weak(if_none_match), _second(if_modified_since), _second(if_unmodified_since)
    )


def _strong(text: str | None) -> tuple[str, ...] | None:
    """[COND-3] For If-Match: a weak entity-tag stays one, and so is equal to nothing."""
    return None if text is None else _entity_tags(text)


def _weak(text: str | None) -> tuple[str, ...] | None:
    """[COND-3] For If-None-Match: a weak entity-tag is compared like a strong one."""
    return None if text is None else tuple(tag.removeprefix("W/") for tag in _entity_tags(text))


def _entity_tags(text: str) -> tuple[str, ...]:
    """[COND-1] One ETag, several with commas between, or `*`; all in quotes afterwards."""
    if text.strip() == "*":
        return ("*",)
    tags: list[str] = []
    at = 0
    while at < len(text) or not tags:
        found = _ELEMENT.match(text, at)
        if found is None or not text.isprintable():
            raise InvalidInput(f"{text!r} is neither *, nor an ETag, nor ETags with commas between them")
        weak, quoted, bare = found.groups()
        tags.append(f'{weak or ""}"{quoted if bare is None else bare}"')
        at = found.end()
    return tuple(tags)


def _second(moment: datetime | None) -> int | None:
    """[COND-4] The whole second that a time lies in, as HTTP's dates are written."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise InvalidInput(f"{moment!r} says no time zone; give one, such as datetime.UTC")
    return int(moment.timestamp() // 1)
