"""A copy of a bucket in another store goes on with deltas, and stays what the first one is; or nothing happens to it."""

from __future__ import annotations

import io
import random

import pytest
from seen import exported

import mstbucket
from mstbucket import errors
from mstbucket.core.car import header, section
from mstbucket.core.car_reader import CarReader
from tests.services.tree.test_delta import change, delta


def shown(bucket: mstbucket.Bucket) -> list[object]:
    """What S3 shows of a bucket: all versions, and the tags."""
    versions = bucket.list_object_versions()
    assert not versions.is_truncated
    return [versions, list(bucket.objects()), bucket.get_bucket_versioning()]


@pytest.mark.parametrize("versioned", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_chain_of_deltas_keeps_a_copy_the_same(
    bucket: mstbucket.Bucket, second_store: mstbucket.Store, seed: int, versioned: bool
) -> None:
    """[DELTA-6] [DELTA-7] Rows and commit, whatever happened; and the copy can be written to afterwards."""
    rng = random.Random(seed)
    for n in range(30):
        bucket.put_object(f"k{n}", rng.randbytes(100))
    night = bucket.flush().seq
    copy = second_store.import_car(io.BytesIO(exported(bucket)), "copy")
    for step in range(5):
        if step == 1 and versioned:
            bucket.put_bucket_versioning("Enabled")
        if step == 2:
            bucket.put_bucket_tagging({"step": "two"})
        change(bucket, rng)
        before, night = night, bucket.flush().seq
        if night == before:
            continue
        file = delta(bucket, before, night)
        assert second_store.import_car(io.BytesIO(file)).name == "copy"
        assert copy.head_commit() == bucket.head_commit() or copy.head_commit().cid == bucket.head_commit().cid
        assert exported(copy) == exported(bucket)
        assert shown(copy) == shown(bucket)
        copy.verify()
        second_store.import_car(io.BytesIO(file), "copy")  # again: nothing
    assert copy.get_bucket_versioning() == bucket.get_bucket_versioning()
    copy.put_object("k1", b"goes on")
    copy.put_object("new", b"")
    copy.delete_object("k2")
    copy.flush()
    copy.verify()


@pytest.fixture
def nights(bucket: mstbucket.Bucket) -> mstbucket.Bucket:
    """A bucket with three commits."""
    for n in range(3):
        bucket.put_objects(mstbucket.PutRequest(f"k{m}", b"%d %d" % (n, m)) for m in range(n, 40, n + 1))
        bucket.flush()
    return bucket


def export_of(bucket: mstbucket.Bucket, commit: int) -> io.BytesIO:
    with bucket.at(commit) as view:
        return io.BytesIO(exported(view))


def test_without_the_base_a_delta_is_refused_and_the_base_is_named(
    nights: mstbucket.Bucket, second_store: mstbucket.Store
) -> None:
    """[DELTA-6] Whether there is no bucket, none of that name, or one at another commit."""
    base = next(one.cid for one in nights.log() if one.seq == 2)
    file = delta(nights, 2, 3)
    for name in (None, "things"):
        with pytest.raises(errors.NoSuchCommit, match=base):
            second_store.import_car(io.BytesIO(file), name)
    copy = second_store.import_car(export_of(nights, 1), "copy")
    with pytest.raises(errors.NoSuchCommit, match=base):
        second_store.import_car(io.BytesIO(file))
    with pytest.raises(errors.Conflict, match=base):
        second_store.import_car(io.BytesIO(file), "copy")
    assert exported(copy) == export_of(nights, 1).getvalue()


@pytest.mark.parametrize("flushed", [False, True])
def test_a_bucket_that_has_gone_its_own_way_is_left_as_it_is(
    nights: mstbucket.Bucket, second_store: mstbucket.Store, flushed: bool
) -> None:
    """[DELTA-6] [IMP-10] What was written to the copy is there afterwards, flushed or not."""
    copy = second_store.import_car(export_of(nights, 2), "copy")
    copy.put_object("mine", b"precious")
    if flushed:
        copy.flush()
    with pytest.raises(errors.Conflict):
        second_store.import_car(io.BytesIO(delta(nights, 2, 3)), "copy")
    with pytest.raises(errors.Conflict):
        second_store.import_car(export_of(nights, 3), "copy")
    assert copy.get_object("mine").read() == b"precious"
    copy.flush()
    copy.verify()


def test_the_export_of_the_next_commit_brings_a_bucket_on(nights: mstbucket.Bucket, second_store: mstbucket.Store) -> None:
    """[IMP-10] The one right after, and no later one: nothing tells that it follows; nor another bucket of that name."""
    copy = second_store.import_car(export_of(nights, 1), "copy")
    with pytest.raises(errors.BucketAlreadyExists):
        second_store.import_car(export_of(nights, 3), "copy")
    for seq in (2, 3):
        second_store.import_car(export_of(nights, seq), "copy")
        assert exported(copy) == export_of(nights, seq).getvalue()
        assert [one.seq for one in copy.log()] == list(range(seq, 0, -1))
        copy.verify()
    with pytest.raises(errors.BucketAlreadyExists):
        second_store.import_car(export_of(nights, 2), "copy")
    other = second_store.create_bucket("other")
    other.flush()
    with pytest.raises(errors.BucketAlreadyExists):
        second_store.import_car(export_of(nights, 2), "other")


def test_a_delta_that_is_not_what_its_commits_demand_changes_nothing(
    nights: mstbucket.Bucket, second_store: mstbucket.Store
) -> None:
    """[DELTA-5] [DELTA-7] Each section left out, come twice, or changed places with the next; and one too many."""
    copy = second_store.import_car(export_of(nights, 2), "copy")
    before = exported(copy)
    file = delta(nights, 2, 3)
    reader = CarReader(io.BytesIO(file))
    blocks = [(cid, block) for cid, block, _ in reader]
    foreign = next((cid, block) for cid, block, _ in CarReader(export_of(nights, 1)) if (cid, block) not in blocks)
    bad = [[*blocks, foreign], [*blocks, blocks[3]]]
    for at in range(1, len(blocks), 5):
        bad.append(blocks[:at] + blocks[at + 1 :])
        if at + 1 < len(blocks):
            bad.append([*blocks[:at], blocks[at + 1], blocks[at], *blocks[at + 2 :]])
    for wrong in bad:
        data = header(reader.root) + b"".join(section(cid, block) for cid, block in wrong)
        with pytest.raises((errors.CorruptionError, errors.FormatError)):
            second_store.import_car(io.BytesIO(data), "copy")
        assert exported(copy) == before
    for cut in range(len(file) - 1, 300, -211):  # the statement has to be read to be known for one
        with pytest.raises((errors.CorruptionError, errors.FormatError)):
            second_store.import_car(io.BytesIO(file[:cut]), "copy")
    assert exported(copy) == before
    second_store.import_car(io.BytesIO(file), "copy")
    assert exported(copy) == exported(nights)


def test_what_is_expected_of_a_delta_is_its_commit(nights: mstbucket.Bucket, second_store: mstbucket.Store) -> None:
    """[VER-33] The one it leads to."""
    second_store.import_car(export_of(nights, 2), "copy")
    base, head = (next(one.cid for one in nights.log() if one.seq == seq) for seq in (2, 3))
    file = delta(nights, 2, 3)
    with pytest.raises(errors.OtherCommit):
        second_store.import_car(io.BytesIO(file), expect=base)
    assert second_store.import_car(io.BytesIO(file), expect=head).name == "copy"
