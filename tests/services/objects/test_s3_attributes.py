"""Copy, tags and metadata, buckets, and the listing with markers: one row for each thing that S3 does, by its name."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from seen import exported

import mstbucket
from mstbucket import errors
from mstbucket.core import commit as commits
from mstbucket.core.car_reader import CarReader
from mstbucket.limits import BUCKET_TAGS_SIZE_MAX, CHUNK_SIZE, COMMIT_BLOCK_MAX, COPY_SIZE_MAX
from mstbucket.services.tree import turns
from mstbucket.services.upkeep import worker

TAGS_10 = {f"k{n}": "v" for n in range(10)}
BAD_TAGS: list[tuple[str, Any]] = [
    ("a key of 129 characters", {"k" * 129: ""}),
    ("a value of 257 characters", {"k": "v" * 257}),
    ("an empty key", {"": "v"}),
    ("a key that is there twice", [("k", "1"), ("k", "2")]),
    ("a key that is there twice with one value", [("k", "1"), ("k", "1")]),
    ("NUL", {"k": "a\0b"}),
    ("a lone surrogate", {"k": "\ud800"}),
    ("a value that is no text", {"k": 1}),
]
BAD = pytest.mark.parametrize("tags", [tags for _, tags in BAD_TAGS], ids=[name for name, _ in BAD_TAGS])


def in_commit(bucket: mstbucket.Bucket) -> dict[str, str]:
    """The tags in the commit itself, read out of an export."""
    reader = CarReader(io.BytesIO(exported(bucket)))
    _, block, _ = next(iter(reader))
    return dict(commits.decode(bytes(block)).tags)


# --- tags of objects -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tags",
    [
        TAGS_10, {}, {"größe 写真": "Ω = 1/2 \U0001f600"}, {"k" * 128: "v" * 256}, {"\U0001f600" * 128: ""},
        [("b", "2"), ("a", "1")], {"K": "1", "k": "2"}, {"aws:x": "line\nbreak"},
    ],
    ids=["10 tags", "none", "any script", "the longest", "128 characters past U+FFFF", "pairs", "upper and lower case",
         "what is not restricted"],
)  # fmt: skip
def test_a_tag_set_comes_back_exactly_and_changes_nothing_else(bucket: mstbucket.Bucket, tags: Any) -> None:
    """[TAG-1], [TAG-3], [TAG-5]: before and after the flush that folds it."""
    bucket.put_object("k", b"body", tags={"old": "1"}, metadata={"m": "1"})
    before, commit = bucket.head_object("k"), bucket.flush()
    bucket.put_object_tagging("k", tags)
    for _ in range(2):
        assert bucket.get_object_tagging("k") == dict(tags)
        after = bucket.head_object("k")
        assert (after.last_modified, after.content, after.etag) == (before.last_modified, before.content, before.etag)
        assert (after.metadata, after.tags) == (before.metadata, dict(tags))
        assert after.manifest != before.manifest
        assert bucket.flush().tree != commit.tree
        assert bucket.verify().dirty == 0
    bucket.delete_object_tagging("k")
    assert bucket.get_object_tagging("k") == {}
    bucket.put_object_tagging("k", {"old": "1"})
    assert bucket.head_object("k") == before
    assert bucket.flush().tree == commit.tree


@BAD
def test_a_tag_set_that_s3_refuses_is_invalid_tag(bucket: mstbucket.Bucket, tags: Any) -> None:
    """[TAG-1], [TAG-2]: by every verb that takes one, and nothing is changed."""
    bucket.put_object("k", b"", tags={"t": "1"})
    bucket.put_bucket_tagging({"t": "1"})
    calls: list[Callable[[], object]] = [
        lambda: bucket.put_object_tagging("k", tags),
        lambda: bucket.put_object("new", b"", tags=tags),
        lambda: bucket.put_objects([mstbucket.PutRequest("new", b"", tags=tags)]),
        lambda: bucket.copy_object("k", "new", tagging_directive="REPLACE", tags=tags),
        lambda: bucket.put_bucket_tagging(tags),
    ]
    for call in calls:
        with pytest.raises(errors.InvalidTag) as caught:
            call()
        assert caught.value.code == "InvalidTag"
    assert [o.key for o in bucket.objects()] == ["k"]
    assert bucket.get_object_tagging("k") == bucket.get_bucket_tagging() == {"t": "1"}


def test_the_11th_tag_of_an_object_and_the_51st_of_a_bucket_are_refused(bucket: mstbucket.Bucket) -> None:
    """[TAG-1]."""
    bucket.put_object("k", b"")
    for call in (
        lambda: bucket.put_object_tagging("k", TAGS_10 | {"more": ""}),
        lambda: bucket.put_bucket_tagging({str(n): "" for n in range(51)}),
    ):
        with pytest.raises(errors.InvalidTag):
            call()
    bucket.put_bucket_tagging({str(n): "" for n in range(50)})
    assert len(bucket.get_bucket_tagging()) == 50


def test_tagging_what_is_not_there_is_not_found(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    missing = store.create_bucket("missing")
    store.delete_bucket("missing")
    for verb in ("get_object_tagging", "delete_object_tagging", "get_object_attributes"):
        with pytest.raises(errors.NoSuchKey):
            getattr(bucket, verb)("k")
        with pytest.raises(errors.NoSuchBucket):
            getattr(missing, verb)("k")
    with pytest.raises(errors.NoSuchKey):
        bucket.put_object_tagging("k", {})
    for call in (lambda: missing.put_object_tagging("k", {}), missing.get_bucket_tagging, missing.delete_bucket_tagging,
                 lambda: missing.put_bucket_tagging({}), missing.list_objects_v1):  # fmt: skip
        with pytest.raises(errors.NoSuchBucket):
            call()


def test_racing_tags_puts_and_flushes_leave_the_tree_as_the_index(bucket: mstbucket.Bucket) -> None:
    """[TAG-4]: threads tag and overwrite two keys while others flush; no manifest is of a row that was not."""
    for key in "ab":
        bucket.put_object(key, b"0")

    def tag(seed: int) -> None:
        rng = random.Random(seed)
        for n in range(25):
            bucket.put_object_tagging(rng.choice("ab"), {"by": f"{seed}-{n}"})

    def put(seed: int) -> None:
        for n in range(25):
            bucket.put_object("ab"[n % 2], f"{seed}-{n}".encode(), tags={"put": "1"})

    def fold(_: int) -> None:
        for _ in range(8):
            bucket.flush()

    jobs = [threading.Thread(target=what, args=(n,)) for n, what in enumerate((tag, tag, put, fold))]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    for key in "ab":
        info = bucket.head_object(key)
        assert bucket.get_object(key).read() in {f"2-{n}".encode() for n in range(25)}
        assert set(info.tags) in ({"by"}, {"put"})
    bucket.flush()
    assert bucket.verify().dirty == 0


# --- tags of buckets -------------------------------------------------------------------------------------------------


def test_a_change_of_the_buckets_tags_alone_makes_one_commit(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[TAG-5], [TAG-6]: and no second one."""
    with pytest.raises(errors.NoSuchTagSet) as caught:
        bucket.get_bucket_tagging()
    assert caught.value.code == "NoSuchTagSet"
    first = bucket.flush()
    bucket.put_bucket_tagging({"team": "größe"})
    assert bucket.get_bucket_tagging() == {"team": "größe"}
    assert (store.list_buckets()[0].dirty, bucket.verify().dirty) == (1, 1)
    second = bucket.flush()
    assert (second.seq, second.tree, second.prev) == (2, first.tree, first.cid)
    assert in_commit(bucket) == {"team": "größe"}
    assert bucket.flush() == second
    assert (store.list_buckets()[0].dirty, bucket.verify().dirty) == (0, 0)
    bucket.put_object("k", b"")
    bucket.flush()
    assert in_commit(bucket) == {"team": "größe"}
    bucket.delete_bucket_tagging()
    with pytest.raises(errors.NoSuchTagSet):
        bucket.get_bucket_tagging()
    bucket.flush()
    assert in_commit(bucket) == {}
    assert bucket.verify().dirty == 0


@pytest.mark.parametrize("flush_too", [False, True], ids=["a change", "a change that is flushed"])
def test_tags_that_change_during_a_flush_are_neither_lost_nor_folded_twice(
    bucket: mstbucket.Bucket, before_next_pack: Any, monkeypatch: pytest.MonkeyPatch, flush_too: bool
) -> None:
    """[TAG-6]: the mark of a newer generation stays, and of two flushes one starts over."""
    bucket.put_bucket_tagging({"t": "old"})

    def change() -> None:
        bucket.put_bucket_tagging({"t": "new"})
        if flush_too:
            bucket.flush()

    monkeypatch.setattr(turns, "WAIT_SECONDS", 0)  # a flush inside of another would wait for its turn
    before_next_pack(change)
    bucket.flush()
    assert in_commit(bucket) == {"t": "new" if flush_too else "old"}
    assert bucket.verify().dirty == (0 if flush_too else 1)
    assert bucket.flush().seq == (1 if flush_too else 2)
    assert in_commit(bucket) == {"t": "new"}
    assert bucket.verify().dirty == 0


def test_the_background_flush_finds_changed_tags(bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """[TAG-6]."""
    bucket.flush()
    bucket.put_bucket_tagging({"t": "1"})
    assert worker.due(bucket._context) == []
    monkeypatch.setattr(worker, "FLUSH_AGE_MS", -1000)
    assert worker.due(bucket._context) == ["things"]
    bucket.flush()
    assert worker.due(bucket._context) == []


def test_tags_that_no_commit_could_hold_are_refused(bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """[TAG-7]: and the most that is taken can be flushed."""
    wide = "\U0001f600"
    with pytest.raises(errors.InvalidTag, match="61440"):
        bucket.put_bucket_tagging({wide * 126 + str(n): wide * 256 for n in range(50)})
    tags = {f"{n:02}" + wide * 50: wide * 256 for n in range(50)}
    assert sum(len(k.encode()) + len(v.encode()) for k, v in tags.items()) >= BUCKET_TAGS_SIZE_MAX - 200
    bucket.flush()
    bucket.put_bucket_tagging(tags)
    bucket.flush()
    assert in_commit(bucket) == tags
    assert BUCKET_TAGS_SIZE_MAX < COMMIT_BLOCK_MAX
    data = exported(bucket)
    monkeypatch.setattr("mstbucket.core.commit.BUCKET_TAGS_SIZE_MAX", 60_000)
    with pytest.raises(errors.Unsupported):
        mstbucket.Store(bucket._context, None, False).import_car(io.BytesIO(data), "copy")


def test_index_and_commit_that_differ_in_tags_are_found(bucket: mstbucket.Bucket) -> None:
    """[TAG-6]."""
    bucket.put_bucket_tagging({"t": "1"})
    bucket.flush()
    with bucket._context.db.connection() as connection:
        connection.execute("UPDATE buckets SET tags = '{\"t\": \"2\"}'")
    with pytest.raises(errors.Untrue, match="tags"):
        bucket.verify()


# --- metadata --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "kept"),
    [
        ({"Author-Name": "X"}, {"author-name": "X"}),
        ({"a": "Ωμέγα 写真 \U0001f600 e\u0301"}, None),
        ({"a": " \t spaces stay  "}, None),
        ({"a": "x" * 2047}, None),
        ({"é": "é" * 1023}, None),
        ({"a": ""}, None),
    ],
    ids=["names are folded", "any script", "white space", "2,048 bytes", "2,048 bytes of UTF-8", "an empty value"],
)
def test_metadata_comes_back(bucket: mstbucket.Bucket, metadata: dict[str, str], kept: dict[str, str] | None) -> None:
    """[ATTR-1], [ATTR-2], [ATTR-3]."""
    bucket.put_object("k", b"", metadata=metadata)
    bucket.flush()
    assert bucket.head_object("k").metadata == (metadata if kept is None else kept)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"metadata": {"a": "x" * 2048}}, errors.MetadataTooLarge),
        ({"metadata": {"a": "é" * 1024}}, errors.MetadataTooLarge),
        ({"metadata": {"a": "1", "A": "2"}}, errors.InvalidInput),
        ({"metadata": {"a": "x\ry"}}, errors.InvalidInput),
        ({"metadata": {"a\n": "x"}}, errors.InvalidInput),
        ({"metadata": {"": "x"}}, errors.InvalidInput),
        ({"headers": {"Expires": "1", "expires": "2"}}, errors.InvalidInput),
        ({"headers": {"expires": "a\r\nb: c"}}, errors.InvalidInput),
        ({"content_type": "text/plain\r\nx: y"}, errors.InvalidInput),
        ({"storage_class": "GLACIER"}, errors.Unsupported),
    ],
    ids=["2,049 bytes", "2,049 bytes of UTF-8", "a name in both cases", "CR", "LF in a name", "an empty name",
         "a header in both cases", "a header with a line break", "a type with a line break", "another storage class"],
)  # fmt: skip
def test_what_s3_refuses_beside_a_body_is_refused_by_put_and_copy(
    bucket: mstbucket.Bucket, said: dict[str, Any], error: type[errors.MstBucketError]
) -> None:
    """[ATTR-1], [ATTR-2], [ATTR-3], [ATTR-7]."""
    bucket.put_object("source", b"")
    for call in (
        lambda: bucket.put_object("k", b"", **said),
        lambda: bucket.copy_object("source", "k", metadata_directive="REPLACE", **said),
    ):
        with pytest.raises(error):
            call()
    assert [o.key for o in bucket.objects()] == ["source"]


# --- copy ------------------------------------------------------------------------------------------------------------


def source(bucket: mstbucket.Bucket) -> None:
    bucket.put_object(
        "a", b"body", content_type="image/png", metadata={"m": "1"}, headers={"expires": "1"}, tags={"t": "1"}
    )


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({}, ("image/png", {"m": "1"}, {"expires": "1"}, {"t": "1"})),
        ({"metadata_directive": "REPLACE"}, ("binary/octet-stream", {}, {}, {"t": "1"})),
        ({"metadata_directive": "REPLACE", "metadata": {"N": "2"}}, ("binary/octet-stream", {"n": "2"}, {}, {"t": "1"})),
        ({"metadata_directive": "REPLACE", "content_type": "x/y", "headers": {"Expires": "2"}},
         ("x/y", {}, {"expires": "2"}, {"t": "1"})),
        ({"tagging_directive": "REPLACE"}, ("image/png", {"m": "1"}, {"expires": "1"}, {})),
        ({"tagging_directive": "REPLACE", "tags": [("u", "2")]}, ("image/png", {"m": "1"}, {"expires": "1"}, {"u": "2"})),
        ({"metadata_directive": "REPLACE", "tagging_directive": "REPLACE"}, ("binary/octet-stream", {}, {}, {})),
    ],
    ids=["COPY keeps all", "REPLACE drops all metadata", "REPLACE gives new metadata", "REPLACE gives type and headers",
         "REPLACE drops tags", "REPLACE gives new tags", "both"],
)  # fmt: skip
def test_a_copy_follows_its_directives(
    store: mstbucket.Store, bucket: mstbucket.Bucket, said: dict[str, Any], kept: Any
) -> None:
    """[ATTR-4], [ATTR-6]."""
    source(bucket)
    before = bucket.head_object("a")
    other = store.create_bucket("other")
    result = other.copy_object("a", "b", source_bucket="things", **said)
    after = other.head_object("b")
    assert (after.content_type, after.metadata, after.headers, after.tags) == kept
    assert (after.content, after.etag, after.sha256) == (before.content, before.etag, before.sha256)
    assert (result.manifest, result.content) == (after.manifest, after.content)
    other.flush()
    assert other.verify().dirty == 0
    assert other.get_object("b").read() == b"body"


@pytest.mark.parametrize(
    ("call", "error", "code"),
    [
        (lambda b: b.copy_object("a", "a"), errors.InvalidRequest, "InvalidRequest"),
        (lambda b: b.copy_object("a", "a", source_bucket="things"), errors.InvalidRequest, "InvalidRequest"),
        (lambda b: b.copy_object("a", "a", tagging_directive="REPLACE"), errors.InvalidRequest, "InvalidRequest"),
        (lambda b: b.copy_object("x", "b"), errors.NoSuchKey, "NoSuchKey"),
        (lambda b: b.copy_object("a", "b", source_bucket="missing"), errors.NoSuchBucket, "NoSuchBucket"),
        (lambda b: b.copy_object("a", "b", metadata={"m": "2"}), errors.InvalidInput, "InvalidArgument"),
        (lambda b: b.copy_object("a", "b", content_type="x/y"), errors.InvalidInput, "InvalidArgument"),
        (lambda b: b.copy_object("a", "b", tags={"m": "2"}), errors.InvalidInput, "InvalidArgument"),
        (lambda b: b.copy_object("a", "b", metadata_directive="MOVE"), errors.InvalidInput, "InvalidArgument"),
        (lambda b: b.copy_object("a", "b", tagging_directive="copy"), errors.InvalidInput, "InvalidArgument"),
        (lambda b: b.copy_object("a", "b", storage_class="GLACIER"), errors.Unsupported, "NotImplemented"),
    ],
    ids=["onto itself", "onto itself, bucket named", "onto itself with new tags only", "source missing",
         "source bucket missing", "metadata beside COPY", "type beside COPY", "tags beside COPY", "no such directive",
         "directive in lower case", "another storage class"],
)  # fmt: skip
def test_a_copy_that_s3_refuses(
    bucket: mstbucket.Bucket, call: Callable[[mstbucket.Bucket], object], error: type[errors.MstBucketError], code: str
) -> None:
    """[ATTR-4], [ATTR-5], [ATTR-7]."""
    source(bucket)
    before = bucket.head_object("a")
    with pytest.raises(error) as caught:
        call(bucket)
    assert (type(caught.value), caught.value.code) == (error, code)
    assert [o.key for o in bucket.objects()] == ["a"]
    assert bucket.head_object("a") == before


def test_onto_itself_with_replace_is_allowed(bucket: mstbucket.Bucket) -> None:
    """[ATTR-5]."""
    source(bucket)
    bucket.copy_object("a", "a", metadata_directive="REPLACE", metadata={"n": "2"})
    info = bucket.head_object("a")
    assert (info.metadata, info.tags) == ({"n": "2"}, {"t": "1"})


@pytest.mark.parametrize(("size", "fits"), [(COPY_SIZE_MAX, True), (COPY_SIZE_MAX + 1, False)], ids=["5 GiB", "a byte more"])
def test_a_copy_above_5_gib_is_refused_in_one_step(bucket: mstbucket.Bucket, size: int, fits: bool) -> None:
    """[ATTR-8]: no body of that size is needed, since a copy reads the row only."""
    bucket.put_object("a", bytes(CHUNK_SIZE + 1))
    with bucket._context.db.connection() as connection:
        connection.execute("UPDATE objects SET size = %s", (size,))
    if fits:
        assert bucket.copy_object("a", "b").size == size
    else:
        with pytest.raises(errors.InvalidRequest, match="in parts"):
            bucket.copy_object("a", "b")


def test_a_copy_of_an_object_in_parts_keeps_parts_etag_and_content(bucket: mstbucket.Bucket) -> None:
    """[ATTR-6]: with the row as a multipart upload leaves it."""
    bucket.put_object("a", b"0123456789")
    with bucket._context.db.connection() as connection:
        connection.execute(
            "UPDATE objects SET parts = '{6,4}', etag = 'abc-2', checksums = '{\"crc32\": \"AAAAAA==-2\"}' WHERE key = 'a'"
        )
    bucket.put_object_tagging("a", {})  # makes the manifest of it
    bucket.copy_object("a", "b")
    for key in "ab":
        found = bucket.get_object_attributes(key)
        assert (found.etag, found.size, found.parts) == ("abc-2", 10, (6, 4))
        assert (dict(found.checksums), found.storage_class) == ({"crc32": "AAAAAA==-2"}, "STANDARD")
    assert bucket.head_object("a").content == bucket.head_object("b").content
    bucket.flush()
    assert bucket.verify().dirty == 0
    bucket.put_object("b", b"x")
    assert bucket.get_object_attributes("b").parts == ()


def test_access_control_lists_are_not_offered(bucket: mstbucket.Bucket) -> None:
    """[ATTR-7]."""
    for call in (lambda: bucket.get_object_acl("k"), lambda: bucket.put_object_acl("k", "private"), bucket.get_bucket_acl,
                 lambda: bucket.put_bucket_acl("private")):  # fmt: skip
        with pytest.raises(errors.Unsupported) as caught:
            call()
        assert (caught.value.code, caught.value.status) == ("NotImplemented", 501)


# --- buckets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("abc", True), ("a" * 63, True), ("1a2", True), ("a.b-c.d", True), ("1.2.3", True), ("1.2.3.4.5", True),
        ("ab", False), ("", False), ("a" * 64, False), ("Abc", False), ("a_b", False), ("-ab", False), ("ab-", False),
        (".ab", False), ("ab.", False), ("a..b", False), ("a.-b", False), ("192.168.5.4", False), ("999.1.1.1", False),
        ("xn--ab", False), ("sthree-ab", False), ("ab-s3alias", False), ("ab--ol-s3", False), ("größe", False),
        ("a b", False), ("abc\n", False), ("a/b", False),
    ],
)  # fmt: skip
def test_bucket_names(store: mstbucket.Store, name: str, allowed: bool) -> None:
    """[KEY-8]."""
    if allowed:
        assert store.create_bucket(name).name == name
        assert [b.name for b in store.list_buckets()] == [name]
        return
    with pytest.raises(errors.InvalidBucketName) as caught:
        store.create_bucket(name)
    assert caught.value.code == "InvalidBucketName"
    assert store.list_buckets() == []


@pytest.mark.parametrize(
    ("call", "code", "status"),
    [
        (lambda s: s.create_bucket("things"), "BucketAlreadyOwnedByYou", 409),
        (lambda s: s.delete_bucket("things"), "BucketNotEmpty", 409),
        (lambda s: s.delete_bucket("missing"), "NoSuchBucket", 404),
        (lambda s: s.bucket("missing"), "NoSuchBucket", 404),
    ],
    ids=["created twice by the same owner", "deleted while not empty", "a missing one deleted", "a missing one opened"],
)
def test_a_bucket_call_that_s3_refuses(
    store: mstbucket.Store, bucket: mstbucket.Bucket, call: Callable[[mstbucket.Store], object], code: str, status: int
) -> None:
    bucket.put_object("k", b"")
    with pytest.raises(errors.MstBucketError) as caught:
        call(store)
    assert (caught.value.code, caught.value.status) == (code, status)
    assert [o.key for o in bucket.objects()] == ["k"]
    bucket.delete_object("k")  # not flushed, and empty all the same
    store.delete_bucket("things")
    assert store.list_buckets() == []


# --- the listing with markers ----------------------------------------------------------------------------------------


def test_marked_listings_agree_with_sorted_python(store: mstbucket.Store) -> None:
    """[MARK-1], [MARK-2]: all page sizes, any marker, on keys that lie around delimiters and the last characters."""
    rng = random.Random(17)
    for round_ in range(6):
        bucket = store.create_bucket(f"marked-{round_}")
        keys = sorted(
            {"".join(rng.choices(["a", "/", "0", ".", "\ud7ff", "\U0010ffff"], k=rng.randint(1, 5))) for _ in range(25)},
            key=str.encode,
        )
        bucket.put_objects(mstbucket.PutRequest(key, b"") for key in keys)
        for _ in range(25):
            prefix = rng.choice(["", rng.choice(keys)[:1], "a/"])
            delimiter = rng.choice([None, "", "/", "/", "a", "\U0010ffff"])
            marker = rng.choice([None, rng.choice(keys), rng.choice(keys)[:2], "a/", "\U0010ffff"])
            items: list[tuple[str, bool]] = []
            for key in keys:
                at = key.find(delimiter, len(prefix)) if delimiter else -1
                item = (key, False) if at < 0 else (key[: at + len(delimiter or "")], True)
                if key.startswith(prefix) and item not in items and item[0].encode() > (marker or "").encode():
                    items.append(item)
            for size in (1, 2, max(len(items), 1), 1000):
                found, after = list[tuple[str, bool]](), marker
                while True:
                    page = bucket.list_objects_v1(prefix, delimiter=delimiter, marker=after, max_keys=size)
                    here = [(o.key, False) for o in page.contents] + [(p, True) for p in page.common_prefixes]
                    here.sort(key=lambda item: item[0].encode())
                    found += here
                    last = here[-1][0] if page.is_truncated else None
                    assert page.next_marker == (last if delimiter else None)
                    if last is None:
                        break
                    after = last
                assert found == items, (prefix, delimiter, marker, size)


def test_no_keys_asked_gives_an_empty_page_that_is_not_truncated(bucket: mstbucket.Bucket) -> None:
    """[MARK-2]."""
    bucket.put_object("k", b"")
    assert bucket.list_objects_v1(max_keys=0, delimiter="/") == mstbucket.MarkerPage((), (), False, None)
    for said in ({"marker": "\0"}, {"prefix": "\ud800"}, {"delimiter": "\0"}, {"max_keys": -1}):
        with pytest.raises(errors.InvalidInput):
            bucket.list_objects_v1(**said)  # type: ignore[arg-type]


# --- out and in ------------------------------------------------------------------------------------------------------


def everything(bucket: mstbucket.Bucket) -> list[object]:
    """All that S3 shows of a bucket."""
    pages = [bucket.list_objects(delimiter="/"), bucket.list_objects_v1(delimiter="/")]
    return [
        bucket.get_bucket_tagging(), *((page.contents, page.common_prefixes) for page in pages),
        *((bucket.head_object(o.key), bucket.get_object_tagging(o.key), bucket.get_object_attributes(o.key),
           bucket.get_object(o.key).read()) for o in bucket.objects()),
    ]  # fmt: skip


def test_everything_survives_flush_export_and_import(
    bucket: mstbucket.Bucket, second_store: mstbucket.Store
) -> None:
    """[TAG-8], [ATTR-2]: what S3 shows before is what it shows after each of the three."""
    source(bucket)
    bucket.put_object("x/y", b"", metadata={"größe": "写真 \U0001f600"}, tags=[("b", "2"), ("a", "")])
    bucket.put_object("x/z", bytes(CHUNK_SIZE + 5), headers={"cache-control": "no-store"})
    bucket.put_object_tagging("x/z", {"ä": "ö"})
    bucket.copy_object("x/z", "copied", metadata_directive="REPLACE", content_type="x/y")
    bucket.put_bucket_tagging({"team": "Ω", "empty": ""})
    before = everything(bucket)
    bucket.flush()
    assert everything(bucket) == before
    data = exported(bucket)
    back = second_store.import_car(io.BytesIO(data))
    assert everything(back) == before
    assert exported(back) == data
    assert back.verify().dirty == 0
    back.put_object("one more", b"")
    back.flush()
    assert in_commit(back) == {"team": "Ω", "empty": ""}
