"""A publisher lists commits, gives them up, and proves to readers that the newest one is of the history that they know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.errors import FormatError, InvalidInput, MstBucketError, NoSuchFile, NotAFile, StorageError, Untrue


def test_a_reader_follows_without_the_commits_between(cli: Any, store_path: Path, tmp_path: Path) -> None:
    """[CLI-260] [CLI-261] [LOG-2] [LOG-5]: twelve commits; the reader has seen three."""
    log, proof = tmp_path / "b.log", tmp_path / "b.proof"
    assert cli("mb", "mst://bucket").code == 0
    assert cli("commit-log", "append", "mst://bucket", log).code == 3  # it has no commit yet
    commits, heads = [], []
    with mstbucket.open(store_path) as store:
        bucket = store.bucket("bucket")
        for n in range(12):
            bucket.put_object("key", b"%d" % n)
            commits.append(bucket.flush().cid)
            if n in {2, 5, 11}:
                heads.append(bucket.append_log(log))
    assert cli("commit-log", "append", "mst://bucket", log).lines == [heads[-1]]  # nothing new
    assert cli("commit-log", "head", log).lines == [heads[-1]]
    assert [head.partition(":")[0] for head in heads] == ["3", "6", "12"]
    assert cli("commit-log", "prove", log, proof, "--since", "3").code == 0
    checked = cli("commit-log", "check", proof, "--commit", commits[-1], "--known", heads[0])
    assert checked.lines == [heads[-1]]
    assert cli("commit-log", "check", proof, "--commit", commits[-1]).lines == [heads[-1]]
    for wrong in (["--commit", commits[0]], ["--commit", commits[-1], "--known", heads[1]]):
        assert cli("commit-log", "check", proof, *wrong).code == 5
    assert cli("commit-log", "check", proof, "--commit", commits[-1], "--known", "3").code == 2
    assert cli("commit-log", "prove", log, proof, "--commit", commits[3], "--force").code == 0
    assert cli("commit-log", "check", proof, "--commit", commits[3]).code == 0
    assert cli("commit-log", "prove", log, tmp_path / "other", "--since", "13").code == 2


def test_a_log_of_another_history_is_refused(store: mstbucket.Store, tmp_path: Path) -> None:
    """[CLI-260] [LOG-2] Another bucket, one that is rolled back, one that went on elsewhere: the file stays as it is."""
    bucket = store.create_bucket("one")
    cars = []
    for n in range(3):
        bucket.put_object("key", b"%d" % n)
        bucket.flush()
        cars.append(tmp_path / f"{n}.car")
        bucket.export_car(cars[-1])
    log = tmp_path / "one.log"
    bucket.append_log(log)
    before = log.read_bytes()
    other = store.create_bucket("other")
    other.put_object("key", b"x")
    other.flush()
    older, forked = store.import_car(cars[1], "older"), store.import_car(cars[1], "forked")
    forked.put_object("key", b"another third")
    forked.flush()
    for wrong, why in ((other, "the log is that of"), (older, "rolled back"), (forked, "forked")):
        with pytest.raises(Untrue, match=why):
            wrong.append_log(log)
        assert log.read_bytes() == before
    forked.put_object("key", b"fourth")
    forked.flush()
    (tmp_path / "cut.log").write_bytes(before[: before.rindex(b"\n3 ") + 1])  # it has two entries
    assert forked.append_log(tmp_path / "cut.log").startswith("4:")


def test_a_place_where_no_log_can_be_is_told_by_a_declared_error(store: mstbucket.Store, tmp_path: Path) -> None:
    """[CLI-260] [ARG-12] Each says the name, and makes nothing; a link to a log stays a link."""
    bucket = store.create_bucket("one")
    bucket.put_object("key", b"x")
    bucket.flush()
    here = tmp_path / "here"
    here.mkdir()
    (here / "file").write_bytes(b"no log")
    (here / "loop").symlink_to("loop")
    wrong: tuple[tuple[str | Path, type[MstBucketError]], ...] = (
        (here / "none" / "log", NoSuchFile), (here / "file" / "log", NoSuchFile), (here, NotAFile),
        (here / "file", FormatError), (here / "loop", StorageError), (here / ("n" * 300), StorageError),
        (f"{here}/a\0b", InvalidInput), (f"{here}/a\udfff\ud800", InvalidInput),
    )  # fmt: skip
    for path, kind in wrong:
        with pytest.raises(kind, match="here") as caught:
            bucket.append_log(path)
        assert type(caught.value) is kind
    assert sorted(path.name for path in here.iterdir()) == ["file", "loop"]
    (here / "link").symlink_to("log")
    head = bucket.append_log(here / "link")
    assert (mstbucket.log_head(here / "log"), (here / "link").is_symlink()) == (head, True)
