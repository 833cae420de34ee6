"""Messages of commits: who gives one gets a commit that has it, or is told; and it travels wherever the commit goes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

import mstbucket
from mstbucket import errors
from mstbucket.limits import COMMIT_MESSAGE_MAX
from mstbucket.services.tree import snapshot, turns

BeforeNextPack = Callable[[Callable[[], object]], None]
WORDS = "写真: day 2\n\nthe pier, \x1b[31mand a\ttab"


def messages(bucket: mstbucket.Bucket) -> list[str | None]:
    """The messages of its commits, the first one first."""
    return [commit.message for commit in bucket.log()][::-1]


def refused(bucket: mstbucket.Bucket, message: str) -> str:
    """A flush with that message changes nothing; what is said instead."""
    before = list(bucket.log())
    with pytest.raises(errors.NothingToCommit) as caught:
        bucket.flush(message=message)
    assert list(bucket.log()) == before
    return str(caught.value)


def test_a_message_is_in_the_commit_and_in_no_other(bucket: mstbucket.Bucket, database_url: str) -> None:
    """[FLUSH-14], [COM-23]: as it was given, to the last space."""
    bucket.put_object("a", b"1")
    first = bucket.flush(message=WORDS)
    bucket.put_object("b", b"2")
    bucket.flush()
    bucket.put_object("c", b"3")
    third = bucket.flush(message=" x \n")
    assert (first.message, third.message, third.objects) == (WORDS, " x \n", 3)
    assert messages(bucket) == [WORDS, None, " x \n"]
    assert bucket.head_commit() == third
    with psycopg.connect(database_url) as connection:
        shown = connection.execute("SELECT message FROM mstbucket.v_commits ORDER BY seq").fetchall()
    assert [message for (message,) in shown] == messages(bucket)
    assert bucket.at(1).commit == first
    bucket.verify()


def test_a_first_commit_has_a_message_though_the_bucket_is_empty(bucket: mstbucket.Bucket) -> None:
    """[FLUSH-8]"""
    assert bucket.flush(message="begun").message == "begun"


def test_tags_of_the_bucket_are_a_change(bucket: mstbucket.Bucket) -> None:
    """[TAG-6]"""
    bucket.flush()
    bucket.put_bucket_tagging({"team": "alps"})
    assert bucket.flush(message="tagged").seq == 2


def test_where_nothing_is_left_no_commit_is_made_and_who_asks_is_told(bucket: mstbucket.Bucket) -> None:
    """[FLUSH-14] As git does; a flush of the background that was first is no other case."""
    bucket.put_object("a", b"1")
    taken = bucket.flush()
    said = refused(bucket, "mine")
    assert taken.cid in said
    assert "commit 1, " in said
    assert "has no message" in said
    bucket.put_object("b", b"2")
    bucket.flush(message="theirs")
    assert "says 'theirs'" in refused(bucket, "mine")


def test_a_call_that_is_repeated_returns_the_same_commit(bucket: mstbucket.Bucket) -> None:
    """[FLUSH-14] Its answer may have been lost."""
    bucket.put_object("a", b"1")
    made = bucket.flush(message="m")
    assert bucket.flush(message="m") == made == bucket.flush()


def test_an_empty_commit_carries_a_message_and_the_same_trees(bucket: mstbucket.Bucket) -> None:
    """[FLUSH-14]"""
    bucket.put_object("a", b"1")
    before = bucket.flush()
    made = bucket.flush(message="release 1", allow_empty=True)
    assert (made.seq, made.prev, made.tree, made.objects) == (2, before.cid, before.tree, 1)
    assert made.message == "release 1"
    bucket.verify()
    bucket.put_object("b", b"2")
    assert bucket.flush(message="not empty", allow_empty=True).objects == 2
    assert messages(bucket) == [None, "release 1", "not empty"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"message": ""}, "not empty"),
        ({"message": "a\0"}, "NUL"),
        ({"message": "\ud800"}, "message"),
        ({"message": "é" * (COMMIT_MESSAGE_MAX // 2) + "e"}, "4,097 bytes, more than 4,096"),
        ({"message": b"bytes"}, "message"),
        ({"message": 1}, "message"),
        ({"allow_empty": True}, "leave out allow_empty"),
        ({"message": "m", "allow_empty": 1}, "allow_empty"),
    ],
)
def test_what_is_no_message_is_refused_and_nothing_has_changed(
    bucket: mstbucket.Bucket, given: dict[str, Any], says: str
) -> None:
    """[COM-23]"""
    bucket.put_object("a", b"1")
    with pytest.raises(errors.InvalidInput, match=says):
        bucket.flush(**given)
    assert bucket.head_commit() is None


def test_a_message_of_the_largest_size_is_taken(bucket: mstbucket.Bucket) -> None:
    assert bucket.flush(message="é" * (COMMIT_MESSAGE_MAX // 2)).seq == 1


def test_the_most_tags_of_a_bucket_leave_room_for_the_longest_message(bucket: mstbucket.Bucket) -> None:
    """[COM-14]"""
    bucket.put_bucket_tagging({f"{n:02}" + "t" * 126: "é" * 256 for n in range(50)})
    assert bucket.flush(message="m" * COMMIT_MESSAGE_MAX).seq == 1


def test_every_commit_of_one_call_has_the_message(bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """[FLUSH-14]"""
    monkeypatch.setattr(snapshot, "FLUSH_KEYS", 10)
    for n in range(25):
        bucket.put_object(f"{n:02}", b"")
    made = bucket.flush(message="many")
    assert (made.seq, made.objects, messages(bucket)) == (3, 25, ["many"] * 3)


def test_another_flush_that_was_first_is_told(
    bucket: mstbucket.Bucket, before_next_pack: BeforeNextPack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[FLUSH-14], [FLUSH-12]: it took what was written, while this one had it in its hands."""
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0)  # a flush inside of another would wait for its turn
    bucket.put_object("a", b"1")
    before_next_pack(bucket.flush)
    assert "commit 1, " in refused_once(bucket)
    assert messages(bucket) == [None]
    bucket.put_object("b", b"2")
    before_next_pack(lambda: (bucket.flush(), bucket.put_object("c", b"3")))
    assert bucket.flush(message="what was left").objects == 3
    assert messages(bucket) == [None, None, "what was left"]


def refused_once(bucket: mstbucket.Bucket) -> str:
    with pytest.raises(errors.NothingToCommit) as caught:
        bucket.flush(message="mine")
    return str(caught.value)


def test_beside_others_that_write_and_flush_each_message_is_recorded_once_or_refused(bucket: mstbucket.Bucket) -> None:
    """[FLUSH-14] What a call returned has its message and its writes; what a call refused stands nowhere."""
    made: dict[str, mstbucket.CommitInfo] = {}
    not_made: set[str] = set()

    def say(name: int) -> None:
        for n in range(6):
            message = f"{name}-{n}"
            bucket.put_object(message, b"")
            try:
                made[message] = bucket.flush(message=message)
            except errors.NothingToCommit:
                not_made.add(message)

    def flush() -> None:
        for n in range(12):
            bucket.put_object(f"plain-{n}", b"")
            bucket.flush()

    threads = [threading.Thread(target=say, args=(n,)) for n in range(3)] + [threading.Thread(target=flush)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(made) + len(not_made) == 18
    said = [message for message in messages(bucket) if message is not None]
    assert sorted(said) == sorted(made)
    for message, commit in made.items():
        assert commit.message == message
        assert bucket.at(commit.cid).head_object(message).size == 0
    assert bucket.flush().objects == 30
    bucket.verify()


def test_a_commit_with_a_message_stands_though_it_could_not_be_published(
    bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[FLUSH-9], [FLUSH-14]: the call fails, and its repetition finds the commit."""
    bucket.put_object("a", b"1")

    def fail(*_: object) -> None:
        raise errors.StorageError("no room")

    with monkeypatch.context() as patch:
        patch.setattr("mstbucket.services.tree.flush.publish_refs", fail)
        with pytest.raises(errors.StorageError):
            bucket.flush(message="m")
    assert bucket.flush(message="m").seq == 1
    assert messages(bucket) == ["m"]


# --- restore and merge ----------------------------------------------------------------------------------------------------


def test_a_restore_and_a_merge_have_a_message_too(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[FLUSH-14]"""
    bucket.put_object("a", b"1")
    bucket.flush(message="first")
    fork = store.fork("things", "fork")
    assert messages(fork) == [None]  # the message was about another commit
    fork.put_object("b", b"2")
    store.merge("fork", "things", message="home again")
    bucket.restore(1, message="back", dry_run=True)
    bucket.restore(1, message="back")
    assert messages(bucket) == ["first", "home again", "back"]
    bucket.verify()
    for call in (lambda m: store.merge("fork", "things", message=m), lambda m: bucket.restore(1, message=m)):
        assert call("back").changes == ()  # repeated
        with pytest.raises(errors.NothingToCommit, match="says 'back'; there is nothing to"):
            call("another")
        with pytest.raises(errors.InvalidInput, match="not empty"):
            call("")
    assert len(messages(bucket)) == 3


# --- where it goes --------------------------------------------------------------------------------------------------------


def test_it_travels_in_exports_deltas_pulls_and_proofs(
    store: mstbucket.Store, bucket: mstbucket.Bucket, second_store: mstbucket.Store, tmp_path: Path
) -> None:
    """[COM-23]"""
    bucket.put_object("a", b"1")
    first = bucket.flush(message="first")
    bucket.export_car(tmp_path / "first.car")
    bucket.put_object("b", b"2")
    second = bucket.flush(message=WORDS)
    bucket.export_car(tmp_path / "second.car")
    bucket.export_delta(first.cid, tmp_path / "delta.car")
    mstbucket.join_cars(tmp_path / "first.car", tmp_path / "delta.car", tmp_path / "joined.car")
    assert (tmp_path / "joined.car").read_bytes() == (tmp_path / "second.car").read_bytes()
    assert mstbucket.inspect_car(tmp_path / "second.car").roots[0].about["message"] == WORDS
    copy = second_store.import_car(tmp_path / "first.car", "copy")
    assert copy.head_commit() is not None
    assert messages(copy) == ["first"]
    second_store.import_car(tmp_path / "delta.car", "copy")
    assert [commit.cid for commit in copy.log()] == [second.cid, first.cid]
    assert messages(copy) == ["first", WORDS]
    bucket.prove_key("a", tmp_path / "proof.car")
    assert mstbucket.check_proof(tmp_path / "proof.car", commit=second.cid)


def test_a_signed_commit_with_a_message_is_accepted(database_url: str, tmp_path: Path) -> None:
    """[COM-10]"""
    signer = mstbucket.new_signing_key(tmp_path / "key")
    with mstbucket.open(
        database=database_url, blobs=tmp_path / "blobs", background=False, signing_key=tmp_path / "key"
    ) as store:
        bucket = store.create_bucket("things")
        bucket.flush(message="signed words")
        bucket.export_car(tmp_path / "a.car")
    assert mstbucket.verify_car(tmp_path / "a.car", trust=mstbucket.Trust(signer=signer)).objects == 0
