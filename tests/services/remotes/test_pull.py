"""Two stores that pull and push, in any order and broken off anywhere, agree with what is obvious; or nothing happens."""

from __future__ import annotations

import random
import threading
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from twostores import BODIES, change, cid, shown

import mstbucket
from mstbucket import errors
from mstbucket.core.cid import CID
from mstbucket.services.past.retention import expire
from mstbucket.services.remotes.peer import StorePeer
from mstbucket.services.remotes.pull import pull


class Breaks(Exception):
    """The other side is gone."""


class OddPeer(StorePeer):
    """A bucket of another store that is asked so often and no more, or lies."""

    def __init__(self, bucket: mstbucket.Bucket, requests: int | None = None) -> None:
        super().__init__(bucket._context, bucket.name, "the other store")
        self.left = requests
        self.asked: list[CID] = []

    def get_many(self, cids: Collection[CID]) -> Mapping[CID, bytes]:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Breaks
        self.asked += cids
        return self.changed(super().get_many(cids))

    def changed(self, blocks: Mapping[CID, bytes]) -> Mapping[CID, bytes]:
        return blocks


def pulled(store: mstbucket.Store, peer: StorePeer, name: str = "things") -> mstbucket.PullReport:
    with peer:
        return pull(store._context, name, peer, None, lambda _cid, _commit: None)


@pytest.fixture
def other(bucket: mstbucket.Bucket, second_store: mstbucket.Store) -> mstbucket.Bucket:
    """A copy of a bucket in a second store."""
    for n in range(60):
        bucket.put_object(f"k{n}", BODIES[n % 5] + bytes([n]))
    bucket.flush()
    bucket.push(second_store)
    return second_store.bucket(bucket.name)


@pytest.mark.parametrize("versioned", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_two_stores_in_any_order_agree_with_the_obvious(
    store: mstbucket.Store, second_store: mstbucket.Store, bucket: mstbucket.Bucket, other: mstbucket.Bucket, seed: int,
    versioned: bool,
) -> None:  # fmt: skip
    """[RMT-1] [RMT-2] [RMT-3] [RMT-9] The oracle holds each side's history as a list, and whether it is dirty."""
    rng = random.Random(seed)
    buckets = [bucket, other]
    if versioned:
        bucket.put_bucket_versioning("Enabled")
        bucket.push(second_store)
    histories = [[cid(bucket)], [cid(bucket)]]
    for _ in range(14):
        side = rng.randrange(2)
        here = buckets[side]
        stores = [store, second_store]
        act = rng.choice(("change", "flush", "pull", "push", "break"))
        if act in ("change", "flush"):
            change(here, rng)
            if act == "flush":
                here.flush()
                histories[side].append(cid(here))
            continue
        if act == "push":
            here.flush()
            if cid(here) != histories[side][-1]:
                histories[side].append(cid(here))
        source, target = (side, 1 - side) if act == "push" else (1 - side, side)
        ours, theirs = histories[target], histories[source]
        dirty = next(one for one in stores[target].list_buckets() if one.name == "things").dirty
        before = shown(buckets[target]), cid(buckets[target])
        if act == "break":
            try:
                pulled(stores[target], OddPeer(buckets[source], rng.randrange(4)))
            except (Breaks, errors.Conflict):
                assert (shown(buckets[target]), cid(buckets[target])) == before
                continue
            if ours[-1] in theirs:
                histories[target] = list(theirs)
            assert cid(buckets[target]) == histories[target][-1]
            continue
        moves = ours[-1] in theirs and theirs[-1] not in ours
        refused = not (ours[-1] in theirs or theirs[-1] in ours) or (moves and dirty)
        if act == "push" and theirs[-1] in ours and theirs[-1] != ours[-1]:
            refused = True  # the one there is ahead
        try:
            if act == "push":
                here.push(stores[target])
            else:
                stores[target].pull(buckets[source])
        except errors.Conflict:
            assert refused
            assert (shown(buckets[target]), cid(buckets[target])) == before
            continue
        assert not refused
        if moves:
            histories[target] = list(theirs)
            with buckets[source].at(theirs[-1]) as view:
                assert list(buckets[target].objects()) == list(view.objects())
            buckets[target].verify()
        assert cid(buckets[target]) == histories[target][-1]


def test_a_pull_of_no_difference_is_one_request(
    second_store: mstbucket.Store, other: mstbucket.Bucket, bucket: mstbucket.Bucket
) -> None:
    """[RMT-2]"""
    report = second_store.pull(bucket)
    assert (report.outcome, report.requests, report.blocks) == ("same", 1, 0)
    assert report.old == report.commit == cid(other)


def test_only_what_differs_is_asked_for(second_store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[RMT-4] Nodes on the ways to ten changes, their manifests and bodies, and no more."""
    bucket.put_objects(mstbucket.PutRequest(f"key-{n:06d}", b"%d" % n) for n in range(4000))
    bucket.push(second_store)
    for n in range(10):
        bucket.put_object(f"key-{n * 397:06d}", b"changed %d" % n)
    bucket.flush()
    peer = OddPeer(bucket)
    report = pulled(second_store, peer)
    assert (report.outcome, cid(second_store.bucket("things"))) == ("moved", cid(bucket))
    assert report.requests < 20
    assert len(peer.asked) == len(set(peer.asked)) == report.blocks < 100
    second_store.bucket("things").verify()


def test_what_a_broken_pull_copied_is_not_copied_again(second_store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[RMT-6] One request at a time gets through; no block is asked for twice in all of them."""
    rng = random.Random(7)
    for n in range(50):
        bucket.put_object(f"k{n}", rng.randbytes(5000))
    bucket.put_object("large", rng.randbytes(40 << 20))
    bucket.flush()
    asked: list[CID] = []
    for _ in range(100):
        peer = OddPeer(bucket, 1)
        try:
            pulled(second_store, peer)
            break
        except Breaks:
            asked += peer.asked
            assert second_store.list_buckets() == []
    assert len(asked) == len(set(asked)) > 50
    assert cid(second_store.bucket("things")) == cid(bucket)
    second_store.bucket("things").verify()


def test_a_broken_fast_forward_goes_on(
    second_store: mstbucket.Store, bucket: mstbucket.Bucket, other: mstbucket.Bucket
) -> None:
    """[RMT-6]"""
    rng = random.Random(8)
    for n in range(30):
        bucket.put_object(f"new{n}", rng.randbytes(300_000))
    bucket.put_object("large", rng.randbytes(20 << 20))
    bucket.flush()
    before = cid(other)
    asked: list[CID] = []
    for _ in range(100):
        peer = OddPeer(bucket, 1)
        try:
            pulled(second_store, peer)
            break
        except Breaks:
            asked += peer.asked
            assert cid(other) == before
    assert len(asked) == len(set(asked)) > 30
    assert cid(other) == cid(bucket)
    other.verify()


class Wrong(OddPeer):
    def changed(self, blocks: Mapping[CID, bytes]) -> Mapping[CID, bytes]:
        return {one: block[:-1] + bytes([block[-1] ^ 1]) if block else b"!" for one, block in blocks.items()}


class Lacking(OddPeer):
    def changed(self, blocks: Mapping[CID, bytes]) -> Mapping[CID, bytes]:
        return dict(list(blocks.items())[1:])


@pytest.mark.parametrize(("kind", "error"), [(Wrong, errors.HashMismatch), (Lacking, errors.MissingBlock)])
@pytest.mark.parametrize("there", [False, True])
def test_a_lying_remote_is_found_out_and_nothing_shows(
    second_store: mstbucket.Store, bucket: mstbucket.Bucket, kind: type[OddPeer], error: type[Exception], there: bool
) -> None:
    """[RMT-5] Wrong bytes, a block that is missing; for a bucket that is there, and one that is not."""
    bucket.put_object("a", b"a")
    if there:
        bucket.push(second_store)
        bucket.put_object("b", b"b" * 100_000)
    bucket.flush()
    before = second_store.list_buckets()
    with pytest.raises(error):
        pulled(second_store, kind(bucket))
    assert second_store.list_buckets() == before


def test_a_bucket_of_another_identity_is_refused(second_store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[RMT-3]"""
    bucket.put_object("a", b"a")
    bucket.flush()
    twin = second_store.create_bucket("things")
    with pytest.raises(errors.NotFastForward, match="another bucket"):
        second_store.pull(bucket)
    twin.put_object("b", b"")
    twin.flush()
    with pytest.raises(errors.NotFastForward, match="another one"):
        second_store.pull(bucket)
    with pytest.raises(errors.NotFastForward, match="fetch first"):
        bucket.push(second_store)
    assert [one.key for one in twin.objects()] == ["b"]


def test_a_bucket_with_object_lock_goes_on_from_no_other_store(
    store: mstbucket.Store, second_store: mstbucket.Store
) -> None:
    """[RMT-3] As an import: no commit tells of the locks, so what a pull brings could remove what they protect."""
    bucket = store.create_bucket("locked", object_lock=True)
    bucket.put_object("a", b"a")
    bucket.push(second_store)
    copy = second_store.bucket("locked")
    copy.put_object_lock_configuration({"ObjectLockEnabled": "Enabled"})
    bucket.put_object("a", b"b")
    with pytest.raises(errors.Unsupported, match="object lock"):
        bucket.push(second_store)
    assert copy.get_object("a").read() == b"a"


def test_of_two_pushers_at_once_one_wins(
    store: mstbucket.Store, second_store: mstbucket.Store, bucket: mstbucket.Bucket, other: mstbucket.Bucket
) -> None:
    """[RMT-1] The second one's switch finds another commit; nothing of it shows."""
    report = second_store.fetch(bucket, "first")
    assert report.bucket == "things.first"
    bucket.put_object("a", b"pulled")
    bucket.flush()

    class Late(OddPeer):
        def changed(self, blocks: Mapping[CID, bytes]) -> Mapping[CID, bytes]:
            if self.left is None:
                self.left = 100
                other.put_object("b", b"came between")
                other.flush()
            return blocks

    with pytest.raises(errors.Conflict):
        pulled(second_store, Late(bucket))
    assert other.get_object("b").read() == b"came between"
    with pytest.raises(errors.NotFound):
        other.get_object("a")
    other.verify()


def test_fetch_merge_and_push_bring_two_lines_together(
    store: mstbucket.Store, second_store: mstbucket.Store, bucket: mstbucket.Bucket, other: mstbucket.Bucket
) -> None:
    """[RMT-8] [RMT-10] The side that is behind in numbers merges, pushes, and both are at one commit."""
    bucket.put_object("mine", b"m")
    for n in range(4):
        other.put_object("theirs", b"%d" % n)
        other.flush()
    with pytest.raises(errors.NotFastForward, match="fetch first"):
        bucket.push(second_store)
    fetched = store.fetch(other, "origin")
    assert (fetched.bucket, fetched.commit, fetched.outcome) == ("things.origin", cid(other), "moved")
    with store.bucket("things.origin").at(fetched.commit) as view:
        assert view.get_object("theirs").read() == b"3"
    store.bucket("things.origin").verify()
    pulled_, merged = store.pull_and_merge(other, "origin")
    assert pulled_.outcome == "same"
    assert merged is not None
    assert [one.key for one in merged.changes] == ["theirs"]
    bucket.push(second_store)
    assert cid(bucket) == cid(other)
    assert shown(bucket) == shown(other)
    other.verify()
    other.put_object("later", b"")
    other.push(store)
    assert store.fetch(other, "origin").commit == cid(other) == cid(bucket)
    # and again, with the same change on both sides: they come together though nothing has to come in
    for one in (bucket, other):
        one.delete_object("later")
        one.flush()
    _, merged = store.pull_and_merge(other, "origin")
    assert merged is not None
    assert merged.changes == ()
    bucket.push(second_store)
    assert cid(bucket) == cid(other)


def test_a_merge_that_would_lose_versions_or_tags_is_no_way_to_push(
    store: mstbucket.Store, second_store: mstbucket.Store, bucket: mstbucket.Bucket, other: mstbucket.Bucket
) -> None:
    """[RMT-8] A merge brings current objects only; what else was done there must not go."""
    bucket.put_object("mine", b"m")
    other.put_bucket_tagging({"owner": "there"})
    other.flush()
    store.pull_and_merge(other, "origin")
    with pytest.raises(errors.MergeIncomplete, match="other tags or another state"):
        bucket.push(second_store)
    bucket.put_bucket_tagging({"owner": "there"})
    bucket.push(second_store)
    assert cid(bucket) == cid(other)
    other.put_bucket_versioning("Enabled")
    other.put_object("k1", b"again")
    other.put_object("k1", b"and again")
    other.flush()
    bucket.put_object("k2", b"")
    store.pull_and_merge(other, "origin")
    with pytest.raises(errors.MergeIncomplete, match="other way round"):
        bucket.push(second_store)


@pytest.mark.parametrize("files", [False, True])
def test_a_merge_over_versions_goes_the_other_way_round_and_loses_nothing(
    store: mstbucket.Store, second_store: mstbucket.Store, bucket: mstbucket.Bucket, tmp_path: Path, files: bool
) -> None:
    """[RMT-14] As the message says it: into what was fetched, and that is pushed; both sides have kept all versions."""
    bucket.put_bucket_versioning("Enabled")
    for body in (b"1", b"2"):
        bucket.put_object("both", body)
    (tmp_path / "folder").mkdir()
    place = mstbucket.FileRemote(f"files://{tmp_path}/folder") if files else second_store
    bucket.push(place)
    if files:
        second_store.pull(place.bucket("things"))
    other = second_store.bucket("things")
    for body in (b"3", b"4"):
        other.put_object("theirs", body)
        bucket.put_object("ours", body)
    other.flush()
    if files:
        other.push(place)
    there = place.bucket("things")
    _, merged = store.pull_and_merge(there, "origin")
    assert merged is not None
    ours, theirs = bucket.list_object_versions(), other.list_object_versions()
    with pytest.raises(errors.MergeIncomplete, match=r"merge mst://things into .*things\.REMOTE.* --to things"):
        bucket.push(place)
    back = store.merge("things", "things.origin")
    assert [one.key for one in back.changes] == ["ours"]
    fetched = store.bucket("things.origin")
    fetched.push(place, "things", remote="origin")
    if files:
        second_store.pull(there)
    assert cid(other) == cid(fetched)
    assert bucket.list_object_versions() == ours
    after = {(one.key, one.version_id) for one in other.list_object_versions().versions}
    assert after > {(one.key, one.version_id) for one in theirs.versions}
    assert other.get_object("ours").read() == b"4"
    other.verify()


def test_an_older_state_of_a_remote_with_a_name_is_refused(
    store: mstbucket.Store, second_store: mstbucket.Store, bucket: mstbucket.Bucket
) -> None:
    """[RMT-12] A remote that was put back is found out, and taken again if it was meant."""
    bucket.put_object("a", b"1")
    bucket.push(second_store, "old")
    old = second_store.bucket("old")
    bucket.put_object("a", b"2")
    bucket.push(second_store, "new")
    store.add_remote("there", "/somewhere")
    store.pull(second_store.bucket("new"), "copy", remote="there")
    with pytest.raises(errors.PinMismatch, match="rolled back"):
        store.pull(old, "copy", remote="there")
    with pytest.raises(errors.PinMismatch, match="rolled back"):
        store.fetch(old, "there", "copy")
    store.remove_remote("there")
    store.add_remote("there", "/somewhere")
    assert store.pull(old, "copy", remote="there").outcome == "ahead"


def test_names_of_remotes_are_kept_without_passwords(store: mstbucket.Store) -> None:
    """[RMT-11]"""
    assert store.add_remote("b", "/x/y").place == "/x/y"
    store.add_remote("a", "postgresql://me@host/db", blobs="s3://bucket/prefix")
    store.add_remote("b", "/x/y")
    assert [one.name for one in store.list_remotes()] == ["a", "b"]
    with pytest.raises(errors.Conflict):
        store.add_remote("b", "/x/z")
    for place in ("postgresql://me:secret@host/db", "postgresql://host/db?password=secret"):
        with pytest.raises(errors.InvalidInput, match="password") as caught:
            store.add_remote("c", place, blobs="/b")
        assert "secret" not in str(caught.value)
    for name in ("", "A", "x/y", "-a", "a" * 31, "a.b"):
        with pytest.raises(errors.InvalidInput):
            store.add_remote(name, "/x")
    store.remove_remote("a")
    with pytest.raises(errors.NoSuchRemote):
        store.remove_remote("a")
    with pytest.raises(errors.NoSuchRemote):
        store.find_remote("a")


def test_what_the_own_store_has_damaged_is_copied(
    second_store: mstbucket.Store, bucket: mstbucket.Bucket, other: mstbucket.Bucket, tmp_path: Path
) -> None:
    """[RMT-4] A body that is known to be damaged here comes from there, and is whole again."""
    body = random.Random(9).randbytes(200_000)
    twin = second_store.create_bucket("twin")
    before = set((tmp_path / "blobs-2").rglob("*.car"))
    twin.put_object("same", body)
    (pack,) = [one for one in (tmp_path / "blobs-2").rglob("*.car") if one not in before]
    data = bytearray(pack.read_bytes())
    data[-1000] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    with pytest.raises(errors.CorruptionError):
        twin.get_object("same").read()
    bucket.put_object("here", body)
    bucket.flush()
    second_store.pull(bucket)
    assert other.get_object("here").read() == twin.get_object("same").read() == body


def test_who_has_to_have_signed_is_asked_before_anything_is_made(
    second_store: mstbucket.Store, bucket: mstbucket.Bucket, tmp_path: Path
) -> None:
    """[RMT-3] As an import asks it; with pins, an older state is refused."""
    signer = mstbucket.new_signing_key(tmp_path / "key")
    bucket.put_object("a", b"a")
    bucket.flush()
    trust = mstbucket.Trust(signer=signer)
    with pytest.raises(errors.WrongSignature):
        second_store.pull(bucket, trust=trust)
    assert second_store.list_buckets() == []
    second_store.pull(bucket)
    bucket.put_object("a", b"b")
    bucket.flush()
    copy = second_store.bucket("things")
    before = copy.head_commit()
    with pytest.raises(errors.WrongSignature):
        second_store.pull(bucket, trust=trust)
    assert copy.head_commit() == before


def test_two_threads_push_at_once_and_one_wins(
    store: mstbucket.Store, second_store: mstbucket.Store, bucket: mstbucket.Bucket, other: mstbucket.Bucket
) -> None:
    """[RMT-1] Whichever it is, the other one is refused, and the bucket is at the commit of the one that won."""
    store.pull(other, "twin")
    sides = [bucket, store.bucket("twin")]
    for n, one in enumerate(sides):
        one.put_object(f"from {n}", b"x" * 100_000)
        one.flush()
    ready = threading.Barrier(2)

    def run(one: mstbucket.Bucket) -> str | None:
        ready.wait()
        try:
            return one.push(second_store, "things").commit
        except errors.Conflict:
            return None

    with ThreadPoolExecutor(2) as pool:
        won = [commit for commit in pool.map(run, sides) if commit is not None]
    assert won == [cid(other)]
    assert len([one.key for one in other.objects() if one.key.startswith("from ")]) == 1
    other.verify()


def forget(store: mstbucket.Store, name: str) -> None:
    """Give up every commit that is not the newest, and that nothing else keeps."""
    store.bucket(name).put_retention(mstbucket.KeepPolicy(last=1))
    expire(store._context)


def test_a_commit_that_the_other_store_gave_up_is_no_hindrance(
    store: mstbucket.Store, second_store: mstbucket.Store, bucket: mstbucket.Bucket
) -> None:
    """[RMT-13] In either direction, and for a merge: what was the same last is kept here under the remote's name."""
    second_store.add_remote("up", "/there")
    store.add_remote("down", "/there")
    bucket.put_object("a", b"1")
    bucket.flush()
    second_store.pull(bucket, remote="up")
    copy = second_store.bucket("things")

    def go_on(one: mstbucket.Bucket, owner: mstbucket.Store, key: str) -> None:
        for n in range(3):
            one.put_object(key, b"%d" % n)
            one.flush()
            forget(owner, "things")

    go_on(bucket, store, "a")
    assert second_store.pull(bucket, remote="up").outcome == "moved"
    bucket.push(second_store, remote="down")
    go_on(bucket, store, "b")
    bucket.push(second_store, remote="down")
    assert cid(copy) == cid(bucket)
    second_store.pull(bucket, remote="up")
    go_on(bucket, store, "c")
    go_on(copy, second_store, "d")
    with pytest.raises(errors.NotFastForward):
        second_store.pull(bucket, remote="up")
    _, merged = second_store.pull_and_merge(bucket, "up")
    assert merged is not None
    assert [one.key for one in merged.changes] == ["c"]
    assert copy.get_object("d").read() == b"2"
