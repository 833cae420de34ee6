"""What the doctor says of the things that a store stands on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

#: `ok`; `warn`: nothing is lost by it today; `bad`: what was acknowledged may be lost, or the store cannot work.
Verdict = Literal["ok", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Examined:
    """One thing that was looked at.

    Attributes:
        name: of the thing; stable.
        verdict: `ok`, `warn` or `bad`.
        said: what was seen, for people.
        advice: what to do; empty where it is `ok`.
    """

    name: str
    verdict: Verdict
    said: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class ScrubCoverage:
    """How much of the packs of a store was read and hashed within a time.

    Attributes:
        packs, bytes: how many there are, and their sizes together.
        covered: bytes of those packs that were hashed within it, or written within it, and are not known to be damaged.
        oldest: when the pack that waits longest was last hashed; None where there is no pack.
        damaged: packs that are known to be damaged.
    """

    packs: int
    bytes: int
    covered: int
    oldest: datetime | None
    damaged: int
