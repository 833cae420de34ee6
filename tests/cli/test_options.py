"""Every option of every command is in the reference, and is used by a test or a page that is run.

`python tests/cli/test_options.py` writes the section of the reference anew.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mstbucket.cli.parser import make_parser

ROOT: Final = Path(__file__).parents[2]
HEAD: Final = "## Options of each command"
COMMON: Final = {"--help", "--store", "--json", "--quiet", "--verbose", "--debug"}  # of all


def commands(parser: argparse.ArgumentParser, name: tuple[str, ...] = ()) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that runs, by its whole name."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for group in groups:
        for word, below in group.choices.items():
            yield from commands(below, (*name, word))
    if not groups:
        yield " ".join(name), parser


def options(parser: argparse.ArgumentParser) -> list[list[str]]:
    """Its own options, each with all of its spellings."""
    found = [action.option_strings for action in parser._actions if action.option_strings]
    return [names for names in found if not COMMON & set(names)]


def section() -> str:
    """The section as it has to stand: from the parser itself."""
    rows = []
    for name, parser in commands(make_parser()):
        own = " ".join(f"`{'` or `'.join(names)}`" for names in options(parser))
        if own:
            rows.append(f"| `{name}` | {own} |")
    return "\n".join([HEAD, "", "| command | options; `--help` of each says what they do |", "|---|---|", *rows, ""])


def test_the_reference_has_every_option_of_every_command() -> None:
    """Written by `python tests/cli/test_options.py`."""
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert section() in text, "run: python tests/cli/test_options.py"


def test_every_option_is_used_by_a_test_or_by_a_page_whose_commands_run() -> None:
    """With its long name, or its short one where it stands for itself between quotes."""
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    skipped = {Path(__file__).name, "reference.md"}
    text = "\n".join(file.read_text(encoding="utf-8") for file in files if file.name not in skipped)
    used = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", text))
    unused = {
        f"{name} {names[-1]}" for name, parser in commands(make_parser()) for names in options(parser)
        if not used & set(names)
    }  # fmt: skip
    assert unused == set()


if __name__ == "__main__":
    page = ROOT / "docs" / "reference.md"
    before = page.read_text(encoding="utf-8")
    start = before.index(HEAD)
    end = before.index("\n## ", start) + 1
    page.write_text(before[:start] + section() + "\n" + before[end:], encoding="utf-8")
