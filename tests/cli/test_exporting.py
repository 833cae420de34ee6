"""`export` on its further ways, `import` of deltas, `car join`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def filled(cli: Any, bucket: str, tmp_path: Path) -> str:
    """A bucket with some objects, exported as `0.car`."""
    (tmp_path / "in").mkdir()
    for n in range(6):
        (tmp_path / "in" / f"{n}.txt").write_bytes(b"%d" % n * 300)
    assert cli("cp", "-q", "-r", tmp_path / "in", f"mst://{bucket}").code == 0
    assert cli("export", f"mst://{bucket}", tmp_path / "0.car").code == 0
    return bucket


def test_an_export_says_its_hash(cli: Any, filled: str, tmp_path: Path) -> None:
    """[CLI-100]"""
    data = (tmp_path / "0.car").read_bytes()
    (record,) = cli("export", f"mst://{filled}", tmp_path / "again.car", "--json").records
    assert record["sha256"] == hashlib.sha256(data).hexdigest()
    shown = cli("export", f"mst://{filled}", tmp_path / "third.car")
    assert hashlib.sha256(data).hexdigest() in shown.out.decode()
    (record,) = cli("export", f"mst://{filled}", tmp_path / "two.car", "--car-version", "2", "--json").records
    assert (tmp_path / "two.car").read_bytes()[51 : 51 + len(data)] == data
    assert record["sha256"] == hashlib.sha256((tmp_path / "two.car").read_bytes()).hexdigest()


def test_a_file_that_was_begun_goes_on_with_its_commit(cli: Any, filled: str, tmp_path: Path) -> None:
    """[CLI-101] Whatever was written since; a file that is not there is made; another one is left."""
    data = (tmp_path / "0.car").read_bytes()
    part = tmp_path / "part.car"
    part.write_bytes(data[: len(data) // 2])
    cli("rm", f"mst://{filled}/1.txt")
    assert cli("export", f"mst://{filled}", part, "--resume").code == 0
    assert part.read_bytes() == data
    assert len(cli("log", filled, "--json").records) == 1
    assert cli("export", f"mst://{filled}", tmp_path / "new.car", "--resume").code == 0
    assert cli("verify", tmp_path / "new.car").code == 0
    assert (tmp_path / "new.car").read_bytes() != data
    part.write_text("a text of mine, and no CAR at all, of some length or other, so it is")
    assert cli("export", f"mst://{filled}", part, "--resume").code == 5
    assert part.read_text().startswith("a text of mine")
    for wrong in (["-", "--resume"], [part, "--resume", "--since", "1"], [part, "--car-version", "2", "--since", "1"]):
        assert cli("export", f"mst://{filled}", *wrong).code == 2


def test_deltas_are_joined_and_imported(cli: Any, filled: str, tmp_path: Path) -> None:
    """[CLI-102] [CLI-100] The file is the full export; a copy is brought on; without the base it is named."""
    cli("rm", f"mst://{filled}/1.txt")
    (record,) = cli("export", f"mst://{filled}", tmp_path / "1.delta", "--since", "1", "--json").records
    (newest,) = cli("log", filled, "-n", "1", "--json").records
    assert record["commit"] == newest["commit"]
    taken = cli("verify", tmp_path / "1.delta")
    assert (taken.code, f"but a delta from commit {newest['prev']}" in taken.error) == (5, True)  # [VER-22]
    assert cli("export", f"mst://{filled}", tmp_path / "1.car").code == 0
    joined = tmp_path / "joined.car"
    assert cli("car", "join", tmp_path / "0.car", tmp_path / "1.delta", joined).code == 0
    assert joined.read_bytes() == (tmp_path / "1.car").read_bytes()
    assert cli("car", "join", tmp_path / "0.car", tmp_path / "1.delta", joined).code != 0  # it is there
    assert cli("car", "join", tmp_path / "1.car", tmp_path / "1.delta", joined, "--force").code == 5
    assert joined.read_bytes() == (tmp_path / "1.car").read_bytes()
    other = ["--store", tmp_path / "other"]
    missing = cli(*other, "import", tmp_path / "1.delta")
    assert missing.code == 3
    assert newest["prev"] in missing.err
    assert cli(*other, "import", tmp_path / "0.car").code == 0
    assert cli(*other, "import", tmp_path / "1.delta").code == 0
    assert cli(*other, "export", f"mst://{filled}", tmp_path / "back.car").code == 0
    assert (tmp_path / "back.car").read_bytes() == joined.read_bytes()


def test_a_service_is_asked_for_an_object(cli: Any, filled: str) -> None:
    """A URL without a key, before anything is asked of anybody."""
    refused = cli("export", f"mst://{filled}", "s3://somewhere/")
    assert refused.code == 2
    assert "s3://BUCKET/KEY" in refused.err


def test_a_folder_of_files_says_what_is_in_it(cli: Any, filled: str, tmp_path: Path) -> None:
    """[CLI-230] [CLI-231] [CLI-22] [FILES-12] Flushed before; keys that are no paths are told; nobody imports it."""
    (tmp_path / "one").write_bytes(b"one")
    for key in ("0.txt/below", "..", *(f"//{n}" for n in range(12))):
        assert cli("cp", "-q", tmp_path / "one", f"mst://{filled}/{key}").code == 0
    path = tmp_path / "files.car"
    shown = cli("export", f"mst://{filled}", path, "--files")
    assert shown.code == 0
    assert "20 files in 4 folders" in shown.out.decode()
    assert hashlib.sha256(path.read_bytes()).hexdigest() in shown.out.decode()
    assert "14 keys are no paths" in shown.err
    assert "'..' is '%=%2E%2E'" in shown.err
    assert "and 4 more" in shown.err
    assert cli("export", f"mst://{filled}", path, "--files").code != 0  # it is there
    (record,) = cli("export", f"mst://{filled}", path, "--files", "--force", "--json").records
    (newest,) = cli("log", filled, "-n", "1", "--json").records
    assert (record["commit"], record["files"], record["folders"], record["escaped"]) == (newest["commit"], 20, 4, 14)
    assert len(record["renamed"]) == 10
    assert record["bytes"] == path.stat().st_size
    (looked,) = cli("inspect", path, "--json").records
    assert looked["roots"] == [{"cid": record["root"], "kind": "unixfs", "type": "directory"}]
    assert cli("export", f"mst://{filled}", "-", "--files").out == path.read_bytes()
    assert cli("export", f"mst://{filled}@1", tmp_path / "first.car", "--files").code == 0
    assert (tmp_path / "first.car").read_bytes() != path.read_bytes()
    for command in ("verify", "import"):
        refused = cli(command, path)
        assert refused.code == 5
        assert "folder" in refused.err
    for more, why in ((["--resume"], "commit"), (["--since", "1"], "delta"), (["--car-version", "2"], "IPFS")):
        refused = cli("export", f"mst://{filled}", tmp_path / "other.car", "--files", *more)  # [CLI-232]
        assert refused.code == 2
        assert why in refused.error
    (part,) = cli("export", f"mst://{filled}", tmp_path / "part.car", "--files", "--prefix", "//1", "--json").records
    assert (part["files"], part["commit"]) == (3, newest["commit"])
    assert not (tmp_path / "other.car").exists()


def test_a_prefix_that_nothing_starts_with_is_refused_or_said(cli: Any, filled: str, tmp_path: Path) -> None:
    """[CLI-233] A mistyped prefix gives no empty folder; that there is nothing can be proved, and a restore says it."""
    made = tmp_path / "none.car"
    refused = cli("export", f"mst://{filled}@1", made, "--files", "--prefix", "nope/")
    assert (refused.code, made.exists()) == (3, False)
    assert f"nothing starts with mst://{filled}@1/nope/" in refused.error
    streamed = cli("export", f"mst://{filled}", "-", "--files", "--prefix", "nope/")
    assert (streamed.code, streamed.out) == (3, b"")
    proved = cli("export", f"mst://{filled}@1", made, "--prefix", "nope/")
    assert proved.code == 0
    assert "nothing starts with" in proved.err
    assert cli("check-proof", made, "--commit", cli("log", f"mst://{filled}", "--json").records[-1]["commit"]).code == 0
    restored = cli("restore", f"mst://{filled}@1/nope", "-r")
    assert restored.code == 0
    assert "nothing starts with" in restored.err
    key = cli("restore", f"mst://{filled}@1/nope")
    assert (key.code, "neither the bucket nor the commit has" in key.err, "write" in key.err) == (0, True, False)
