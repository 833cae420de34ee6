"""The file system beside fsspec's own in memory: the same calls have the same answers."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

import mstbucket
from mstbucket.fsspec import MstBucketFileSystem

NAMES = ("a", "b", "ab", "c.x", "é")


def no_file_is_a_folder(paths: set[str]) -> bool:
    """A memory cannot hold `a` and `a/b`, which a bucket can."""
    return not any(other.startswith(f"{path}/") for path in paths for other in paths)


paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)
trees = st.sets(paths, min_size=1, max_size=8).filter(no_file_is_a_folder)


class Pair:
    """Both file systems with the same files in a fresh bucket; of the memory it is a folder."""

    def __init__(self, store: mstbucket.Store, tree: set[str]) -> None:
        self.root = f"b{secrets.token_hex(8)}"
        self.ours = MstBucketFileSystem(store, skip_instance_cache=True)
        self.model = MemoryFileSystem(global_store=False, skip_instance_cache=True)
        self.ours.mkdir(self.root)
        self.model.mkdir(self.root)
        for path in sorted(tree):
            self.both(lambda fs, path=path: fs.pipe_file(f"{self.root}/{path}", path.encode()))

    def both(self, ask: Callable[[Any], Any]) -> None:
        """Do the same with both, and compare what they answer, or that they refuse."""
        assert answer(ask, self.ours) == answer(ask, self.model)

    def compare(self) -> None:
        """All files have the same names and bytes."""
        self.both(lambda fs: {path: fs.cat_file(path) for path in fs.find(self.root)})


def answer(ask: Callable[[Any], Any], fs: Any) -> Any:
    try:
        return plain(ask(fs))
    except OSError as error:
        return type(error)


def plain(value: Any) -> Any:
    """An answer without what one of the two does not say: slashes in front, times, CIDs, the order of listings."""
    if isinstance(value, str):
        return value.lstrip("/")
    if isinstance(value, dict) and "type" in value:
        return (plain(value["name"]), value["size"], value["type"])
    if isinstance(value, dict):
        return sorted((plain(key), plain(item)) for key, item in value.items())
    if isinstance(value, list):
        return sorted(plain(item) for item in value)
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    return value


several = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
PATTERNS = ("*", "**", "a*", "*/*", "a/**", "**/b", "*.x", "[ab]", "a/?", "**/*.x", "a", "none*")


@given(tree=trees, depth=st.sampled_from([None, 1, 2, 3]))
@several
def test_listings_and_patterns_are_those_of_a_memory(store: mstbucket.Store, tree: set[str], depth: int | None) -> None:
    pair = Pair(store, tree)
    folders = {path.rpartition("/")[0] for path in tree} - {""}
    for path in [pair.root, *(f"{pair.root}/{name}" for name in sorted(tree | folders)), f"{pair.root}/none"]:
        pair.both(lambda fs, path=path: fs.ls(path))
        pair.both(lambda fs, path=path: fs.info(path))
        pair.both(lambda fs, path=path: (fs.exists(path), fs.isfile(path), fs.isdir(path)))
        pair.both(lambda fs, path=path: fs.find(path, maxdepth=depth, detail=True))
        pair.both(lambda fs, path=path: fs.find(path, maxdepth=depth, withdirs=True))
        pair.both(lambda fs, path=path: [(at, sorted(d), sorted(f)) for at, d, f in fs.walk(path, maxdepth=depth)])
        pair.both(lambda fs, path=path: fs.du(path))
    for pattern in PATTERNS:
        pair.both(lambda fs, pattern=pattern: fs.glob(f"{pair.root}/{pattern}"))
        pair.both(lambda fs, pattern=pattern: fs.glob(f"{pair.root}/{pattern}", maxdepth=2 if "**" in pattern else None))


#: A verb, which of the files and folders that there are, a target, and whether it is recursive.
steps = st.tuples(st.sampled_from(["cp", "mv", "rm", "pipe"]), st.integers(0, 99), paths, st.booleans())


def files_of(model: Any, root: str) -> set[str]:
    return {path.lstrip("/").partition("/")[2] for path in model.find(root)}


def is_possible(model: Any, root: str, step: tuple[str, str, str, bool]) -> bool:
    """Whether the step has one meaning: not into itself, and no file where the memory has, or would get, a folder."""
    verb, source, target, recursive = step
    files = files_of(model, root)
    inside = {path for path in files if path == source or path.startswith(f"{source}/")}
    if verb == "pipe":
        return no_file_is_a_folder(files | {target})
    if not inside or (source not in files and not recursive):
        return False
    if verb == "rm":
        return True
    if f"{target}/".startswith(f"{source}/") or f"{source}/".startswith(f"{target}/"):
        return False
    name = source.rpartition("/")[2]
    onto = f"{target}/{name}" if model.isdir(f"{root}/{target}") else target
    made = {onto + path.removeprefix(source) for path in inside}
    return not (made & inside) and no_file_is_a_folder(files | made)


@given(tree=trees, script=st.lists(steps, max_size=8))
@several
def test_copies_moves_and_removals_are_those_of_a_memory(
    store: mstbucket.Store, tree: set[str], script: list[tuple[str, int, str, bool]]
) -> None:
    pair = Pair(store, tree)
    for verb, which, to, recursive in script:
        files = files_of(pair.model, pair.root)
        there = sorted(files | {path.rpartition("/")[0] for path in files}) or ["none"]
        source = there[which % len(there)]
        if not is_possible(pair.model, pair.root, (verb, source, to, recursive)):
            continue
        event(verb)
        source, target = f"{pair.root}/{source}", f"{pair.root}/{to}"
        if verb == "pipe":
            pair.both(lambda fs, target=target: fs.pipe_file(target, b"new"))
        elif verb == "rm":
            pair.both(lambda fs, source=source, r=recursive: fs.rm(source, recursive=r))
        else:
            pair.both(lambda fs, v=verb, s=source, t=target, r=recursive: getattr(fs, v)(s, t, recursive=r))
        # What a memory keeps as an empty folder is none here.
        pair.model.pseudo_dirs[:] = ["", f"/{pair.root}"]
        pair.compare()


def test_a_step_that_cannot_be_judged_is_left_out() -> None:
    model = MemoryFileSystem(global_store=False, skip_instance_cache=True)
    model.pipe_file("r/a/b", b"")
    assert is_possible(model, "r", ("mv", "a", "c", True))
    assert not is_possible(model, "r", ("mv", "a", "a/b/c", True))
    assert not is_possible(model, "r", ("pipe", "", "a", False))


@pytest.mark.parametrize("path", ["", "/", "mstbucket://"])
def test_the_root_holds_the_buckets(store: mstbucket.Store, path: str) -> None:
    fs = MstBucketFileSystem(store, skip_instance_cache=True)
    for name in ("one", "two"):
        fs.mkdir(f"mstbucket://{name}")
    fs.pipe_file("one/a/b", b"x")
    assert fs.ls(path, detail=False) == ["one", "two"]
    assert fs.find(path) == ["one/a/b"]
    assert fs.find(path, maxdepth=2, withdirs=True) == ["one", "one/a", "two"]
    assert fs.find(path, maxdepth=1, withdirs=True) == ["one", "two"]
    assert fs.glob("*") == ["one", "two"]
    assert fs.glob("*/a/*") == ["one/a/b"]
    assert fs.info(path)["type"] == "directory"
    assert [at for at, _, _ in fs.walk(path)] == ["", "one", "one/a", "two"]
