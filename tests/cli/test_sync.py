"""`sync` as a command: its options, what it prints, and how it ends. What it copies is the matter of tests/sync."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mstbucket.sync.plan import SLACK


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with three files."""
    root = tmp_path / "tree"
    for name, body in {"a.txt": b"1", "d/b": b"22", "d/c.log": b"333"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body)
    return root


def keys(cli: Any, target: str) -> list[str]:
    return [record["key"] for record in cli("ls", "-r", target, "--json").records]


def test_in_and_again_and_out(cli: Any, bucket: str, tree: Path, tmp_path: Path) -> None:
    ran = cli("sync", "-v", tree, f"mst://{bucket}/p")
    assert (ran.code, ran.err) == (0, "")
    assert sorted(ran.lines) == [
        "sync: 3 copied (6 Bytes), 0 deleted, 0 unchanged, 0 failed",
        f"upload: {tree}/a.txt to mst://{bucket}/p/a.txt",
        f"upload: {tree}/d/b to mst://{bucket}/p/d/b",
        f"upload: {tree}/d/c.log to mst://{bucket}/p/d/c.log",
    ]
    assert keys(cli, f"mst://{bucket}") == ["p/a.txt", "p/d/b", "p/d/c.log"]
    again = cli("sync", f"{tree}/", f"mst://{bucket}/p/")
    assert again.lines == ["sync: 0 copied (0 Bytes), 0 deleted, 3 unchanged, 0 failed"]
    ran = cli("sync", f"mst://{bucket}/p/d", tmp_path / "out", "-q")
    assert (ran.code, ran.out) == (0, b"")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b", "c.log"]
    ran = cli("sync", "--verbose", f"mst://{bucket}/p/d", f"mst://{bucket}/e")
    assert f"copy: mst://{bucket}/p/d/b to mst://{bucket}/e/b" in ran.lines


def test_json_and_the_rehearsal(cli: Any, bucket: str, tree: Path) -> None:
    """[CLI-8], [SYNC-11]: but for the mark, a rehearsal prints what is then done."""
    cli("sync", tree, f"mst://{bucket}", "-q")
    (tree / "a.txt").write_bytes(b"longer")
    (tree / "d" / "b").unlink()
    arguments = ("sync", tree, f"mst://{bucket}", "--delete", "--json")
    before = cli("ls", "-r", f"mst://{bucket}", "--json").out
    rehearsed = cli(*arguments, "--dry-run")
    assert cli("ls", "-r", f"mst://{bucket}", "--json").out == before
    done = cli(*arguments)
    assert sorted(done.records, key=str) == [
        {"action": "delete", "target": f"mst://{bucket}/d/b", "dry_run": False},
        {"action": "upload", "source": f"{tree}/a.txt", "target": f"mst://{bucket}/a.txt", "size": 6, "why": "size",
         "dry_run": False},
        {"type": "summary", "copied": 1, "bytes": 6, "deleted": 1, "same": 1, "failed": 0, "dry_run": False},
    ]  # fmt: skip
    marked = done.out.replace(b'"dry_run": false', b'"dry_run": true')
    assert sorted(rehearsed.out.splitlines()) == sorted(marked.splitlines())
    assert [ran.records[-1]["type"] for ran in (rehearsed, done)] == ["summary", "summary"]
    assert cli("sync", tree, f"mst://{bucket}", "-n", "--delete").lines[-1].startswith("(dry run) sync: 0 copied")


def test_filters_in_the_order_they_are_given(cli: Any, bucket: str, tree: Path) -> None:
    """[SYNC-9]"""
    target = f"mst://{bucket}"
    cli("sync", tree, target, "--exclude", "*", "--include", "*.log", "-q")
    assert keys(cli, target) == ["d/c.log"]
    cli("sync", tree, target, "--include", "*.log", "--exclude", "d/*", "-q")
    assert keys(cli, target) == ["a.txt", "d/c.log"]
    (tree / "d" / "c.log").unlink()
    cli("sync", tree, target, "--delete", "--exclude", "*.log", "-q")
    assert keys(cli, target) == ["a.txt", "d/b", "d/c.log"]
    cli("sync", tree, target, "--delete", "-q")
    assert keys(cli, target) == ["a.txt", "d/b"]


def test_what_fails_is_said_and_counted(cli: Any, bucket: str, tree: Path) -> None:
    """[CLI-5], [SYNC-10]"""
    cli("sync", tree, f"mst://{bucket}", "-q")
    (tree / "d" / "b").unlink()
    (tree / "gone").symlink_to("nowhere")
    (tree / "mem").symlink_to("/proc/self/mem")
    os.mkfifo(tree / "pipe")
    ran = cli("sync", tree, f"mst://{bucket}", "--delete", "--json")
    assert ran.code == 1
    assert ran.err.splitlines() == [
        f"mstbucket: error: '{tree}/gone': a symbolic link to nothing; skipped",
        f"mstbucket: warning: '{tree}/pipe': neither a file nor a directory; skipped",
        f"mstbucket: error: {tree}/mem: Input/output error",
        "mstbucket: error: 2 objects not synced; the reasons are above; nothing was deleted",
    ]
    assert ran.records[-1]["failed"] == 2
    assert "d/b" in keys(cli, f"mst://{bucket}")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["TREE", "mst://BUCKET", "--size-only", "--checksum"], 2, "exclude each other"),
        (["TREE", "mst://BUCKET", "--workers", "0"], 2, "workers are too few"),
        (["TREE", "mst://BUCKET", "--workers", "x"], 2, "a whole number is wanted"),
        (["TREE", "TREE"], 7, "neither side is in a bucket"),
        (["s3://there", "TREE"], 7, "neither side is in a bucket"),
        (["-", "mst://BUCKET"], 2, "not '-'"),
        (["TREE/nowhere", "mst://BUCKET"], 3, "no such directory"),
        (["TREE/a.txt", "mst://BUCKET"], 2, "is no directory"),
        (["mst://BUCKET/typo", "TREE", "--delete"], 3, "nothing under"),
        (["TREE", "mst://no-such-bucket"], 3, "no-such-bucket"),
        (["s3://there?endpoint=ftp://x", "mst://BUCKET"], 2, "endpoint="),
        (["s3://key:secret@there", "mst://BUCKET"], 2, "takes no credentials"),
        (["mst://BUCKET", "mst://BUCKET/p"], 2, "lies inside"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_calls_that_cannot_be(cli: Any, bucket: str, tree: Path, arguments: list[str], code: int, said: str) -> None:
    """[SYNC-1], [CLI-3]"""
    ran = cli("sync", *(text.replace("TREE", str(tree)).replace("BUCKET", bucket) for text in arguments))
    assert ran.code == code
    assert said in ran.error
    assert (tree / "a.txt").exists()


def test_checksums_are_asked_for(cli: Any, bucket: str, tree: Path) -> None:
    """[SYNC-5]"""
    target = f"mst://{bucket}"
    cli("sync", tree, target, "-q")
    moment = datetime.fromisoformat(cli("stat", f"{target}/a.txt", "--json").records[0]["last_modified"])
    (tree / "a.txt").write_bytes(b"X")
    time.sleep(max(0.0, moment.timestamp() + SLACK / 1000 + 0.1 - time.time()))  # a time that was set is one of a while ago
    os.utime(tree / "a.txt", ns=(round(moment.timestamp() * 1000) * 10**6,) * 2)  # as if copied out, and not written since
    assert cli("sync", tree, target).lines[-1].startswith("sync: 0 copied")
    assert cli("sync", tree, target, "--size-only").lines[-1].startswith("sync: 0 copied")
    assert cli("sync", tree, target, "--checksum").lines[-1].startswith("sync: 1 copied")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("way", [("sync", "--workers", "2"), ("cp", "-r")], ids=lambda way: way[0])
def test_an_interrupted_run_leaves_no_half_of_a_file(
    cli: Any, bucket: str, tmp_path: Path, number: int, way: tuple[str, ...], start_child: Any
) -> None:
    """[CLI-26], [SYNC-13]: and what comes next is what was missing."""
    source = tmp_path / "large"
    source.mkdir()
    for name in range(10):
        (source / f"{name:02}").write_bytes(os.urandom(8 << 20))
    cli("sync", source, f"mst://{bucket}", "-q")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "mstbucket.cli", *way, f"mst://{bucket}", str(out), "--json"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    child = start_child(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert child.stdout is not None
    first = json.loads(child.stdout.readline())
    child.send_signal(number)
    rest, err = child.communicate()
    said = b"mstbucket: error: interrupted: what was done stays; repeat the command for the rest\n"  # [CLI-115]
    assert (child.returncode, err) == (128 + number, said if number is signal.SIGINT else b"")
    there = {path.name for path in out.iterdir()}
    assert first["source"].rpartition("/")[2] in there
    assert not [name for name in there if name.endswith(".partial")]
    done = [json.loads(line) for line in rest.splitlines()]
    assert {record["source"].rpartition("/")[2] for record in [first, *done] if "source" in record} <= there
    assert len(there) < 10
    assert all((out / name).read_bytes() == (source / name).read_bytes() for name in there)
    assert cli("sync", f"mst://{bucket}", out, "--json").records[-1]["copied"] == 10 - len(there)


@pytest.mark.parametrize("screen", ["stderr", "both"])
def test_results_are_not_lost_to_the_bar_on_a_terminal(
    cli: Any, bucket: str, tree: Path, monkeypatch: pytest.MonkeyPatch, screen: str
) -> None:
    """[CLI-1] lines for objects come while the bar is shown."""
    program = (
        "import sys; from mstbucket.cli import progress; progress.AFTER = 0; from mstbucket.cli.main import main;"
        "sys.exit(main(sys.argv[1:]))"
    )
    terminal, device = pty.openpty()
    out = device if screen == "both" else subprocess.PIPE
    command = [sys.executable, "-c", program, "sync", "-v", str(tree), f"mst://{bucket}"]
    child = subprocess.Popen(command, stdout=out, stderr=device, env={**os.environ, "TERM": "xterm", "COLUMNS": "200"})
    os.close(device)
    shown = b"".join(_until_closed(terminal))
    lines = shown if child.stdout is None else child.stdout.read()
    assert child.wait() == 0
    for name in ("a.txt", "d/b", "d/c.log"):
        assert lines.count(f"upload: {tree}/{name} to mst://{bucket}/{name}".encode()) == 1
    assert b"sync " in shown
    if child.stdout is not None:
        child.stdout.close()
        assert b"upload: " not in shown


def _until_closed(terminal: int) -> Any:
    read: Callable[[int, int], bytes] = os.read
    try:
        while data := read(terminal, 1 << 16):
            yield data
    except OSError:  # how Linux says that the other side has gone
        return
    finally:
        os.close(terminal)


def test_what_goes_with_an_object_stays_unless_it_is_given(cli: Any, bucket: str, tree: Path) -> None:
    """[SYNC-17]"""
    target = f"mst://{bucket}"
    options = ("--content-type", "text/x-odd", "--metadata", "who=me", "--header", "cache-control=no-cache", "--tag", "k=v")
    cli("cp", "-r", tree, target, *options)
    names = ("content_type", "metadata", "headers", "tags")

    def seen(key: str) -> list[Any]:
        (record,) = cli("stat", f"{target}/{key}", "--json").records
        return [record[name] for name in names]

    as_it_was = seen("a.txt")
    assert as_it_was == ["text/x-odd", {"who": "me"}, {"cache-control": "no-cache"}, {"k": "v"}]
    (tree / "a.txt").write_bytes(b"another")
    (tree / "d" / "b").write_bytes(b"9" * 2_000_000)
    (tree / "new.html").write_bytes(b"")
    assert cli("sync", tree, target, "--json").records[-1]["copied"] == 3
    assert (seen("a.txt"), seen("d/b")) == (as_it_was, as_it_was)
    assert seen("new.html") == ["text/html", {}, {}, {}]
    (tree / "a.txt").write_bytes(b"once more")
    assert cli("sync", tree, target, "--tag", "stage=prod", "--metadata", "a=b", "--metadata", "c=d").code == 0
    assert seen("a.txt") == ["text/x-odd", {"a": "b", "c": "d"}, {"cache-control": "no-cache"}, {"stage": "prod"}]
    assert seen("d/b") == as_it_was


def test_what_no_object_can_have_is_refused_before_anything_is_done(cli: Any, bucket: str, tree: Path) -> None:
    """[SYNC-17]"""
    for command in (("sync",), ("cp", "-r")):
        ran = cli(*command, tree, f"mst://{bucket}", "--tag", f"{'t' * 129}=x")
        assert (ran.code, ran.out, "[InvalidTag]" in ran.error) == (2, b"", True)
        ran = cli(*command, tree, f"mst://{bucket}", "--header", "x-odd=1")
        assert (ran.code, ran.out, "'x-odd' is no header that is kept" in ran.error) == (2, b"", True)
    ran = cli("sync", f"mst://{bucket}", tree, "--tag", "a=b")
    assert (ran.code, "where files become objects" in ran.error) == (2, True)
    assert keys(cli, f"mst://{bucket}") == []
