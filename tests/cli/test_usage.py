"""What every command shares: help, versions, one-line errors, exit codes, quiet pipes, late imports."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import pytest

from mstbucket import errors
from mstbucket.cli.exits import Interrupted, code_for, describe, one_line
from mstbucket.cli.parser import make_parser

Process = Callable[..., subprocess.CompletedProcess[bytes]]


def commands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield from below(make_parser(), "")


def below(parser: argparse.ArgumentParser, above: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    (group,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for name, command in group.choices.items():
        if command.get_default("run") is None:
            yield from below(command, f"{above}{name} ")
        else:
            yield above + name, command


def test_every_command_names_a_function_that_exists_and_says_what_it_does() -> None:
    assert [name for name, _ in commands()] == [
        "mb", "rb", "ls", "versioning", "limit", "lock", "lifecycle", "status", "cp", "sync", "rm", "cat", "stat", "tag",
        "uploads", "flush", "log", "diff", "snapshot create", "snapshot ls", "snapshot rm", "snapshot policy", "fork",
        "restore", "merge", "remote add", "remote ls", "remote rm", "remote prune", "fetch", "pull", "push",
        "export", "car join", "import", "verify", "prove", "check-proof", "inspect", "block get",
        "block ls", "sign", "commit-log append", "commit-log head", "commit-log prove", "commit-log check",
        "tree show", "serve", "key new", "key show", "key succeed", "key create", "key ls", "key rotate",
        "key disable", "key enable", "key rm", "key policy", "key limit",
        "check", "doctor", "repair blocks", "repair index", "repair tree", "repair lost",
        "store validate", "store copy", "store reencode", "store set", "store dump", "store restore",
        "store compact", "store migrate",
        "collect", "rebuild", "maintain", "psql", "demo", "completion",
    ]  # fmt: skip
    for _, parser in commands():
        module, _, function = parser.get_default("run").partition(":")
        assert callable(getattr(import_module(f"mstbucket.cli.{module}"), function))
        assert parser.description


def test_every_command_has_help(run: Any) -> None:
    for name, _ in commands():
        ran = run(*name.split(), "--help")
        assert ran.code == 0
        assert ran.out.startswith(f"usage: mstbucket {name}".encode())
        assert ran.err == ""


def test_version(run: Any) -> None:
    installed = [found.version for found in metadata.distributions(name="mstbucket")]
    assert run("--version").lines == [f"mstbucket {installed[0] if installed else '(not installed)'}"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_names_the_commands_and_options(run: Any, shell: str) -> None:
    ran = run("completion", shell)
    assert ran.code == 0
    for word in ("export", "human-readable", "summarize"):
        assert word in ran.out.decode()


HEAVY = ("psycopg", "boto3", "multiformats", "dag_cbor", "libipld", "shtab", "mstbucket.api.store", "tomllib")


def imported(argv: list[str], modules: tuple[str, ...]) -> tuple[str, str]:
    """Run a command in a new interpreter; its stdout, with those of *modules* that it imported at the end, and stderr."""
    show = f"print([name for name in {modules!r} if name in sys.modules])"
    code = f"import sys; from mstbucket.cli.main import main; main({argv!r}); {show}"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return ran.stdout, ran.stderr


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["cp", "--help"], ["nonsense"], []])
def test_help_and_usage_errors_import_nothing_heavy(argv: list[str], home: Path) -> None:
    """[CLI-27] help is there at once: what takes time to import is imported by the commands that need it."""
    out, _ = imported(argv, HEAVY)
    assert out.splitlines()[-1] == "[]"


def test_verifying_a_file_needs_no_store_and_no_database_driver(home: Path, tmp_path: Path) -> None:
    """[CLI-27] whoever was handed a file can check it with nothing else."""
    (tmp_path / "x.car").write_bytes(b"no car")
    out, err = imported(["verify", str(tmp_path / "x.car")], ("psycopg", "boto3"))
    assert out == "[]\n"
    assert "[InvalidFormat]" in err
    assert list(home.iterdir()) == []


# --- errors and exit codes ---

CODES = {
    errors.InvalidInput: 2,
    errors.NotFound: 3,
    errors.Conflict: 4,
    errors.FormatError: 5,
    errors.CorruptionError: 5,
    errors.StorageError: 6,
    errors.Unsupported: 7,
}


def declared(kind: type[errors.MstBucketError]) -> Iterator[type[errors.MstBucketError]]:
    for child in kind.__subclasses__():
        yield child
        yield from declared(child)


@pytest.mark.parametrize("kind", list(declared(errors.MstBucketError)), ids=lambda kind: kind.__name__)
def test_every_declared_error_has_the_code_of_its_group(kind: type[errors.MstBucketError]) -> None:
    """[CLI-3] the group decides, so new errors need no new code."""
    error = kind("what, where", 7) if kind is errors.InvalidCar else kind("what, where")
    (code,) = {code for group, code in CODES.items() if isinstance(error, group)}
    assert code_for(error) == code
    assert describe(error).startswith("what, where")
    assert describe(error).endswith(f"[{kind.code}]")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FileNotFoundError(2, "no", "x"), 3),
        (FileExistsError(17, "there", "x"), 4),
        (PermissionError(13, "denied", "x"), 6),
        (OSError(28, "full"), 6),
        (Interrupted(15), 143),
        (RuntimeError("odd"), 1),
    ],
    ids=repr,
)
def test_other_errors(error: BaseException, code: int) -> None:
    """[CLI-3]"""
    assert code_for(error) == code


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "which command?"),
        (["nonsense"], "there is no command 'nonsense'; see mstbucket --help"),
        (["cp", "a"], "the following arguments are required: TARGET"),
        (["ls", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["--store"], "argument --store: expected one argument"),
        (["log", "mst://abc", "-n", "x"], "argument -n: a whole number is wanted, not 'x'"),
        (["log", "mst://abc", "-n", "-1"], "-n takes the number of commits"),
        (["completion", "fish"], "invalid choice: 'fish'"),
        (["ls", "-r"], "-r, --summarize and --versions are for what is in a bucket"),
        (["ls", "s3://abc"], "'s3://abc' is not an address: write mst://bucket"),
        (["ls", "mst:///abc"], "'mst:///abc' names no bucket"),
        (["stat", "mst://"], "'mst://' names no bucket"),
        (["cat", "mst://abc"], "'mst://abc' names no object"),
        (["cat", "mst://abc/d", "--json"], "--json is not for it"),
        (["rm", "mst://abc"], "mst://abc/ is a whole bucket"),
        (["mb", "mst://abc/d"], "'mst://abc/d' names a key; this command takes a bucket: mst://abc"),
        (["cp", "a", "b"], "neither side is in a bucket"),
        (["cp", "s3://a/b", "mst://abc"], "'s3://a/b' is no address here"),
        (["cp", "", "mst://abc"], "an empty argument points at nothing"),
        (["cp", "mst://abc/d", "mst://abc/e", "--tag", "a=b"], "are for copying in only"),
        (["cp", "mst://abc", "x"], "mst://abc is a whole bucket: copy what is in it with -r"),
        (["cp", "-r", "mst://abc/d", "-"], "standard output takes one object"),
        (["cp", "-", "mst://abc"], "needs the whole key"),
        (["cp", "-r", "-", "mst://abc/d"], "needs the whole key"),
        (["cp", "/", "mst://abc", "--metadata", "novalue"], "--metadata takes NAME=VALUE, not 'novalue'"),
        (["export", "mst://abc", "-", "--json"], "--json needs a file"),
        (["demo", "--keep", "/"], "--keep '/' is there already"),
    ],
    ids=" ".join,
)
def test_wrong_calls_end_with_2_and_one_line(run: Any, argv: list[str], says: str) -> None:
    """[CLI-2] [CLI-3] what is wrong, and what to write instead; no store is needed to say so."""
    ran = run(*argv)
    assert ran.code == 2
    assert says in ran.error
    assert ran.out == b""


def test_a_defect_is_one_line_and_a_traceback_only_on_request(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-2] [CLI-3]"""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr("mstbucket.cli.buckets.status", broken)
    ran = run("status")
    assert ran.code == 1
    assert ran.error.startswith("this is a defect of mstbucket: ZeroDivisionError: a b ")
    assert "Traceback" in run("status", "--debug").err
    assert "Traceback" in run("--debug", "status").err
    monkeypatch.setenv("MSTBUCKET_TRACEBACK", "1")
    assert "Traceback" in run("status").err


def test_control_characters_cannot_leave_the_line() -> None:
    """[CLI-2] a key that holds an escape sequence does not reach the terminal as one."""
    assert one_line("a\nb\x1b[2Jc\x9bd\u2028é写\ud800") == "a b\\x1b[2Jc\\x9bd\\u2028é写\\ud800"


def test_common_options_stand_before_or_behind_the_command() -> None:
    for argv in (["--store", "x", "--json", "ls"], ["ls", "--store", "x", "--json"]):
        arguments = make_parser().parse_args(argv)
        assert (arguments.store, arguments.json, arguments.quiet) == ("x", True, False)


@pytest.mark.parametrize(
    "argv",
    [
        ["--store", "ls", "mb", "mst://abc"],
        ["ls", "--store", "cp"],
        ["--json", "store", "copy", "compact", "demo", "--delete"],
        ["store", "compact"],
        ["cp", "-r", "cp", "sync"],
        ["sync", "a", "mst://b", "--exclude", "*", "--include", "rm"],
        ["--version"],
        [],
    ],
    ids=" ".join,
)
def test_a_parser_for_one_command_line_reads_it_as_the_parser_for_all(argv: list[str]) -> None:
    assert vars(make_parser(argv).parse_args(argv)) == vars(make_parser().parse_args(argv))


def test_a_parser_for_one_command_line_has_the_help_of_the_parser_for_all() -> None:
    everything = dict(commands())
    for name, parser in everything.items():
        made: Any = make_parser(name.split())
        assert made.format_help() == make_parser().format_help()
        for part in name.split():
            (group,) = (action for action in made._actions if isinstance(action, argparse._SubParsersAction))
            made = group.choices[part]
        assert made.format_help() == parser.format_help()


def test_a_full_disk_behind_standard_output_is_an_error(process: Process, home: Path) -> None:
    """[CLI-3] what could not be written was not done."""
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "mstbucket.cli", "completion", "bash"]
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert ran.returncode == 6
    (line,) = ran.stderr.splitlines()
    assert line.startswith("mstbucket: error: ")
    assert "No space left on device" in line


def test_a_closed_pipe_is_quiet(home: Path) -> None:
    """[CLI-4] `| head` ends a command without a word."""
    command = [sys.executable, "-m", "mstbucket.cli", "completion", "bash"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait(60) == 141


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["completion", "bash"]], ids=lambda argv: argv[0])
def test_a_standard_output_that_was_closed_is_an_error(home: Path, argv: list[str]) -> None:
    """[CLI-3] `>&-`: what could not be written was not done, and nothing else gets the number of the stream."""
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "mstbucket.cli", *argv]
    ran = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    (line,) = ran.stderr.splitlines()
    assert line.startswith("mstbucket: error: ")
    assert line.endswith("Bad file descriptor")
    assert ran.returncode == 6


def test_a_standard_error_that_was_closed_changes_nothing_else(home: Path) -> None:
    command = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-m", "mstbucket.cli"]
    ran = subprocess.run([*command, "status"], stdout=subprocess.PIPE, check=False, timeout=60)
    assert (ran.returncode, ran.stdout.startswith(b"store ")) == (0, True)
    assert subprocess.run([*command, "ls"], check=False, timeout=60).returncode == 3
