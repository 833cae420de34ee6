"""What README.md and the pages of docs/ show is run, and what they list is complete.

The block of README.md marked `python` is run as a script, and prints the `text` block that follows. Blocks marked
`console` are typed into a shell, those of a page into one, and show its output. `…` in an expected line stands for
anything, and alone on a line for any lines. A `python` block of a page begins with the name of its file, by which a
session of the page runs it.
Blocks marked `sh` are not run: they set things up.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket import errors

pytestmark = pytest.mark.early

FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`((?:[\w.-]+/)*(?:[\w-]+\.(?:py|md|json|sql)|(?<=/)))`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CALL = "from mstbucket.cli.main import entry; entry()"
END = "\x1e"  # record separator: ends the output of one command
PAGES = [
    "publish.md", "two-stores.md", "from-s3.md", "ask-the-index.md", "data-tools.md", "serve.md", "operations.md",
    "from-boto3.md",
]  # fmt: skip
DOCUMENTS = [
    *map(Path, ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs")),
    *map(Path, ("spec", "spec/format", "spec/store", "spec/decisions")),
]


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def reference(root: Path) -> str:
    return (root / "docs" / "reference.md").read_text(encoding="utf-8")


@pytest.fixture
def environment(root: Path, tmp_path: Path) -> dict[str, str]:
    """An environment in which `mstbucket` is this package, and no setting of the user's counts."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "mstbucket"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c "{CALL}" "$@"\n')  # may have a space in it
    program.chmod(0o755)
    python = programs / "python"  # no link: that would be a Python without the packages of its environment
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MSTBUCKET_", "XDG_"))}
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "PYTHONPATH": str(root), "HOME": str(tmp_path), "PYTHONWARNINGS": "error"}


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return [body for found, body in FENCED.findall(text) if found == language]


def shows(expected: str, actual: str) -> bool:
    """Whether an output is the expected one, `…` standing for anything in a line, and alone for any lines."""
    pattern = "".join(
        r"(?:.*\n)*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n" for line in expected.splitlines()
    )
    return re.fullmatch(pattern, actual) is not None


def test_the_python_session_prints_what_the_readme_says(
    readme: str, environment: dict[str, str], tmp_path: Path
) -> None:
    (script,) = blocks(readme, "python")
    (expected,) = blocks(readme, "text")
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert shows(expected, done.stdout), done.stdout


def run_session(session: str, directory: Path, environment: dict[str, str]) -> str:
    """Type a session into a shell; what it showed in place of what it should have. What it left running is ended."""
    steps = [step.split("\n", 1) for step in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]]
    script = "".join(f"{command}\nprintf '{END}'\n" for command, _ in steps)
    shell = subprocess.Popen(
        ["sh"], cwd=directory, env=environment, text=True, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        shown, _ = shell.communicate(f"exec 2>&1\n{script}", timeout=240)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGTERM)
    outputs = shown.split(END)
    assert len(outputs) == len(steps) + 1, shown
    wrong = [
        f"$ {command}\n{actual}" for (command, expected), actual in zip(steps, outputs, strict=False)
        if not shows(expected, actual)
    ]  # fmt: skip
    return "\n".join(wrong)


def test_the_shell_session_prints_what_the_readme_says(
    readme: str, environment: dict[str, str], tmp_path: Path
) -> None:
    (session,) = blocks(readme, "console")
    assert run_session(session, tmp_path, environment) == ""


@pytest.mark.parametrize("page", PAGES)
def test_the_sessions_of_a_page_print_what_it_says(
    root: Path, page: str, environment: dict[str, str], tmp_path: Path, databases: Any
) -> None:
    """Port 9000, of which there is one, stands for one that is free; $DATABASE_URL is an empty database of a server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = (root / "docs" / page).read_text(encoding="utf-8").replace(":9000", f":{port}")
    here = tmp_path / "here"
    here.mkdir()
    for script in blocks(text, "python"):
        name, _, body = script.removeprefix("# ").partition("\n")
        assert re.fullmatch(r"\w+\.py", name), script
        (here / name).write_text(body, encoding="utf-8")
    sessions = blocks(text, "console")
    assert sessions
    environment["DATABASE_URL"] = databases.url(databases.create())
    assert run_session("".join(sessions), here, environment) == ""


def test_every_page_has_a_session_or_is_for_looking_at(root: Path) -> None:
    assert {path.name for path in (root / "docs").glob("*.md")} == {*PAGES, "reference.md", "pictures.md"}


def test_an_expected_output_fits_only_what_it_says() -> None:
    assert shows("a … c\n", "a b c\n")
    assert shows("…\nend\n", "one\ntwo\nend\n")
    assert not shows("a … c\n", "a b d\n")
    assert not shows("a\n", "a\nb\n")


def named_in_tables(reference: str, heading: str) -> set[str]:
    """The names in the first column of the table with that heading."""
    table = reference.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    return {name for row in table.splitlines()[2:] for name in re.findall(r"`([\w-]+)`", row.split("|")[1])}


@pytest.mark.parametrize(("heading", "type_"), [("on a store", "Store"), ("on a bucket", "Bucket")])
def test_every_verb_is_in_the_reference(reference: str, heading: str, type_: str) -> None:
    ours = [base for base in getattr(mstbucket, type_).__mro__ if base.__module__.startswith("mstbucket.")]
    members = [member for base in ours for member in vars(base).items()]
    public = {name: value for name, value in members if not name.startswith("_")}
    verbs = {name for name, value in public.items() if callable(value) or isinstance(value, property)}
    assert named_in_tables(reference, heading) == verbs


def test_every_command_is_in_the_reference(reference: str) -> None:
    from mstbucket.cli.parser import make_parser

    (commands,) = [
        action for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction)
    ]
    assert named_in_tables(reference, "command") == set(commands.choices)


def test_every_group_of_errors_is_in_the_reference(reference: str) -> None:
    classes = {name: value for name, value in vars(errors).items() if inspect.isclass(value)}
    groups = {name for name, value in classes.items() if errors.MstBucketError in value.__bases__}
    table = named_in_tables(reference, "error in `mstbucket.errors`")
    assert groups <= table
    assert table - groups <= {"ValueError", "KeyError", "OSError"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_link_to_a_file_leads_to_one(root: Path, path: Path) -> None:
    files = sorted((root / path).glob("*.md")) if (root / path).is_dir() else [root / path]
    dead = [
        f"{file.relative_to(root)}: {target}"
        for file in files
        for target in LINK.findall(file.read_text(encoding="utf-8"))
        if "://" not in target and not (file.parent / target.partition("#")[0]).exists()
    ]
    assert files
    assert not dead, "\n".join(dead)


def test_every_path_in_the_map_of_the_house_leads_somewhere(root: Path) -> None:
    """A bare name of a file stands beside the path that comes before it in its row."""
    named, folder = [], root
    for name in FILE.findall((root / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        if "/" in name:
            folder = (root / name).parent
        named.append((name, (root / name).exists() or (folder / name).exists()))
    assert named
    assert [name for name, there in named if not there] == []


def test_the_two_commands_are_there_and_ci_runs_the_second(root: Path, readme: str) -> None:
    (setup,) = blocks(readme, "sh")
    assert [line.split("  ")[0] for line in setup.splitlines()] == ["./quickstart", "./quickstart test"]
    assert os.access(root / "quickstart", os.X_OK)
    assert os.access(root / ".ci" / "run", os.X_OK)
    assert "\n./quickstart test </dev/null\n" in (root / ".ci" / "run").read_text(encoding="utf-8")
