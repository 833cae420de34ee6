"""All pairs of awkward names, through every way in and out: what goes in comes out, or is said to stay behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.files.paths import is_temporary, unescape
from mstbucket.sync.directory import Directory
from mstbucket.sync.engine import Event, Summary
from mstbucket.sync.filters import Everything, Filters
from mstbucket.sync.mover import Failed
from mstbucket.sync.objects import Objects
from mstbucket.sync.run import Options, copy, sync

OURS = ".mstbucket-0123456789abcdef.partial"
NAMES = [
    "readme", "%+readme", "%=readme", "%~readme", "%=%72eadme", "%+%52eadme", "README", "a", "A", "%+a", "%+%41", "é",
    "e\u0301", "%+%C3%A9", OURS, f"%={OURS}", f"%~{OURS}", f"%+{OURS}", "%", "%41", "\\", "-", "~", "line\nbreak", "x" * 249,
    "x" * 255, "%=%2E", "%=%2E%2E", "%=", "%+", "%~", ".name.0123456789ab.partial",
]  # fmt: skip
# Keys that are no names, and pairs of which one is in the other's way.
KEYS = [*NAMES, ".", "..", "", "/", "a/", "a/b", "a//b", "./x", "../x", "x" * 256, "é" * 300, "x" * 240 + OURS]

Ways = Callable[[Any, Any], dict[str, str]]


def failures(events: list[Event]) -> dict[str, str]:
    return {event.step.source.key: str(event.error) for event in events if isinstance(event, Failed)}


def run_copy(source: Directory | Objects, target: Directory | Objects) -> tuple[Summary, dict[str, str]]:
    events: list[Event] = []
    return copy(source, target, events.append), failures(events)


def run_sync(source: Directory | Objects, target: Directory | Objects) -> tuple[Summary, dict[str, str]]:
    events: list[Event] = []
    summary = sync(source, target, Options(delete=True, workers=3), events.append, lambda _: None)
    found = failures(events)
    again = sync(source, target, Options(delete=True), lambda _: None, lambda _: None)
    assert (again.copied, again.deleted, again.failed) == (0, 0, summary.failed)
    return summary, found


WAYS = {"cp": (run_copy, Everything()), "sync": (run_sync, Filters())}
each_way = pytest.mark.parametrize(("way", "wanted"), WAYS.values(), ids=WAYS)


def pairs(names: list[str]) -> Iterator[tuple[str, str]]:
    """Every pair in a folder of its own: the whole names, below one root."""
    for number, (one, other) in enumerate(combinations(names, 2)):
        yield f"{number}/{one}", f"{number}/{other}"


@each_way
def test_all_pairs_of_keys_go_out_and_come_back(
    store: mstbucket.Store, bucket: mstbucket.Bucket, tmp_path: Path, contents: Any, way: Any, wanted: Any
) -> None:
    """[CLI-10] [CLI-16]"""
    bodies = {key: key.encode() for pair in pairs(KEYS) for key in pair}
    bucket.put_objects(mstbucket.PutRequest(key, body) for key, body in bodies.items())
    tree = tmp_path / "tree"
    told: list[tuple[str, bool]] = []
    summary, failed = way(Objects(bucket, "", wanted), directory(tree, wanted, told))
    assert (summary.copied, failed, told) == (len(bodies), {}, [])
    assert all(path.is_dir() or path.read_bytes() in bodies.values() for path in tree.rglob("*"))
    back = store.create_bucket("back")
    summary, failed = way(directory(tree, wanted, told), Objects(back, "", wanted))
    assert (summary.copied, failed, told) == (len(bodies), {}, [])
    assert contents(back) == bodies


@each_way
def test_all_pairs_of_files_come_in_unless_they_are_one_key(
    store: mstbucket.Store, bucket: mstbucket.Bucket, tree: Path, contents: Any, way: Any, wanted: Any
) -> None:
    """[SYNC-16] [CLI-14] [CLI-16]: neither of two for one key, whatever was there under it; and all the others."""
    expected: dict[str, bytes] = {}
    refused = set()
    for pair in pairs([*NAMES, "d/x", "%+d/x", "%+d/y", "d"]):
        found = {}
        for name in pair:
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.is_dir():
                path.write_bytes(name.encode())
                found[name] = unescape(name.split("/"))
        if len(set(found.values())) < len(found):
            refused |= set(found.values())
        else:
            half = {name for name in found if is_temporary(os.path.basename(name).encode())}
            expected |= {key: name.encode() for name, key in found.items() if name not in half}
    for key in refused:
        expected[key] = b"as it was"
        bucket.put_object(key, b"as it was")
    told: list[tuple[str, bool]] = []
    summary, failed = way(directory(tree, wanted, told), Objects(bucket, "", wanted))
    assert len(refused) >= 6
    assert set(failed) == refused
    assert all("these files stand for one key" in reason for reason in failed.values())
    assert summary.failed == len(refused)
    assert contents(bucket) == expected
    assert {failed for _, failed in told} == {False}
    there = store.create_bucket("there")
    way(Objects(bucket, "", wanted), Objects(there, "", wanted))
    assert contents(there) == expected


def directory(root: Path, wanted: Any, told: list[tuple[str, bool]]) -> Directory:
    return Directory(str(root), wanted, lambda text, failed: told.append((text, failed)), follow=False)


def test_two_files_of_a_target_for_one_key_are_left_alone(
    bucket: mstbucket.Bucket, tree: Path, run: Any, write: Any, contents: Any
) -> None:
    """[SYNC-16] and go, both, where the source has no such key and --delete is given."""
    write(tree, {"a": b"1", "%+a": b"2", "b": b"3", "%+b": b"4"})
    bucket.put_object("a", b"5")
    did = run(bucket, tree)
    assert (list(did.failed), did.copied) == (["a"], {})
    assert contents(tree) == {"a": b"1", "%+a": b"2", "b": b"3", "%+b": b"4"}
    did = run(bucket, tree, delete=True)
    assert (list(did.failed), did.deleted) == (["a"], {"b"})
    assert contents(tree) == {"a": b"1", "%+a": b"2"}


def test_an_object_with_a_name_like_ours_is_nobodys_rest(
    bucket: mstbucket.Bucket, tree: Path, run: Any, contents: Any
) -> None:
    """[CLI-16] copied once, deleted only by those who delete it."""
    bodies = {OURS: b"1", f"d/{OURS}": b"2", f"%~{OURS}": b"3"}
    for key, body in bodies.items():
        bucket.put_object(key, body)
    assert set(run(bucket, tree).copied) == set(bodies)
    assert run(bucket, tree, delete=True).summary.same == 3
    assert run(tree, bucket, delete=True).deleted == set()
    assert contents(bucket) == bodies
    bucket.delete_object(OURS)
    assert run(bucket, tree, delete=True).deleted == {OURS}


def test_a_file_of_any_name_can_be_exported_to(store: mstbucket.Store, bucket: mstbucket.Bucket, tree: Path) -> None:
    """[CLI-16] [CLI-22]: of any length too, and it is imported from there."""
    bucket.put_object("k", b"1")
    bucket.flush()
    for number, name in enumerate(name for name in NAMES if not is_temporary(name.encode())):
        bucket.export_car(tree / name)
        back = store.import_car(tree / name, f"back-{number}")
        assert back.get_object("k").read() == b"1"
    assert len(os.listdir(tree)) == number + 1
