"""`cp` in every direction, on a real store."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.files.types import guess_type


def keys(cli: Any, address: str) -> list[str]:
    return [record["key"] for record in cli("ls", "-r", "--json", address).records]


def put(store_path: Path, bucket: str, keys: list[str]) -> None:
    """Store each key with itself as body, through the library: no command makes a key that ends with a slash."""
    with mstbucket.open(store_path, background=False) as store:
        store.bucket(bucket).put_objects(mstbucket.PutRequest(key, key.encode()) for key in keys)


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, body in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body)
    return root


def read(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# --- one object ---


@pytest.mark.parametrize(
    ("target", "key"),
    [("", "a.txt"), ("/", "a.txt"), ("/d/", "d/a.txt"), ("/d", "d"), ("/d/e.html", "d/e.html"), ("//", "/a.txt")],
)
def test_the_key_of_a_file_copied_in(cli: Any, bucket: str, tmp_path: Path, target: str, key: str) -> None:
    """[CLI-20]"""
    file = write(tmp_path, {"a.txt": b"hi"}) / "a.txt"
    ran = cli("cp", file, f"mst://{bucket}{target}")
    assert ran.lines == [f"upload: {file} to mst://{bucket}/{key}"]
    assert keys(cli, f"mst://{bucket}") == [key]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("", "a.txt"), ("out/", "out/a.txt"), ("out/x", "out/x"), ("there", "there/a.txt"), ("new/deep/x", "new/deep/x"),
        ("new/deep/", "new/deep/a.txt"), ("there/..", "a.txt"),
    ],
)  # fmt: skip
def test_the_path_of_an_object_copied_out(cli: Any, bucket: str, tmp_path: Path, target: str, path: str) -> None:
    """[CLI-20] missing directories are made."""
    assert cli("cp", "-", f"mst://{bucket}/d/a.txt", stdin=b"hi").code == 0
    here = tmp_path / "here"
    (here / "there").mkdir(parents=True)
    ran = cli("cp", f"mst://{bucket}/d/a.txt", f"{here}/{target}")
    assert ran.code == 0
    assert read(here) == {path: b"hi"}


def test_the_last_segment_of_a_key_cannot_leave_the_directory(
    cli: Any, bucket: str, store_path: Path, tmp_path: Path
) -> None:
    """[CLI-15] [CLI-20]"""
    put(store_path, bucket, ["a/..", "c/.", "b/"])
    for key in ("a/..", "c/.", "b/"):
        assert cli("cp", f"mst://{bucket}/{key}", f"{tmp_path}/out/").code == 0
    assert read(tmp_path / "out") == {"%=%2E%2E": b"a/..", "%=%2E": b"c/.", "%=": b"b/"}


def test_streams(cli: Any, bucket: str) -> None:
    """[CLI-1] standard input and output as files, of any size."""
    body = os.urandom(2_500_000)
    ran = cli("cp", "-", f"mst://{bucket}/a", "--json", stdin=body)
    (record,) = ran.records
    assert record.pop("content").startswith("bafybei")
    assert record.pop("manifest").startswith("bafyrei")
    assert record == {
        "action": "upload", "source": "-", "target": f"mst://{bucket}/a", "size": 2_500_000,
        "etag": hashlib.md5(body).hexdigest(),
    }  # fmt: skip
    assert cli("cp", f"mst://{bucket}/a", "-").out == body


def test_what_cannot_be_copied(cli: Any, bucket: str, tmp_path: Path) -> None:
    """[CLI-2] [CLI-3]"""
    write(tmp_path, {"d/x": b""})
    for argv, code, says in [
        ([tmp_path / "nowhere", f"mst://{bucket}"], 3, "nowhere': there is no such file or directory"),
        ([tmp_path / "d", f"mst://{bucket}"], 2, "is a directory: copy what is below it with -r"),
        (["-r", tmp_path / "d" / "x", f"mst://{bucket}"], 2, "is no directory, and -r is for directories"),
        ([tmp_path / "d" / "x", "mst://no-such-bucket"], 3, "[NoSuchBucket]"),
        ([tmp_path / "d" / "x", f"mst://{bucket}/{'k' * 1025}"], 2, "[KeyTooLongError]"),
        ([f"mst://{bucket}/no", tmp_path / "y"], 3, "[NoSuchKey]"),
        (["-r", f"mst://{bucket}/no", tmp_path / "y"], 3, f"there is nothing under mst://{bucket}/no/"),
        (["-r", f"mst://{bucket}/no", f"mst://{bucket}/yes"], 3, "there is nothing under"),
        ([f"mst://{bucket}/no", f"mst://{bucket}/yes"], 3, "[NoSuchKey]"),
        (["-r", f"mst://{bucket}/a", f"mst://{bucket}/a/b"], 2, "the copy would find its own results"),
        ([tmp_path / "d" / "x", f"mst://{bucket}", "--tag", f"{'t' * 129}=x"], 2, "[InvalidTag]"),
    ]:  # fmt: skip
        ran = cli("cp", *argv)
        assert (ran.code, ran.out) == (code, b"")
        assert says in ran.error
    assert keys(cli, f"mst://{bucket}") == []
    assert not (tmp_path / "y").exists()


def test_a_file_in_the_way_of_the_directory(cli: Any, bucket: str, tmp_path: Path) -> None:
    write(tmp_path, {"in/x": b"1", "file": b"2"})
    cli("cp", "-r", tmp_path / "in", f"mst://{bucket}")
    ran = cli("cp", "-r", f"mst://{bucket}", tmp_path / "file")
    assert ran.code == 4
    assert str(tmp_path / "file") in ran.error
    assert (tmp_path / "file").read_bytes() == b"2"


# --- trees ---

TREE = {
    "a.txt": b"a",
    "b/c.bin": b"c" * 70_000,
    "b/d/e": b"",
    "b/é\n": b"x",
    "100%": b"%",
    "big": bytes(range(256)) * 12_000,
}


@pytest.mark.parametrize("prefix", ["", "/", "/p", "/p/", "/p/q"])
def test_a_tree_goes_in_and_comes_out(cli: Any, bucket: str, tmp_path: Path, prefix: str) -> None:
    """[CLI-21] the same relative names on both sides, whether the prefix ends with a slash or not."""
    source = write(tmp_path / "in", TREE)
    ran = cli("cp", "-r", source, f"mst://{bucket}{prefix}")
    assert (ran.code, ran.err, len(ran.lines)) == (0, "", 1)
    assert ran.lines[0].startswith(f"upload: {len(TREE)} objects (")  # [CLI-152]
    assert len(cli("cp", "-v", "-r", source, f"mst://{bucket}{prefix}").lines) == len(TREE) + 1
    assert len(cli("cp", "--json", "-r", source, f"mst://{bucket}{prefix}").records) == len(TREE)
    start = prefix.strip("/") + "/" if prefix.strip("/") else ""
    assert keys(cli, f"mst://{bucket}") == sorted((start + name for name in TREE), key=str.encode)
    ran = cli("cp", "--recursive", f"mst://{bucket}{prefix}", tmp_path / "out", "--json")
    assert ran.code == 0
    assert read(tmp_path / "out") == TREE
    record = next(record for record in ran.records if record["size"] == 1 and record["target"].endswith("a.txt"))
    assert record == {
        "action": "download", "source": f"mst://{bucket}/{start}a.txt", "target": str(tmp_path / "out" / "a.txt"),
        "size": 1, "etag": hashlib.md5(b"a").hexdigest(),
    }  # fmt: skip


def test_a_prefix_is_a_folder_and_not_a_beginning(cli: Any, bucket: str, tmp_path: Path) -> None:
    """[CLI-21]"""
    cli("cp", "-r", write(tmp_path / "in", {"d/x": b"1", "dd/x": b"2", "e": b"3"}), f"mst://{bucket}")
    assert cli("cp", "-r", "-q", f"mst://{bucket}/d", tmp_path / "out").out == b""
    assert read(tmp_path / "out") == {"x": b"1"}


HOSTILE = ["../../x", "/etc/passwd", "a//b", "a", "a/", "a/b", "./c", "..", "%=%2E%2E", "\\..\\d", "é" * 300, "nul\n\x1b"]


def test_keys_that_are_no_paths_come_back(cli: Any, bucket: str, store_path: Path, tmp_path: Path) -> None:
    """[CLI-10] [CLI-14] [CLI-15] the same objects, after a way through a directory; nothing beside the directory."""
    put(store_path, bucket, HOSTILE)
    out = tmp_path / "deep" / "out"
    assert cli("cp", "-r", f"mst://{bucket}", out).code == 0
    assert os.listdir(tmp_path / "deep") == ["out"]
    assert cli("mb", f"{bucket}-back").code == 0
    assert cli("cp", "-r", out, f"mst://{bucket}-back").code == 0
    assert keys(cli, f"mst://{bucket}-back") == sorted(HOSTILE, key=str.encode)
    for key in HOSTILE:
        assert cli("cat", f"mst://{bucket}-back/{key}").out == key.encode()


def test_links_in_the_target_are_not_followed(cli: Any, bucket: str, tmp_path: Path) -> None:
    """[CLI-5] [CLI-15] what cannot be written is said and counted, the rest is copied."""
    cli("cp", "-r", write(tmp_path / "in", {"a": b"1", "link/x": b"2", "z": b"3"}), f"mst://{bucket}")
    (tmp_path / "outside").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to("../outside")
    ran = cli("cp", "-r", f"mst://{bucket}", tmp_path / "out")
    assert ran.code == 1
    first, last = ran.err.splitlines()
    assert first.startswith(f"mstbucket: error: mst://{bucket}/link/x: 'link': a symbolic link is in the way")
    assert last == "mstbucket: error: 1 object not copied, 2 objects copied; the reasons are above"
    assert os.listdir(tmp_path / "outside") == []
    assert sorted(os.listdir(tmp_path / "out")) == ["a", "link", "z"]


def test_what_is_left_out_of_a_tree(cli: Any, bucket: str, tmp_path: Path) -> None:
    """[CLI-5] [CLI-17] [CLI-18] one line for each; only what should have been copied counts as failed."""
    root = write(tmp_path / "in", {"a": b"1", "d/b": b"2"})
    os.mkfifo(root / "pipe")
    (root / "loop").symlink_to(".")
    (root / "gone").symlink_to("nowhere")
    (Path(os.fsdecode(os.fsencode(root) + b"/\xff"))).touch()
    (root / ("k" * 250) / ("k" * 250) / ("k" * 250) / ("k" * 250)).mkdir(parents=True)
    (root / ("k" * 250) / ("k" * 250) / ("k" * 250) / ("k" * 250) / ("k" * 250)).touch()
    ran = cli("cp", "-r", root, f"mst://{bucket}")
    assert ran.code == 1
    assert keys(cli, f"mst://{bucket}") == ["a", "d/b"]
    warnings = [line for line in ran.err.splitlines() if line.startswith("mstbucket: warning: ")]
    errors = [line for line in ran.err.splitlines() if line.startswith("mstbucket: error: ")]
    assert len(warnings) + len(errors) == len(ran.err.splitlines())
    assert ["loop" in warnings[0], "pipe" in warnings[1], len(warnings)] == [True, True, 2]
    assert ["a symbolic link to nothing" in line for line in errors].count(True) == 1
    assert ["the file's name is not UTF-8" in line for line in errors].count(True) == 1
    assert ["[KeyTooLongError]" in line for line in errors].count(True) == 1
    assert errors[-1] == "mstbucket: error: 3 objects not copied, 2 objects copied; the reasons are above"
    for name in ("gone", b"\xff"):
        os.unlink(os.path.join(os.fsencode(root), name if isinstance(name, bytes) else name.encode()))
    assert cli("cp", "-r", root / "d", f"mst://{bucket}/only-warnings").code == 0


def test_links_can_be_left_out(cli: Any, bucket: str, tmp_path: Path) -> None:
    """[CLI-18]"""
    root = write(tmp_path / "in", {"a": b"1"})
    (root / "link").symlink_to("a")
    ran = cli("cp", "-r", "--no-follow-symlinks", root, f"mst://{bucket}")
    assert ran.code == 0
    assert "a symbolic link, not followed" in ran.err
    assert keys(cli, f"mst://{bucket}") == ["a"]


def test_a_file_that_fails_while_it_is_read(cli: Any, bucket: str, tmp_path: Path) -> None:
    """[CLI-5] the files around it are copied. /proc/self/mem opens like any file, and cannot be read at its start."""
    root = write(tmp_path / "in", {"a": b"1", "c": b"3"})
    (root / "b").symlink_to("/proc/self/mem")
    ran = cli("cp", "-r", root, f"mst://{bucket}")
    assert ran.code == 1
    assert "Input/output error" in ran.err.splitlines()[0]
    assert keys(cli, f"mst://{bucket}") == ["a", "c"]


class Changing:
    """Writes a file all the time, every time all of it in one call."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._change)

    def _change(self) -> None:
        with open(self._path, "r+b", buffering=0) as file:
            for number in itertools.cycle(range(10)):
                if self._ended.is_set():
                    return
                os.pwrite(file.fileno(), b"%d" % number * self._size, 0)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


@pytest.mark.parametrize("size", [1000, 4_000_000], ids=["small", "large"])
def test_a_file_that_changes_while_it_is_read_is_not_copied(cli: Any, bucket: str, tmp_path: Path, size: int) -> None:
    """[PUT-14] by itself, and one of many: the others are."""
    root = write(tmp_path / "in", {"a": b"1", "b": b"0" * size, "c": b"3"})
    why = f"mstbucket: error: '{root}/b' changed while it was read: repeat the call once it is at rest [OperationAborted]"

    def until_refused(*command: Any) -> Any:
        """The writer may have been at rest for a moment: then what is there is what the file was."""
        end = time.monotonic() + 60
        while (ran := cli(*command)).code == 0:
            assert len(set(cli("cat", f"mst://{bucket}/b").out)) == 1
            cli("rm", f"mst://{bucket}/b")
            assert time.monotonic() < end
        return ran

    with Changing(root / "b", size):
        one = until_refused("cp", root / "b", f"mst://{bucket}/b")
        assert (one.code, one.err.splitlines()) == (4, [why])
        all_ = until_refused("cp", "-r", root, f"mst://{bucket}")
        assert (all_.code, all_.err.splitlines()[0]) == (1, why)
    assert keys(cli, f"mst://{bucket}") == ["a", "c"]
    assert cli("cp", "-r", root, f"mst://{bucket}").code == 0
    assert cli("cat", f"mst://{bucket}/b").out == (root / "b").read_bytes()


def test_two_files_for_one_key_are_both_refused(cli: Any, bucket: str, tmp_path: Path) -> None:
    """[SYNC-16]"""
    root = write(tmp_path / "in", {"readme": b"1", "%+readme": b"2", "other": b"3"})
    ran = cli("cp", "-r", root, f"mst://{bucket}")
    assert ran.code == 1
    assert ran.err.splitlines()[0] == (
        f"mstbucket: error: these files stand for one key, and none is touched: '{root}/%+readme', '{root}/readme': "
        "rename or remove all but one [OperationAborted]"
    )
    assert keys(cli, f"mst://{bucket}") == ["other"]


def test_one_file_has_the_key_that_it_was_copied_from(cli: Any, bucket: str, store_path: Path, tmp_path: Path) -> None:
    """[CLI-14] as it has with -r."""
    put(store_path, bucket, ["a/..", "c/%=x", "b/"])
    for key in ("a/..", "c/%=x", "b/"):
        path = cli("cp", f"mst://{bucket}/{key}", f"{tmp_path}/out/", "--json").records[0]["target"]
        assert cli("cp", path, f"mst://{bucket}/back/", "--json").records[0]["target"] == (
            f"mst://{bucket}/back/{key.rpartition('/')[2]}"
        )


def test_a_file_copied_out_has_the_objects_time(cli: Any, bucket: str, tmp_path: Path) -> None:
    """[CLI-32] so that a later sync need not read it."""
    cli("cp", "-", f"mst://{bucket}/a", stdin=b"1")
    time.sleep(0.05)
    cli("cp", f"mst://{bucket}/a", f"{tmp_path}/one/")
    cli("cp", "-r", f"mst://{bucket}", tmp_path / "all")
    modified = cli("stat", f"mst://{bucket}/a", "--json").records[0]["last_modified"]
    for folder in ("one", "all"):
        moment = datetime.fromtimestamp((tmp_path / folder / "a").stat().st_mtime, UTC)
        assert moment.isoformat(timespec="milliseconds") == modified.replace("Z", "+00:00")


def test_bytes_and_json_do_not_mix(cli: Any, bucket: str) -> None:
    """[CLI-8]"""
    cli("cp", "-", f"mst://{bucket}/a", stdin=b"1")
    ran = cli("cp", f"mst://{bucket}/a", "-", "--json")
    assert (ran.code, ran.out, "--json is not for it" in ran.error) == (2, b"", True)


def test_an_empty_directory_is_no_error(cli: Any, bucket: str, tmp_path: Path) -> None:
    """[CLI-21]"""
    (tmp_path / "in").mkdir()
    ran = cli("cp", "-r", tmp_path / "in", f"mst://{bucket}")
    assert (ran.code, ran.lines, ran.err) == (0, [f"upload: 0 objects (0 Bytes) to mst://{bucket}/"], "")


def test_an_object_that_is_damaged_is_said_and_the_rest_copied(
    run: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[CLI-3] [CLI-5] no wrong byte is ever written under a name."""
    store = home / "store"
    monkeypatch.setenv("MSTBUCKET_STORE", str(store))
    run("mb", "mst://damaged")
    root = write(tmp_path / "in", {"a": b"1", "b": os.urandom(3_000_000), "c": b"3"})
    assert run("cp", "-r", root, "mst://damaged").code == 0
    (pack,) = [path for path in (store / "blobs").rglob("*") if path.is_file() and path.stat().st_size > 3_000_000]
    with open(pack, "r+b") as file:
        file.seek(2_500_000)
        byte = file.read(1)
        file.seek(2_500_000)
        file.write(bytes((byte[0] ^ 1,)))
    ran = run("cp", "-r", "mst://damaged", tmp_path / "out")
    assert ran.code == 1
    assert "mst://damaged/b: object 'b' of bucket 'damaged' cannot be read" in ran.err.splitlines()[0]
    assert read(tmp_path / "out") == {"a": b"1", "c": b"3"}
    ran = run("cat", "mst://damaged/b")
    assert (ran.code, "[Corruption]" in ran.error) == (5, True)
    assert len(ran.out) < 2_500_000
    ran = run("cp", "mst://damaged/b", tmp_path / "b")
    assert (ran.code, (tmp_path / "b").exists()) == (5, False)


# --- from key to key ---


def test_from_key_to_key(cli: Any, bucket: str, tmp_path: Path) -> None:
    """[CLI-8] [CLI-20] [CLI-21]"""
    cli("cp", "-r", write(tmp_path / "in", {"d/a.txt": b"1", "d/e/b": b"2", "dd": b"3"}), f"mst://{bucket}")
    cli("mb", f"mst://{bucket}-2")
    (record,) = cli("cp", f"mst://{bucket}/d/a.txt", f"mst://{bucket}-2/x/", "--json").records
    assert record == {
        "action": "copy", "source": f"mst://{bucket}/d/a.txt", "target": f"mst://{bucket}-2/x/a.txt", "size": 1,
        "etag": hashlib.md5(b"1").hexdigest(),
    }  # fmt: skip
    assert cli("cp", "-r", f"mst://{bucket}/d", f"mst://{bucket}-2/y").code == 0
    assert keys(cli, f"mst://{bucket}-2") == ["x/a.txt", "y/a.txt", "y/e/b"]
    assert cli("stat", f"mst://{bucket}-2/y/a.txt", "--json").records[0]["content_type"] == "text/plain"
    ran = cli("cp", f"mst://{bucket}/dd", f"mst://{bucket}/dd")
    assert (ran.code, "onto itself" in ran.error) == (2, True)


# --- content types ---


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("a/b.html", "text/html"),
        ("a.PNG", "image/png"),
        ("a.json", "application/json"),
        ("a.tar.gz", "application/gzip"),
        ("a.txt.bz2", "application/x-bzip2"),
        ("a", None),
        ("a.unheard-of", None),
        ("data:text/html,x.png", "image/png"),
        ("http://x/y.txt#z.html", "text/html"),
        (".txt", None),
    ],
)
def test_content_types_come_from_the_ending(key: str, kind: str | None) -> None:
    """[CLI-19]"""
    assert guess_type(key) == kind


def test_content_types_do_not_depend_on_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """[CLI-19] what the machine's own table says has no say, or one tree would have two commits."""
    table = tmp_path / "mime.types"
    table.write_text("text/odd txt unheard-of\n")
    code = (
        f"import mimetypes; mimetypes.knownfiles = [{str(table)!r}]; mimetypes.init();"
        "from mstbucket.files.types import guess_type;"
        "assert mimetypes.guess_type('a.unheard-of')[0] == 'text/odd';"
        "assert guess_type('a.txt') == 'text/plain'; assert guess_type('a.unheard-of') is None"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0


def test_a_given_type_is_taken(cli: Any, bucket: str) -> None:
    """[CLI-19]"""
    cli("cp", "-", f"mst://{bucket}/a.html", "--content-type", "text/x-mine", stdin=b"x")
    assert cli("stat", f"mst://{bucket}/a.html", "--json").records[0]["content_type"] == "text/x-mine"


def test_a_place_where_no_file_can_be_made_is_named(cli: Any, bucket: str, tmp_path: Path) -> None:
    """[CLI-2] by the name that the user gave, not by that of the temporary file."""
    (tmp_path / "f").write_bytes(b"x")
    assert cli("cp", tmp_path / "f", f"mst://{bucket}/f").code == 0
    ran = cli("cp", f"mst://{bucket}/f", "/proc/here")
    assert ran.error.startswith("'/proc/here': ")
    assert ran.code == 3


def test_standard_output_that_is_full_is_named(cli: Any, bucket: str, store_path: Path, tmp_path: Path) -> None:
    """[CLI-2] [CLI-3] one line, and no second one when the interpreter ends."""
    (tmp_path / "f").write_bytes(b"x")
    assert cli("cp", tmp_path / "f", f"mst://{bucket}/f").code == 0
    command = [sys.executable, "-m", "mstbucket.cli", "--store", str(store_path), "cat", f"mst://{bucket}/f"]
    with open("/dev/full", "wb") as full:
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    (line,) = ran.stderr.splitlines()
    assert line.startswith("mstbucket: error: 'standard output': No space left on device")
    assert ran.returncode == 6
