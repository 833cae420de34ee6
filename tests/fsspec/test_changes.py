"""Buckets made, objects copied, moved and removed; what goes wrong changes nothing."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket import errors
from mstbucket.errors import Conflict, CorruptionError
from mstbucket.files.watched import Watched
from mstbucket.fsspec import MstBucketFileSystem
from mstbucket.limits import MIB


def test_mkdir_makes_buckets_and_nothing_below_them(fs: MstBucketFileSystem, store: mstbucket.Store) -> None:
    """[FS-7]"""
    fs.mkdir("mstbucket://one")
    fs.makedirs("two/a/b")
    fs.makedirs("two/a/b", exist_ok=False)
    assert [info.name for info in store.list_buckets()] == ["one", "things", "two"]
    assert fs.ls("two") == []
    with pytest.raises(FileExistsError):
        fs.mkdir("one")
    with pytest.raises(FileExistsError):
        fs.makedirs("one")
    fs.makedirs("one", exist_ok=True)
    with pytest.raises(FileNotFoundError):
        fs.mkdir("three/a", create_parents=False)
    with pytest.raises(ValueError, match="characters"):
        fs.mkdir("No")


@pytest.mark.parametrize("recursive", [False, True])
def test_put_makes_no_bucket(fs: MstBucketFileSystem, tmp_path: Path, recursive: bool) -> None:
    """[FS-7] One with a name that nobody meant would be the worst."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_bytes(b"x")
    local = tmp_path / "sub" if recursive else tmp_path / "sub" / "file"
    with pytest.raises(FileNotFoundError):
        fs.put(str(local), "mistyped/a", recursive=recursive)
    assert not fs.exists("mistyped")


def test_put_of_a_file_that_is_not_there_says_so(fs: MstBucketFileSystem, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fs.put_file(str(tmp_path / "none"), "things/a")
    assert not fs.exists("things/a")


def test_rmdir_removes_what_is_empty(fs: MstBucketFileSystem) -> None:
    fs.pipe({"things/a/b": b"x", "things/c": b"x"})
    for path in ("things", "things/a"):
        with pytest.raises(OSError, match=r"\[Errno 39\]") as caught:
            fs.rmdir(path)
        assert caught.value.errno == errno.ENOTEMPTY
    with pytest.raises(NotADirectoryError):
        fs.rmdir("things/c")
    fs.mkdir("empty")
    fs.rmdir("empty")
    assert not fs.exists("empty")


def test_a_removal_that_cannot_be_all_of_it_is_none_of_it(fs: MstBucketFileSystem) -> None:
    """[FS-16]"""
    fs.pipe({"things/a/b": b"x", "things/c": b"x"})
    with pytest.raises(FileNotFoundError):
        fs.rm(["things/c", "things/none"])
    with pytest.raises(FileNotFoundError):
        fs.rm(["things/c", "things/none"], recursive=True)
    with pytest.raises(IsADirectoryError):
        fs.rm(["things/c", "things/a"])
    with pytest.raises(ValueError, match="root"):
        fs.rm("", recursive=True)
    assert fs.find("things") == ["things/a/b", "things/c"]
    fs.rm(["things/c", "things/a"], recursive=True)
    assert fs.find("things") == []


def test_thousands_of_objects_are_removed_in_batches(fs: MstBucketFileSystem, store: mstbucket.Store) -> None:
    """[FS-16]"""
    store.bucket("things").put_objects(mstbucket.PutRequest(f"many/{number}", b"") for number in range(2500))
    fs.pipe_file("things/other", b"x")
    assert len(fs.find("things/many")) == len(fs.ls("things/many")) == 2500
    fs.rm("things/many", recursive=True)
    assert fs.find("things") == ["things/other"]


def test_what_a_lock_protects_stays_and_all_else_goes(fs: MstBucketFileSystem, store: mstbucket.Store) -> None:
    """[FS-16] [FS-20]"""
    bucket = store.create_bucket("locked", object_lock=True)
    until = datetime.now(UTC) + timedelta(days=1)
    put = bucket.put_object("a", b"x", object_lock_mode="COMPLIANCE", object_lock_retain_until=until)
    fs.rm("locked/a")
    assert not fs.exists("locked/a")
    assert bucket.get_object("a", version_id=put.version_id).read() == b"x"
    with pytest.raises(OSError, match=r"\[Errno 39\]"):
        fs.rm("locked", recursive=True)


def test_a_copy_is_the_same_object_with_all_that_is_known_of_it(fs: MstBucketFileSystem, store: mstbucket.Store) -> None:
    """[FS-15] [FS-8]"""
    bucket = store.bucket("things")
    bucket.put_object("a", b"x" * 100_000, content_type="text/plain", metadata={"place": "pier"}, tags={"k": "v"})
    fs.mkdir("other")
    fs.cp("things/a", "other/b")
    old, new = bucket.head_object("a"), store.bucket("other").head_object("b")
    assert (new.content, new.etag, new.content_type, new.metadata, new.tags) == (
        old.content, old.etag, "text/plain", {"place": "pier"}, {"k": "v"},
    )  # fmt: skip
    assert fs.checksum("things/a") == fs.ukey("other/b") == old.content
    assert fs.info("things/a")["metadata"] == {"place": "pier"}
    assert fs.modified("other/b") == fs.created("other/b") == new.last_modified
    assert fs.created("other") == store.list_buckets()[0].created
    for ask in (fs.checksum, fs.modified):
        with pytest.raises(IsADirectoryError):
            ask("things")


@pytest.mark.parametrize("root", ["things", "things@1"])
def test_an_object_above_the_limit_of_a_copy_is_copied_in_parts(
    fs: MstBucketFileSystem, store: mstbucket.Store, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    """[FS-15] With a limit of 5 MiB instead of GiB, which is that of parts."""
    bucket = store.bucket("things")
    put = bucket.put_object("a", bytes(range(256)) * 50_000, content_type="text/plain", metadata={"k": "v"}, tags={"t": "u"})
    bucket.flush()
    for module in ("mstbucket.sync.single", "mstbucket.services.objects.copy"):
        monkeypatch.setattr(f"{module}.COPY_SIZE_MAX", 5 * MIB)
    fs.cp(f"{root}/a", "things/b")
    info = bucket.head_object("b")
    assert (info.content, info.content_type, info.metadata, info.tags) == (put.content, "text/plain", {"k": "v"}, {"t": "u"})
    assert len(info.parts) == 3
    assert bucket.list_multipart_uploads().uploads == ()


def test_a_large_object_that_is_overwritten_while_it_is_copied_is_not_mixed(
    fs: MstBucketFileSystem, store: mstbucket.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = store.bucket("things")
    bucket.put_object("a", bytes(12 * MIB))
    for module in ("mstbucket.sync.single", "mstbucket.services.objects.copy"):
        monkeypatch.setattr(f"{module}.COPY_SIZE_MAX", 5 * MIB)
    upload_part = mstbucket.Bucket.upload_part

    def late(self: mstbucket.Bucket, *arguments: Any, **options: Any) -> mstbucket.Part:
        part = upload_part(self, *arguments, **options)
        bucket.put_object("a", b"1" * 12 * MIB)
        return part

    monkeypatch.setattr(mstbucket.Bucket, "upload_part", late)
    with pytest.raises(OSError, match=f"Errno {errno.ESTALE}"):
        fs.cp("things/a", "things/b")
    assert fs.find("things") == ["things/a"]
    assert bucket.list_multipart_uploads().uploads == ()


@pytest.mark.parametrize("verb", ["cp", "mv"])
@pytest.mark.parametrize("target", ["things/a/b", "mstbucket://things/a/b/c", "things/a/d"])
def test_a_folder_does_not_go_into_itself(fs: MstBucketFileSystem, verb: str, target: str) -> None:
    """[FS-15] `a/a` would become `a/b/a`, which is there and would be copied after it."""
    fs.pipe({"things/a/a": b"1", "things/a/b/a": b"2"})
    with pytest.raises(ValueError, match="itself"):
        getattr(fs, verb)("things/a/", target, recursive=True)
    assert fs.cat("things", recursive=True) == {"things/a/a": b"1", "things/a/b/a": b"2"}


@pytest.mark.parametrize("target", ["things/a", "mstbucket://things/a", "/things/a/"])
def test_a_move_onto_itself_keeps_the_object(fs: MstBucketFileSystem, target: str) -> None:
    fs.pipe_file("things/a", b"x")
    fs.mv("things/a", target)
    assert fs.cat_file("things/a") == b"x"


def test_what_comes_into_a_folder_while_it_is_moved_is_not_removed(
    fs: MstBucketFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[FS-15]"""
    fs.pipe({"things/a/1": b"1", "things/a/2": b"2"})
    copy = MstBucketFileSystem.cp_file

    def late(self: MstBucketFileSystem, *arguments: Any, **options: Any) -> None:
        copy(self, *arguments, **options)
        self.pipe_file("things/a/late", b"3")

    monkeypatch.setattr(MstBucketFileSystem, "cp_file", late)
    fs.mv("things/a", "things/b", recursive=True)
    assert fs.find("things") == ["things/a/late", "things/b/1", "things/b/2"]


def test_a_move_that_fails_half_way_removes_nothing(fs: MstBucketFileSystem) -> None:
    """[FS-15]"""
    fs.pipe({"things/1": b"1", "things/2": b"2"})
    with pytest.raises(FileNotFoundError):
        fs.mv(["things/1", "things/2"], ["things/3", "none/2"])
    assert fs.find("things") == ["things/1", "things/2", "things/3"]
    with pytest.raises(IsADirectoryError):
        fs.mv("things", "other")


WRITES: dict[str, Callable[[MstBucketFileSystem], object]] = {
    "open": lambda fs: fs.open("things", "wb"),
    "pipe": lambda fs: fs.pipe_file("things", b"x"),
    "copy": lambda fs: fs.cp_file("things/a", "things"),
    "the root": lambda fs: fs.pipe_file("", b"x"),
    "read": lambda fs: fs.open("things"),
    "cat": lambda fs: fs.cat_file("things"),
    "rm_file": lambda fs: fs.rm_file("things"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_a_bucket_is_no_object(fs: MstBucketFileSystem, write: Callable[[MstBucketFileSystem], object]) -> None:
    """[FS-20]"""
    fs.pipe_file("things/a", b"x")
    with pytest.raises(IsADirectoryError):
        write(fs)


def test_a_walk_of_what_is_not_there_is_empty_or_says_so(fs: MstBucketFileSystem) -> None:
    said: list[Exception] = []
    assert list(fs.walk("things/none")) == []
    assert list(fs.walk("things/none", on_error=said.append)) == []
    assert [type(error) for error in said] == [FileNotFoundError]
    with pytest.raises(FileNotFoundError):
        list(fs.walk("things/none", on_error="raise"))


def test_an_error_has_the_librarys_own_as_its_cause(fs: MstBucketFileSystem) -> None:
    """[FS-20]"""
    fs.pipe_file("things/a", b"x")
    with pytest.raises(FileExistsError) as exists:
        fs.pipe_file("things/a", b"x", mode="create")
    assert isinstance(exists.value.__cause__, errors.PreconditionFailed)
    with pytest.raises(FileNotFoundError) as absent:
        fs.cat_file("things/none")
    assert isinstance(absent.value.__cause__, errors.NoSuchKey)
    assert (absent.value.errno, absent.value.filename) == (errno.ENOENT, "things/none")


def test_damage_is_no_absence(fs: MstBucketFileSystem, store: mstbucket.Store, tmp_path: Path) -> None:
    """[FS-20]"""
    fs.pipe_file("things/a", bytes(range(256)) * 1000)
    for pack in (tmp_path / "blobs").rglob("*.car"):
        content = bytearray(pack.read_bytes())
        content[len(content) // 2] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(content)
    with pytest.raises(errors.CorruptionError):
        fs.cat_file("things/a")
    with pytest.raises(errors.CorruptionError), fs.open("things/a") as file:
        file.read()


def test_a_store_that_cannot_be_read_is_not_an_absent_object(fs: MstBucketFileSystem, store: mstbucket.Store) -> None:
    """[FS-20]"""
    store.close()
    for ask in (fs.exists, fs.isfile, fs.isdir, fs.find, lambda path: list(fs.walk(path)), lambda path: fs.glob(f"{path}*")):
        with pytest.raises(errors.StorageError):
            ask("things/a")


# --- local files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_transaction", [False, True], ids=["at once", "in a transaction"])
def test_a_local_file_that_changes_while_it_is_read_is_not_stored(
    fs: MstBucketFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_transaction: bool
) -> None:
    """[FS-14] [PUT-14]"""
    local = tmp_path / "local"
    local.write_bytes(b"A" * (3 * MIB))
    read = Watched.read

    def read_and_change(watched: Watched, size: int) -> bytes:
        data = read(watched, size)
        with local.open("r+b") as file:
            file.seek(2 * MIB)
            file.write(b"B")
        os.utime(local, ns=(1, 1))
        return data

    monkeypatch.setattr(Watched, "read", read_and_change)
    with pytest.raises(Conflict, match="changed while it was read"), fs.transaction if in_transaction else nullcontext():
        fs.put_file(str(local), "things/local")
    assert not fs.exists("things/local")
    monkeypatch.undo()
    fs.put_file(str(local), "things/local")
    assert fs.cat_file("things/local") == local.read_bytes()


@pytest.mark.parametrize("before", [None, b"what was there"], ids=["new", "there already"])
def test_a_local_file_appears_whole_or_not_at_all(
    fs: MstBucketFileSystem, store: mstbucket.Store, tmp_path: Path, before: bytes | None
) -> None:
    """[FS-21] what had the name stays until all of the object is there, and where it is damaged."""
    body = random.Random(21).randbytes(3 * MIB)
    store.bucket("things").put_object("a", body)
    folder = tmp_path / "folder"
    folder.mkdir()
    if before is not None:
        (folder / "a").write_bytes(before)
    pack = next(path for path in (tmp_path / "blobs").rglob("packs/*/*") if path.stat().st_size > 3 * MIB)
    good = pack.read_bytes()
    pack.write_bytes(good[: -(1 << 19)] + bytes(1 << 19))
    with pytest.raises(CorruptionError):
        fs.get_file("things/a", str(folder / "a"))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == ({} if before is None else {"a": before})
    with pytest.raises(FileNotFoundError):
        fs.get_file("things/none", str(folder / "a"))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == ({} if before is None else {"a": before})
    pack.write_bytes(good)
    (folder / "link").symlink_to("a")
    fs.get_file("things/a", str(folder / "link"))
    assert (folder / "a").read_bytes() == body
    assert (folder / "link").is_symlink()
    with pytest.raises(IsADirectoryError):
        fs.get_file("things/a", str(folder))
    fs.get_file("things/a", os.devnull)
    assert not Path(os.devnull).is_file()
