"""`flush`, `log`, `export`, `import`, `verify` on a real store; and what happens when a command is told to end."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import IO, Any

import pytest


@pytest.fixture
def filled(cli: Any, bucket: str, tmp_path: Path) -> str:
    """A bucket with three objects, one of several chunks, not flushed."""
    (tmp_path / "in").mkdir()
    for name, body in (("a.txt", b"a"), ("b.bin", bytes(range(256)) * 12_000), ("c", b"")):
        (tmp_path / "in" / name).write_bytes(body)
    assert cli("cp", "-q", "-r", tmp_path / "in", f"mst://{bucket}").code == 0
    return bucket


@pytest.fixture
def car(cli: Any, filled: str, tmp_path: Path) -> Path:
    """Its export."""
    assert cli("export", f"mst://{filled}", tmp_path / "x.car").code == 0
    return tmp_path / "x.car"


# --- flush, log ---


def test_flush_and_log(cli: Any, filled: str) -> None:
    """[CLI-8] a commit is made once; the log has them newest first."""
    (first,) = cli("flush", f"mst://{filled}", "--json").records
    assert (first["bucket"], first["seq"], first["prev"]) == (filled, 1, None)
    assert (first["objects"], first["bytes"]) == (3, 3_072_001)
    fields = {"bucket", "commit", "seq", "time", "objects", "bytes", "tree", "prev", "forked", "merged", "message",
              "names"}  # fmt: skip
    assert set(first) == fields
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert cli("flush", filled, "--json").records == [first]
    cli("rm", f"mst://{filled}/c")
    (second,) = cli("flush", filled, "--json").records
    assert (second["seq"], second["prev"], second["objects"]) == (2, first["commit"], 2)
    assert cli("log", filled, "--json").records == [second, first]
    assert cli("log", filled, "--json", "-n", "1").records == [second]
    assert cli("log", filled, "-n", "0").out == b""
    lines = cli("log", f"mst://{filled}").lines
    assert lines[1].endswith(f"  commit 1 {first['commit']}, 3 objects, 3,072,001 bytes")


def test_flush_without_a_name_is_for_every_bucket(cli: Any, filled: str) -> None:
    done = [record["bucket"] for record in cli("flush", "--json").records]
    assert filled in done
    assert done == sorted(done)
    assert all(info["dirty"] == 0 for info in cli("ls", "--json").records)


@pytest.mark.parametrize("argv", [["flush"], ["log"], ["verify"], ["export", "x.car"]], ids=" ".join)
def test_a_bucket_that_is_not_there(cli: Any, argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-3]"""
    monkeypatch.chdir(tmp_path)
    ran = cli(argv[0], "mst://no-such-bucket", *argv[1:])
    assert (ran.code, ran.error) == (3, "there is no bucket named 'no-such-bucket' [NoSuchBucket]")
    assert not (tmp_path / "x.car").exists()


# --- export ---


def test_export_flushes_first(cli: Any, filled: str, tmp_path: Path) -> None:
    """[CLI-22] [CLI-8] what one sees is what leaves."""
    (record,) = cli("export", f"mst://{filled}", tmp_path / "x.car", "--json").records
    (commit,) = cli("log", filled, "--json").records
    assert commit["objects"] == 3
    assert record == {
        "action": "export", "bucket": filled, "target": str(tmp_path / "x.car"), "commit": commit["commit"],
        "blocks": record["blocks"], "bytes": (tmp_path / "x.car").stat().st_size,
        "sha256": hashlib.sha256((tmp_path / "x.car").read_bytes()).hexdigest(),
    }  # fmt: skip


def test_export_of_the_commit_as_it_is(cli: Any, filled: str, tmp_path: Path) -> None:
    """[CLI-22]"""
    ran = cli("export", "--no-flush", filled, tmp_path / "x.car")
    assert (ran.code, "[NoSuchCommit]" in ran.error) == (3, True)
    cli("flush", filled)
    cli("rm", f"mst://{filled}/a.txt")
    assert cli("export", "--no-flush", filled, tmp_path / "x.car").code == 0
    assert cli("verify", tmp_path / "x.car", "--json").records[0]["objects"] == 3
    assert sorted(os.listdir(tmp_path)) == ["home", "in", "x.car"]


def test_export_never_replaces_a_file_unasked(cli: Any, filled: str, tmp_path: Path) -> None:
    """[CLI-22] [CLI-3]"""
    target = tmp_path / "x.car"
    target.write_bytes(b"precious")
    ran = cli("export", filled, target)
    assert ran.code == 4
    assert f"'{target}': the file is there already; --force replaces it" in ran.error
    assert target.read_bytes() == b"precious"
    assert cli("export", "--force", filled, target).code == 0
    assert cli("verify", target).code == 0
    link = tmp_path / "link.car"
    link.symlink_to("x.car")
    assert cli("export", filled, link).code == 4
    assert cli("export", "--force", filled, link).code == 0
    assert link.is_symlink()


def test_export_to_standard_output_is_the_same_file(cli: Any, filled: str, car: Path) -> None:
    """[CLI-1]"""
    ran = cli("export", filled, "-")
    assert (ran.out, ran.err) == (car.read_bytes(), "")


def test_export_to_a_device_leaves_the_device(cli: Any, filled: str) -> None:
    """[CLI-16] [CLI-22]"""
    before = os.stat("/dev/null").st_ino
    assert cli("export", filled, "/dev/null").code == 4
    assert cli("export", "--force", filled, "/dev/null").code == 0
    assert os.stat("/dev/null").st_ino == before
    ran = cli("export", "--force", filled, "/dev/full")
    assert (ran.code, "No space left on device" in ran.error) == (6, True)


def test_export_into_a_directory_that_is_not_there(cli: Any, filled: str, tmp_path: Path) -> None:
    """[CLI-3]"""
    ran = cli("export", filled, tmp_path / "nowhere" / "x.car")
    assert ran.code == 3
    assert "nowhere/x.car cannot be written" in ran.error


# --- import ---


def test_import_gives_the_same_commit_and_the_same_file(cli: Any, filled: str, car: Path, tmp_path: Path) -> None:
    """[CLI-8]"""
    (commit,) = cli("log", filled, "--json").records
    (record,) = cli("import", car, f"mst://{filled}-copy", "--json").records
    assert record == {
        "action": "import", "source": str(car), "bucket": f"{filled}-copy", "commit": commit["commit"], "seq": 1,
        "objects": 3, "bytes": 3_072_001,
    }  # fmt: skip
    assert cli("export", f"{filled}-copy", tmp_path / "again.car").code == 0
    assert (tmp_path / "again.car").read_bytes() == car.read_bytes()
    with open(car, "rb") as file:
        ran = cli("import", "-", f"{filled}-stream", stdin=file.read())
    assert ran.code == 0
    assert cli("cat", f"mst://{filled}-stream/b.bin").out == bytes(range(256)) * 12_000


def test_import_takes_the_name_in_the_file(cli: Any, filled: str, car: Path) -> None:
    """[CLI-3]"""
    ran = cli("import", car)
    assert (ran.code, "[BucketAlreadyOwnedByYou]" in ran.error) == (4, True)
    cli("rb", "--force", filled)
    assert cli("import", car, "--json").records[0]["bucket"] == filled


def test_import_makes_a_store(run: Any, car: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-9]"""
    monkeypatch.setenv("MSTBUCKET_STORE", str(home / "new"))
    assert run("import", car, "fresh").code == 0
    assert run("verify", "mst://fresh").code == 0


# --- verify ---


def test_verify_a_file(cli: Any, filled: str, car: Path) -> None:
    """[CLI-8]"""
    (commit,) = cli("log", filled, "--json").records
    (record,) = cli("verify", car, "--json").records
    (info,) = [info for info in cli("ls", "--json").records if info["bucket"] == filled]
    assert {name: record[name] for name in ("ok", "target", "commit", "bucket", "identity", "seq", "objects", "bytes")} == {
        "ok": True, "target": str(car), "commit": commit["commit"], "bucket": filled, "identity": info["identity"],
        "seq": 1, "objects": 3, "bytes": 3_072_001,
    }  # fmt: skip
    assert record["blocks"] > record["nodes"] > 0
    assert cli("verify", "-", stdin=car.read_bytes()).lines[0].startswith("verify: - is whole and true: ")


def test_verify_a_bucket(cli: Any, filled: str) -> None:
    """[CLI-8]"""
    ran = cli("verify", f"mst://{filled}")
    assert (ran.code, "[NoSuchCommit]" in ran.error) == (3, True)
    cli("flush", filled)
    cli("rm", f"mst://{filled}/c")
    (record,) = cli("verify", f"mst://{filled}", "--json").records
    assert set(record) == {"ok", "target", "commit", "bucket", "blocks", "objects", "bytes", "dirty"}
    assert (record["ok"], record["objects"], record["dirty"]) == (True, 3, 1)


@pytest.mark.parametrize("where", [0.0, 0.2, 0.5, 0.999])
def test_a_flipped_bit_is_refused_by_verify_and_import(cli: Any, car: Path, where: float) -> None:
    """[CLI-23] [CLI-3] the file is named, and no bucket is made."""
    data = bytearray(car.read_bytes())
    data[int(len(data) * where)] ^= 4
    car.write_bytes(data)
    for command in (["verify", car], ["import", car, "never-made"]):
        ran = cli(*command)
        assert ran.code == 5
        assert ran.error.startswith((f"{car}: ", f"{car} is damaged at byte "))
        assert re.search(r"byte \d+|bafk|bafy", ran.error)
    assert ran.out == b""
    assert cli("stat", "mst://never-made").code == 3


def test_verify_goes_on_to_the_end_and_lists_every_object_that_is_hurt(cli: Any, car: Path) -> None:
    """[CLI-150]"""
    data = bytearray(car.read_bytes())
    one = data.index(b"a", data.index(hashlib.sha256(b"a").digest()) + 32)  # the body of a.txt, one byte long
    middle = data.index(bytes(range(256)) * 2)  # in that of b.bin
    for at in (one, middle):
        data[at] ^= 1
    car.write_bytes(data)
    ran = cli("verify", car)
    assert ran.code == 5
    assert {line.rsplit(" ", 1)[0] for line in ran.lines} == {
        "hurt: object a.txt: damaged at byte", "hurt: object b.bin: damaged at byte"
    }  # fmt: skip
    assert re.fullmatch(
        rf"{re.escape(str(car))} is damaged at byte \d+ \(object (a.txt|b.bin)\) and 1 other place; 2 of 3 objects hurt: "
        r"get another copy \[Corruption\]", ran.error
    )  # fmt: skip
    *hurt, summary = cli("verify", car, "--json").records
    assert {one["key"] for one in hurt} == {"a.txt", "b.bin"}
    assert (summary["ok"], summary["damaged"], summary["hurt"], summary["objects"]) == (False, 2, 2, 3)


def test_a_damaged_bucket_does_not_keep_the_others_from_being_verified(run: Any, home: Path, tmp_path: Path) -> None:
    """[CLI-114]"""
    store = tmp_path / "store"
    (tmp_path / "f").write_bytes(bytes(range(256)) * 1000)
    for name in ("first", "second"):
        (tmp_path / "f").write_bytes(name.encode() * 50_000)
        assert run("--store", store, "mb", name).code == 0
        assert run("--store", store, "cp", tmp_path / "f", f"mst://{name}/f").code == 0
        if name == "first":
            (pack,) = (path for path in (store / "blobs").rglob("*.car") if path.stat().st_size > 200_000)
    assert run("--store", store, "flush").code == 0
    pack.chmod(0o600)
    with pack.open("r+b") as file:
        file.seek(100_000)
        file.write(b"!")
    ran = run("--store", store, "verify")
    assert ran.code == 5
    assert [line.split(" is whole")[0] for line in ran.lines] == ["verify: mst://second"]
    assert "1 of 2 buckets could not be verified" in ran.err.splitlines()[-1]


@pytest.mark.parametrize("kept", [0, 1, 30, 59, 60, 5000, -1])
def test_a_file_that_was_cut_is_refused(cli: Any, car: Path, kept: int) -> None:
    """[CLI-23]"""
    car.write_bytes(car.read_bytes()[:kept])
    for command in (["verify", car], ["import", car, "never-made"]):
        ran = cli(*command)
        assert (ran.code, ran.error.startswith((f"{car}: ", f"{car} is damaged at byte "))) == (5, True)
    assert cli("stat", "mst://never-made").code == 3


def test_a_block_too_many_is_refused(cli: Any, car: Path) -> None:
    """[CLI-23]"""
    data = car.read_bytes()
    car.write_bytes(data + data[59:200_000][: 1 + data[59]])
    for command in (["verify", car], ["import", car, "never-made"]):
        assert cli(*command).code == 5


@pytest.mark.parametrize("command", [["verify"], ["import"]], ids=" ".join)
def test_a_file_that_is_not_there(cli: Any, command: list[str], tmp_path: Path) -> None:
    """[CLI-3]"""
    ran = cli(*command, tmp_path / "nowhere.car")
    assert ran.code == 3
    assert "nowhere.car': No such file or directory" in ran.error
    ran = cli(*command, tmp_path)
    assert (ran.code, "Is a directory" in ran.error) == (6, True)


# --- told to end ---


def await_drained(pipe: IO[bytes]) -> None:
    """Wait until the reader has taken all there is, and waits for more."""
    left = bytearray(4)
    while fcntl.ioctl(pipe, termios.FIONREAD, left) or any(left):
        time.sleep(0.01)
    time.sleep(0.3)  # to hash what it took, and to ask again


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_command_that_is_told_to_end_leaves_nothing_half_written(
    cli: Any, filled: str, tmp_path: Path, number: signal.Signals, start_child: Any
) -> None:
    """[CLI-26] [CLI-3] [CLI-16] an upload waits for its input, and is told to end."""
    command = [sys.executable, "-m", "mstbucket.cli", "cp", "-", f"mst://{filled}/half"]
    with start_child(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stderr is not None
        child.stdin.write(b"x" * 3_000_000)
        child.stdin.flush()
        await_drained(child.stdin)
        child.send_signal(number)
        assert child.wait(60) == 128 + number
        said = b"mstbucket: error: interrupted: nothing stored\n"  # [CLI-115]
        assert child.stderr.read() == (said if number == signal.SIGINT else b"")
        child.stdin.close()
    assert cli("stat", f"mst://{filled}/half").code == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_command_that_was_started_with_a_signal_ignored_goes_on_ignoring_it(
    cli: Any, filled: str, number: signal.Signals, start_child: Any
) -> None:
    """[CLI-26] `nohup mstbucket …` outlives its terminal, and a job in the background the ^C for another one."""
    command = [sys.executable, "-m", "mstbucket.cli", "cp", "-", f"mst://{filled}/whole"]
    with start_child(command, ignoring=(number,), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdin.write(b"x" * 100_000)
        child.stdin.flush()
        await_drained(child.stdin)
        child.send_signal(number)
        child.stdin.write(b"y")
        child.stdin.close()
        assert child.wait(60) == 0
    assert cli("stat", "--json", f"mst://{filled}/whole").records[0]["size"] == 100_001


def test_a_child_that_is_told_to_end_ends_though_the_run_of_the_tests_ignores_it(start_child: Any) -> None:
    """As in a job in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with start_child([sys.executable, "-c", "print(1, flush=True); input()"], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:  # fmt: skip
            child.stdout.readline()
            child.send_signal(signal.SIGINT)
            assert child.wait(60) != 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_export_that_is_told_to_end_leaves_no_file(cli: Any, filled: str, tmp_path: Path, start_child: Any) -> None:
    """[CLI-26] [CLI-16] copying out to a pipe nobody reads waits; the file beside it is never made."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    command = [sys.executable, "-m", "mstbucket.cli", "export", "--force", filled, str(tmp_path / "pipe")]
    with start_child(command, stderr=subprocess.PIPE) as child:
        select.select([reader], [], [], 60)
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 143
    os.close(reader)
    assert sorted(os.listdir(tmp_path)) == ["home", "in", "pipe"]
