"""One figure of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A figure, the floor it was measured beside in the same run, their ratio, and what it should be."""

    name: str
    value: float
    unit: str
    floor_name: str
    ratio: float
    target: str
    met: bool
