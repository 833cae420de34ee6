"""Whether who asks may do what they ask for. The one place that decides ([GW-20]).

Today every valid key may do everything, and nobody without one anything. Policies of buckets and keys go here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing that somebody wants to do: an action in AWS's words, on a bucket, or an object of it."""

    action: str
    bucket: str
    key: str


def allowed(key_id: str | None, wish: Wish) -> bool:
    """Whether the holder of a key, or anybody (None), may."""
    return key_id is not None
