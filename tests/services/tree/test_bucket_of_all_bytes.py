"""A bucket that holds more bytes than a commit can state: said at the flush, and left as it is."""

from __future__ import annotations

import pytest

import mstbucket
from mstbucket.errors import Unsupported
from mstbucket.limits import BUCKET_BYTES_MAX, OBJECT_SIZE_MAX


def alter(store: mstbucket.Store, query: str, *values: object) -> None:
    with store._context.db.connection() as connection:
        connection.execute(query, values)


@pytest.fixture
def full(store: mstbucket.Store, bucket: mstbucket.Bucket) -> mstbucket.Bucket:
    """A bucket whose newest commit states as many bytes as one can; nobody can write 172,000 of the largest objects here."""
    bucket.put_object("there", b"there")
    bucket.flush()
    alter(store, "UPDATE commits SET bytes = %s", BUCKET_BYTES_MAX)
    return bucket


def test_a_flush_says_which_bucket_how_many_bytes_and_the_way_out(full: mstbucket.Bucket) -> None:
    """[COM-25] and it is said as often as it is asked."""
    full.put_object("more", b"1234567")
    for _ in range(2):
        with pytest.raises(Unsupported, match=f"'things' have {BUCKET_BYTES_MAX + 7} bytes.*delete objects"):
            full.flush()


def test_what_was_written_stays_and_the_next_flush_is_made_when_enough_is_gone(full: mstbucket.Bucket) -> None:
    """[COM-25]"""
    before = full.head_commit()
    assert before is not None
    full.put_object("more", b"1234567")
    with pytest.raises(Unsupported):
        full.flush()
    assert full.head_commit() == before
    with full.get_object("more") as reader:
        assert reader.read() == b"1234567"
    full.delete_object("there")  # five bytes go, seven came
    with pytest.raises(Unsupported, match=str(BUCKET_BYTES_MAX + 2)):
        full.flush()
    full.put_object("more", b"12345")
    made = full.flush()
    assert (made.seq, made.objects, made.bytes) == (2, 1, BUCKET_BYTES_MAX)
    full.delete_object("more")
    assert full.flush().bytes == BUCKET_BYTES_MAX - 5


def test_another_door_to_a_commit_says_the_same(store: mstbucket.Store, full: mstbucket.Bucket) -> None:
    """[COM-25] of a commit that a restore makes; and empty objects are no bytes."""
    full.put_object("empty", b"")
    assert full.flush().bytes == BUCKET_BYTES_MAX
    full.delete_object("there")
    first = full.flush()
    alter(store, "UPDATE commits SET bytes = %s WHERE seq = %s", BUCKET_BYTES_MAX, first.seq)
    with pytest.raises(Unsupported, match=str(BUCKET_BYTES_MAX + 5)):
        full.restore(1)
    assert full.head_commit() is not None


def test_usage_counts_past_what_a_bigint_holds(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """Current objects, versions and parts of uploads, each of them."""
    bucket.put_bucket_versioning("Enabled")
    for number in range(6):
        bucket.put_object(f"k{number}", b"x")
        bucket.put_object(f"k{number}", b"y")
    for number in range(3):
        upload = bucket.create_multipart_upload(f"u{number}")
        bucket.upload_part(f"u{number}", upload.id, 1, b"z")
    for table in ("objects", "versions", "parts"):
        alter(store, f"UPDATE {table} SET size = %s", 2**62)
    [used] = store.usage().buckets
    assert (used.bytes, used.older_bytes, used.upload_bytes) == (6 * 2**62, 6 * 2**62, 3 * 2**62)
    assert 6 * 2**62 > BUCKET_BYTES_MAX > OBJECT_SIZE_MAX
