"""What no file of the repository may hold, wherever it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

THIS = "tests/house/test_hygiene.py"  # names what it looks for

# Places on the machine of whoever wrote it. A system's own directories (/usr, /etc) mean the same anywhere.
MACHINE_PATH = re.compile(
    r"(?<![\w.~-])(?:/root/|/home/\w|/Users/\w|/work/|/workspace/|/tmp/\w|/var/folders/|[A-Z]:\\Users\\)"
)
NOT_RUN = re.compile(
    r"\bpytest\.(?:skip|xfail|importorskip)\b|\bmark\.(?:skip|skipif|xfail)\b|\bunittest\.(?:mock|skip)"
)
HOST = re.compile(r"\w+://|--(?:extra-)?index-url|--find-links|--trusted-host|\bfile:| @ ")


@pytest.fixture(scope="module")
def texts(root: Path, repository: list[Path]) -> dict[str, str]:
    """Every text file of the repository but this one, by its path."""
    found = {}
    for path in repository:
        content = path.read_bytes()
        if b"\0" not in content:
            found[path.relative_to(root).as_posix()] = content.decode("utf-8", "surrogateescape")
    del found[THIS]
    return found


def lines_with(pattern: re.Pattern[str], texts: dict[str, str]) -> list[str]:
    """Path, number and text of every line in which the pattern occurs."""
    return [
        f"{name}:{number}: {line.strip()[:160]}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_path_of_somebodys_machine(texts: dict[str, str]) -> None:
    found = lines_with(MACHINE_PATH, texts)
    assert not found, "\n".join(found)


def test_no_test_is_left_out_or_runs_against_a_mock(texts: dict[str, str]) -> None:
    tests = {name: text for name, text in texts.items() if name.startswith("tests/") and name.endswith(".py")}
    found = lines_with(NOT_RUN, tests)
    assert not found, "\n".join(found)


def test_no_lock_names_a_host(texts: dict[str, str]) -> None:
    """pip's own setting says where packages come from; uv.lock and pylock.toml would say it for everybody."""
    locks = {name: text for name, text in texts.items() if name.endswith(".lock") or "pylock" in name}
    assert {"requirements.lock", "requirements-test.lock"} == set(locks)
    found = lines_with(HOST, locks)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (MACHINE_PATH, "see /home/ann/notes"),
        (MACHINE_PATH, 'open("/tmp/x")'),
        (NOT_RUN, "@pytest.mark.skipif(True)"),
        (HOST, "--index-url https://example.org/simple"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_patterns_find_what_they_look_for(pattern: re.Pattern[str], line: str) -> None:
    assert pattern.search(line)
