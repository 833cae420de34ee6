"""The values of access policies: who may do what with which bucket or object, under which conditions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from mstbucket.model.cors import CorsRule

EVERYBODY: Final = "*"  # as a principal: every key, and whoever has none


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: an operator, such as `StringLike`, on a key, such as `s3:prefix`; one of the values has to match."""

    operator: str
    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. It holds if one principal, one action, one resource and every condition match.

    Attributes:
        allow: it allows; else it denies.
        principals: ids of keys, or EVERYBODY; None in the policy of a key, which is about its holder.
        actions, resources: patterns with `*` and `?`.
    """

    allow: bool
    principals: tuple[str, ...] | None
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """A policy of a bucket or of an access key.

    Attributes:
        text: the document, as it was given.
        needs_tags: a condition asks for tags of the object.
    """

    text: str = field(repr=False)
    statements: tuple[Statement, ...]
    needs_tags: bool = False


@dataclass(frozen=True, slots=True)
class BucketLimits:
    """What a gateway takes into a bucket.

    Attributes:
        object_size: bytes that an object may have; None for what the store takes.
        content_types: that an object may have, such as `image/png` or `image/*`; empty for any. Parameters behind a
            semicolon, and capitals, do not count.
    """

    object_size: int | None = None
    content_types: tuple[str, ...] = ()

    def takes_type(self, content_type: str) -> bool:
        """Whether an object may have this content type."""
        plain = content_type.partition(";")[0].strip().lower()
        return not self.content_types or any(matches(one.lower(), plain) for one in self.content_types)


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """What a bucket says of who may do what with it; None or empty where it says nothing."""

    policy: AccessPolicy | None = None
    cors: tuple[CorsRule, ...] = ()
    limits: BucketLimits = BucketLimits()


def matches(pattern: str, text: str) -> bool:
    """Whether the whole of a text is what a pattern says: `*` is any run of characters, `?` is one."""
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Each piece is found at its first place and never elsewhere, so no pattern takes longer than its pieces do."""
    first, *rest = ("".join("." if c == "?" else re.escape(c) for c in piece) for piece in pattern.split("*"))
    if not rest:
        return re.compile(first, re.DOTALL)
    middle = "".join(f"(?>.*?{piece})" for piece in rest[:-1] if piece)
    return re.compile(f"{first}{middle}.*{rest[-1]}", re.DOTALL)
