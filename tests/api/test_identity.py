"""Which store this is: the database and the place of its blobs say the same, or nothing is opened, and nothing is made."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

import mstbucket
from mstbucket import errors
from mstbucket.blobs.identity import new_identity, put_identity, read_identity
from mstbucket.blobs.media.copy import copy_blobs, remove_extra
from mstbucket.blobs.media.local import LocalBlobs
from mstbucket.blobs.media.memory import MemoryBlobs
from mstbucket.blobs.names import STORE, pack_name
from mstbucket.packs.frames.data_keys import find_key, key_wrapper


def opened(database: str, blobs: object, **settings: object) -> mstbucket.Store:
    return mstbucket.open(database=database, blobs=blobs, background=False, **settings)  # type: ignore[arg-type]


def content(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.fixture
def made(database_url: str, tmp_path: Path) -> str:
    """A store with an object, whose blobs are at `right`; its identity."""
    with opened(database_url, tmp_path / "right") as store:
        store.create_bucket("things").put_object("k", bytes(100_000))
        store.bucket("things").flush()
        return store.identity


def test_the_identity_is_drawn_once_and_stays(database_url: str, tmp_path: Path, made: str) -> None:
    """[STO-18]"""
    assert len(bytes.fromhex(made)) == 16
    assert read_identity(LocalBlobs(tmp_path / "right")) == made
    with opened(database_url, LocalBlobs(tmp_path / "right")) as store:
        assert store.identity == made


@pytest.mark.parametrize("wrong", ["rigth", "a/b/c", "empty", "file:///{}/rigth"])
def test_a_mistyped_place_makes_nothing(database_url: str, tmp_path: Path, made: str, wrong: str) -> None:
    """[STO-20]: the message says whose blobs they are not, where, and where they were."""
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    place = wrong.format(tmp_path) if "//" in wrong else tmp_path / wrong
    with pytest.raises(errors.WrongPlace) as caught:
        opened(database_url, place)
    assert made in str(caught.value)
    assert "mstbucket_test" in str(caught.value)
    assert str(place) in str(caught.value)
    assert str(tmp_path / "right") in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before
    with opened(database_url, tmp_path / "right") as store:
        assert store.bucket("things").get_object("k").read() == bytes(100_000)


def test_the_place_of_another_store_is_refused_both_ways(
    database_url: str, second_database_url: str, tmp_path: Path, made: str
) -> None:
    """[STO-18]: both identities are named, and neither place changes."""
    with opened(second_database_url, tmp_path / "other") as store:
        other = store.identity
    before = content(tmp_path)
    for database, place in ((database_url, "other"), (second_database_url, "right")):
        with pytest.raises(errors.WrongPlace) as caught:
            opened(database, tmp_path / place)
        assert made in str(caught.value)
        assert other in str(caught.value)
    assert content(tmp_path) == before


def test_a_place_without_its_database_is_not_taken_for_a_new_one(
    second_database_url: str, empty_database_url: str, tmp_path: Path, made: str
) -> None:
    """[STO-21]: also where the blob that says whose it is has gone."""
    before = content(tmp_path)
    for database in (second_database_url, empty_database_url):
        with pytest.raises(errors.WrongPlace, match=rf"store {made}.*mstbucket rebuild"):
            opened(database, tmp_path / "right")
    assert content(tmp_path) == before
    (tmp_path / "right" / STORE).unlink()
    with pytest.raises(errors.WrongPlace, match="does not say which"):
        opened(second_database_url, tmp_path / "right")
    with opened(second_database_url, tmp_path / "new") as store:
        assert store.identity != made


def schema_is_there(database: str) -> bool:
    with closing(psycopg.connect(database)) as connection:
        return connection.execute("SELECT FROM pg_namespace WHERE nspname = 'mstbucket'").fetchone() is not None


def spoiled(place: Path) -> None:
    (place / STORE).write_bytes(b"x")


@pytest.mark.parametrize("spoil", [None, lambda place: (place / STORE).unlink(), spoiled])
def test_a_refused_place_leaves_nothing_in_the_database(
    empty_database_url: str, tmp_path: Path, made: str, spoil: object
) -> None:
    """[STO-19] [STO-20]: not even a schema, and no embedded server's directory."""
    if callable(spoil):
        spoil(tmp_path / "right")
    before = sorted(tmp_path.rglob("*"))
    for settings in ({"database": empty_database_url}, {"path": tmp_path / "embedded"}):
        with pytest.raises((errors.WrongPlace, errors.HashMismatch)):
            mstbucket.open(blobs=tmp_path / "right", background=False, **settings)  # type: ignore[arg-type]
    assert not schema_is_there(empty_database_url)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_place_where_only_the_identity_is_missing_is_said_to_be_that_and_what_to_do_helps(
    database_url: str, tmp_path: Path, made: str
) -> None:
    """[STO-18]"""
    (tmp_path / "right" / STORE).unlink()
    with pytest.raises(errors.WrongPlace, match=rf"'?{STORE}'? is missing at .*right.*put it back") as caught:
        opened(database_url, tmp_path / "right")
    line = re.search(r"this one line: ('[^']*')", str(caught.value))
    assert line is not None
    (tmp_path / "right" / STORE).write_text(ast.literal_eval(line[1]))
    with opened(database_url, tmp_path / "right") as store:
        assert store.identity == made


@pytest.mark.parametrize("behind", [b"\n", b"x", b"mstbucket store 1"])
def test_an_identity_with_bytes_behind_it_is_damaged(
    database_url: str, tmp_path: Path, made: str, behind: bytes
) -> None:
    """[STO-18]"""
    path = tmp_path / "right" / STORE
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + behind)
    with pytest.raises(errors.HashMismatch, match=f"has {len(path.read_bytes())} bytes"):
        opened(database_url, tmp_path / "right")


def test_memory_is_new_each_time_and_so_is_refused_the_second_time(database_url: str) -> None:
    """[STO-20]: the same object is the same place."""
    blobs = MemoryBlobs()
    opened(database_url, blobs).close()
    opened(database_url, blobs).close()
    with pytest.raises(errors.WrongPlace):
        opened(database_url, "memory:")


def test_blobs_that_are_gone_are_not_made_again(database_url: str, tmp_path: Path, made: str) -> None:
    """[STO-20]: a file system that is not mounted, for one."""
    (tmp_path / "right").rename(tmp_path / "away")
    with pytest.raises(errors.WrongPlace, match="mount it"):
        opened(database_url, tmp_path / "right")
    assert not (tmp_path / "right").exists()
    with opened(database_url, tmp_path / "away") as store:
        assert store.identity == made
    with pytest.raises(errors.WrongPlace, match=r"they were at .*away"):
        opened(database_url, tmp_path / "right")


def test_an_embedded_store_whose_blobs_are_gone_is_not_made_anew(tmp_path: Path) -> None:
    """[STO-20]"""
    mstbucket.open(tmp_path / "store", background=False).close()
    (tmp_path / "store" / "blobs" / STORE).unlink()
    with pytest.raises(errors.WrongPlace):
        mstbucket.open(tmp_path / "store", background=False)
    assert [path.name for path in (tmp_path / "store" / "blobs").iterdir() if not path.name.startswith(".")] == []


def test_without_create_nothing_is_made_at_all(empty_database_url: str, database_url: str, tmp_path: Path) -> None:
    """[STO-20] [CLI-9]"""
    for settings in ({"database": empty_database_url, "blobs": tmp_path / "b"}, {"path": tmp_path / "s"},
                     {"database": database_url, "blobs": tmp_path / "b"}):  # fmt: skip
        with pytest.raises(errors.NotFound):
            mstbucket.open(**settings, create=False)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    with closing(psycopg.connect(empty_database_url)) as connection:
        assert connection.execute("SELECT FROM pg_namespace WHERE nspname = 'mstbucket'").fetchone() is None


def test_an_encrypted_store_says_which_it_is_before_its_key_is_asked_for(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[STO-18]"""
    monkeypatch.setenv("TEST_KEY", "5e" * 32)
    opened(database_url, tmp_path / "right", encryption="env:TEST_KEY").close()
    with pytest.raises(errors.WrongPlace):
        opened(database_url, tmp_path / "rigth")
    with pytest.raises(errors.WrongKey):
        opened(database_url, tmp_path / "right")


def test_every_change_of_one_byte_is_found_out() -> None:
    """[STO-18]: damage never makes another store of it."""
    blobs = MemoryBlobs()
    put_identity(blobs, new_identity())
    good = blobs.blobs[STORE]
    for at in range(len(good)):
        for bit in range(8):
            blobs.blobs[STORE] = good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :]
            with pytest.raises((errors.FormatError, errors.CorruptionError)):
                read_identity(blobs)
    for data in (b"", good[:20], good[:-1], b"x" * 200):  # a cut one is damage too, and no failure of the medium
        blobs.blobs[STORE] = data
        with pytest.raises((errors.FormatError, errors.CorruptionError)):
            read_identity(blobs)


class WrongOnce(MemoryBlobs):
    """The first answer about each blob has a bit flipped; the blobs are as they were."""

    def __init__(self) -> None:
        super().__init__()
        self.answered: set[str] = set()

    def get_range(self, name: str, start: int, length: int) -> bytes:
        data = super().get_range(name, start, length)
        if name in self.answered or not data:
            return data
        self.answered.add(name)
        return data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]


def test_one_wrong_answer_about_the_identity_or_the_key_is_not_damage(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PACK-10]: the store opens, also one whose key is found in its blobs alone."""
    monkeypatch.setenv("TEST_KEY", "5e" * 32)
    blobs = WrongOnce()
    opened(database_url, blobs, encryption="env:TEST_KEY").close()
    blobs.answered.clear()
    opened(database_url, blobs, encryption="env:TEST_KEY").close()
    assert STORE in blobs.answered
    blobs.answered.clear()
    assert find_key(blobs, key_wrapper("env:TEST_KEY")) is not None
    assert any(name.startswith("keys/") for name in blobs.answered)


def test_a_target_of_another_store_is_refused_before_anything_is_copied(
    second_database_url: str, tmp_path: Path, made: str
) -> None:
    """[STO-13]: and nothing is removed from it."""
    opened(second_database_url, tmp_path / "other").close()
    (tmp_path / "unknown").mkdir()
    LocalBlobs(tmp_path / "unknown").put(pack_name(), b"x")
    before = content(tmp_path)
    for source in ("right", "unknown"):
        for work in (copy_blobs, remove_extra):
            with pytest.raises(errors.WrongPlace):
                work(LocalBlobs(tmp_path / source), LocalBlobs(tmp_path / "other"))
    assert content(tmp_path) == before


def test_a_copy_is_a_place_of_the_store(database_url: str, tmp_path: Path, made: str) -> None:
    """[STO-12] [STO-18]"""
    copy_blobs(LocalBlobs(tmp_path / "right"), LocalBlobs(tmp_path / "copy"))
    with opened(database_url, tmp_path / "copy") as store:
        assert store.identity == made
        assert store.bucket("things").get_object("k").read() == bytes(100_000)


# --- making, by several and with interruptions ---

KILLED = """
import os, sys, mstbucket
from mstbucket.services.blocks import identity
inner, point = identity.put_identity, sys.argv[3]
def put(blobs, text):
    if point == "before": os._exit(9)
    inner(blobs, text)
    os._exit(9)
identity.put_identity = put
mstbucket.open(database=sys.argv[1], blobs=sys.argv[2], background=False)
"""


def kill(database: str, place: Path, point: str) -> None:
    ran = subprocess.run([sys.executable, "-c", KILLED, database, str(place), point], check=False, timeout=120)
    assert ran.returncode == 9


@pytest.mark.parametrize("point", ["before", "after"])
def test_a_making_that_was_killed_is_finished_by_the_next(database_url: str, tmp_path: Path, point: str) -> None:
    """[STO-19]"""
    kill(database_url, tmp_path / "right", point)
    with opened(database_url, tmp_path / "right") as store:
        store.create_bucket("things").put_object("k", b"v")
    with opened(database_url, tmp_path / "right", create=False) as store:
        assert store.bucket("things").get_object("k").read() == b"v"


def test_after_a_killed_making_two_places_are_never_one_store(database_url: str, tmp_path: Path) -> None:
    """[STO-19]: killed at the right place, made at a mistyped one: the right one is not taken for it afterwards."""
    kill(database_url, tmp_path / "right", "after")
    opened(database_url, tmp_path / "wrong").close()
    with pytest.raises(errors.WrongPlace):
        opened(database_url, tmp_path / "right")


FIRST = """
import sys, mstbucket
sys.stdin.readline()
try:
    with mstbucket.open(database=sys.argv[1], blobs=sys.argv[2], background=False) as store:
        print(store.identity)
except mstbucket.errors.WrongPlace:
    print("refused")
"""


@pytest.mark.parametrize("places", [("a", "a", "a", "a"), ("a", "b", "a", "b")], ids=["at one place", "at two places"])
def test_of_many_first_openings_one_makes_the_store(
    empty_database_url: str, tmp_path: Path, places: tuple[str, ...]
) -> None:
    """[STO-19]: those that name its place agree; the others are refused, and their place is not there."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST, empty_database_url, str(tmp_path / place)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for place in places
    ]  # fmt: skip
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    said = [child.communicate(timeout=120)[0].strip() for child in children]
    assert [child.returncode for child in children] == [0] * len(children)
    (winner,) = {place for place, identity in zip(places, said, strict=True) if identity != "refused"}
    assert len({identity for identity in said if identity != "refused"}) == 1
    assert all((identity == "refused") == (place != winner) for place, identity in zip(places, said, strict=True))
    assert [path.name for path in tmp_path.iterdir()] == [winner]


def test_of_two_databases_that_take_one_place_one_gets_it(
    database_url: str, second_database_url: str, tmp_path: Path
) -> None:
    """[STO-19]"""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST, database, str(tmp_path / "a")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for database in (database_url, second_database_url)
    ]  # fmt: skip
    said = [child.communicate("\n", timeout=120)[0].strip() for child in children]
    assert said.count("refused") == 1
    assert read_identity(LocalBlobs(tmp_path / "a")) in said
