"""One object at a time: what goes in comes out, what is refused leaves nothing, whatever the body is."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import threading
import time
from pathlib import Path

import pytest

import mstbucket
from mstbucket import errors
from mstbucket.core import cid as cids
from mstbucket.core.body_builder import BodyBuilder
from mstbucket.limits import CHUNK_SIZE, INLINE_MAX, PUT_SIZE_MAX

SIZES = [
    0, 1, 100, INLINE_MAX - 1, INLINE_MAX, INLINE_MAX + 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE + 7,
]  # fmt: skip


def pattern(size: int) -> bytes:
    """Bytes without a period, so that chunks differ."""
    return b"".join(hashlib.sha256(n.to_bytes(8, "big")).digest() for n in range(-(-size // 32)))[:size]


def body_cid(data: bytes) -> str:
    builder = BodyBuilder()
    for _ in builder.feed(data):
        pass
    return cids.to_text(builder.finish().root)


class Dripping(io.RawIOBase):
    """A reader that returns less than it is asked for, as sockets do."""

    def __init__(self, data: bytes, step: int) -> None:
        super().__init__()
        self.rest, self.step = data, step

    def read(self, size: int = -1) -> bytes:
        size = min(size, self.step)
        part, self.rest = self.rest[:size], self.rest[size:]
        return part


class Failing(io.RawIOBase):
    """A reader that breaks after some bytes."""

    def __init__(self, good: int) -> None:
        super().__init__()
        self.good = good

    def read(self, size: int = -1) -> bytes:
        if self.good <= 0:
            raise ConnectionResetError("the other side went away")
        self.good -= size
        return b"x" * size


@pytest.mark.parametrize("size", SIZES)
def test_a_body_of_any_size_comes_back_with_its_digests(bucket: mstbucket.Bucket, size: int) -> None:
    """[PUT-1], [PUT-3], [PUT-7] and [GET-3]: it is there at once, before any flush, and after it."""
    data = pattern(size)
    result = bucket.put_object("a key", data)
    assert (result.size, result.etag) == (size, hashlib.md5(data).hexdigest())
    for _ in range(2):
        with bucket.get_object("a key") as reader:
            assert reader.read() == data
            assert reader.read() == b""
        info = bucket.head_object("a key")
        assert info == reader.info
        assert info.sha256 == hashlib.sha256(data).hexdigest()
        assert info.content == result.content == body_cid(data)
        assert info.content_type == "binary/octet-stream"
        bucket.flush()


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview", "path", "file", "dripping"])
@pytest.mark.parametrize("size", [0, 5000, INLINE_MAX + 1, 2 * CHUNK_SIZE + 1])
def test_every_kind_of_body_gives_the_same_object(
    bucket: mstbucket.Bucket, tmp_path: Path, kind: str, size: int
) -> None:
    data = pattern(size)
    path = tmp_path / "body"
    path.write_bytes(data)
    with path.open("rb") as file:
        body = {
            "bytes": data,
            "bytearray": bytearray(data),
            "memoryview": memoryview(data),
            "path": path,
            "file": file,
            "dripping": Dripping(data, 70_001),
        }[kind]
        assert bucket.put_object("k", body).content == body_cid(data)
    assert bucket.get_object("k").read() == data


def test_everything_said_about_an_object_is_kept(bucket: mstbucket.Bucket) -> None:
    bucket.put_object(
        "k",
        b"data",
        content_type="text/plain; charset=utf-8",
        metadata={"Author": "Ωμέγα", "empty": ""},
        headers={"Cache-Control": "no-store", "content-language": "de"},
        tags={"colour": "red", "größe": "12"},
    )
    info = bucket.head_object("k")
    assert info.content_type == "text/plain; charset=utf-8"
    assert info.metadata == {"author": "Ωμέγα", "empty": ""}
    assert info.headers == {"cache-control": "no-store", "content-language": "de"}
    assert info.tags == {"colour": "red", "größe": "12"}
    assert info.last_modified.tzinfo is not None


@pytest.mark.parametrize(
    "key",
    [
        "../../x", "/", "//", "a//b", "a/", "/a", ".", "a\nb", "é", "e\u0301", "\uffff", "\U00010000", "\U0010ffff",
        " ", "\t", "k" * 1024, "é" * 512, "mst://x/y", "%2e%2e", "\\", "\x01q\x12 " + "x" * 32,
    ],
)  # fmt: skip
def test_a_strange_key_is_kept_exactly(bucket: mstbucket.Bucket, key: str) -> None:
    bucket.put_object(key, key.encode())
    bucket.flush()
    assert [o.key for o in bucket.objects()] == [key]
    assert bucket.get_object(key).read() == key.encode()
    assert bucket.verify().objects == 1


@pytest.mark.parametrize(
    ("key", "error"),
    [
        ("", errors.InvalidKey),
        ("a\0b", errors.InvalidKey),
        ("\ud800", errors.InvalidKey),
        ("k" * 1025, errors.KeyTooLong),
        ("é" * 513, errors.KeyTooLong),
    ],
    ids=["empty", "NUL", "lone surrogate", "1025 bytes", "1026 bytes in 513 characters"],
)
def test_a_key_that_cannot_be_is_refused_by_every_verb(
    bucket: mstbucket.Bucket, key: str, error: type[Exception]
) -> None:
    bucket.put_object("there", b"")
    for call in (
        lambda: bucket.put_object(key, b""),
        lambda: bucket.put_objects([mstbucket.PutRequest(key, b"")]),
        lambda: bucket.get_object(key),
        lambda: bucket.head_object(key),
        lambda: bucket.delete_object(key),
        lambda: bucket.delete_objects([key]),
        lambda: bucket.copy_object("there", key),
        lambda: bucket.copy_object(key, "there"),
    ):
        with pytest.raises(error):
            call()
    assert [o.key for o in bucket.objects()] == ["there"]


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"metadata": {"a": "x" * 2048}}, errors.MetadataTooLarge),
        ({"metadata": {"a": "line\nbreak"}}, errors.InvalidInput),
        ({"metadata": {"a": "\ud800"}}, errors.InvalidInput),
        ({"headers": {"x-unknown": "1"}}, errors.InvalidInput),
        ({"tags": {str(n): "" for n in range(11)}}, errors.InvalidTag),
        ({"tags": {"k" * 129: ""}}, errors.InvalidTag),
        ({"tags": {"k": "v" * 257}}, errors.InvalidTag),
        ({"tags": {"": "v"}}, errors.InvalidTag),
        ({"content_type": "\ud800"}, errors.InvalidInput),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else value.__name__,
)
def test_what_cannot_be_said_is_refused_and_stores_nothing(
    bucket: mstbucket.Bucket, said: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        bucket.put_object("k", b"data", **said)  # type: ignore[arg-type]
    with pytest.raises(errors.NoSuchKey):
        bucket.head_object("k")


def test_metadata_of_exactly_the_limit_fits(bucket: mstbucket.Bucket) -> None:
    bucket.put_object("k", b"", metadata={"a": "x" * 2047})
    assert len(bucket.head_object("k").metadata["a"]) == 2047


@pytest.mark.parametrize("good", [0, 1000, INLINE_MAX + 1, 3 * CHUNK_SIZE])
def test_a_body_that_breaks_leaves_the_key_as_it_was(bucket: mstbucket.Bucket, tmp_path: Path, good: int) -> None:
    """[PUT-4] and [PUT-2]: nothing visible, and no file that the database does not know."""
    bucket.put_object("k", b"before")
    with pytest.raises(ConnectionResetError):
        bucket.put_object("k", Failing(good))
    with pytest.raises(ConnectionResetError):
        bucket.put_objects([mstbucket.PutRequest("other", b""), mstbucket.PutRequest("k", Failing(good))])
    assert bucket.get_object("k").read() == b"before"
    assert [o.key for o in bucket.objects()] == ["k"]
    assert [path for path in (tmp_path / "blobs" / "packs").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("size", [10, 3 * CHUNK_SIZE])
def test_a_file_that_changes_while_it_is_put_is_not_stored(bucket: mstbucket.Bucket, tmp_path: Path, size: int) -> None:
    """[PUT-14] whatever is stored while somebody writes it all the time was one of its states; every write is one call."""
    path = tmp_path / "changing"
    path.write_bytes(b"0" * size)
    bucket.put_object("k", path)
    ended = threading.Event()
    refused = 0

    def change() -> None:
        with path.open("r+b", buffering=0) as file:
            for number in itertools.cycle(range(10)):
                if ended.is_set():
                    return
                os.pwrite(file.fileno(), b"%d" % number * size, 0)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        end = time.monotonic() + 60
        while refused < 2:  # the writer may be at rest for a moment
            assert time.monotonic() < end
            try:
                bucket.put_object("k", path)
            except errors.Conflict:
                refused += 1
            assert len(set(bucket.get_object("k").read())) == 1
    finally:
        ended.set()
        thread.join()
    bucket.put_object("k", path)
    assert bucket.get_object("k").read() == path.read_bytes()


@pytest.mark.parametrize(
    ("body", "error"),
    [("text", errors.InvalidInput), (io.StringIO("text"), errors.InvalidInput), (None, errors.InvalidInput),
     (Path("/nowhere/at/all"), errors.NoSuchFile), (Path("/"), errors.NotAFile)],
    ids=["str", "text file", "None", "missing path", "directory"],
)  # fmt: skip
def test_what_is_no_body_is_refused(bucket: mstbucket.Bucket, body: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        bucket.put_object("k", body)  # type: ignore[arg-type]
    assert list(bucket.objects()) == []


@pytest.mark.parametrize(
    ("span", "expected"),
    [("bytes=0-0", (0, 1)), ("bytes=0-9", (0, 10)), ("bytes=5-", (5, None)), ("bytes=-7", (-7, None)),
     ("bytes=1048570-1048580", (1048570, 1048581)), ("bytes=0-99999999", (0, None)), ("bytes=-99999999", (0, None)),
     ("bytes=0-1,5-6", (0, None)), ("bytes=2097152-2097152", (2097152, 2097153))],
)  # fmt: skip
def test_a_range_gives_exactly_its_bytes(
    bucket: mstbucket.Bucket, span: str, expected: tuple[int, int | None]
) -> None:
    """[GET-2] and [GET-4]."""
    data = pattern(3 * CHUNK_SIZE + 100)
    bucket.put_object("k", data)
    assert bucket.get_object("k", range=span).read() == data[slice(*expected)]


@pytest.mark.parametrize(
    ("size", "span", "error"),
    [(10, "bytes=10-", errors.InvalidRange), (10, "bytes=-0", errors.InvalidRange), (0, "bytes=0-", errors.InvalidRange),
     (0, "bytes=-5", errors.InvalidRange), (10, "bytes=5-4", errors.InvalidInput), (10, "0-4", errors.InvalidInput),
     (10, "bytes=", errors.InvalidInput), (10, "bytes=-", errors.InvalidInput), (10, "lines=0-1", errors.InvalidInput)],
)  # fmt: skip
def test_a_range_outside_is_refused(
    bucket: mstbucket.Bucket, size: int, span: str, error: type[Exception]
) -> None:
    """[GET-4]."""
    bucket.put_object("k", b"x" * size)
    with pytest.raises(error):
        bucket.get_object("k", range=span)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    """[PUT-4]: a file says how long it is; this one is a hole, which no test could read to its end."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(PUT_SIZE_MAX + 1)
    with pytest.raises(errors.EntityTooLarge, match="send it in parts"):
        bucket.put_object("k", tmp_path / "large")
    assert list(bucket.objects()) == []


def test_reading_in_steps_and_by_chunks_gives_the_same_bytes(bucket: mstbucket.Bucket) -> None:
    data = pattern(2 * CHUNK_SIZE + 3)
    bucket.put_object("k", data)
    reader = bucket.get_object("k")
    steps = [reader.read(n) for n in (1, 0, CHUNK_SIZE, 5)]
    assert b"".join([*steps, *reader]) == data
    assert b"".join(bucket.get_object("k")) == data


def test_a_reader_keeps_what_it_opened_when_the_key_is_overwritten(bucket: mstbucket.Bucket) -> None:
    bucket.put_object("k", pattern(2 * CHUNK_SIZE))
    reader = bucket.get_object("k")
    bucket.put_object("k", b"new")
    assert reader.read() == pattern(2 * CHUNK_SIZE)
    assert bucket.get_object("k").read() == b"new"


def test_delete_removes_and_a_missing_key_is_no_error(bucket: mstbucket.Bucket) -> None:
    for key in "abc":
        bucket.put_object(key, b"")
    bucket.delete_object("a")
    bucket.delete_object("a")
    report = bucket.delete_objects(["c", "nothing", "c"])
    assert [(one.key, one.existed) for one in report.deleted] == [("c", True), ("nothing", False), ("c", True)]
    assert report.errors == ()
    assert [o.key for o in bucket.objects()] == ["b"]
    with pytest.raises(errors.NoSuchKey):
        bucket.get_object("a")
    with pytest.raises(errors.InvalidInput):
        bucket.delete_objects([str(n) for n in range(1001)])


def test_copy_moves_no_bytes_and_keeps_or_replaces_what_is_said(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    data = pattern(CHUNK_SIZE + 1)
    bucket.put_object("a", data, metadata={"m": "1"}, tags={"t": "1"}, content_type="image/png")
    other = store.create_bucket("other-things")
    kept = other.copy_object("a", "b", source_bucket="things")
    replaced = bucket.copy_object("a", "a", metadata_directive="REPLACE", content_type="text/plain")
    assert kept.content == replaced.content == body_cid(data)
    assert other.head_object("b").metadata == {"m": "1"}
    assert other.head_object("b").tags == {"t": "1"}
    assert (bucket.head_object("a").content_type, bucket.head_object("a").metadata) == ("text/plain", {})
    assert other.get_object("b").read() == data
    with pytest.raises(errors.NoSuchKey):
        bucket.copy_object("missing", "x")
    with pytest.raises(errors.InvalidInput):
        bucket.copy_object("a", "a")


def test_bulk_put_stores_every_kind_and_the_later_of_two(bucket: mstbucket.Bucket) -> None:
    """[PUT-9]: batches of small and large bodies, of duplicates, beyond one batch."""
    requests = [mstbucket.PutRequest(f"n/{n:05}", f"{n % 700}".encode() * 300, metadata={"n": str(n)}) for n in range(2300)]
    requests += [mstbucket.PutRequest("big", pattern(2 * CHUNK_SIZE)), mstbucket.PutRequest("twice", b"first")]
    requests += [mstbucket.PutRequest("twice", b"second")]
    told: list[str] = []
    assert bucket.put_objects(iter(requests), stored=lambda result: told.append(result.key)) == len(requests)
    assert told == [request.key for request in requests]
    assert bucket.get_object("twice").read() == b"second"
    assert bucket.get_object("big").read() == pattern(2 * CHUNK_SIZE)
    assert bucket.get_object("n/01234").read() == b"534" * 300
    assert bucket.head_object("n/01234").metadata == {"n": "1234"}
    assert bucket.flush().objects == 2302
    assert bucket.verify().objects == 2302


def test_buckets_are_made_found_listed_and_removed(store: mstbucket.Store) -> None:
    one = store.create_bucket("one")
    store.create_bucket("another.one")
    one.put_object("k", b"x")
    assert [(b.name, b.commit, b.seq, b.dirty) for b in store.list_buckets()] == [
        ("another.one", None, 0, 0),
        ("one", None, 0, 1),
    ]
    with pytest.raises(errors.BucketAlreadyExists):
        store.create_bucket("one")
    with pytest.raises(errors.BucketNotEmpty):
        store.delete_bucket("one")
    one.delete_object("k")
    store.delete_bucket("one")
    for call in (
        lambda: store.bucket("one"),
        lambda: store.delete_bucket("one"),
        lambda: one.put_object("k", b""),
        lambda: one.put_object("k", pattern(CHUNK_SIZE)),
        lambda: one.get_object("k"),
        lambda: one.head_object("k"),
        one.list_objects,
        lambda: list(one.objects()),
        lambda: one.delete_object("k"),
        one.flush,
        one.head_commit,
        lambda: list(one.log()),
        one.verify,
    ):
        with pytest.raises(errors.NoSuchBucket):
            call()


def test_a_body_above_the_largest_size_is_refused_and_leaves_nothing(
    bucket: mstbucket.Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PUT-4]: noticed on the way, since a stream does not say how long it is; 5 TiB are more than a test can send."""
    monkeypatch.setattr("mstbucket.core.body_builder.PUT_SIZE_MAX", 2 * CHUNK_SIZE)
    bucket.put_object("k", pattern(2 * CHUNK_SIZE))
    before = sorted(path for path in (tmp_path / "blobs").rglob("*") if path.is_file())
    for body in (pattern(2 * CHUNK_SIZE + 1), io.BytesIO(pattern(2 * CHUNK_SIZE + 1))):
        with pytest.raises(errors.EntityTooLarge):
            bucket.put_object("k", body)
    assert bucket.get_object("k").read() == pattern(2 * CHUNK_SIZE)
    assert sorted(path for path in (tmp_path / "blobs").rglob("*") if path.is_file()) == before


def test_a_body_that_was_closed_is_not_at_its_end(bucket: mstbucket.Bucket) -> None:
    """[GET-1]: reading it is an error, as with files, whatever is left of it."""
    bucket.put_object("k", bytes(3_000_000))
    for before in (0, 10, 2_000_000, 3_000_000):
        body = bucket.get_object("k")
        assert len(body.read(before)) == before
        body.close()
        body.close()
        for size in (-1, 0, 1):
            with pytest.raises(ValueError, match="closed: open the object again"):
                body.read(size)
        with pytest.raises(ValueError, match="closed: open the object again"):
            list(body)
    with bucket.get_object("k") as body:
        pass
    with pytest.raises(errors.InvalidInput):
        body.read()
