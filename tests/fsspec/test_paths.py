"""Keys that no other file system has: slashes in a row, at the ends, and what looks like a path or a URL."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mstbucket
from mstbucket import errors
from mstbucket.fsspec import MstBucketFileSystem
from mstbucket.fsspec.paths import Place, folders_of, place_of, strip

keys = st.text(alphabet="ab/", min_size=1, max_size=8)
key_sets = st.sets(keys, min_size=1, max_size=10)
several = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def bucket_of(store: mstbucket.Store, names: set[str]) -> tuple[MstBucketFileSystem, mstbucket.Bucket]:
    bucket = store.create_bucket(f"b{secrets.token_hex(8)}")
    bucket.put_objects(mstbucket.PutRequest(name, name.encode()) for name in names)
    return MstBucketFileSystem(store, skip_instance_cache=True), bucket


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("", Place("", None, "")),
        ("mstbucket://", Place("", None, "")),
        ("mstbucket://b", Place("b", None, "")),
        ("/b/", Place("b", None, "")),
        ("mstbucket:///b/k", Place("b", None, "k")),
        ("b/k/", Place("b", None, "k")),
        ("b//k", Place("b", None, "/k")),
        ("b/x/../k%2F?a#b", Place("b", None, "x/../k%2F?a#b")),
        ("b/mstbucket://b/k", Place("b", None, "mstbucket://b/k")),
        ("b/a@b", Place("b", None, "a@b")),
        ("b@3/k", Place("b", "3", "k")),
        ("mstbucket://b@2030-01-01T00:00:00Z/k", Place("b", "2030-01-01T00:00:00Z", "k")),
        ("b@/k", Place("b", "", "k")),
    ],
)
def test_a_path_names(path: str, place: Place) -> None:
    """[FS-1] [FS-2]"""
    assert place_of(path) == place


@given(path=st.text(alphabet="ab/@:", max_size=12))
def test_stripping_again_changes_nothing(path: str) -> None:
    """[FS-1] fsspec strips a path at every turn."""
    once = strip(f"mstbucket://{path}")
    assert strip(once) == once
    assert strip(str(place_of(once))) == once


@given(key=keys)
def test_a_folder_is_above_its_key_and_no_name_is_empty(key: str) -> None:
    """[FS-5]"""
    folders = list(folders_of(key, 0))
    assert folders == sorted(set(folders), key=len)
    assert all(key.startswith(f"{folder}/") and not folder.endswith("/") for folder in folders)


@given(names=key_sets)
@several
def test_every_object_is_listed_once_whatever_the_keys_are(store: mstbucket.Store, names: set[str]) -> None:
    """[FS-5] [FS-7] By a listing without a delimiter, and by going down from folder to folder."""
    fs, bucket = bucket_of(store, names)
    files = sorted(f"{bucket.name}/{name}" for name in names if not name.endswith("/"))
    assert fs.find(bucket.name) == files
    assert fs.find(bucket.name, maxdepth=20) == files
    for topdown in (True, False):
        walked = [f"{at}/{name}" for at, _, inside in fs.walk(bucket.name, topdown=topdown) for name in inside]
        assert sorted(walked) == files
    assert fs.find(bucket.name, maxdepth=20, withdirs=True) == fs.find(bucket.name, withdirs=True)
    assert {path: fs.cat_file(path) for path in files} == {path: path.partition("/")[2].encode() for path in files}


@given(names=key_sets)
@several
def test_an_entry_of_a_listing_is_what_its_path_is(store: mstbucket.Store, names: set[str]) -> None:
    """[FS-6] But for the folder of the name of an object: that path is the object."""
    fs, bucket = bucket_of(store, names)
    todo, seen = [bucket.name], set[str]()
    while todo:
        folder = todo.pop()
        assert folder not in seen
        seen.add(folder)
        for entry in fs.ls(folder):
            assert entry["name"].startswith(f"{folder}/")
            is_both = entry["name"].partition("/")[2] in names
            found = fs.info(entry["name"])
            assert {key: found[key] for key in entry} == entry or (is_both and entry["type"] == "directory")
            if entry["type"] == "directory":
                todo.append(entry["name"])
    assert set(fs.find(bucket.name, withdirs=True)) - set(fs.find(bucket.name)) <= seen


@given(names=key_sets)
@several
def test_a_recursive_copy_move_and_removal_take_every_key_along(store: mstbucket.Store, names: set[str]) -> None:
    """[FS-7] [FS-15] Keys that end in a slash too."""
    fs, bucket = bucket_of(store, {f"from/{name}" for name in names})

    def below(folder: str) -> dict[str, bytes]:
        inside = [item.key for item in bucket.objects(f"{folder}/")]
        return {key.removeprefix(folder): bucket.get_object(key).read() for key in inside}

    before = below("from")
    fs.cp(f"{bucket.name}/from", f"{bucket.name}/copy", recursive=True)
    assert (below("from"), below("copy")) == (before, before)
    fs.mv(f"{bucket.name}/from", f"{bucket.name}/to", recursive=True)
    assert (below("from"), below("to")) == ({}, before)
    fs.rm(f"{bucket.name}/to", recursive=True)
    assert (below("to"), below("copy")) == ({}, before)
    fs.rm(bucket.name, recursive=True)
    assert not fs.exists(bucket.name)


def test_the_deepest_folders_are_walked(fs: MstBucketFileSystem, store: mstbucket.Store) -> None:
    """[FS-5] A key has at most 511 folders above it."""
    deepest = "things/" + "a/" * 511 + "b"
    fs.pipe_file(deepest, b"x")
    assert fs.find("things", maxdepth=600) == [deepest]
    assert [f"{at}/{name}" for at, _, inside in fs.walk("things") for name in inside] == [deepest]
    assert len(fs.find("things", withdirs=True)) == 513


def test_a_walk_goes_only_into_the_folders_that_are_left(fs: MstBucketFileSystem) -> None:
    fs.pipe({"things/a/1": b"", "things/b/c/2": b"", "things/b/3": b""})
    seen = []
    for at, folders, files in fs.walk("things"):
        seen.append((at, list(folders), files))
        folders[:] = [name for name in folders if name != "c"]
    assert seen == [("things", ["a", "b"], []), ("things/a", [], ["1"]), ("things/b", ["c"], ["3"])]
    detailed = {at: files for at, _, files in fs.walk("things/b", detail=True, topdown=False)}
    assert {at: list(files) for at, files in detailed.items()} == {"things/b/c": ["2"], "things/b": ["3"]}
    assert detailed["things/b"]["3"]["size"] == 0


def test_a_name_that_is_an_object_and_a_folder_is_the_object(fs: MstBucketFileSystem) -> None:
    """[FS-6]"""
    fs.pipe({"things/a": b"1", "things/a/b": b"2"})
    assert fs.info("things/a")["type"] == "file"
    assert fs.ls("things/a", detail=False) == ["things/a/b"]
    assert fs.find("things/a") == ["things/a", "things/a/b"]
    assert sorted(entry["type"] for entry in fs.ls("things")) == ["directory", "file"]


def test_a_key_that_ends_in_a_slash_is_an_empty_folder(fs: MstBucketFileSystem, store: mstbucket.Store) -> None:
    """[FS-7]"""
    store.bucket("things").put_object("empty/", b"")
    assert fs.info("things/empty")["type"] == "directory"
    assert fs.ls("things/empty") == []
    assert fs.find("things") == []
    with pytest.raises(IsADirectoryError):
        fs.cat_file("things/empty")
    with pytest.raises(IsADirectoryError):
        fs.open("things/empty")
    fs.rmdir("things/empty")
    assert not fs.exists("things/empty")


LONGEST = "k" * 1024


ABSENT = ["none/k", "things/none", "things/a/none", "No_Bucket/k", f"things/{LONGEST}", "things@1/k"]


@pytest.mark.parametrize("path", ABSENT)
def test_what_is_not_there_is_not_found(fs: MstBucketFileSystem, path: str) -> None:
    """[FS-20]"""
    fs.pipe_file("things/a/b", b"x")
    calls: dict[str, Any] = {
        "info": fs.info, "ls": fs.ls, "cat_file": fs.cat_file, "open": fs.open, "checksum": fs.checksum, "rm": fs.rm,
        "rm_file": fs.rm_file, "created": fs.created, "mv": lambda one: fs.mv(one, "things/to"),
        "cp": lambda one: fs.cp(one, "things/to"), "get": lambda one: fs.get_file(one, "to"), "rmdir": fs.rmdir,
    }  # fmt: skip
    if "@" in path:
        calls = {name: call for name, call in calls.items() if name not in ("rm", "rm_file", "mv", "rmdir")}
    for name, call in calls.items():
        with pytest.raises(FileNotFoundError) as caught:
            call(path)
        assert name in ("rm", "mv", "cp") or isinstance(caught.value.__cause__, errors.NotFound) or name == "created"
    assert not fs.exists(path)
    assert not fs.isfile(path)
    assert not fs.isdir(path)
    assert fs.find(path) == []
    assert fs.glob(f"{path}*") == []


def test_a_key_that_cannot_be_one_is_a_wrong_value_and_is_not_there(fs: MstBucketFileSystem) -> None:
    """[FS-20]"""
    for path in (f"things/{LONGEST}k", "things/a\0b"):
        with pytest.raises(ValueError, match="key"):
            fs.pipe_file(path, b"x")
        with pytest.raises(ValueError, match="key"):
            fs.cat_file(path)
        assert not fs.exists(path)
    fs.pipe_file(f"things/{LONGEST}", b"the longest")
    assert fs.cat_file(f"things/{LONGEST}") == b"the longest"
