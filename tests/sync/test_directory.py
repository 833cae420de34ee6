"""A directory as a side: key order for any names, in bounded memory, and what is not listed is said."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.errors import InvalidInput, StorageError
from mstbucket.files.tree import Tree
from mstbucket.spill import sort_rows as order
from mstbucket.sync.directory import Directory
from mstbucket.sync.entry import Entry
from mstbucket.sync.filters import Filters

KEYS = st.text(st.sampled_from(["/", ".", "%", "=", "a", "0", "é", "\U0001f600"]), min_size=1, max_size=6)


def listing(root: Path, told: list[tuple[str, bool]] | None = None, *rules: tuple[bool, str]) -> list[Entry]:
    said = [] if told is None else told
    return list(Directory(str(root), Filters(rules), lambda *words: said.append(words), follow=True).entries())


@settings(max_examples=60)
@given(st.sets(KEYS, max_size=20), st.integers(1, 30))
def test_the_files_that_any_keys_become_come_in_key_order(keys: set[str], run: int) -> None:
    """[SYNC-2] also where memory holds fewer files than there are."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "RUN", run)
        with Tree(name) as tree:
            for key in keys:
                tree.write(key, [key.encode()])
        assert [entry.key for entry in listing(Path(name))] == sorted(keys, key=str.encode)


def test_the_order_is_not_that_of_the_directories(tree: Path, write: Callable[..., None]) -> None:
    """[SYNC-2]"""
    write(tree, {"a.txt": b"", "a/b": b"", "a0": b"", "a/b.c/d": b"", "a/b-": b""})
    assert [entry.key for entry in listing(tree)] == ["a.txt", "a/b", "a/b-", "a/b.c/d", "a0"]


def test_size_and_times_are_the_files(tree: Path, write: Callable[..., None]) -> None:
    write(tree, {"a": b"12345"})
    (entry,) = listing(tree)
    state = (tree / "a").stat()
    assert (entry.size, entry.modified, entry.touched) == (5, 10**12, state.st_ctime_ns // 10**6)


def test_two_files_for_one_key_are_two_entries(tree: Path, write: Callable[..., None]) -> None:
    """[SYNC-16] the plan makes a failure of them."""
    write(tree, {"%+a/x": b"1", "a/x": b"2"})
    assert [(entry.key, entry.path) for entry in listing(tree)] == [
        ("a/x", os.fsencode(tree / "%+a/x")),
        ("a/x", os.fsencode(tree / "a/x")),
    ]


def test_what_a_killed_copy_left_is_no_file(tree: Path, write: Callable[..., None]) -> None:
    """[CLI-16] the name that it has is that of no key; what only looks like it is a file like any."""
    like = ["d/.mstbucket-0123456789abcdef.partial", "d/%=.mstbucket-0123456789abcdef.partial", "d/%~.mstbucket-0.partial"]
    write(tree, {"d/%~.mstbucket-0123456789abcdef.partial": b"half", "%~.mstbucket-0123456789abcdef.partial/x": b""})
    write(tree, dict.fromkeys(like, b"whole"))
    told: list[tuple[str, bool]] = []
    assert [entry.key for entry in listing(tree, told)] == sorted(like)
    assert [(text.rpartition(": ")[2], failed) for text, failed in told] == [
        ("half a file that a copy is writing, or left behind when it was killed; skipped", False)
    ] * 2


@pytest.mark.parametrize(
    ("rules", "concerned"),
    [((), True), (((False, "*.txt"),), True), (((False, "gone"),), False), (((False, "*"), (True, "go*")), True)],
    ids=["nothing is left out", "others are", "it is", "it is not after all"],
)
def test_what_cannot_be_listed_counts_where_the_sync_is_about_it(
    tree: Path, rules: tuple[tuple[bool, str], ...], concerned: bool
) -> None:
    """[SYNC-10]"""
    (tree / "gone").symlink_to("nowhere")
    side = Directory(str(tree), Filters(rules), lambda *_: None, follow=True)
    assert list(side.entries()) == []
    assert side.incomplete is concerned


def test_a_directory_that_cannot_be_read_may_hold_what_is_included(tree: Path, write: Callable[..., None]) -> None:
    """[SYNC-10]"""
    write(tree, {"a/x.txt": b"", "b/x.txt": b""})
    for rules, incomplete in ((((False, "*"), (True, "*.txt")), True), (((False, "b/*"),), False)):
        side = Directory(str(tree), Filters(rules), lambda *_: None, follow=True)
        rows = side._rows()
        next(rows)
        shutil.move(tree / "b", tree.parent / "b")  # the walk has seen it, and is not in it yet
        assert list(rows) == []
        assert side.incomplete is incomplete
        shutil.move(tree.parent / "b", tree / "b")


def test_a_name_that_is_not_utf8_is_refused(tree: Path) -> None:
    """[CLI-17]"""
    Path(os.fsdecode(os.fsencode(tree) + b"/\xff")).touch()
    told: list[tuple[str, bool]] = []
    assert listing(tree, told) == []
    assert [failed for _, failed in told] == [True]
    assert listing(tree, told, (False, "*")) == []
    assert len(told) == 1


def test_what_is_no_directory_is_no_source(tree: Path, write: Callable[..., None]) -> None:
    """[SYNC-1]"""
    write(tree, {"file": b""})
    with pytest.raises(FileNotFoundError, match="no such directory"):
        Directory(str(tree / "nowhere"), Filters(), lambda *_: None, follow=True).require()
    with pytest.raises(InvalidInput, match="no directory: copy a file with cp"):
        Directory(str(tree / "file"), Filters(), lambda *_: None, follow=True).require()
    assert listing(tree / "nowhere") == []


def test_a_full_temporary_directory_is_a_storage_error(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        (tree / str(number)).touch()
    monkeypatch.setattr(order, "RUN", 2)
    monkeypatch.setattr(tempfile, "tempdir", str(tree / "nowhere"))
    with pytest.raises(StorageError, match="set TMPDIR"):
        listing(tree)
