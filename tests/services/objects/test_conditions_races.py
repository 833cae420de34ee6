"""Conditional writers in processes of their own, at the same keys at the same time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from racing import run_at_once

import mstbucket

PROCESSES = 4
KEYS = 40

Race = Callable[[str], list[list[str]]]

OPENING = """
import sys, mstbucket
from mstbucket.errors import NoSuchKey, PreconditionFailed
me, keys = sys.argv[3], int(sys.argv[4])
with mstbucket.open(database=sys.argv[1], blobs=sys.argv[2], background=False) as store:
    bucket = store.bucket("things")
    bucket.head_object("start")
    print("ready", flush=True)
    sys.stdin.readline()
"""

# Every way in: a small body, a large one, a batch, a copy. Prints the keys it has won.
CREATOR = OPENING + """
    for n in range(keys):
        key = f"k{n}"
        try:
            if n % 4 == 0:
                bucket.put_object(key, me.encode(), if_none_match="*")
            elif n % 4 == 1:
                bucket.put_object(key, me.encode() * (70_000 + n), if_none_match="*")
            elif n % 4 == 2:
                bucket.put_objects([mstbucket.PutRequest(key, me.encode(), if_none_match="*"),
                                    mstbucket.PutRequest(key + "/" + me, b"")])
            else:
                bucket.copy_object("start/" + me, key, if_none_match="*")
            print(key, flush=True)
        except PreconditionFailed:
            pass
"""

# Adds one to a number, `keys` times, by reading it and replacing exactly what was read.
ADDER = OPENING + """
    for _ in range(keys):
        while True:
            with bucket.get_object("counter") as reader:
                number, etag = int(reader.read()), reader.info.etag
            try:
                bucket.put_object("counter", str(number + 1).encode(), if_match=etag)
                break
            except PreconditionFailed:
                print("again", flush=True)
"""

# Takes turns in creating and deleting one key. Prints + for each creation and - for each removal that was its own.
TURNS = OPENING + """
    for _ in range(keys):
        try:
            bucket.put_object("turn", me.encode(), if_none_match="*")
            print("+", flush=True)
        except PreconditionFailed:
            pass
        try:
            bucket.delete_object("turn", if_match="*")
            print("-", flush=True)
        except NoSuchKey:
            pass
"""


@pytest.fixture
def race(bucket: mstbucket.Bucket, database_url: str, tmp_path: Path) -> Race:
    """Runs a program in several processes that start to write at the same time; gives the lines that each printed."""

    def run(program: str) -> list[list[str]]:
        bucket.put_object("start", b"")
        printed = run_at_once(
            [program, database_url, str(tmp_path / "blobs"), f"{me}", str(KEYS)] for me in range(PROCESSES)
        )
        return [text.split() for text in printed]

    return run


def test_of_many_creators_exactly_one_wins(bucket: mstbucket.Bucket, race: Race, tmp_path: Path) -> None:
    """[COND-6], [COND-8], [COND-9]: each key is the winner's, and the losers left no file and no other row."""
    for me in range(PROCESSES):
        bucket.put_object(f"start/{me}", f"{me}".encode())
    won = race(CREATOR)
    keys = [f"k{n}" for n in range(KEYS)]
    assert sorted(key for mine in won for key in mine) == sorted(keys)
    for me, mine in enumerate(won):
        for key in mine:
            assert set(bucket.get_object(key).read()) == {ord(f"{me}")}
            if int(key[1:]) % 4 == 2:
                assert [item.key for item in bucket.objects(f"{key}/")] == [f"{key}/{me}"]
    assert len([path for path in (tmp_path / "blobs" / "packs").rglob("*") if path.is_file()]) == KEYS // 4
    bucket.flush()
    bucket.verify()


def test_a_counter_that_is_replaced_on_condition_loses_nothing(bucket: mstbucket.Bucket, race: Race) -> None:
    """[COND-6]"""
    bucket.put_object("counter", b"0")
    again = race(ADDER)
    assert int(bucket.get_object("counter").read()) == PROCESSES * KEYS
    assert any(again), "the processes never met"


def test_every_creation_is_removed_once(bucket: mstbucket.Bucket, race: Race) -> None:
    """[COND-6], [COND-7]: a key that comes and goes is created only after it has gone, and removed only once."""
    lines = [line for printed in race(TURNS) for line in printed]
    left = sum(item.key == "turn" for item in bucket.objects())
    assert lines.count("+") - lines.count("-") == left
    assert lines.count("+") > PROCESSES
