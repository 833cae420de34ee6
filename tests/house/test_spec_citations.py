"""The specification, the code and the tests hold on to each other by the numbers of clauses.

A clause starts a paragraph or an item of a list with its number, `[MST-7] `, and ends where that ends. Every number is
given out once; every number that the code, a test or the specification cites is given out; every clause with a MUST is
cited by a test.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

NUMBER = r"\[([A-Z][A-Z0-9]*-[0-9]+)\]"
ITEM = r"(?:[-*]|[0-9]+\.) "
CLAUSE = re.compile(rf"(?:\A|(?<=\n\n)|^ *{ITEM}){NUMBER} (.+?)(?=\n *\n|\n *{ITEM}|\Z)", re.MULTILINE | re.DOTALL)
CITED = re.compile(NUMBER)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = {"ABC"}  # the prefix that explains how numbers look

HOUSE = "tests/house/"  # speaks of numbers in general, and enforces none by itself unless it cites it


@dataclass(frozen=True)
class Clause:
    """One numbered clause of the specification."""

    number: str
    text: str
    place: str


def clauses_in(text: str, place: str) -> list[Clause]:
    """The clauses that a file of the specification gives out."""
    prose = FENCED.sub("", text)
    return [Clause(found[1], found[2], place) for found in CLAUSE.finditer(prose)]


def cited_in(text: str) -> set[str]:
    """The numbers that a text mentions."""
    return {number for number in CITED.findall(text) if number.partition("-")[0] not in EXAMPLES}


@pytest.fixture(scope="module")
def clauses(root: Path) -> list[Clause]:
    """Every clause of the specification."""
    files = sorted((root / "spec").rglob("*.md"))
    return [clause for path in files for clause in clauses_in(path.read_text(encoding="utf-8"), path.name)]


@pytest.fixture(scope="module")
def citations(root: Path, repository: list[Path]) -> dict[str, set[str]]:
    """The numbers that each file of the code, of the tests and of the specification mentions."""
    cited = {}
    for path in repository:
        name = path.relative_to(root).as_posix()
        if name.startswith(("mstbucket/", "tests/", "spec/")) and path.suffix in {".py", ".md", ".sql"}:
            cited[name] = cited_in(path.read_text(encoding="utf-8"))
    del cited[HOUSE + "test_spec_citations.py"]
    return cited


def test_no_number_is_given_out_twice(clauses: list[Clause]) -> None:
    counted = Counter(clause.number for clause in clauses)
    assert sorted(number for number, count in counted.items() if count > 1) == []


def test_every_number_that_is_cited_is_a_clause(clauses: list[Clause], citations: dict[str, set[str]]) -> None:
    known = {clause.number for clause in clauses}
    unknown = [f"{place} cites [{number}]" for place, cited in citations.items() for number in sorted(cited - known)]
    assert not unknown, "\n".join(unknown)


def test_every_number_that_is_mentioned_without_brackets_is_a_clause(root: Path, clauses: list[Clause]) -> None:
    """In tables and in "as in PUT-6"."""
    known = {clause.number for clause in clauses}
    prefixes = {number.partition("-")[0] for number in known}
    unknown = [
        f"{path.name} mentions {number}"
        for path in sorted((root / "spec").rglob("*.md"))
        for number in re.findall(r"\b[A-Z][A-Z0-9]*-[0-9]+\b", path.read_text(encoding="utf-8"))
        if number.partition("-")[0] in prefixes and number not in known
    ]
    assert not unknown, "\n".join(unknown)


def test_every_clause_with_a_must_is_cited_by_a_test(clauses: list[Clause], citations: dict[str, set[str]]) -> None:
    tested = set[str]().union(*(cited for place, cited in citations.items() if place.startswith("tests/")))
    untested = [
        f"{clause.place} [{clause.number}]"
        for clause in clauses
        if re.search(r"\bMUST\b", clause.text) and clause.number not in tested
    ]
    assert clauses, "no clause found in spec/"
    assert not untested, "\n".join(untested)


def test_the_numbers_of_a_prefix_stand_in_one_file(clauses: list[Clause]) -> None:
    """So that a number tells where to read, and a new clause finds the number that is next."""
    places: dict[str, set[str]] = {}
    for clause in clauses:
        places.setdefault(clause.number.partition("-")[0], set()).add(clause.place)
    assert {prefix: found for prefix, found in places.items() if len(found) > 1} == {}


def test_the_index_names_every_document_and_every_prefix(root: Path, clauses: list[Clause]) -> None:
    index = (root / "spec" / "README.md").read_text(encoding="utf-8")
    documents = {path.relative_to(root / "spec").as_posix() for path in (root / "spec").rglob("[0-9]*.md")}
    shelved = {name for name in documents if not name.startswith("decisions/")}
    rows = dict(re.findall(r"^\| \[[\w.-]+\]\(([\w./-]+)\) \|([^|]*)\|", index, re.MULTILINE))
    assert set(rows) == shelved
    listed = {prefix for cell in rows.values() for prefix in re.findall(r"\w+", cell)}
    assert {clause.number.partition("-")[0] for clause in clauses} == listed


PATH = re.compile(r"\bspec/[\w./-]+\.(?:md|sql)\b")


def test_every_path_of_the_specification_that_is_cited_is_there(root: Path, repository: list[Path]) -> None:
    dead = [
        f"{path.relative_to(root)}: {cited}"
        for path in repository
        if path.suffix in {".py", ".md", ".toml", ".sql"}
        for cited in PATH.findall(path.read_text(encoding="utf-8"))
        if not (root / cited).exists()
    ]
    assert not dead, "\n".join(dead)


def test_the_patterns_read_what_the_specification_writes() -> None:
    text = "# T\n\n"
    text += "[XY-1] One MUST\nrun on.\n\nProse, see\n[XY-1] and so on.\n\n"
    text += "1. [XY-2] Two\n   * [XY-3] Three MUST NOT.\n2. Four\n\n"
    text += "```\n[XY-4] no\n```\n"
    found = clauses_in(text, "t.md")
    assert [(clause.number, clause.text) for clause in found] == [
        ("XY-1", "One MUST\nrun on."),
        ("XY-2", "Two"),
        ("XY-3", "Three MUST NOT."),
    ]
    assert cited_in("# [XY-1] and [XY-3], not x[1] or [ABC-9]") == {"XY-1", "XY-3"}
