"""Directories and buckets, both ways: what changes is copied, what does not is not, and nothing else happens."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mstbucket
from mstbucket.errors import InvalidInput, NoSuchKey, Unsupported
from mstbucket.files.tree import Tree
from mstbucket.limits import MIB
from mstbucket.sync.filters import Filters
from mstbucket.sync.objects import Objects
from mstbucket.sync.plan import SLACK, How

TREE = {"a.txt": b"1", "a/b": b"22", "a0": b"", "deep/er/é": b"333", "large": bytes(range(256)) * 4096 * 3}

Run = Callable[..., Any]
Write = Callable[..., None]
Contents = Callable[[Any], dict[str, bytes]]

KEYS = st.text(st.sampled_from(["/", ".", "a", "0", "é"]), min_size=1, max_size=4)
SIDES = st.dictionaries(KEYS, st.binary(max_size=3), max_size=6)
RULES = st.lists(st.tuples(st.booleans(), st.sampled_from(["*", "a*", "*/*", "?", "[!a]*", "0"])), max_size=3)


def fill(bucket: mstbucket.Bucket, objects: dict[str, bytes]) -> None:
    bucket.put_objects(mstbucket.PutRequest(key, body) for key, body in objects.items())


def expected(source: dict[str, bytes], target: dict[str, bytes], wanted: Filters, delete: bool) -> dict[str, bytes]:
    """The target after a sync that compares bytes."""
    kept = {key: body for key, body in target.items() if not wanted(key) or (key in source or not delete)}
    return kept | {key: body for key, body in source.items() if wanted(key)}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(source=SIDES, target=SIDES, rules=RULES, delete=st.booleans(), way=st.sampled_from(["in", "out", "within"]))
def test_any_two_sides_become_what_two_dictionaries_say(
    store: mstbucket.Store, run: Run, source: dict[str, bytes], target: dict[str, bytes],
    rules: list[tuple[bool, str]], delete: bool, way: str,
) -> None:  # fmt: skip
    """[SYNC-9], [SYNC-10], [SYNC-11]: real sides, any keys; what was rehearsed is what is done, and again is nothing."""
    wanted = Filters(rules)
    options = {"how": How.CHECKSUM, "delete": delete, "rules": tuple(rules)}
    with tempfile.TemporaryDirectory() as name:
        sides: list[Any] = [store.create_bucket(f"b{os.urandom(8).hex()}"), store.create_bucket(f"c{os.urandom(8).hex()}")]
        for at, objects in enumerate((source, target)):
            if (at == 0 and way == "in") or (at == 1 and way == "out"):
                sides[at] = Path(name)
                with Tree(name) as tree:
                    for key, body in objects.items():
                        tree.write(key, [body])
            else:
                fill(sides[at], objects)
        rehearsed = run(*sides, **options, dry_run=True)
        assert keys_and_bodies(sides[1]) == target
        done = run(*sides, **options)
        assert (rehearsed.copied, rehearsed.deleted, rehearsed.summary) == (done.copied, done.deleted, done.summary)
        assert keys_and_bodies(sides[1]) == expected(source, target, wanted, delete)
        again = run(*sides, **options)
        assert (again.copied, again.deleted, again.failed) == ({}, set(), {})
        assert again.summary.same == sum(map(wanted, source))


def keys_and_bodies(place: Any) -> dict[str, bytes]:
    """What a side holds, by key and not by path."""
    if isinstance(place, mstbucket.Bucket):
        return {item.key: place.get_object(item.key).read() for item in place.objects()}
    from mstbucket.files.walk import Found, walk

    return {found.key: Path(os.fsdecode(found.path)).read_bytes() for found in walk(str(place), follow=False)
            if isinstance(found, Found)}  # fmt: skip


def test_a_tree_in_and_out_and_again(
    bucket: mstbucket.Bucket, tree: Path, tmp_path: Path, run: Run, write: Write, contents: Contents
) -> None:
    """[SYNC-7], [SYNC-13]"""
    write(tree, TREE)
    assert set(run(tree, bucket).copied) == set(TREE)
    assert contents(bucket) == TREE
    assert bucket.head_object("a.txt").content_type == "text/plain"
    again = run(tree, bucket)
    assert (again.copied, again.summary.same) == ({}, len(TREE))
    out = tmp_path / "new" / "out"
    assert set(run(bucket, out).copied) == set(TREE)
    assert contents(out) == TREE
    assert run(bucket, out).summary.same == len(TREE)
    for item in bucket.objects():
        assert (out / item.key).stat().st_mtime_ns == round(item.last_modified.timestamp() * 1000) * 10**6
    assert run(out, bucket).summary.same == len(TREE)
    bucket.flush()
    assert bucket.verify().objects == len(TREE)


@pytest.mark.parametrize("way", ["in", "out"])
def test_what_has_changed_is_copied_and_why_is_told(
    bucket: mstbucket.Bucket, tree: Path, run: Run, write: Write, contents: Contents, way: str
) -> None:
    """[SYNC-3], [SYNC-6], [SYNC-7]: also a change that keeps the size."""
    write(tree, TREE)
    run(tree, bucket)
    large = TREE["large"][:-1] + b"!"
    changes = {"a.txt": b"9", "a/b": b"4444", "new": b"n", "large": large}
    if way == "in":
        write(tree, changes)
        did = run(tree, bucket)
    else:
        run(bucket, tree)
        fill(bucket, changes)
        did = run(bucket, tree)
    assert did.copied == {"a.txt": "content", "a/b": "size", "new": "new", "large": "content"}
    assert contents(tree) == contents(bucket) == TREE | changes


def test_a_file_that_an_older_one_replaced_is_seen(
    bucket: mstbucket.Bucket, tree: Path, run: Run, write: Write
) -> None:
    """[SYNC-6] its mtime is long past and its size the same: only the ctime tells, which `mv` moves."""
    write(tree, {"f": b"new"})
    write(tree.parent, {"old": b"old"})
    run(tree, bucket)
    (tree.parent / "old").rename(tree / "f")
    assert run(tree, bucket).copied == {"f": "content"}


def test_what_was_only_touched_is_read_and_not_copied(bucket: mstbucket.Bucket, tree: Path, run: Run, write: Write) -> None:
    """[SYNC-6]"""
    write(tree, TREE)
    run(tree, bucket)
    before = bucket.head_object("large")
    for name in TREE:
        (tree / name).touch()
    assert run(tree, bucket).summary.same == len(TREE)
    assert bucket.head_object("large") == before


@pytest.mark.parametrize(("how", "seen"), [(How.QUICK, False), (How.SIZE, False), (How.CHECKSUM, True)])
def test_only_a_checksum_sees_what_kept_size_and_time(
    bucket: mstbucket.Bucket, tree: Path, run: Run, write: Write, how: How, seen: bool
) -> None:
    """[SYNC-5] a file with the object's very time and other bytes, which takes intent; small and large."""
    fill(bucket, {"f": b"new", "large": bytes(3 * MIB)})
    run(bucket, tree)
    for name, body in {"f": b"old", "large": b"\1" * 3 * MIB}.items():
        state = (tree / name).stat()
        (tree / name).write_bytes(body)
        time.sleep(max(0.0, state.st_mtime + SLACK / 1000 + 0.1 - time.time()))  # a time that was set is one of a while ago
        os.utime(tree / name, ns=(state.st_mtime_ns, state.st_mtime_ns))
    wanted = {"f": "content", "large": "content"} if seen else {}
    assert run(tree, bucket, how=how, dry_run=True).copied == wanted
    assert run(bucket, tree, how=how).copied == wanted


def test_within_a_store_bodies_are_told_by_their_cids(store: mstbucket.Store, bucket: mstbucket.Bucket, run: Run) -> None:
    """[SYNC-4], [SYNC-14]"""
    bucket.put_object("a", b"1", content_type="x/y", metadata={"m": "v"}, tags={"t": "w"})
    other = store.create_bucket("other")
    assert run(bucket, other).copied == {"a": "new"}
    info = other.head_object("a")
    assert (info.content_type, info.metadata, info.tags) == ("x/y", {"m": "v"}, {"t": "w"})
    other.put_object("a", b"2")
    assert run(bucket, other).copied == {"a": "content"}
    assert run(bucket, other).summary.same == 1


def test_an_object_above_what_one_copy_takes_is_copied_in_parts(
    store: mstbucket.Store, bucket: mstbucket.Bucket, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is lowered to that of a part, which is also what the copy in one step then refuses."""
    body = os.urandom(11 * MIB)
    bucket.put_object("a", body, content_type="x/y", metadata={"m": "v"}, tags={"t": "w"})
    monkeypatch.setattr("mstbucket.sync.single.COPY_SIZE_MAX", 5 * MIB)
    monkeypatch.setattr("mstbucket.services.objects.copy.COPY_SIZE_MAX", 5 * MIB)
    other = store.create_bucket("other")
    assert run(bucket, other).copied == {"a": "new"}
    info = other.head_object("a")
    assert (info.parts, info.content_type, info.metadata) == ((5 * MIB, 5 * MIB, MIB), "x/y", {"m": "v"})
    assert info.content == bucket.head_object("a").content
    assert run(bucket, other).summary.same == 1


def test_prefixes_are_folders_and_nothing_beside_them_is_touched(
    bucket: mstbucket.Bucket, tree: Path, run: Run, write: Write, contents: Contents
) -> None:
    """[SYNC-10], and the key that is the prefix itself is passed over."""
    around = {"p": b"1", "p.x": b"2", "p0": b"3", "q/a": b"4", "p/": b"5"}
    fill(bucket, around | {"p/gone": b"6"})
    write(tree, {"a": b"7"})
    did = run(tree, Objects(bucket, "p/", Filters()), delete=True)
    assert (set(did.copied), did.deleted) == ({"a"}, {"gone"})
    assert contents(bucket) == around | {"p/a": b"7"}


@pytest.mark.parametrize(("one", "other"), [("", "p/"), ("p/", ""), ("p/", "p/q/"), ("p/", "p/")])
def test_a_place_inside_the_other_is_refused(bucket: mstbucket.Bucket, run: Run, one: str, other: str) -> None:
    """[SYNC-1]"""
    fill(bucket, {"p/q/a": b"1"})
    with pytest.raises(InvalidInput, match="lies inside"):
        run(Objects(bucket, one, Filters()), Objects(bucket, other, Filters()), delete=True)
    assert run(Objects(bucket, "p/", Filters()), Objects(bucket, "r/", Filters())).copied == {"q/a": "new"}


def test_a_source_that_is_not_there_deletes_nothing(
    bucket: mstbucket.Bucket, tree: Path, run: Run, write: Write, contents: Contents
) -> None:
    """[SYNC-1]"""
    write(tree, TREE)
    run(tree, bucket)
    with pytest.raises(NoSuchKey, match="nothing under 'typo/'"):
        run(Objects(bucket, "typo/", Filters()), tree, delete=True)
    with pytest.raises(FileNotFoundError):
        run(tree / "typo", bucket, delete=True)
    assert contents(tree) == contents(bucket) == TREE
    with pytest.raises(Unsupported, match="neither side is in a bucket"):
        run(tree, tree.parent / "other")
    for workers in (0, 33):
        with pytest.raises(InvalidInput, match="workers are too few or too many"):
            run(tree, bucket, workers=workers)


def test_an_empty_directory_is_a_source(bucket: mstbucket.Bucket, tree: Path, run: Run, contents: Contents) -> None:
    """[SYNC-1], [SYNC-10] more than one page of deletions"""
    fill(bucket, {f"{number:04}": b"" for number in range(2_100)})
    did = run(tree, bucket, delete=True)
    assert (len(did.deleted), did.summary.deleted, contents(bucket)) == (2_100, 2_100, {})


def test_deleting_files_takes_the_directories_they_leave_empty(
    bucket: mstbucket.Bucket, tree: Path, run: Run, write: Write, contents: Contents
) -> None:
    """[SYNC-10], [SYNC-15] links and other people's empty directories stay."""
    write(tree, {"a/b/c": b"1", "a/d": b"2", "x/y": b"3"})
    write(tree.parent, {"outside/z": b"4"})
    (tree / "x" / "empty").mkdir()
    (tree / "link").symlink_to(tree.parent / "outside")
    fill(bucket, {"a/d": b"2"})
    assert run(bucket, tree, delete=True).deleted == {"a/b/c", "x/y"}
    assert sorted(str(path.relative_to(tree)) for path in tree.rglob("*")) == ["a", "a/d", "link", "x", "x/empty"]
    assert contents(tree.parent / "outside") == {"z": b"4"}


def test_a_link_in_the_target_is_replaced_and_never_followed(
    bucket: mstbucket.Bucket, tree: Path, run: Run, write: Write, contents: Contents
) -> None:
    """[SYNC-15]"""
    write(tree.parent, {"outside/f": b"precious", "outside/g": b"too"})
    (tree / "f").symlink_to(tree.parent / "outside" / "f")
    (tree / "d").symlink_to(tree.parent / "outside")
    fill(bucket, {"f": b"new", "d/g": b"new"})
    did = run(bucket, tree, delete=True)
    assert (set(did.copied), set(did.failed)) == ({"f"}, {"d/g"})
    assert (tree / "f").read_bytes() == b"new"
    assert contents(tree.parent / "outside") == {"f": b"precious", "g": b"too"}


def test_links_in_the_source_are_followed_unless_told_otherwise(
    bucket: mstbucket.Bucket, tree: Path, run: Run, write: Write
) -> None:
    """[SYNC-15], [CLI-18]"""
    write(tree, {"d/x": b"1"})
    (tree / "link").symlink_to("d")
    assert set(run(tree, bucket).copied) == {"d/x", "link/x"}
    assert run(tree, bucket, follow=False, delete=True).deleted == {"link/x"}


def test_a_file_and_a_directory_of_one_name_change_places(
    bucket: mstbucket.Bucket, tree: Path, run: Run, write: Write
) -> None:
    """[CLI-13] whatever forms the names take, the keys are the bucket's."""
    write(tree, {"a/b": b"1", "c": b"2"})
    fill(bucket, {"a": b"3", "c/d": b"4"})
    run(bucket, tree, delete=True)
    assert keys_and_bodies(tree) == {"a": b"3", "c/d": b"4"}
    fill(bucket, {"a": b"33"})
    assert run(bucket, tree, delete=True).copied == {"a": "size"}
    assert keys_and_bodies(tree) == {"a": b"33", "c/d": b"4"}
    assert run(bucket, tree, delete=True).summary.same == 2


def test_in_a_bucket_with_versions_a_sync_loses_none(
    store: mstbucket.Store, bucket: mstbucket.Bucket, tree: Path, run: Run, write: Write, contents: Contents
) -> None:
    """[SYNC-10] what is deleted gets a marker, and a marker is no object."""
    bucket.put_bucket_versioning("Enabled")
    write(tree, {"a": b"1", "b": b"2"})
    run(tree, bucket)
    write(tree, {"a": b"333", "b": None})
    did = run(tree, bucket, delete=True)
    assert (did.copied, did.deleted) == ({"a": "size"}, {"b"})
    assert contents(bucket) == {"a": b"333"}
    found = bucket.list_object_versions().versions
    assert [(version.key, version.delete_marker) for version in found] == [
        ("a", False), ("a", False), ("b", True), ("b", False)
    ]  # fmt: skip
    assert run(tree, bucket, delete=True).summary.same == 1
    other = store.create_bucket("other")
    assert set(run(bucket, other).copied) == {"a"}
