"""Keys as the paths of a whole folder: those that copying all of them out gives ([FILES-7], [FILES-8])."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.files.paths import NAME_MAX, unescape
from mstbucket.files.tree import Tree
from mstbucket.files.view_paths import ViewPaths

HARD = st.lists(
    st.sampled_from(["/", "/", "a", "a", "b", ".", "..", "%=", "%+a", "%~", "!", "é", "A" * 260, "é" * 125 + "%"]),
    min_size=1,
    max_size=7,
).map("".join)


def paths_of(keys: set[str]) -> dict[str, tuple[str, ...]]:
    view = ViewPaths()
    return {key: view.path(key) for key in sorted(keys)}


@pytest.mark.parametrize(
    ("keys", "paths"),
    [
        (["a/b.txt", "写真"], ["a/b.txt", "写真"]),
        (["a", "a/b"], ["a", "%+a/b"]),
        (["a", "a!", "a!/x", "a/b", "a/b/c"], ["a", "a!", "%+a%21/x", "%+a/b", "%+a/%+b/c"]),
        (["a", "a/"], ["a", "%+a/%="]),
        (["/a", "a//b"], ["%=/a", "a/%=/b"]),
        (["..", "./x"], ["%=%2E%2E", "%=%2E/x"]),
    ],
)
def test_the_paths_of_the_specification(keys: list[str], paths: list[str]) -> None:
    """[FILES-7] [FILES-8]"""
    assert {key: "/".join(path) for key, path in paths_of(set(keys)).items()} == dict(zip(keys, paths, strict=True))


@settings(deadline=None, max_examples=150)
@given(st.sets(HARD.filter(lambda key: len(key.encode()) <= 1024), max_size=12))
def test_copying_out_gives_the_same_paths_and_each_gives_its_key(keys: set[str]) -> None:
    """[FILES-7] [FILES-8] [CLI-13] Into a directory of this system, if it keeps all names apart."""
    found = paths_of(keys)
    for key, path in found.items():
        assert unescape(path) == key
        assert all(0 < len(name.encode()) <= NAME_MAX and name not in (".", "..") and "/" not in name for name in path)
    assert len(set(found.values())) == len(keys)
    folders = {path[:end] for path in found.values() for end in range(1, len(path))}
    assert not folders & set(found.values())
    with tempfile.TemporaryDirectory() as place, Tree(os.path.join(place, "out")) as tree:
        if tree.folds:
            return
        for key in sorted(keys):
            assert tree.write(key, [b""]) == os.path.join(tree.root, *found[key])
