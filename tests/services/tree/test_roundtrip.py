"""Out as one file and back: the same commit, the same bytes, the same everything that S3 shows; or a declared refusal."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from seen import exported

import mstbucket
from mstbucket import errors
from mstbucket.core import cid as cids
from mstbucket.limits import CHUNK_SIZE
from mstbucket.model.objects import ObjectInfo


def fill(bucket: mstbucket.Bucket, count: int = 300) -> None:
    """Objects of every kind: empty, small, shared bodies, shared manifests, several chunks, all that can be said."""
    rng = random.Random(11)
    bucket.put_objects(
        mstbucket.PutRequest(
            f"dir {n % 7}/é{n:04}",
            rng.choice([b"", b"shared", rng.randbytes(50), rng.randbytes(5000)]),
            content_type=rng.choice([None, "text/plain"]),
            metadata={"n": str(n)} if n % 5 == 0 else {},
            tags={"t": "größe"} if n % 11 == 0 else {},
            headers={"expires": "never"} if n % 13 == 0 else {},
        )
        for n in range(count)
    )
    bucket.put_object("large", rng.randbytes(2 * CHUNK_SIZE + 5))
    bucket.copy_object("large", "large too")
    bucket.put_object("\U0010ffff/../x", b"strange")


def shown(bucket: mstbucket.Bucket) -> list[tuple[ObjectInfo, bytes]]:
    """Everything S3 shows of the bucket's objects."""
    return [(bucket.head_object(o.key), bucket.get_object(o.key).read()) for o in bucket.objects()]


def test_a_bucket_leaves_and_comes_back_as_it_was(
    bucket: mstbucket.Bucket, second_store: mstbucket.Store, tmp_path: Path
) -> None:
    """[EXP-1], [IMP-2]: and exporting it again gives the same file, byte for byte."""
    fill(bucket)
    commit = bucket.flush()
    path = tmp_path / "out.car"
    told: list[int] = []
    report = bucket.export_car(path, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == report.bytes == path.stat().st_size
    checked = mstbucket.verify_car(path)
    assert (cids.to_text(checked.root), checked.objects, checked.bytes) == (commit.cid, commit.objects, commit.bytes)
    assert checked.blocks == report.blocks
    back = second_store.import_car(path)
    assert back.name == "things"
    assert back.head_commit() == commit
    assert shown(back) == shown(bucket)
    assert exported(back) == path.read_bytes() == exported(bucket)
    assert back.verify().objects == commit.objects
    assert second_store.list_buckets()[0].identity == commit.bucket
    # It goes on from there: the next commits of the two have the same parent and the same tree.
    for one in (bucket, back):
        one.delete_object("large")
    ours, theirs = bucket.flush(), back.flush()
    assert ours.prev == theirs.prev == commit.cid
    assert ours.tree == theirs.tree
    assert ours.bytes == theirs.bytes


def test_many_keys_with_one_manifest_come_back(bucket: mstbucket.Bucket, second_store: mstbucket.Store) -> None:
    """Keys that share a manifest (same body, same millisecond) share the block; the rows are made of the first."""
    bucket.put_objects(mstbucket.PutRequest(f"{n:03}", b"same") for n in range(200))
    bucket.flush()
    back = second_store.import_car(io.BytesIO(exported(bucket)))
    assert shown(back) == shown(bucket)
    assert len({o.manifest for o, _ in shown(back)}) < 200


def test_an_import_beside_what_is_there_shares_blocks(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    fill(bucket, 50)
    bucket.flush()
    copy = store.import_car(io.BytesIO(exported(bucket)), "copy")
    assert shown(copy) == shown(bucket)
    assert copy.verify().objects == bucket.verify().objects


def test_an_empty_bucket_travels(bucket: mstbucket.Bucket, second_store: mstbucket.Store) -> None:
    commit = bucket.flush()
    assert second_store.import_car(io.BytesIO(exported(bucket))).head_commit() == commit


def test_export_needs_a_commit(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    bucket.put_object("k", b"")
    with pytest.raises(errors.NoSuchCommit):
        bucket.export_car(tmp_path / "x.car")
    with pytest.raises(errors.NoSuchCommit):
        bucket.verify()
    assert not (tmp_path / "x.car").exists()


def test_unflushed_changes_are_not_in_the_export(bucket: mstbucket.Bucket) -> None:
    bucket.put_object("k", b"old")
    bucket.flush()
    before = exported(bucket)
    bucket.put_object("k", b"new")
    assert exported(bucket) == before


@pytest.mark.parametrize(("place", "wrong"), [("a missing folder/x.car", errors.NoSuchFile), ("folder", errors.NotAFile)])
def test_an_export_that_cannot_be_written_leaves_nothing(
    bucket: mstbucket.Bucket, tmp_path: Path, place: str, wrong: type[Exception]
) -> None:
    """[EXP-2]."""
    (tmp_path / "folder").mkdir()
    bucket.flush()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(wrong):
        bucket.export_car(tmp_path / place)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_export_replaces_a_file_only_when_it_is_whole(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    """[EXP-2]: a damaged store does not cost the export of yesterday."""
    fill(bucket, 20)
    bucket.flush()
    path = tmp_path / "x.car"
    path.write_bytes(b"of yesterday")
    for pack in (tmp_path / "blobs" / "packs").rglob("*.car"):
        pack.unlink()
    bucket._context.blobs.__init__(tmp_path / "blobs")  # type: ignore[misc]  # nothing is held open
    with pytest.raises(errors.MissingBlock):
        bucket.export_car(path)
    assert path.read_bytes() == b"of yesterday"
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["x.car"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[:20],
        lambda data: b"",
        lambda data: data + data[59:200],
        lambda data: data[: len(data) // 2] + bytes((data[len(data) // 2] ^ 1,)) + data[len(data) // 2 + 1 :],
    ],
    ids=["half of it", "the last byte gone", "a piece of the header", "nothing", "more behind it", "a bit flipped"],
)
def test_a_file_that_is_not_true_leaves_nothing_behind(
    bucket: mstbucket.Bucket, second_store: mstbucket.Store, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    """[IMP-1], [IMP-3]."""
    fill(bucket, 60)
    bucket.flush()
    with pytest.raises((errors.FormatError, errors.CorruptionError)):
        second_store.import_car(io.BytesIO(damage(exported(bucket))))
    assert second_store.list_buckets() == []
    assert [path for path in (tmp_path / "blobs-2").rglob("*/*") if path.is_file()] == []
    with second_store._context.db.reading() as connection:
        for table in ("objects", "blocks", "packs", "commits"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_an_import_needs_a_free_and_proper_name(store: mstbucket.Store, bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    bucket.flush()
    data = exported(bucket)
    with pytest.raises(errors.BucketAlreadyExists):
        store.import_car(io.BytesIO(data))
    with pytest.raises(errors.InvalidBucketName):
        store.import_car(io.BytesIO(data), "No Name")
    with pytest.raises(errors.NoSuchFile):
        store.import_car(tmp_path / "missing.car")
    assert [b.name for b in store.list_buckets()] == ["things"]


# --- a store that lost or changed bytes ------------------------------------------------------------------------------


def packs(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "blobs" / "packs").rglob("*.car"), key=lambda path: path.stat().st_mtime_ns)


@pytest.mark.parametrize("size", [10, 200_000, 3 * CHUNK_SIZE], ids=["small", "one chunk", "several chunks"])
def test_a_flipped_bit_is_an_error_that_names_the_object(
    bucket: mstbucket.Bucket, tmp_path: Path, size: int
) -> None:
    """[GET-1]: never a wrong byte."""
    body = random.Random(1).randbytes(size)
    bucket.put_object("the key", body)
    bucket.flush()
    for pack in packs(tmp_path):
        data = bytearray(pack.read_bytes())
        at = data.find(body[-10:])
        if at >= 0:
            data[at] ^= 0x10
            pack.write_bytes(data)
    with pytest.raises(errors.HashMismatch, match=r"'the key' of bucket 'things'.*bafk"):
        bucket.get_object("the key").read()
    with pytest.raises(errors.HashMismatch):
        bucket.verify()


def test_a_hole_in_a_body_is_an_error_and_not_an_end(
    bucket: mstbucket.Bucket, open_store: Callable[[], mstbucket.Store], tmp_path: Path
) -> None:
    """[GET-1]: what was given before the gap is right, and the gap is an error."""
    body = random.Random(1).randbytes(20 * CHUNK_SIZE)
    bucket.put_object("k", body)
    pack = packs(tmp_path)[0]
    with pack.open("r+b") as file:
        file.seek(15 * CHUNK_SIZE)
        file.write(bytes(CHUNK_SIZE))
    again = open_store().bucket("things")
    reader = again.get_object("k")
    got = bytearray()
    with pytest.raises(errors.HashMismatch):  # noqa: PT012
        for chunk in reader:
            got += chunk
    assert CHUNK_SIZE <= len(got) < 15 * CHUNK_SIZE
    assert body.startswith(bytes(got))
    assert again.get_object("k", range="bytes=0-9").read() == body[:10]


def test_a_missing_pack_is_an_error_that_names_the_object(
    bucket: mstbucket.Bucket, open_store: Callable[[], mstbucket.Store], tmp_path: Path
) -> None:
    """[GET-1]."""
    bucket.put_object("k", b"body")
    bucket.flush()
    for pack in packs(tmp_path):
        pack.unlink()
    again = open_store().bucket("things")
    with pytest.raises(errors.MissingBlock, match="'k' of bucket 'things'"):
        again.get_object("k").read()
    assert again.head_object("k").size == 4


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE objects SET manifest = content WHERE key = 'large'",
        "DELETE FROM objects WHERE key = 'large'",
        "INSERT INTO objects (bucket, key, manifest, content, size, etag, content_type, modified) "
        "SELECT bucket, key || '!', manifest, content, size, etag, content_type, modified FROM objects WHERE key = 'large'",
        "DELETE FROM blocks WHERE cid = (SELECT content FROM objects WHERE key = 'large')",
    ],
    ids=["another manifest", "a row less", "a row more", "a block less"],
)
def test_an_index_that_differs_from_the_tree_is_found(bucket: mstbucket.Bucket, change: str) -> None:
    """[FLUSH-1]: both ways."""
    fill(bucket, 30)
    bucket.flush()
    bucket.verify()
    with bucket._context.db.connection() as connection:
        connection.execute(change)
    with pytest.raises((errors.Untrue, errors.MissingBlock)):
        bucket.verify()
