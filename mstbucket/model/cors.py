"""The values of CORS rules: which web pages of other origins may ask through a browser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CorsRule:
    """One rule. The first that lets origin, method and headers pass counts.

    Attributes:
        allowed_methods: of `GET`, `PUT`, `POST`, `DELETE`, `HEAD`.
        allowed_origins: such as `https://example.com`, with at most one `*` each.
        allowed_headers: that a page may send, with at most one `*` each.
        expose_headers: that a page may see.
        max_age_seconds: for how long a browser may remember the answer.
        id: for people.
    """

    allowed_methods: tuple[str, ...]
    allowed_origins: tuple[str, ...]
    allowed_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age_seconds: int | None = None
    id: str | None = None


CorsRules = Iterable[CorsRule | Mapping[str, object]] | Mapping[str, object]
