"""The bugs that `run.py` plants can still be planted; whether they are caught, that program tells."""

from __future__ import annotations

from pathlib import Path

import pytest
from bugs import BUGS, Bug

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_finds_its_place_and_its_tests(bug: Bug) -> None:
    assert (ROOT / bug.file).read_text(encoding="utf-8").count(bug.old) == 1
    assert bug.old != bug.new
    assert bug.tests
    assert all((ROOT / tests).exists() for tests in bug.tests)


def test_the_names_are_distinct() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 25
