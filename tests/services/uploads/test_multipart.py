"""Multipart uploads: the corner cases with S3's codes, and any split of a body against the body put in one go."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mstbucket
from mstbucket import errors
from mstbucket.core.s3rules import parts as part_rules
from mstbucket.limits import CHUNK_SIZE, MIB, PART_SIZE_MIN
from mstbucket.model.uploads import Part
from mstbucket.services.uploads import parts

DATA = random.Random(16).randbytes(5 * MIB)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of any size complete, so that cases need no megabytes."""
    monkeypatch.setattr(part_rules, "PART_SIZE_MIN", 0)


def named(sent: list[Part]) -> list[tuple[int, str]]:
    return [(part.number, part.etag) for part in sent]


def begun(bucket: mstbucket.Bucket, bodies: dict[int, bytes], key: str = "k") -> tuple[str, list[Part]]:
    """An upload with these parts: its id, and the parts by number."""
    upload = bucket.create_multipart_upload(key)
    return upload.id, [bucket.upload_part(key, upload.id, number, bodies[number]) for number in sorted(bodies)]


def etag_of(bodies: list[bytes]) -> str:
    """S3's rule ([MPU-11]), the obvious way."""
    digests = b"".join(hashlib.md5(body).digest() for body in bodies)
    return f"{hashlib.md5(digests).hexdigest()}-{len(bodies)}"


CUTS = st.lists(
    st.one_of(st.integers(0, 4).map(lambda n: n * MIB), st.integers(0, 5 * MIB), st.integers(0, 9)), max_size=4
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=CUTS, order=st.randoms(use_true_random=False))
def test_any_split_gives_what_one_put_gives(bucket: mstbucket.Bucket, tiny: None, cuts: list[int], order: Any) -> None:
    """[MPU-7], [MPU-11], [MPU-2]: parts sent in any order under ascending numbers with gaps."""
    edges = [0, *sorted(cuts), len(DATA)]
    bodies = [DATA[start:stop] for start, stop in pairwise(edges)]
    numbers = sorted(order.sample(range(1, 10_001), len(bodies)))
    upload = bucket.create_multipart_upload("split")
    sent = {}
    for number, body in order.sample(list(zip(numbers, bodies, strict=True)), len(bodies)):
        sent[number] = bucket.upload_part("split", upload.id, number, body)
    done = bucket.complete_multipart_upload("split", upload.id, named([sent[number] for number in numbers]))
    info = bucket.head_object("split")
    assert done.content == info.content == bucket.put_object("in one go", DATA).content
    assert done.etag == info.etag == etag_of(bodies)
    assert info.parts == tuple(map(len, bodies))
    assert info.sha256 == (hashlib.sha256(DATA).hexdigest() if len(bodies) == 1 else None)
    assert bucket.get_object("split").read() == DATA


def test_parts_of_real_size(bucket: mstbucket.Bucket) -> None:
    """The worked example of the specification, with S3's own minimum: nothing lowered."""
    bodies = {2: DATA[:PART_SIZE_MIN], 5: DATA[::-1] + b"x", 9: b"end"}
    upload, sent = begun(bucket, bodies)
    done = bucket.complete_multipart_upload("k", upload, named(sent))
    whole = b"".join(bodies.values())
    assert done.content == bucket.put_object("in one go", whole).content
    assert bucket.get_object("k").read() == whole
    assert bucket.head_object("k").parts == (5 * MIB, 5 * MIB + 1, 3)


def test_what_was_said_at_the_beginning_is_the_objects(bucket: mstbucket.Bucket) -> None:
    said: dict[str, Any] = {
        "content_type": "video/mp4",
        "metadata": {"Who": "ö"},
        "headers": {"Cache-Control": "no-store"},
        "tags": {"a": "b"},
    }
    upload = bucket.create_multipart_upload("k", **said)
    part = bucket.upload_part("k", upload.id, 1, b"x")
    bucket.complete_multipart_upload("k", upload.id, named([part]))
    bucket.put_object("p", b"x", **said)
    ours, theirs = bucket.head_object("k"), bucket.head_object("p")
    for name in ("content_type", "metadata", "headers", "tags", "content", "sha256", "size"):
        assert getattr(ours, name) == getattr(theirs, name)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"key": ""}, "InvalidKey"),
        ({"key": "k" * 1025}, "KeyTooLongError"),
        ({"metadata": {"n": "v" * 2048}}, "MetadataTooLarge"),
        ({"tags": {str(n): "" for n in range(11)}}, "InvalidTag"),
        ({"headers": {"x-unknown": "1"}}, "InvalidArgument"),
        ({"metadata": {"n": "\ud800"}}, "InvalidArgument"),
        ({"content_type": "a\0b"}, "InvalidArgument"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_beginning_that_could_not_end_is_refused(
    bucket: mstbucket.Bucket, arguments: dict[str, Any], code: str
) -> None:
    """[MPU-1]."""
    with pytest.raises(errors.InvalidInput) as caught:
        bucket.create_multipart_upload(**({"key": "k"} | arguments))
    assert caught.value.code == code
    assert bucket.list_multipart_uploads().uploads == ()


# --- completing: S3's codes ------------------------------------------------------------------------------------------

Wrong = Callable[[list[Part]], list[tuple[int, str]]]
WRONG: dict[str, tuple[Wrong, str]] = {
    "no parts at all": (lambda p: [], "InvalidArgument"),
    "a part that was not uploaded": (lambda p: [*named(p), (8, p[0].etag)], "InvalidPart"),
    "a part with the ETag of another": (lambda p: [(1, p[0].etag), (3, p[0].etag)], "InvalidPart"),
    "an ETag that is none": (lambda p: [(1, "é")], "InvalidPart"),
    "an ETag with one quote": (lambda p: [(1, p[0].etag + '"')], "InvalidPart"),
    "a number above 10,000": (lambda p: [(1, p[0].etag), (10_001, p[0].etag)], "InvalidPart"),
    "a number below 1": (lambda p: [(0, p[0].etag)], "InvalidPart"),
    "a huge number": (lambda p: [(2**70, p[0].etag)], "InvalidPart"),
    "descending numbers": (lambda p: named(p)[::-1], "InvalidPartOrder"),
    "a number twice": (lambda p: [named(p)[0], named(p)[0]], "InvalidPartOrder"),
    "wrong order, and a part that is not there": (lambda p: [(8, "x"), (1, p[0].etag)], "InvalidPartOrder"),
    "a small part before the last": (named, "EntityTooSmall"),
    "an ETag that is no text": (lambda p: [(1, 5)], "InvalidArgument"),  # type: ignore[list-item]
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_completion_changes_nothing(bucket: mstbucket.Bucket, case: str) -> None:
    """[MPU-6]."""
    make, code = WRONG[case]
    bucket.put_object("k", b"before")
    upload, sent = begun(bucket, {1: b"first", 3: b"third"})
    with pytest.raises(errors.InvalidInput) as caught:
        bucket.complete_multipart_upload("k", upload, make(sent))
    assert caught.value.code == code
    assert bucket.get_object("k").read() == b"before"
    assert [part.number for part in bucket.list_parts("k", upload).parts] == [1, 3]
    assert bucket.complete_multipart_upload("k", upload, named(sent[1:])).size == 5  # it is open still


RIGHT: dict[str, tuple[Wrong, bytes]] = {
    "all parts": (named, b"onetwothree"),
    "ETags in quotes": (lambda p: [(part.number, f'"{part.etag}"') for part in p], b"onetwothree"),
    "a subset with a gap": (lambda p: named([p[0], p[2]]), b"onethree"),
    "not from the first": (lambda p: named(p[1:]), b"twothree"),
    "the last alone": (lambda p: named(p[2:]), b"three"),
}


@pytest.mark.parametrize("case", RIGHT)
def test_a_right_completion(bucket: mstbucket.Bucket, tiny: None, case: str) -> None:
    """[MPU-6]: gaps, subsets, quotes; what is not named is dropped."""
    make, body = RIGHT[case]
    upload, sent = begun(bucket, {3: b"one", 4: b"two", 10_000: b"three"})
    done = bucket.complete_multipart_upload("k", upload, make(sent))
    assert bucket.get_object("k").read() == body
    assert done.etag.endswith(f"-{len(make(sent))}")
    assert bucket.list_multipart_uploads().uploads == ()


def test_a_part_sent_twice_counts_as_sent_last(bucket: mstbucket.Bucket, tiny: None) -> None:
    """[MPU-3]: the ETag of the one before is InvalidPart."""
    upload, sent = begun(bucket, {1: b"old", 2: b"end"})
    again = bucket.upload_part("k", upload, 1, DATA[: 2 * MIB + 5])
    with pytest.raises(errors.InvalidPart):
        bucket.complete_multipart_upload("k", upload, named(sent))
    bucket.complete_multipart_upload("k", upload, named([again, sent[1]]))
    assert bucket.get_object("k").read() == DATA[: 2 * MIB + 5] + b"end"


def test_a_part_that_fails_leaves_the_one_before(bucket: mstbucket.Bucket) -> None:
    """[MPU-3], [PUT-4]: and the pack it had begun is gone."""

    class Broken:
        left = 3

        def read(self, size: int) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise OSError("the cable")
            return bytes(size)

    upload, sent = begun(bucket, {1: b"good"})
    with pytest.raises(OSError, match="the cable"):
        bucket.upload_part("k", upload, 1, Broken())  # type: ignore[arg-type]
    assert named(list(bucket.list_parts("k", upload).parts)) == named(sent)
    assert list(bucket._context.blobs.list("packs/")) == []
    with bucket._context.db.reading() as connection:
        assert connection.execute("SELECT count(*) FROM packs").fetchone() == (0,)


@pytest.mark.parametrize("size", [parts.PART_SIZE_MAX + 1, 2 * MIB + 1], ids=["S3's limit is 5 GiB", "enforced"])
def test_a_part_above_the_limit_is_refused(bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    assert parts.PART_SIZE_MAX == 5 << 30
    monkeypatch.setattr(parts, "PART_SIZE_MAX", min(size - 1, 2 * MIB))
    upload = bucket.create_multipart_upload("k").id
    with pytest.raises(errors.EntityTooLarge):
        bucket.upload_part("k", upload, 1, DATA[: 2 * MIB + 1])
    assert bucket.upload_part("k", upload, 1, DATA[: 2 * MIB]).size == 2 * MIB


@pytest.mark.parametrize("number", [0, -1, 10_001, True, "1", 1.0], ids=repr)
def test_a_part_number_outside_1_to_10000_is_refused(bucket: mstbucket.Bucket, number: Any) -> None:
    """[MPU-2]."""
    upload = bucket.create_multipart_upload("k").id
    with pytest.raises(errors.InvalidInput) as caught:
        bucket.upload_part("k", upload, number, b"x")
    assert caught.value.code == "InvalidArgument"


# --- uploads that have ended -----------------------------------------------------------------------------------------

Verb = Callable[[mstbucket.Bucket, str, str], object]
VERBS: dict[str, Verb] = {
    "upload part": lambda b, key, upload: b.upload_part(key, upload, 1, b"x"),
    "upload part copy": lambda b, key, upload: b.upload_part_copy(key, upload, 1, "source"),
    "list parts": lambda b, key, upload: b.list_parts(key, upload),
    "complete": lambda b, key, upload: b.complete_multipart_upload(key, upload, [(1, "another")]),
    "abort": lambda b, key, upload: b.abort_multipart_upload(key, upload),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("state", ["completed", "aborted", "of another key", "of another bucket", "never", "no id"])
def test_no_such_upload(store: mstbucket.Store, bucket: mstbucket.Bucket, verb: str, state: str) -> None:
    """[MPU-9]: nothing can be done with an upload that is not open."""
    bucket.put_object("source", b"s")
    upload, sent = begun(bucket, {1: b"x"})
    where, key = bucket, "k"
    if state == "completed":
        bucket.complete_multipart_upload("k", upload, named(sent))
    elif state == "aborted":
        bucket.abort_multipart_upload("k", upload)
    elif state == "of another key":
        key = "l"
    elif state == "of another bucket":
        where = store.create_bucket("other")
        where.put_object("source", b"s")
    else:
        upload = {"never": "0" * 44, "no id": "\0é"}[state]
    with pytest.raises(errors.NoSuchUpload) as caught:
        VERBS[verb](where, key, upload)
    assert (caught.value.code, caught.value.status) == ("NoSuchUpload", 404)


@pytest.mark.parametrize("verb", VERBS)
def test_no_such_bucket(store: mstbucket.Store, bucket: mstbucket.Bucket, verb: str) -> None:
    upload = bucket.create_multipart_upload("k").id
    store.delete_bucket("things")
    with pytest.raises(errors.NoSuchBucket):
        VERBS[verb](bucket, "k", upload)


def test_completing_twice_gives_the_same_answer(bucket: mstbucket.Bucket, tiny: None) -> None:
    """[MPU-9]: whatever became of the object; another list of parts finds no upload."""
    upload, sent = begun(bucket, {1: b"a", 2: b"b"})
    done = bucket.complete_multipart_upload("k", upload, named(sent))
    assert bucket.complete_multipart_upload("k", upload, [(n, f'"{etag}"') for n, etag in named(sent)]) == done
    bucket.put_object("k", b"newer")
    assert bucket.complete_multipart_upload("k", upload, named(sent)) == done
    assert bucket.get_object("k").read() == b"newer"
    with pytest.raises(errors.NoSuchUpload):
        bucket.complete_multipart_upload("k", upload, named(sent[:1]))
    bucket.delete_object("k")
    assert bucket.complete_multipart_upload("k", upload, named(sent)) == done
    assert bucket.list_objects().contents == ()


def test_open_uploads_do_not_keep_a_bucket(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[MPU-18]: as in S3; they go with it, and a bucket made anew has none."""
    upload, sent = begun(bucket, {1: b"x"})
    store.delete_bucket("things")
    again = store.create_bucket("things")
    assert again.list_multipart_uploads().uploads == ()
    with pytest.raises(errors.NoSuchUpload):
        again.complete_multipart_upload("k", upload, named(sent))


# --- where the bytes are ---------------------------------------------------------------------------------------------


def test_bytes_go_to_the_store_as_they_arrive(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    """[MPU-4]: the pack is registered before, and holds at each moment all but the last few chunks that were read."""
    seen: list[tuple[int, int]] = []

    class Stream(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            written = sum(path.stat().st_size for path in (tmp_path / "blobs").rglob("*/*") if path.is_file())
            if self.tell() >= CHUNK_SIZE:
                with bucket._context.db.reading() as connection:
                    pending = connection.execute("SELECT count(*) FROM packs WHERE state = 'pending'").fetchone()
                assert pending == (1,)
            seen.append((self.tell(), written))
            return super().read(size)

    upload = bucket.create_multipart_upload("k").id
    bucket.upload_part("k", upload, 1, Stream(DATA))
    assert all(written >= read - 2 * CHUNK_SIZE for read, written in seen)
    assert seen[-1][0] == len(DATA)


def test_completing_multiples_of_the_chunk_reads_nothing(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    """[MPU-8]: with every pack out of reach, a completion of aligned parts succeeds."""
    upload, sent = begun(bucket, {1: DATA, 2: DATA[::-1], 3: DATA[: MIB + 9]})
    packs = [path for path in (tmp_path / "blobs" / "packs").rglob("*") if path.is_file()]
    for path in packs:
        path.rename(f"{path}.hidden")
    done = bucket.complete_multipart_upload("k", upload, named(sent))
    for path in packs:
        Path(f"{path}.hidden").rename(path)
    assert bucket.get_object("k").read() == DATA + DATA[::-1] + DATA[: MIB + 9]
    assert bucket.put_object("p", DATA + DATA[::-1] + DATA[: MIB + 9]).content == done.content


def test_a_flushed_body_is_in_packs_whole(bucket: mstbucket.Bucket) -> None:
    """[MPU-19]: also its last chunk, which came as a small part into the database."""
    upload, sent = begun(bucket, {1: DATA, 2: b"small"})
    bucket.complete_multipart_upload("k", upload, named(sent))
    bucket.flush()
    with bucket._context.db.reading() as connection:
        assert connection.execute("SELECT count(*) FROM blocks WHERE body IS NOT NULL").fetchone() == (0,)


def test_it_leaves_and_comes_back_as_it_was(
    bucket: mstbucket.Bucket, second_store: mstbucket.Store, tmp_path: Path, tiny: None
) -> None:
    """[MPU-20]: parts and ETag through copy, flush, export and import; open uploads stay behind."""
    upload, sent = begun(bucket, {1: DATA[:MIB], 2: DATA[MIB : MIB + 7], 3: b"", 4: DATA[MIB + 7 :]})
    bucket.complete_multipart_upload("k", upload, named(sent))
    begun(bucket, {1: b"never completed"}, "open")
    bucket.copy_object("k", "copy")
    before = [bucket.head_object(key) for key in ("copy", "k")]
    assert before[0].content == before[1].content
    bucket.flush()
    assert [bucket.head_object(key) for key in ("copy", "k")] == before
    bucket.export_car(tmp_path / "x.car")
    assert mstbucket.verify_car(tmp_path / "x.car").objects == 2
    back = second_store.import_car(tmp_path / "x.car")
    assert [back.head_object(item.key) for item in back.objects()] == before
    assert [info.parts for info in before] == [(MIB, 7, 0, 4 * MIB - 7)] * 2
    assert [info.etag for info in before] == [etag_of([DATA[:MIB], DATA[MIB : MIB + 7], b"", DATA[MIB + 7 :]])] * 2
    for number, (start, stop) in enumerate([(0, MIB), (MIB, MIB + 7), (MIB + 7, MIB + 7), (MIB + 7, 5 * MIB)], 1):
        assert back.get_object("copy", part_number=number).read() == DATA[start:stop]
    assert back.list_multipart_uploads().uploads == ()
    assert back.verify().objects == bucket.verify().objects == 2


# --- get by part number ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 5, MIB + 1], ids=["empty", "small", "large"])
def test_a_single_put_is_one_part(bucket: mstbucket.Bucket, size: int) -> None:
    """[MPU-16]."""
    bucket.put_object("k", DATA[:size])
    assert bucket.get_object("k", part_number=1).read() == DATA[:size]
    with pytest.raises(errors.InvalidPartNumber) as caught:
        bucket.get_object("k", part_number=2)
    assert caught.value.status == 416


def test_parts_count_by_place_not_by_number(bucket: mstbucket.Bucket, tiny: None) -> None:
    """[MPU-16]."""
    upload, sent = begun(bucket, {7: b"seven", 9: b"nine"})
    bucket.complete_multipart_upload("k", upload, named(sent))
    assert [bucket.get_object("k", part_number=n).read() for n in (1, 2)] == [b"seven", b"nine"]
    with pytest.raises(errors.InvalidPartNumber):
        bucket.get_object("k", part_number=7)
    for arguments in ({"part_number": 0}, {"part_number": 1, "range": "bytes=0-1"}):
        with pytest.raises(errors.InvalidInput):
            bucket.get_object("k", **arguments)  # type: ignore[arg-type]
