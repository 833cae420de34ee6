"""Every clause that a file can break has a file that breaks it: specification, index and code say the same of each.

The tables of spec/format/11-verification.md are read from its text. fixtures/negative-exports has the files; the large
ones are made by their generator.
"""

from __future__ import annotations

import inspect
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from mstbucket.cli.exits import code_for
from mstbucket.cli.main import main
from mstbucket.errors import MstBucketError
from mstbucket.verify.car import verify_car

ROOT = Path(__file__).parents[2]
SHELF = ROOT / "spec" / "format"
TEXT = (SHELF / "11-verification.md").read_text(encoding="utf-8")
FILES = ROOT / "fixtures" / "negative-exports"
INDEX: dict[str, dict[str, Any]] = json.loads((FILES / "index.json").read_text(encoding="utf-8"))
NUMBER = r"[A-Z]+-[0-9]+"
CLASSES = {  # what [VER-32] says of the errors
    "malformed": {"InvalidCar", "InvalidBlock", "ForeignCar"},
    "untrue": {"HashMismatch", "Untrue"},
    "missing": {"MissingBlock"},
    "extra": {"ExtraBlock"},
    "unsupported": {"Unsupported"},
}


class Row(NamedTuple):
    """A row of a table: a clause, the clauses under which code checks it, the answer, and files that get it."""

    clause: str
    checked_as: list[str]
    class_: str
    error: str
    exit: int
    files: list[str]


def table(heading: str) -> list[list[str]]:
    """The cells of every row below *heading*, up to the next heading of that rank or a higher one."""
    rank = len(heading) - len(heading.lstrip("#"))
    part = re.split(rf"^#{{1,{rank}}} ", TEXT.split(heading + "\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in part.splitlines() if re.match(rf"\| ({NUMBER}|`)", line)]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def names(cell: str) -> list[str]:
    return re.findall(r"`([\w-]+)`", cell)


ROWS = [
    Row(clause, re.findall(NUMBER, checked) or [clause], class_, names(error)[0], int(code), names(files))
    for clause, _, checked, class_, error, code, files in table("### What breaks which clause")
]
FIRST = [(names(file)[0], clause, names(error)[0]) for file, _, clause, error in table("### Two defects in one file")]
CASES = [pytest.param(row, file, id=f"{row.clause} {file}") for row in ROWS for file in row.files]


@pytest.fixture(scope="module")
def made(generators: Any) -> ModuleType:
    module: ModuleType = generators("generate_negative_exports")
    return module


def refusal(data: bytes) -> MstBucketError:
    with pytest.raises(MstBucketError) as caught:
        verify_car(io.BytesIO(data))
    return caught.value


def cited_by(error: BaseException | None) -> Iterator[str]:
    """The clauses that the functions cite through which *error*, and what it came from, went."""
    while error is not None:
        at = error.__traceback__
        while at is not None:
            if "mstbucket" in Path(at.tb_frame.f_code.co_filename).parts:
                yield from re.findall(rf"\[({NUMBER})\]", inspect.getsource(at.tb_frame.f_code))
            at = at.tb_next
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(("row", "file"), CASES)
def test_a_file_gets_the_answer_of_its_clause(row: Row, file: str, made: Any) -> None:
    """[VER-32] The error, its class and its exit code; and the code that refuses cites the clause.

    Among them are clauses that no other test names: [MAN-15] [BODY-13] [CAR-12].
    """
    error = refusal(made.LARGE[file]() if file in made.LARGE else (FILES / f"{file}.car").read_bytes())
    assert (type(error).__name__, code_for(error)) == (row.error, row.exit), error
    assert row.error in CLASSES[row.class_]
    assert set(cited_by(error)) & set(row.checked_as), error


@pytest.mark.parametrize(("file", "clause", "error"), FIRST)
def test_of_two_defects_the_first_is_reported(file: str, clause: str, error: str) -> None:
    """[VER-30] [COM-20] The index names the clause."""
    assert type(refusal((FILES / f"{file}.car").read_bytes())).__name__ == error
    assert (INDEX[file]["clause"], INDEX[file]["error"]) == (clause, error)


@pytest.mark.parametrize("file", sorted(INDEX))
def test_the_index_says_what_the_command_line_answers(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """[VER-31] [CAR-10] [CAR-13] The byte, and the exit code of the command itself."""
    wanted = INDEX[file]
    assert main(["verify", str(FILES / f"{file}.car")]) == wanted["exit"]
    assert re.findall(r"at byte (\d+)", capsys.readouterr().err)[-1] == str(wanted["byte"])
    row = next((row for row in ROWS if file in row.files), None)
    if row is not None:
        assert wanted == {
            "clause": row.clause, "class": row.class_, "error": row.error, "exit": row.exit, "byte": wanted["byte"]
        }  # fmt: skip


def test_every_file_stands_in_one_row_and_every_row_has_its_files(made: Any) -> None:
    listed = [file for row in ROWS for file in row.files] + [file for file, _, _ in FIRST]
    assert {file for file in listed if listed.count(file) > 1} <= {file for file, _, _ in FIRST}
    assert set(listed) == {*INDEX, *made.LARGE}
    assert sorted(INDEX) == sorted(path.stem for path in FILES.glob("*.car"))
    assert all(row.files for row in ROWS)


def test_every_clause_of_the_format_has_a_row_or_a_reason_for_none() -> None:
    """[VER-32] So that a new clause cannot be left without an answer."""
    given = {
        number
        for path in SHELF.glob("*.md")
        for number in re.findall(rf"^\[({NUMBER})\] ", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    answered = {row.clause for row in ROWS} | {number for row in ROWS for number in row.checked_as}
    reasons = [number for cells in table("### Clauses without a row") for number in re.findall(NUMBER, cells[0])]
    assert len(reasons) == len(set(reasons))
    assert given - answered == set(reasons)


def test_the_files_that_are_made_here_are_made_again(made: Any) -> None:
    for name, make in made.SMALL.items():
        assert (FILES / f"{name}.car").read_bytes() == make(), name
