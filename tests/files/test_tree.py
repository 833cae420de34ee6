"""Writing below a directory: nothing outside it, every key its file, complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.errors import StorageError
from mstbucket.files.paths import unescape
from mstbucket.files.tree import Tree, write_named
from mstbucket.files.walk import Found, walk

KEYS = st.text(st.sampled_from(["/", ".", "%", "=", "+", "a", "A", "é", "\n", "\\"]), min_size=1, max_size=8) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40
)


def read_back(root: Path) -> dict[str, bytes]:
    """The keys and bodies that copying in would find."""
    found = {}
    for item in walk(str(root), follow=True):
        assert isinstance(item, Found)
        found[item.key] = Path(os.fsdecode(item.path)).read_bytes()
    return found


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """A directory to copy into, with a neighbour that has to stay as it is."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_bytes(b"as it was")
    return tmp_path / "inside"


def assert_outside_untouched(inside: Path) -> None:
    assert sorted(os.listdir(inside.parent)) == ["inside", "outside"]
    assert os.listdir(inside.parent / "outside") == ["precious"]
    assert (inside.parent / "outside" / "precious").read_bytes() == b"as it was"


@settings(deadline=None, max_examples=60)
@given(st.lists(KEYS, min_size=1, max_size=12, unique=True), st.booleans())
def test_any_keys_go_out_and_come_back(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str], in_order: bool
) -> None:
    """[CLI-10] [CLI-13] [CLI-14] [CLI-15] also keys that are folders of each other, in any order."""
    root = tmp_path_factory.mktemp("tree") / "inside"
    bodies = {key: key.encode() for key in (sorted(keys, key=str.encode) if in_order else keys)}
    with Tree(str(root)) as tree:
        for key, body in bodies.items():
            path = tree.write(key, [body])
            assert Path(path).read_bytes() == body
            assert unescape(os.path.relpath(path, root).split("/")) == key
    assert read_back(root) == bodies
    assert os.listdir(root.parent) == ["inside"]


def test_a_key_that_is_the_folder_of_others(inside: Path) -> None:
    """[CLI-13] whichever comes second takes the other form, and a second run finds the same places."""
    for _ in range(2):
        with Tree(str(inside)) as tree:
            paths = [tree.write(key, [b"1"]) for key in ("a", "a/b", "c/d", "c")]
        assert [os.path.relpath(path, inside) for path in paths] == ["a", "%+a/b", "c/d", "%+c"]
    assert sorted(read_back(inside)) == ["a", "a/b", "c", "c/d"]


def test_a_key_of_many_folders_and_keys_of_many_letters(inside: Path) -> None:
    """[CLI-10] [CLI-12]"""
    keys = ["/" * 400 + "a", "é" * 512, "%" * 1024, "." * 1024]
    with Tree(str(inside)) as tree:
        for key in keys:
            tree.write(key, [key.encode()])
    assert read_back(inside) == {key: key.encode() for key in keys}


def test_a_link_in_the_way_of_a_directory_is_not_followed(inside: Path) -> None:
    """[CLI-15] not even one that leads back inside; other keys are not concerned."""
    inside.mkdir()
    (inside / "out").symlink_to("../outside")
    (inside / "self").symlink_to(".")
    with Tree(str(inside)) as tree:
        for key in ("out/precious", "self/x", "out/deep/x"):
            with pytest.raises(OSError, match="symbolic link is in the way"):
                tree.write(key, [b"evil"])
        tree.write("fine", [b"good"])
    assert_outside_untouched(inside)
    assert (inside / "fine").read_bytes() == b"good"


def test_a_link_in_the_place_of_a_file_is_replaced_itself(inside: Path) -> None:
    """[CLI-15]"""
    inside.mkdir()
    (inside / "x").symlink_to("../outside/precious")
    with Tree(str(inside)) as tree:
        tree.write("x", [b"new"])
    assert_outside_untouched(inside)
    assert not (inside / "x").is_symlink()
    assert (inside / "x").read_bytes() == b"new"


def test_a_directory_that_becomes_a_link_during_the_copy(inside: Path) -> None:
    """[CLI-15] the body of a file swaps its own directory: what is open stays what it was, what is not is refused."""

    def body() -> Iterator[bytes]:
        yield b"evil"
        (inside / "d").rename(inside / "moved")
        (inside / "d").symlink_to("../outside")

    with Tree(str(inside)) as tree:
        tree.write("d/precious", body())
        assert (inside / "moved" / "precious").read_bytes() == b"evil"
        tree.write("elsewhere", [b""])
        with pytest.raises(OSError, match="symbolic link is in the way"):
            tree.write("d/precious", [b"evil"])
    assert_outside_untouched(inside)


class Broken(Exception):
    pass


def broken() -> Iterable[bytes]:
    yield b"half"
    raise Broken


def test_a_body_that_fails_half_way_leaves_what_was_there(inside: Path) -> None:
    """[CLI-16] and no temporary file."""
    with Tree(str(inside)) as tree:
        tree.write("a", [b"old"])
        for key in ("a", "b"):
            with pytest.raises(Broken):
                tree.write(key, broken())
    assert {name: (inside / name).read_bytes() for name in os.listdir(inside)} == {"a": b"old"}


def test_nothing_is_seen_under_the_name_before_it_is_complete(inside: Path) -> None:
    """[CLI-16]"""

    def body() -> Iterator[bytes]:
        yield b"first "
        assert not (inside / "a").exists()
        yield b"second"

    with Tree(str(inside)) as tree:
        tree.write("a", body())
    assert (inside / "a").read_bytes() == b"first second"


def test_a_target_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        Tree(str(tmp_path / "file"))


def test_descriptors_are_let_go(inside: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with Tree(str(inside)) as tree:
        for key in ("a/b/c/d", "a/b/x", "a", "é/" * 40 + "x", "%=/" * 40 + "x"):
            tree.write(key, [b""])
        with pytest.raises(Broken):
            tree.write("y/z", broken())
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_full_disk_ends_the_whole_copy(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-5] the next file would fare no better, so this is not an error of the one file."""

    def full() -> Iterator[bytes]:
        with open("/dev/full", "wb", buffering=0) as file:
            file.write(b"x")
        yield b""

    with Tree(str(inside)) as tree, pytest.raises(StorageError, match="No space left on device"):
        tree.write("a", full())


def test_names_that_a_file_system_takes_for_one_another(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-13] as on macOS, where `a` is there once `A` is. Played here: both names exist, only `A` and `D` are listed."""
    inside.mkdir()
    (inside / "a").write_bytes(b"of A")
    (inside / "d").mkdir()
    monkeypatch.setattr("mstbucket.files.tree._folds_case", lambda _directory: True)
    monkeypatch.setattr("mstbucket.files.tree._has_exactly", lambda _directory, name: name not in (b"a", b"d"))
    with Tree(str(inside)) as tree:
        paths = [tree.write(key, [b"new"]) for key in ("a", "d/x", "b")]
    assert [os.path.relpath(path, inside) for path in paths] == ["%+a", "%+d/x", "b"]
    assert (inside / "a").read_bytes() == b"of A"
    assert os.listdir(inside / "d") == []


# --- files that the user names ---


def test_a_named_file_replaces_what_its_link_points_at(inside: Path) -> None:
    """[CLI-16] it is the user who named it, so it means what a shell's `>` would mean."""
    inside.mkdir()
    (inside / "link").symlink_to("real")
    (inside / "real").write_bytes(b"old")
    with pytest.raises(Broken):
        write_named(str(inside / "link"), broken())
    assert (inside / "real").read_bytes() == b"old"
    write_named(str(inside / "link"), [b"new"])
    assert (inside / "link").is_symlink()
    assert (inside / "real").read_bytes() == b"new"
    write_named(str(inside / "new" / "folder" / "x"), [b"x"])
    assert (inside / "new" / "folder" / "x").read_bytes() == b"x"


def test_a_named_device_is_written_to_and_never_replaced() -> None:
    """[CLI-16] as root, replacing /dev/null would be a disaster."""
    before = os.stat("/dev/null").st_ino
    write_named("/dev/null", [b"x"])
    assert os.stat("/dev/null").st_ino == before
    with pytest.raises(OSError, match="No space left on device"):
        write_named("/dev/full", [b"x"])
