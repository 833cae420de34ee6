"""`maintain` and `psql`, folders that are no objects, one rule for addresses, and an example in every help."""

from __future__ import annotations

import argparse
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mstbucket
import mstbucket.cli.main as main_module
from mstbucket.cli.examples import EXAMPLES
from mstbucket.cli.exits import interrupted
from mstbucket.cli.parser import make_parser


def commands(parser: argparse.ArgumentParser, above: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command with its name, those of commands among them."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield f"{above}{name}", command
                yield from commands(command, f"{above}{name} ")


Run = Callable[..., Any]
COMMANDS = dict(commands(make_parser()))


def test_a_round_does_what_is_due(cli: Run, bucket: str) -> None:
    """[CLI-110] [STO-22]"""
    cli("maintain")
    cli("cp", "-", f"mst://{bucket}/k", stdin=b"body")
    cli("lifecycle", bucket, "set", "-", stdin=b'[{"id": "r", "prefix": "old/", "expiration_days": 1}]')
    done = cli("maintain", "--json")
    assert (done.code, done.records[0]["flushed"], done.records[0]["failures"]) == (0, [bucket], {})
    assert cli("stat", f"mst://{bucket}", "--json").records[0]["dirty"] == 0
    assert cli("maintain").lines == ["maintain: nothing was due"]


def test_of_many_rounds_those_with_nothing_due_say_nothing(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-110]"""
    cli("maintain")

    class Enough(Exception):
        pass

    def sleep(_: float) -> None:
        raise Enough

    monkeypatch.setattr("mstbucket.cli.maintaining.time.sleep", sleep)
    for flags, said in (([], b""), (["-v"], b"maintain: nothing was due\n")):
        ran = cli(*flags, "maintain", "--every", "5")
        assert (ran.code, ran.out) == (1, said)


def test_old_uploads_are_aborted_when_asked_for(store: mstbucket.Store) -> None:
    from datetime import timedelta

    store.create_bucket("other").create_multipart_upload("k")
    assert store.maintain().uploads == 0
    time.sleep(0.01)
    assert store.maintain(abort_uploads_after=timedelta(0)).uploads == 1
    with pytest.raises(mstbucket.errors.InvalidInput):
        store.maintain(abort_uploads_after=timedelta(-1))


def test_what_fails_does_not_stop_the_rest(store: mstbucket.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """[STO-22] The bucket that cannot be folded comes first."""
    from mstbucket.services.upkeep import maintain as module

    for name in ("bad-one", "good-one"):
        store.create_bucket(name).put_object("k", b"")
    real = module.flush

    def flush(context: object, name: str) -> object:
        if name == "bad-one":
            raise mstbucket.errors.StorageError("the disk is full")
        return real(context, name)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "flush", flush)
    report = store.maintain()
    assert list(report.failures) == ["flush of bad-one"]
    assert "good-one" in report.flushed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_rounds_go_on_until_a_signal(
    home: Path, store_path: Path, cli: Run, bucket: str, number: signal.Signals, start_child: Any
) -> None:
    """[CLI-110] [CLI-163] With -v there is a line for each, also where nothing was due."""
    command = [sys.executable, "-m", "mstbucket.cli", "--store", str(store_path), "-v", "maintain", "--every", "1"]
    with start_child(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        cli("cp", "-", f"mst://{bucket}/k", stdin=b"body")
        lines = iter(process.stdout.readline, "")
        assert any(f"flushed {bucket}" in line for line in (first, *_until(lines, bucket)))
        process.send_signal(number)
        assert process.wait(60) == 0
        assert process.stderr.read() == "maintain: stopped\n"


def _until(lines: Iterator[str], text: str) -> Iterator[str]:
    for line in lines:
        yield line
        if text in line:
            return


def test_the_units_name_the_store_and_no_secret(cli: Run, store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-110]"""
    unit = cli("maintain", "--print-unit", "--every", "600").out.decode()
    assert f"--store {store_path} -q maintain --every 600\n" in unit
    assert "\n*/10 * * * * " in unit
    monkeypatch.delenv("MSTBUCKET_STORE")
    monkeypatch.setenv("MSTBUCKET_DATABASE", "postgresql://me:secret-word@example.org/db")
    monkeypatch.setenv("MSTBUCKET_BLOBS", "/srv/blobs")
    unit = cli("maintain", "--print-unit").out.decode()
    assert "secret-word" not in unit
    assert "EnvironmentFile=/etc/mstbucket.env" in unit


@pytest.mark.parametrize("option", ["--every", "--abort-uploads-after"])
def test_a_number_below_one_is_refused(cli: Run, option: str) -> None:
    assert cli("maintain", option, "0").code == 2


def test_psql_asks_the_index_and_changes_nothing(cli: Run, bucket: str) -> None:
    """[CLI-111]"""
    cli("cp", "-", f"mst://{bucket}/k", stdin=b"body")
    asked = cli("psql", "-c", f"SELECT key, size FROM v_objects WHERE bucket = '{bucket}'", "--", "-At")
    assert (asked.code, asked.lines) == (0, ["k|4"])
    refused = cli("psql", "-c", "DELETE FROM objects")
    assert refused.code == 1
    assert "read-only" in refused.err
    assert cli("psql", "--json").code == 2


def test_no_argument_of_psql_tells_the_connection(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-111]"""
    from mstbucket.pg import psql

    variables = psql._variables("postgresql://me:word@example.org:7/db?sslmode=require&options=-cjit%3Doff", psql.READ_ONLY)
    assert (variables["PGPASSWORD"], variables["PGHOST"], variables["PGSSLMODE"]) == ("word", "example.org", "require")
    assert variables["PGOPTIONS"].startswith("-cjit=off -c ")
    seen: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        seen.append([str(word) for word in command])
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(subprocess, "run", run)
    assert psql.run_psql("postgresql://me:word@example.org/db", None, ["-c", "SELECT 1"]) == 3
    assert [word for word in seen[-1] if "word" in word] == []


@pytest.mark.parametrize("command", ["rm", "cat", "cp"])
def test_a_folder_is_called_one_and_nothing_is_done(cli: Run, bucket: str, command: str, tmp_path: Path) -> None:
    """[CLI-113]"""
    cli("cp", "-", f"mst://{bucket}/d/k", stdin=b"body")
    for target in (f"mst://{bucket}/d", f"mst://{bucket}/d/"):
        done = cli(command, target, *([tmp_path / "out"] if command == "cp" else []))
        assert done.code == 2
        assert "is a folder: " in done.error
        assert "-r" in done.error
    assert cli("cat", f"mst://{bucket}/d/k").out == b"body"
    assert not (tmp_path / "out").exists()


def test_an_object_that_has_the_name_of_a_folder_is_one(cli: Run, bucket: str) -> None:
    """[CLI-113]"""
    for key in ("d", "d/k"):
        cli("cp", "-", f"mst://{bucket}/{key}", stdin=b"body")
    assert cli("cat", f"mst://{bucket}/d").out == b"body"
    assert cli("rm", f"mst://{bucket}/d").code == 0
    assert [line.split()[-1] for line in cli("ls", "-r", bucket).lines] == ["d/k"]


def test_all_commands_take_addresses_alike(cli: Run, bucket: str) -> None:
    """[CLI-112]"""
    cli("cp", "-", f"mst://{bucket}/d/k", stdin=b"body")
    for command, key in (("ls", ""), ("ls", "/d/"), ("cat", "/d/k"), ("stat", "/d/k"), ("stat", ""), ("tag", "/d/k")):
        bare, full = cli(command, bucket + key), cli(command, f"mst://{bucket}{key}")
        assert (bare.code, bare.out) == (0, full.out)
    for other in ("s3://a/b", "/etc/passwd", "./x", "../x"):
        assert "is not an address" in cli("ls", other).error


def test_an_old_version_is_copied(cli: Run, bucket: str, tmp_path: Path) -> None:
    cli("versioning", bucket, "enable")
    for body in (b"first", b"second"):
        cli("cp", "-", f"mst://{bucket}/k", stdin=body)
    records = cli("ls", "--versions", bucket, "--json").records
    old = next(record["version_id"] for record in records if not record["is_latest"])
    assert cli("cp", f"mst://{bucket}/k", tmp_path / "out", "--version-id", old).code == 0
    assert (tmp_path / "out").read_bytes() == b"first"
    assert cli("cp", f"mst://{bucket}/k", f"{tmp_path}/", "--version-id", old).code == 0
    assert (tmp_path / "k").read_bytes() == b"first"
    assert cli("cp", f"mst://{bucket}/k", "-", "--version-id", old).out == b"first"
    assert cli("cp", f"mst://{bucket}/k", f"mst://{bucket}/l", "--version-id", old).code == 0
    assert cli("cat", f"mst://{bucket}/l").out == b"first"
    for wrong in (["-r", f"mst://{bucket}/k", "x"], [str(tmp_path / "out"), f"mst://{bucket}/m"]):
        assert cli("cp", *wrong, "--version-id", old).code == 2


def test_verify_without_a_target_is_of_every_bucket(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-114]"""
    monkeypatch.setenv("MSTBUCKET_STORE", str(tmp_path / "store"))
    for name in ("one-bucket", "two-bucket", "new-bucket"):
        run("mb", name)
    run("flush", "one-bucket", "two-bucket")
    done = run("verify")
    assert done.code == 0
    assert [line.split()[1] for line in done.lines] == ["mst://one-bucket", "mst://two-bucket"]
    assert "mst://new-bucket was never flushed" in done.err
    assert run("verify", "--expect", "bafy").code == 2


def test_an_interrupt_says_what_has_become_of_the_work(cli: Run, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-115]"""
    from mstbucket.sync import single

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(single, "put_stream", interrupted)
    done = cli("cp", "-", f"mst://{bucket}/k", stdin=b"body")
    assert (done.code, done.error) == (130, "interrupted: nothing stored")
    assert cli("ls", "-r", bucket).lines == []


def test_an_interrupt_before_the_command_has_begun_is_no_traceback(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-115] [CLI-2]"""

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module, "make_parser", interrupted)
    done = cli("ls")
    assert (done.code, done.error) == (130, "interrupted")


@pytest.mark.parametrize(
    "begin", [["-c", "from mstbucket.cli.start import entry; entry()"], ["-m", "mstbucket"], ["-m", "mstbucket.cli"]]
)
def test_an_interrupt_while_the_program_is_loaded_prints_nothing(
    tmp_path: Path, begin: list[str], start_child: Any
) -> None:
    """[CLI-164] A module of the command line that never ends to be loaded stands for a slow disk. Each way to begin."""
    slow = "import sys, time; print('begun', flush=True); time.sleep(600)"
    (tmp_path / "argparse.py").write_text(slow)
    command, environment = [sys.executable, *begin, "ls"], os.environ | {"PYTHONPATH": str(tmp_path)}
    with start_child(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)
    assert (process.returncode, said) == (-signal.SIGINT, (b"", b""))


def test_an_interrupt_is_for_psql_to_answer(store_path: Path, start_child: Any) -> None:
    """[CLI-111] Ctrl-C reaches all processes of the terminal: what psql does then, and its exit code, count."""
    command = [sys.executable, "-m", "mstbucket.cli", "--store", str(store_path), "psql"]
    with start_child(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                     start_new_session=True) as child:  # fmt: skip
        child.stdin.write(b"\\echo begun\nSELECT pg_sleep(100);\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"begun\n"
        while not select.select([child.stderr], [], [], 0.1)[0]:  # the first may come before the query has begun
            os.killpg(child.pid, signal.SIGINT)
        said = child.communicate(timeout=60)[1]
        assert b"canceling statement due to user request" in said
        assert child.returncode == 3  # psql at the end of an interrupted script; on a terminal it goes on


def test_psql_behind_a_pipe_that_is_closed_ends_as_other_commands_do(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-111] [CLI-4] and not with a negative number, of which a shell makes 243."""
    real = subprocess.run

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        return real(["sh", "-c", "kill -PIPE $$"] if command[0].endswith("psql") else command, **options)

    monkeypatch.setattr(subprocess, "run", run)
    assert cli("psql", "-c", "SELECT 1").code == 141


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("export", "mst://b", "out.car"), "interrupted: no file was made"),
        (("export", "--resume", "mst://b", "a.car"), "interrupted: what was written stays; repeat the command for the rest"),
        (("car", "join", "a.car", "b.delta", "c.car"), "interrupted: no file was made"),
        (("prove", "mst://b/k", "k.proof"), "interrupted: no file was made"),
        (("import", "a.car"), "interrupted: nothing stored"),
        (("flush",), "interrupted: nothing is lost; flush again"),
        (("restore", "mst://b@1"), "interrupted: it is done whole or not at all; 'log' shows which"),
        (("merge", "mst://b", "mst://c"), "interrupted: it is done whole or not at all; 'log' shows which"),
        (("pull", "mst://b"), "interrupted: the bucket has moved whole or not at all; repeat the command"),
        (("remote", "prune", "r"), "interrupted: each bucket has gone whole or stays whole; repeat the command"),
        (("collect",), "interrupted: nothing that is needed is gone; repeat the command"),
        (("maintain", "--every", "9"), "interrupted: what was done stays"),
        (("store", "dump", "d"), "interrupted: a backup that was there stays whole; repeat the command"),
        (("store", "restore", "d"), "interrupted: no store was made"),
        (("rm", "-r", "mst://b"), "interrupted: what was done stays; repeat the command for the rest"),
        (("ls",), "interrupted"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_an_interrupt_leaves_is_said_of_the_command_by_its_name(words: tuple[str, ...], said: str) -> None:
    """[CLI-115] A command that is given to another function keeps its words."""
    assert interrupted(make_parser(words).parse_args(words)) == said


def test_every_command_has_an_example_and_no_example_lacks_a_command() -> None:
    """[CLI-116]"""
    assert set(EXAMPLES) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_a_command_is_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-116] It is in the help, it begins with the command, and its arguments are taken."""
    monkeypatch.setenv("COLUMNS", "80")
    example = EXAMPLES[name]
    assert COMMANDS[name].format_help().endswith(f"example: mstbucket {example}\n")
    words = shlex.split(example, comments=True)
    words = words[: words.index(">")] if ">" in words else words
    assert " ".join(words).startswith(name)
    assert make_parser().parse_args(words).run is not None


@pytest.mark.parametrize("words", [["key", "new", "k"], ["key", "show", "k"]], ids=" ".join)
def test_without_the_library_a_key_command_says_what_to_install(tmp_path: Path, words: list[str]) -> None:
    """[CLI-2] It is no defect of the program."""
    script = f"import sys; sys.modules['cryptography'] = None; from mstbucket.cli.main import main; sys.exit(main({words}))"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert "pip install '.[crypto]'" in done.stderr
