"""A folder of files, to push to and to pull from: it agrees with what is obvious, whatever comes between."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twostores import BODIES, change, cid, shown

import mstbucket
from mstbucket import errors
from mstbucket.core import file_head
from mstbucket.core.cid import from_text
from mstbucket.core.file_head import FileHead
from mstbucket.files.shared_folder import SharedFolder
from mstbucket.services.past.retention import expire
from mstbucket.services.remotes import file_push


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "there"
    path.mkdir()
    return path


@pytest.fixture
def remote(place: Path) -> mstbucket.FileRemote:
    return mstbucket.FileRemote(place)


@pytest.fixture
def pushed(bucket: mstbucket.Bucket, remote: mstbucket.FileRemote) -> mstbucket.Bucket:
    """A bucket with a chain of an export and two deltas."""
    for n in range(60):
        bucket.put_object(f"k{n}", bytes([n]) * 3000)
    bucket.push(remote)
    for n in range(2):
        bucket.put_object(f"new{n}", b"%d" % n * 3000)
        bucket.push(remote)
    return bucket


def folder(place: Path) -> Path:
    (found,) = place.iterdir()
    return found


def head_of(place: Path) -> FileHead:
    return file_head.decode((folder(place) / "head").read_bytes(), "the head")


def write_head(place: Path, head: FileHead) -> None:
    (folder(place) / "head").write_bytes(file_head.encode(head))


def copy_of(store: mstbucket.Store, remote: mstbucket.FileRemote) -> mstbucket.Bucket:
    assert store.pull(remote.bucket("things")).outcome == "made"
    return store.bucket("things")


# --- agreement --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("versioned", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_two_stores_and_a_folder_in_any_order_agree_with_the_obvious(
    store: mstbucket.Store, second_store: mstbucket.Store, bucket: mstbucket.Bucket, remote: mstbucket.FileRemote, seed: int,
    versioned: bool, place: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """[RMT-21] [RMT-22] [FOLD-7] [FOLD-8] The oracle holds each side's history as a list, and the folder's."""
    monkeypatch.setattr(file_push, "FILE_DELTAS_MAX", 2)
    rng = random.Random(seed)
    if versioned:
        bucket.put_bucket_versioning("Enabled")
    for n in range(60):
        bucket.put_object(f"k{n}", BODIES[n % 5] + bytes([n]))
    bucket.push(remote)
    sides = [(store, bucket), (second_store, copy_of(second_store, remote))]
    histories = [[cid(bucket)], [cid(bucket)]]
    there = [cid(bucket)]
    for _ in range(14):
        side = rng.randrange(2)
        own_store, own = sides[side]
        ours = histories[side]
        act = rng.choice(("change", "flush", "flush", "pull", "push", "push"))
        if act in ("change", "flush", "push"):
            if act != "push":
                change(own, rng)
            if act != "change":
                own.flush()
                if cid(own) != ours[-1]:
                    ours.append(cid(own))
            if act != "push":
                continue
        dirty = next(one for one in own_store.list_buckets() if one.name == "things").dirty
        before = shown(own), cid(own), head_of(place)
        if act == "push":
            refused = there[-1] not in ours
        else:
            refused = not (ours[-1] in there or there[-1] in ours) or (dirty and there[-1] not in ours)
        try:
            report = own.push(remote) if act == "push" else own_store.pull(remote.bucket("things"))
        except errors.Conflict:
            assert refused
            assert (shown(own), cid(own), head_of(place)) == before
            continue
        assert not refused
        if act == "push":
            assert report.outcome == ("same" if there[-1] == ours[-1] else "moved")
            there = list(ours)
        elif ours[-1] in there:
            histories[side] = list(there)
        assert cid(own) == histories[side][-1]
        assert head_of(place).newest.commit == from_text(there[-1])
        own.verify()


def test_every_night_is_restored_by_hand(
    pushed: mstbucket.Bucket, place: Path, second_store: mstbucket.Store, tmp_path: Path
) -> None:
    """[FOLD-3] [FOLD-5] sha256sum takes the head as it is; the files joined give each night's export, byte for byte."""
    subprocess.run(["sha256sum", "--strict", "-c", "head"], cwd=folder(place), check=True, capture_output=True)
    head = head_of(place)
    joined = folder(place) / head.file_name(0)
    for index, file in enumerate(head.files):
        if index > 0:
            mstbucket.join_cars(joined, folder(place) / head.file_name(index), tmp_path / f"{index}.car")
            joined = tmp_path / f"{index}.car"
        with pushed.at(file.seq) as night:
            night.export_car(tmp_path / "export.car")
        assert joined.read_bytes() == (tmp_path / "export.car").read_bytes()
        assert (folder(place) / head.file_name(index)).stat().st_size == file.size
    assert list(second_store.import_car(joined, "restored").objects()) == list(pushed.objects())


def test_only_what_is_new_is_read(
    pushed: mstbucket.Bucket, remote: mstbucket.FileRemote, place: Path, second_store: mstbucket.Store
) -> None:
    """[RMT-22] A store that is at the export reads the deltas only; with nothing new, both sides read the head only."""
    copy_of(second_store, remote)
    assert second_store.pull(remote.bucket("things")).requests == 1
    assert pushed.push(remote).requests == 1
    pushed.put_object("more", b"more")
    pushed.push(remote)
    for name in map(head_of(place).file_name, range(3)):
        (folder(place) / name).unlink()
    assert second_store.pull(remote.bucket("things")).outcome == "moved"
    assert cid(second_store.bucket("things")) == cid(pushed)


def test_a_long_chain_ends_with_an_export_and_who_is_behind_goes_on(
    pushed: mstbucket.Bucket, remote: mstbucket.FileRemote, place: Path, second_store: mstbucket.Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """[FOLD-8] [FOLD-7]"""
    copy_of(second_store, remote)
    monkeypatch.setattr(file_push, "FILE_DELTAS_MAX", 3)
    for n in range(5):
        pushed.put_object("more", bytes([n]))
        pushed.push(remote)
        assert len(head_of(place).files) == (4, 1, 2, 3, 4)[n]
    assert len(list(folder(place).glob("full-*"))) == 2
    assert second_store.pull(remote.bucket("things")).outcome == "moved"
    pushed.put_object("large", os.urandom(200_000))  # more than half of the export
    pushed.push(remote)
    assert len(head_of(place).files) == 1  # the chain had as many as it may have
    pushed.put_object("larger", os.urandom(300_000))
    pushed.push(remote)
    pushed.push(remote)
    assert len(head_of(place).files) == 2
    pushed.put_object("k", b"")
    pushed.push(remote)
    assert len(head_of(place).files) == 1
    assert second_store.pull(remote.bucket("things")).outcome == "moved"
    second_store.bucket("things").verify()


def test_what_retention_gave_up_is_not_known_unless_the_remote_has_a_name(
    store: mstbucket.Store, pushed: mstbucket.Bucket, remote: mstbucket.FileRemote, place: Path
) -> None:
    """[RMT-13] [RMT-21] [FOLD-8] The commit that was pushed last to a named remote stays: the next delta begins there."""
    for n in range(3):
        pushed.put_object("more", bytes([n]))
        pushed.flush()
    pushed.put_retention(mstbucket.KeepPolicy(last=1))
    expire(store._context)
    with pytest.raises(errors.NotFastForward):  # not known any more
        pushed.push(remote)
    (folder(place) / "head").unlink()
    pushed.push(remote)
    pushed.put_object("more", b"more")
    pushed.flush()
    expire(store._context)
    assert pushed.push(remote).outcome == "moved"  # its row names the one before, which cannot be read any more
    assert len(head_of(place).files) == 1
    store.add_remote("disk", remote.place)
    (folder(place) / "head").unlink()
    assert pushed.push(remote, remote="disk").outcome == "made"
    for n in range(3):
        pushed.put_object("more", bytes([n]))
        pushed.flush()
    expire(store._context)
    assert pushed.push(remote, remote="disk").outcome == "moved"
    assert len(head_of(place).files) == 2


def test_both_have_gone_on_and_meet_by_way_of_the_folder(
    store: mstbucket.Store, second_store: mstbucket.Store, pushed: mstbucket.Bucket, remote: mstbucket.FileRemote,
    place: Path,
) -> None:  # fmt: skip
    """[RMT-21] [RMT-8] A merge comes home as a delta, since what was fetched is still there."""
    for one in (store, second_store):
        one.add_remote("disk", remote.place)
    second_store.pull(remote.bucket("things"), remote="disk")
    copy = second_store.bucket("things")
    copy.put_object("theirs", b"theirs")
    copy.push(remote, remote="disk")
    pushed.put_object("ours", b"ours")
    with pytest.raises(errors.NotFastForward, match="fetch first"):
        pushed.push(remote, remote="disk")
    with pytest.raises(errors.NotFastForward):
        store.pull(remote.bucket("things"), remote="disk")
    assert store.fetch(remote.bucket("things"), "disk").bucket == "things.disk"
    _, merged = store.pull_and_merge(remote.bucket("things"), "disk")
    assert merged is not None
    assert pushed.push(remote, remote="disk").outcome == "moved"
    assert len(head_of(place).files) == 5
    assert second_store.pull(remote.bucket("things"), remote="disk").outcome == "moved"
    assert (shown(copy), cid(copy)) == (shown(pushed), cid(pushed))


# --- at once, and killed ----------------------------------------------------------------------------------------------


def test_of_two_who_push_at_once_one_wins(
    second_store: mstbucket.Store, pushed: mstbucket.Bucket, remote: mstbucket.FileRemote, place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """[FOLD-9] Both have read the head, and written their file, before either replaces it."""
    copy = copy_of(second_store, remote)
    for one in (pushed, copy):
        one.put_object("mine", os.urandom(10))
    together = threading.Barrier(2, timeout=60)
    swap = SharedFolder.swap
    monkeypatch.setattr(SharedFolder, "swap", lambda *given: (together.wait(), swap(*given))[1])
    ended: list[object] = []

    def push(bucket: mstbucket.Bucket) -> None:
        try:
            ended.append(bucket.push(mstbucket.FileRemote(place)).commit)
        except errors.NotFastForward as error:
            ended.append(error)

    threads = [threading.Thread(target=push, args=(one,)) for one in (pushed, copy)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (won,) = (one for one in ended if isinstance(one, str))
    (lost,) = (one for one in ended if isinstance(one, errors.NotFastForward))
    assert "fetch first" in str(lost)
    assert head_of(place).newest.commit == from_text(won)


def test_of_many_who_replace_a_head_at_once_one_wins(place: Path) -> None:
    """[FOLD-9] From the same state, again and again."""
    files = SharedFolder(str(place))
    for n in range(20):
        seen = files.read("a/head", 100)
        together = threading.Barrier(4, timeout=60)
        won: list[int] = []

        def contend(me: int, n: int = n, seen: Any = seen, won: list[int] = won, start: Any = together) -> None:
            start.wait()
            if SharedFolder(str(place)).swap("a/head", seen, b"%d by %d" % (n, me)):
                won.append(me)

        threads = [threading.Thread(target=contend, args=(me,)) for me in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert (place / "a/head").read_bytes() == b"%d by %d" % (n, won[0])


def test_a_file_that_is_there_is_not_written_again_and_a_wrong_one_is(
    pushed: mstbucket.Bucket, remote: mstbucket.FileRemote, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[FOLD-4] [FOLD-11] A push that ended before the head; then what it left is cut, and changed."""
    before = head_of(place)
    pushed.put_object("more", b"more" * 1000)
    for harm in (lambda data: data, lambda data: data[:-1], lambda data: data + b"x", lambda data: b"y" + data[1:]):
        write_head(place, before)
        with monkeypatch.context() as patch:
            patch.setattr(file_push._Push, "_swap", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                pushed.push(remote)
        assert head_of(place) == before
        (left,) = {one.name for one in folder(place).iterdir()} - {"head", *map(before.file_name, range(3))}
        path = folder(place) / left
        good = path.read_bytes()
        path.write_bytes(harm(good))
        report = pushed.push(remote)
        assert report.bytes == (0 if harm(good) == good else len(good))
        assert path.read_bytes() == good


def test_what_a_dead_writer_left_is_removed_a_day_later_and_nothing_else(
    pushed: mstbucket.Bucket, remote: mstbucket.FileRemote, place: Path
) -> None:
    """[FOLD-2] [FOLD-1]"""
    from mstbucket.files.paths import temporary_name

    old, fresh, foreign = (folder(place) / name for name in (temporary_name().decode(), temporary_name().decode(), "notes"))
    for path in (old, fresh, foreign):
        path.write_bytes(b"x")
    for path in (old, foreign):
        os.utime(path, (time.time() - 90_000,) * 2)
    pushed.put_object("more", b"more")
    pushed.push(remote)
    assert [path.exists() for path in (old, fresh, foreign)] == [False, True, True]


# --- lies and damage --------------------------------------------------------------------------------------------------


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


HARMS: dict[str, Callable[[Path, FileHead], object]] = {
    "the last file is missing": lambda at, head: (at / head.file_name(2)).unlink(),
    "the export is missing": lambda at, head: (at / head.file_name(0)).unlink(),
    "a file has a changed byte": lambda at, head: flipped(at / head.file_name(1)),
    "the export has a changed byte": lambda at, head: flipped(at / head.file_name(0)),
    "the last file has a changed byte": lambda at, head: flipped(at / head.file_name(2)),
    "a file is cut": lambda at, head: os.truncate(at / head.file_name(0), head.files[0].size - 1),
    "a file is empty": lambda at, head: os.truncate(at / head.file_name(2), 0),
    "two files are swapped": lambda at, head: (
        (at / head.file_name(1)).rename(at / "x"),
        (at / head.file_name(2)).rename(at / head.file_name(1)),
        (at / "x").rename(at / head.file_name(2)),
    ),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_folder_that_is_damaged_is_refused_with_the_name_of_the_file(
    pushed: mstbucket.Bucket, remote: mstbucket.FileRemote, place: Path, second_store: mstbucket.Store, harm: str
) -> None:
    """[RMT-23] [FOLD-6]"""
    HARMS[harm](folder(place), head_of(place))
    with pytest.raises((errors.CorruptionError, errors.FormatError), match=r"(full|delta)-.*\.car"):
        second_store.pull(remote.bucket("things"))
    assert second_store.list_buckets() == []


def changed(head: FileHead, index: int, **fields: Any) -> FileHead:
    from dataclasses import replace

    files = list(head.files)
    files[index] = replace(files[index], **fields)
    return replace(head, files=tuple(files))


LIES: dict[str, Callable[[FileHead], FileHead]] = {
    "another sha256 of the export": lambda head: changed(head, 0, sha256="0" * 64),
    "another sha256 of a delta": lambda head: changed(head, 2, sha256="0" * 64),
    "another size": lambda head: changed(head, 1, size=head.files[1].size + 1),
    "a later number of the newest commit": lambda head: changed(head, 2, seq=99),
    "no export": lambda head: FileHead(head.bucket, head.name, head.before, head.files[1:]),
    "a delta is left out": lambda head: FileHead(head.bucket, head.name, head.before, (head.files[0], head.files[2])),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_head_that_lies_is_found_out(
    pushed: mstbucket.Bucket, remote: mstbucket.FileRemote, place: Path, second_store: mstbucket.Store, lie: str
) -> None:
    """[RMT-23] [FOLD-6] Files are renamed to what the head calls them, where it names others."""
    head = head_of(place)
    told = LIES[lie](head)
    by_commit = {file.commit: head.file_name(index) for index, file in enumerate(head.files)}
    for index, file in enumerate(told.files):
        if told.file_name(index) != by_commit[file.commit]:
            (folder(place) / told.file_name(index)).write_bytes((folder(place) / by_commit[file.commit]).read_bytes())
    write_head(place, told)
    with pytest.raises((errors.CorruptionError, errors.FormatError), match=r"(full|delta)-.*\.car"):
        second_store.pull(remote.bucket("things"))
    assert second_store.list_buckets() == []


def test_a_head_that_is_none_is_refused(
    pushed: mstbucket.Bucket, remote: mstbucket.FileRemote, place: Path, second_store: mstbucket.Store
) -> None:
    """[FOLD-5] [RMT-23] Every cut, a change of any byte that leaves a text, lines in another order, and too much of it."""
    path = folder(place) / "head"
    good = path.read_bytes()
    lines = good.splitlines(keepends=True)
    rng = random.Random(5)
    odd = [good[: rng.randrange(len(good))] for _ in range(30)] + [good + b"\n", good + lines[-1], b"", b"\xff", good * 40]
    odd += [b"".join(rng.sample(lines, len(lines))) for _ in range(10)]
    odd += [good.replace(b" 1 ", b" 01 "), good.replace(b"\n", b"\r\n"), good.replace(b"things", b"..")]
    for text in odd:
        if text == good:
            continue
        with pytest.raises(errors.FormatError, match="head"):
            file_head.decode(text, "the head")
    path.write_bytes(good.replace(b"files 1", b"files 2"))
    with pytest.raises(errors.Unsupported):
        second_store.pull(remote.bucket("things"))
    path.write_bytes(good[:-1])
    with pytest.raises(errors.FormatError, match="head"):
        pushed.push(remote)
    path.write_bytes(good)
    other = place / file_head.decode(good, "").bucket.replace("a", "b", 1).replace("c", "d", 1)
    if other.name != folder(place).name:
        folder(place).rename(other)
        with pytest.raises(errors.MstBucketError):
            second_store.pull(remote.bucket("things"))


def test_a_chain_has_no_loop_and_no_gap() -> None:
    """[FOLD-5]"""
    one = file_head.ChainFile(1, bytes.fromhex("01711220") + b"\1" * 32, 10, "0" * 64)
    for seq in (0, 1):
        two = file_head.ChainFile(seq, one.commit, 10, "0" * 64)
        text = file_head.encode(FileHead("a" * 26, "things", (), (one, two)))
        with pytest.raises(errors.FormatError):
            file_head.decode(text, "the head")
    with pytest.raises(errors.FormatError):
        file_head.decode(file_head.encode(FileHead("a" * 26, "things", ((1, one.commit),), (one,))), "the head")


def test_a_head_that_was_rolled_back_is_refused(
    second_store: mstbucket.Store, pushed: mstbucket.Bucket, remote: mstbucket.FileRemote, place: Path
) -> None:
    """[RMT-22] [RMT-12] Also where this store itself pushed the newer one."""
    second_store.add_remote("disk", remote.place)
    second_store.pull(remote.bucket("things"), remote="disk")
    copy = second_store.bucket("things")
    before = head_of(place)
    copy.put_object("more", b"more")
    copy.push(remote, remote="disk")
    write_head(place, before)
    with pytest.raises(errors.PinMismatch):
        second_store.pull(remote.bucket("things"), remote="disk")


def test_a_bucket_is_found_by_its_name_only_if_there_is_one(
    store: mstbucket.Store, pushed: mstbucket.Bucket, remote: mstbucket.FileRemote, place: Path,
    second_store: mstbucket.Store,
) -> None:  # fmt: skip
    """[RMT-22] [FOLD-1]"""
    (place / "holiday").mkdir()
    with pytest.raises(errors.NoSuchBucket):
        second_store.pull(remote.bucket("other"))
    second_store.create_bucket("things").push(remote)
    with pytest.raises(errors.NoSuchBucket, match="never pushed"):
        store.pull(remote.bucket("x"), store.create_bucket("fresh").name)
    second_store.delete_bucket("things")
    with pytest.raises(errors.Conflict, match="2 buckets"):
        second_store.pull(remote.bucket("things"))
    assert store.pull(remote.bucket("things")).outcome == "same"


def test_a_place_is_a_folder_that_is_there_and_no_store(tmp_path: Path, bucket: mstbucket.Bucket) -> None:
    """[RMT-20]"""
    with pytest.raises(errors.StorageError, match="mount"):
        bucket.push(mstbucket.FileRemote(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "store/postgres/run").mkdir(parents=True)
    (tmp_path / "store/postgres/run/clients.lock").touch()
    with pytest.raises(errors.InvalidInput, match="is a store"):
        mstbucket.FileRemote(tmp_path / "store")
    for place in ("files://relative", "s3://key:secret@bucket/x", "s3://"):
        with pytest.raises(errors.InvalidInput):
            mstbucket.FileRemote(place)
