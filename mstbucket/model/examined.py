"""What the doctor says of the things that a store stands on."""

from __future__ import annotations

from dataclasses import dataclass
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
