"""The table of spec/10-limits.md and mstbucket/limits.py name the same limits with the same values, both ways."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mstbucket import limits

SPEC = Path(__file__).parents[1] / "spec" / "10-limits.md"
ROW = re.compile(r"^\| `([A-Z0-9_]+)` \| ([0-9,]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
UNITS = {"KIB", "MIB", "GIB"}  # names of sizes, not limits

IN_SPEC = {name: int(value.replace(",", "")) for name, value, *_ in ROW.findall(SPEC.read_text(encoding="utf-8"))}
IN_CODE = {name: value for name, value in vars(limits).items() if name.isupper() and name not in UNITS}


def test_both_name_the_same_limits() -> None:
    """[LIM-1]"""
    assert sorted(IN_SPEC) == sorted(IN_CODE)


@pytest.mark.parametrize("name", sorted(IN_CODE))
def test_both_give_the_same_value(name: str) -> None:
    """[LIM-1]"""
    assert IN_SPEC[name] == IN_CODE[name]


def test_every_row_of_the_table_is_one_the_pattern_reads() -> None:
    """[LIM-2] a row with a missing reason would otherwise vanish from both tests above, and be blamed on the code."""
    rows = [line for line in SPEC.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert len(rows) == len(IN_SPEC)


UNIT_OF = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
BRACKETS = re.compile(r"`([A-Z][A-Z0-9_]+)` \(([0-9,]+)(?: ([KMGT]iB))?(?: \+ ([0-9]+))?\)")


def test_a_value_in_brackets_behind_a_limit_is_its_value() -> None:
    """[LIM-1] In all of the specification."""
    found = [
        (name, int(number.replace(",", "")) * UNIT_OF[unit] + int(more or 0))
        for path in sorted(SPEC.parent.rglob("*.md"))
        for name, number, unit, more in BRACKETS.findall(path.read_text(encoding="utf-8"))
    ]
    assert len(found) > 10
    assert [(name, value) for name, value in found if IN_SPEC.get(name) != value] == []
