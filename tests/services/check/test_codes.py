"""The codes of findings: in the code, in the table of the specification, and in the fixture that is only added to."""

from __future__ import annotations

import json
import re
from pathlib import Path

from mstbucket.index.rules import RULES
from mstbucket.model.findings import LEVELS
from mstbucket.services.check.codes import CODES, severity

ROOT = Path(__file__).parents[3]


def test_code_specification_and_fixture_have_the_same_codes() -> None:
    """[CHECK-2]"""
    fixed = json.loads((ROOT / "fixtures" / "finding-codes.json").read_text())
    table = (ROOT / "spec" / "store" / "28-check.md").read_text()
    listed = dict(re.findall(r"^\| `([a-z.-]+)` \| (damage|warning) \|", table, re.MULTILINE))
    assert {code: severity(code) for code in CODES} == fixed == listed


def test_no_code_is_there_twice_and_each_is_of_a_level() -> None:
    assert len(set(CODES)) == len(CODES)
    assert {code.partition(".")[0] for code in CODES} == set(LEVELS)


def test_every_rule_of_the_database_is_a_code_of_its_level() -> None:
    """[CHECK-3]"""
    assert list(RULES) == [code for code in CODES if code.startswith("database.")]
