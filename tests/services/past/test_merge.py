"""Merging: what only the other bucket changed comes in, and what both changed is decided as it was asked, or not at all."""

from __future__ import annotations

import random

import pytest

import mstbucket
from mstbucket import errors
from mstbucket.core.cid import from_text
from mstbucket.core.commit import decode

BODIES = [b"", b"one", b"two", b"three"]


def contents(bucket: mstbucket.Bucket) -> dict[str, bytes]:
    return {one.key: bucket.get_object(one.key).read() for one in bucket.objects()}


def change(bucket: mstbucket.Bucket, rng: random.Random, count: int) -> None:
    for _ in range(count):
        key = f"k{rng.randrange(25)}"
        if rng.random() < 0.3:
            bucket.delete_object(key)
        else:
            bucket.put_object(key, rng.choice(BODIES))


def merged(base: dict[str, bytes], ours: dict[str, bytes], theirs: dict[str, bytes], prefer: str) -> dict[str, bytes]:
    """The obvious way: key by key."""
    made = {}
    for key in base.keys() | ours.keys() | theirs.keys():
        was, mine, other = base.get(key), ours.get(key), theirs.get(key)
        value = other if mine == was else mine if other in (was, mine) or prefer == "ours" else other
        if value is not None:
            made[key] = value
    return made


@pytest.mark.parametrize("versioned", [False, True])
@pytest.mark.parametrize("prefer", ["ours", "theirs"])
@pytest.mark.parametrize("seed", range(2))
def test_merges_again_and_again_are_what_the_obvious_way_gives(
    store: mstbucket.Store, bucket: mstbucket.Bucket, prefer: str, seed: int, versioned: bool
) -> None:
    """[PAST-60] [PAST-61] [PAST-62] In both directions; each starts from where the last one ended."""
    rng = random.Random(seed)
    if versioned:
        bucket.put_bucket_versioning("Enabled")
    change(bucket, rng, 30)
    fork = store.fork(bucket.name, "fork")
    base = contents(bucket)
    for step in range(4):
        source, target = (fork, bucket) if step != 2 else (bucket, fork)
        change(source, rng, 6)
        change(target, rng, 6)
        theirs, ours = contents(source), contents(target)
        report = store.merge(source.name, target.name, prefer=prefer)
        assert contents(target) == merged(base, ours, theirs, prefer)
        assert contents(source) == theirs
        head = target.head_commit()
        assert head is not None
        assert head.cid == report.commit
        if report.changes:
            block = decode(store.get_block(head.cid))
            assert block.merged == from_text(report.merged) == from_text(str(source.head_commit().cid))
            assert head.merged == report.merged
            base = theirs
        else:
            break  # nothing came in, so the next merge starts where this one did: the plain model above ends here
        bucket.verify()
        fork.verify()


@pytest.fixture
def parted(store: mstbucket.Store, bucket: mstbucket.Bucket) -> tuple[mstbucket.Bucket, mstbucket.Bucket]:
    """A bucket and its fork, which both changed `both` and `same`, and each a key of its own."""
    for key in ("both", "same", "mine", "theirs", "gone"):
        bucket.put_object(key, b"at first")
    fork = store.fork(bucket.name, "fork")
    for one, name in ((bucket, "mine"), (fork, "theirs")):
        one.put_object("both", name.encode())
        one.put_object("same", b"the same")
        one.put_object(name, b"changed")
        one.delete_object("gone")
    return bucket, fork


def test_a_merge_with_conflicts_changes_nothing_and_lists_them(
    store: mstbucket.Store, parted: tuple[mstbucket.Bucket, mstbucket.Bucket]
) -> None:
    """[PAST-62] What both did alike is no conflict."""
    bucket, _ = parted
    before = contents(bucket)
    with pytest.raises(errors.Conflict, match=r"1 key was changed.*'both'"):
        store.merge("fork", bucket.name)
    assert contents(bucket) == before
    report = store.merge("fork", bucket.name, dry_run=True)
    assert [one.key for one in report.conflicts] == ["both"]
    assert [one.key for one in report.changes] == ["theirs"]
    assert contents(bucket) == before
    report = store.merge("fork", bucket.name, prefer="theirs")
    assert [one.key for one in report.changes] == ["both", "theirs"]
    assert contents(bucket) == {"both": b"theirs", "same": b"the same", "mine": b"changed", "theirs": b"changed"}
    again = store.merge("fork", bucket.name)
    assert (again.changes, again.conflicts, again.base) == ((), (), report.merged)
    assert again.commit == report.commit


def test_what_cannot_be_merged_is_refused(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[PAST-60] Strangers, a bucket with itself, one that is not there, and another word."""
    store.create_bucket("stranger")
    with pytest.raises(errors.NoSuchCommit, match="parted"):
        store.merge("stranger", bucket.name)
    with pytest.raises(errors.InvalidInput):
        store.merge(bucket.name, bucket.name)
    with pytest.raises(errors.NoSuchBucket):
        store.merge("nobody", bucket.name)
    with pytest.raises(errors.InvalidInput, match="ours"):
        store.merge("stranger", bucket.name, prefer="mine")


def test_a_key_written_meanwhile_is_not_lost(
    store: mstbucket.Store, parted: tuple[mstbucket.Bucket, mstbucket.Bucket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PAST-63] Between the flush and the transaction: the merge starts over, and finds it in conflict."""
    from mstbucket.services.past import merge

    bucket, _ = parted
    real = merge.load
    written = []

    def load(*given: object) -> object:
        if len(given[1]) and not written and given[1][0][0] in ("theirs", "both"):  # type: ignore[arg-type, index]
            written.append(bucket.put_object("theirs", b"written meanwhile"))
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(merge, "load", load)
    report = store.merge("fork", bucket.name, prefer="ours")
    assert {one.key for one in report.conflicts} == {"both", "theirs"}
    assert contents(bucket)["theirs"] == b"written meanwhile"
