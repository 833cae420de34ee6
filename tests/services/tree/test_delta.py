"""Deltas: a base and a chain of them give every later export, byte for byte; what the base is known to have stays."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from seen import exported

import mstbucket
from mstbucket import errors
from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.car_reader import CarReader
from mstbucket.core.closure import closure
from mstbucket.limits import CHUNK_SIZE
from mstbucket.spill.seen import Seen


def delta(bucket: mstbucket.Bucket, base: int, commit: int) -> bytes:
    target = io.BytesIO()
    with bucket.at(commit) as view:
        view.export_delta(base, target)
    return target.getvalue()


def cids(data: bytes) -> list[bytes]:
    return [cid for cid, _, _ in CarReader(io.BytesIO(data))]


def change(bucket: mstbucket.Bucket, rng: random.Random) -> None:
    """A few of everything that can happen to a bucket between two commits."""
    for _ in range(rng.randint(0, 8)):
        key = f"k{rng.randrange(60)}"
        match rng.randrange(5):
            case 0:
                bucket.delete_object(key)
            case 1:
                bucket.put_object(key, rng.choice([b"", b"same", b"other"]))
            case 2:
                bucket.put_object(key, rng.randbytes(rng.choice([10, 3000, CHUNK_SIZE + 9])))
            case 3:
                there = [one.key for one in bucket.objects() if one.key != key]
                if there:
                    bucket.copy_object(rng.choice(there), key)
            case 4:
                if key in {one.key for one in bucket.objects()}:
                    bucket.put_object_tagging(key, {"n": str(rng.random())})


@pytest.mark.parametrize("versioned", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_base_and_a_chain_of_deltas_give_every_export(
    bucket: mstbucket.Bucket, tmp_path: Path, seed: int, versioned: bool
) -> None:
    """[DELTA-5] [DELTA-8] For random histories; and a delta holds no block of the base but where a body was copied."""
    rng = random.Random(seed)
    if versioned:
        bucket.put_bucket_versioning("Enabled")
    for n in range(30):
        bucket.put_object(f"k{n}", rng.randbytes(100))
    night = bucket.flush().seq
    files = [exported(bucket)]
    here = tmp_path / "0.car"
    here.write_bytes(files[0])
    for step in range(1, 7):
        change(bucket, rng)
        if rng.random() < 0.1:
            for one in list(bucket.objects()):
                bucket.delete_object(one.key)
        before, night = night, bucket.flush().seq
        files.append(exported(bucket))
        if night == before:
            continue
        change_file, joined = tmp_path / f"{step}.delta", tmp_path / f"{step}.car"
        change_file.write_bytes(delta(bucket, before, night))
        report = mstbucket.join_cars(here, change_file, joined)
        assert joined.read_bytes() == files[-1]
        assert report.bytes == len(files[-1])
        here = joined
        new = cids(change_file.read_bytes())[1:]
        old = set(cids(files[-2]))
        assert set(cids(files[-1])) - old <= set(new)
        assert len(new) == len(set(new))
    first = tmp_path / "all.delta"
    if night > 1:
        first.write_bytes(delta(bucket, 1, night))
        mstbucket.join_cars(tmp_path / "0.car", first, tmp_path / "last.car")
        assert (tmp_path / "last.car").read_bytes() == files[-1]


def test_a_delta_of_few_changes_is_small_and_holds_nothing_twice(bucket: mstbucket.Bucket) -> None:
    """[DELTA-4] A removed key, a new name for a body, and a body that grew: chunks that were there do not travel."""
    rng = random.Random(3)
    body = rng.randbytes(3 * CHUNK_SIZE)
    bucket.put_objects(mstbucket.PutRequest(f"k{n}", rng.randbytes(200)) for n in range(500))
    bucket.put_object("large", body)
    bucket.put_object("moved", rng.randbytes(CHUNK_SIZE))
    bucket.flush()
    bucket.put_object("large", body + b"and more")
    bucket.copy_object("moved", "moved too")
    bucket.delete_object("moved")
    bucket.delete_object("k7")
    bucket.flush()
    file = delta(bucket, 1, 2)
    assert len(file) < 30_000
    blocks = MemoryBlocks({cid: block for cid, block, _ in CarReader(io.BytesIO(exported(bucket)))})
    with bucket.at(1) as view, Seen() as seen:
        for cid in cids(exported(view)):
            seen.add(cid)
        exact = [cid for cid, _ in closure(blocks, CarReader(io.BytesIO(exported(bucket))).root, seen)]
    assert cids(file)[1:] == exact


def test_files_that_do_not_belong_together_are_refused(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    """[DELTA-1] [DELTA-3] Another base, no delta, and an earlier commit than the base."""
    files = []
    for n in range(3):
        bucket.put_object("k", str(n).encode())
        bucket.flush()
        files.append(tmp_path / f"{n}.car")
        files[-1].write_bytes(exported(bucket))
    path = tmp_path / "delta"
    path.write_bytes(delta(bucket, 2, 3))
    with pytest.raises(errors.OtherCommit):
        mstbucket.join_cars(files[0], path, tmp_path / "out")
    with pytest.raises(errors.InvalidCar, match="no delta"):
        mstbucket.join_cars(files[0], files[1], tmp_path / "out")
    for base in (2, 3):
        with pytest.raises(errors.InvalidInput, match="earlier"):
            delta(bucket, base, 2)
    assert not (tmp_path / "out").exists()
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(errors.InvalidCar):
        mstbucket.join_cars(files[1], path, tmp_path / "out")
