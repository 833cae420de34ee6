"""What is marked is exactly what the roots reach, and each block is read once, if at all."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import replace

import pytest
from collectstate import ask

import mstbucket
from mstbucket.core.cid import RAW, RAW_PREFIX, codec
from mstbucket.core.closure import closure
from mstbucket.index.collection import ReadyPack, Removed
from mstbucket.limits import KIB, MIB, PART_SIZE_MIN
from mstbucket.services.blocks.context import Context
from mstbucket.services.collection import mark as marking
from mstbucket.services.collection import roots
from mstbucket.services.collection.packs import Packs
from mstbucket.spill.seen import Seen


class Counting:
    """The blocks of a store, and how often each was asked for."""

    def __init__(self, context: Context) -> None:
        self._blocks = context.blocks
        self.reads: Counter[bytes] = Counter()
        self.most = 0

    def get(self, cid: bytes) -> bytes:
        return self.get_many((cid,))[cid]

    def get_many(self, cids: Collection[bytes]) -> Mapping[bytes, bytes]:
        self.reads.update(cids)
        self.most = max(self.most, len(cids))
        return self._blocks.get_many(cids)


def fill(bucket: mstbucket.Bucket, commits: int, seed: int) -> None:
    """Commits of which each changes a little of the one before; with versions, large bodies and an open upload."""
    dice = random.Random(seed)
    bucket.put_bucket_versioning("Enabled")
    for number in range(commits):
        for _ in range(60 if number == 0 else 8):
            key, size = f"{dice.randrange(90)}", dice.choice([10, 300, 70 * KIB])
            bucket.put_object(key, dice.randbytes(size))
        bucket.delete_object(f"{dice.randrange(90)}")
        if number % 3 == 0:
            bucket.put_object("large", dice.randbytes(MIB + number))
        bucket.flush()
    upload = bucket.create_multipart_upload("parts")
    bucket.upload_part("parts", upload.id, 1, dice.randbytes(PART_SIZE_MIN + 1))
    bucket.put_object("not flushed", b"yet")
    bucket.put_object("not flushed, large", dice.randbytes(2 * MIB + 1))


@pytest.mark.parametrize(("memory", "ahead"), [(1 << 18, 2048), (16, 7)])
def test_it_is_what_the_roots_reach_and_each_node_is_read_once(
    store: mstbucket.Store, bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch, memory: int, ahead: int
) -> None:
    """[GC-2] [GC-3]: also where most of it is on disk. The oracle goes through each commit by itself."""
    monkeypatch.setattr(roots, "Seen", lambda: Seen(memory))
    monkeypatch.setattr(roots, "_PAGE", 3)
    monkeypatch.setattr(marking, "AHEAD_MAX", ahead)
    fill(bucket, 9, memory)
    context = store._context
    expected: set[bytes] = set()
    for (commit,) in ask(store, "SELECT cid FROM commits"):
        expected |= {cid for cid, _ in closure(context.blocks, commit, set_of())}
    rows = ask(store, "SELECT manifest, content FROM objects UNION SELECT manifest, content FROM versions")
    of_rows = {manifest for manifest, _ in rows}
    expected |= of_rows
    for _, content in rows:
        if content is not None:
            expected |= reach(context, content)
    for (digests,) in ask(store, "SELECT chunks FROM parts"):
        expected |= {RAW_PREFIX + digests[at : at + 32] for at in range(0, len(digests), 32)}
    counting = Counting(context)
    with ExitStack() as stack:
        _, marks, _ = roots.mark(replace(context, blocks=counting), lambda: None, stack)  # type: ignore[arg-type]
        assert len(marks) == len(expected)
        assert all(cid in marks for cid in expected)
    assert set(counting.reads.values()) == {1}
    assert not [cid for cid in counting.reads if codec(cid) == RAW]
    assert not counting.reads.keys() & of_rows
    assert counting.most <= max(ahead, marking.AHEAD_FIRST)


def set_of() -> Seen:
    """A fresh set; small enough to be left to the end of the process."""
    return Seen()


def reach(context: Context, root: bytes) -> set[bytes]:
    """A body's blocks, one by one."""
    from mstbucket.core.closure import links_of

    found, stack = set(), [root]
    while stack:
        cid = stack.pop()
        found.add(cid)
        if codec(cid) != RAW:
            stack += [link for link, _ in links_of(cid, context.blocks.get(cid))]
    return found


def test_a_pack_is_empty_when_all_rows_that_were_counted_are_removed_and_not_before() -> None:
    """[GC-8] [GC-9]"""
    packs = Packs(ReadyPack(number, 1000) for number in (3, 5, 8, 9))
    for dead in (True, True, False):
        packs.count(3, 100, dead)
    for _ in range(2):
        packs.count(5, 400, True)
    packs.count(8, 800, False)
    packs.count(4, 1, True)  # of a pack that was not ready then
    assert packs.empty() == [9]
    assert list(packs.thin()) == [3]
    assert packs.dying() == 2
    assert packs.emptied_by([Removed(5, 1, 400), Removed(3, 2, 200), Removed(4, 1, 1), Removed(None, 7, 7)]) == []
    packs.note([Removed(5, 1, 400), Removed(None, 7, 7)])
    assert packs.emptied_by([Removed(5, 1, 400)]) == [5]
    packs.note([Removed(3, 2, 200)])
    assert packs.emptied_by([Removed(3, 1, 100)]) == [3]
