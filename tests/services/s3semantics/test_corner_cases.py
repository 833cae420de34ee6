"""The corner cases of listing, reading, writing and deleting, one row for each, named by what S3 does.

Those of conditions, multipart uploads, copies, tags, metadata and bucket names have tables beside their own tests
(`test_conditions`, `test_multipart*`, `test_s3_attributes`, `test_objects`); those of versions are in
`test_corner_cases_versions`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import pytest

import mstbucket
from mstbucket import errors
from mstbucket.limits import CHUNK_SIZE, DELETE_KEYS_MAX, LIST_KEYS_MAX

# --- List ------------------------------------------------------------------------------------------------------------


def fill(bucket: mstbucket.Bucket, keys: Iterable[str]) -> None:
    bucket.put_objects(mstbucket.PutRequest(key, b"") for key in keys)


LISTED: dict[str, tuple[list[str], dict[str, Any], list[str], list[str]]] = {
    # the keys there are, what is asked; the keys and the common prefixes that are listed
    "a prefix that itself holds the delimiter starts behind it": (
        ["a", "a/", "a/b", "a/b/c", "a/b/d", "a/e"], {"prefix": "a/b", "delimiter": "/"}, ["a/b"], ["a/b/"]),
    "a prefix that ends with the delimiter lists one folder": (
        ["a", "a/", "a/b", "a/b/c", "a/b/d", "a/e"], {"prefix": "a/", "delimiter": "/"}, ["a/", "a/b", "a/e"], ["a/b/"]),
    "a prefix that goes through several delimiters": (
        ["a/b/c/d", "a/b/c/e/f", "a/b/c"], {"prefix": "a/b/c/", "delimiter": "/"}, ["a/b/c/d"], ["a/b/c/e/"]),
    "a delimiter that never occurs rolls nothing up": (["a", "a/b", "b"], {"delimiter": "#"}, ["a", "a/b", "b"], []),
    "a delimiter that occurs in the prefix only rolls nothing up": (
        ["a/b", "a/c"], {"prefix": "a/", "delimiter": "/"}, ["a/b", "a/c"], []),
    "an empty delimiter is none": (["a", "a/b"], {"delimiter": ""}, ["a", "a/b"], []),
    "a delimiter of several characters": (
        ["a--b", "a-b", "a---b", "--"], {"delimiter": "--"}, ["a-b"], ["--", "a--"]),
    "a delimiter outside ASCII": (["aéb", "aéc", "ae"], {"delimiter": "é"}, ["ae"], ["aé"]),
    "the key / is a folder of its own": (["/", "a"], {"delimiter": "/"}, ["a"], ["/"]),
    "the keys / and // and ///x are in the folder /": (["/", "//", "///x"], {"delimiter": "/"}, [], ["/"]),
    "below / the keys // and ///x are in the folder //": (
        ["/", "//", "///x"], {"prefix": "/", "delimiter": "/"}, ["/"], ["//"]),
    "a key with the delimiter at its end is rolled up": (["a", "a/"], {"delimiter": "/"}, ["a"], ["a/"]),
    "a prefix that is a key lists it": (["a", "ab", "b"], {"prefix": "a"}, ["a", "ab"], []),
    "a prefix that no key has gives an empty page": (["a"], {"prefix": "b", "delimiter": "/"}, [], []),
    "a bucket without keys gives an empty page": ([], {"delimiter": "/"}, [], []),
    "start-after a key that is there lists what is above it": (["a", "b", "c"], {"start_after": "b"}, ["c"], []),
    "start-after between two keys lists from the next": (["a", "b", "c"], {"start_after": "aa"}, ["b", "c"], []),
    "start-after before all keys lists all": (["b", "c"], {"start_after": "a"}, ["b", "c"], []),
    "start-after past all keys gives an empty page": (["a", "b"], {"start_after": "b0"}, [], []),
    "start-after below the prefix does nothing": (
        ["a", "b/1", "b/2"], {"prefix": "b/", "start_after": "a"}, ["b/1", "b/2"], []),
    "start-after a key inside a folder leaves the folder with the rest": (
        ["a/1", "a/2", "b"], {"delimiter": "/", "start_after": "a/1"}, ["b"], ["a/"]),
    "start-after the last key of a folder leaves the folder out": (
        ["a/1", "a/2", "b"], {"delimiter": "/", "start_after": "a/2"}, ["b"], []),
    "keys that differ only past U+FFFF come by their bytes in UTF-8": (
        ["\U0001f600", "\U0001f601", "\uffff", "\ue000", "\ud7ff", "\U0010ffff", "z"], {},
        ["z", "\ud7ff", "\ue000", "\uffff", "\U0001f600", "\U0001f601", "\U0010ffff"], []),
    "a prefix past U+FFFF": (
        ["\U0001f600a", "\U0001f601a", "\uffff"], {"prefix": "\U0001f600"}, ["\U0001f600a"], []),
    "a prefix of the last character there is": (
        ["\U0010ffff", "\U0010ffff\U0010ffff", "a"], {"prefix": "\U0010ffff"}, ["\U0010ffff", "\U0010ffff\U0010ffff"], []),
}  # fmt: skip


VERBS = ["list_objects", "list_objects_v1", "list_object_versions", "list_multipart_uploads"]
ITEMS = {"list_object_versions": "versions", "list_multipart_uploads": "uploads"}  # what a page's items are called


def pages_of(bucket: mstbucket.Bucket, verb: str, size: int, asked: dict[str, Any]) -> list[tuple[list[str], list[str]]]:
    """Keys and common prefixes of each page of a listing, by any of the four verbs."""
    pages = []
    asked = dict(asked)
    while True:
        page: Any = getattr(bucket, verb)(**asked, **{"max_uploads" if "uploads" in verb else "max_keys": size})
        keys = [item.key for item in getattr(page, ITEMS.get(verb, "contents"))]
        if verb == "list_objects":
            asked["continuation_token"] = page.next_continuation_token
        elif verb == "list_objects_v1":
            asked["marker"] = max([*keys, *page.common_prefixes], key=str.encode, default=None)
        elif verb == "list_object_versions":
            asked |= {"key_marker": page.next_key_marker, "version_id_marker": page.next_version_id_marker}
        else:
            asked |= {"key_marker": page.next_key_marker, "upload_id_marker": page.next_upload_id_marker}
        pages.append((keys, list(page.common_prefixes)))
        if not page.is_truncated:
            return pages


def made(bucket: mstbucket.Bucket, verb: str, keys: list[str]) -> None:
    """Keys that this listing lists: objects, or open uploads."""
    if verb != "list_multipart_uploads":
        return fill(bucket, keys)
    for key in keys:
        bucket.create_multipart_upload(key)


@pytest.mark.parametrize("row", LISTED)
def test_list(bucket: mstbucket.Bucket, row: str) -> None:
    """[LIST-1], [LIST-4], [LIST-5]: in one page, and in pages of one."""
    keys, asked, listed, prefixes = LISTED[row]
    fill(bucket, keys)
    assert pages_of(bucket, "list_objects", LIST_KEYS_MAX, asked) == [(listed, prefixes)]
    single = pages_of(bucket, "list_objects", 1, asked)
    assert ([key for page, _ in single for key in page], [text for _, page in single for text in page]) == (listed, prefixes)
    assert len(single) == max(len(listed) + len(prefixes), 1)


@pytest.mark.parametrize("row", [row for row in LISTED if "start_after" not in LISTED[row][1]])
@pytest.mark.parametrize("verb", VERBS[1:])
def test_list_by_the_other_verbs(bucket: mstbucket.Bucket, verb: str, row: str) -> None:
    """[LIST-4], [MARK-1], [MPU-15]: the same rows."""
    keys, asked, listed, prefixes = LISTED[row]
    made(bucket, verb, keys)
    assert pages_of(bucket, verb, LIST_KEYS_MAX, asked) == [(listed, prefixes)]
    single = pages_of(bucket, verb, 1, asked)
    assert ([key for page, _ in single for key in page], [text for _, page in single for text in page]) == (listed, prefixes)


@pytest.mark.parametrize("verb", VERBS)
def test_a_common_prefix_is_counted_once_and_never_comes_again(bucket: mstbucket.Bucket, verb: str) -> None:
    """[LIST-2], [LIST-4]: whatever the page that it ends."""
    made(bucket, verb, [*(f"docs/{n}" for n in range(7)), "docs", "docs-old/x", "docs.txt", "docs0"])
    whole = ["docs", "docs-old/", "docs.txt", "docs/", "docs0"]
    for size in range(1, 7):
        found = [sorted(keys + prefixes) for keys, prefixes in pages_of(bucket, verb, size, {"delimiter": "/"})]
        assert found == [whole[at : at + size] for at in range(0, len(whole), size)]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("size", "count", "truncated"),
    [(0, 0, False), (1, 1, True), (3, 3, False), (4, 3, False)],
    ids=["0 is an empty page, not truncated", "1 of 3 is truncated", "an exact fit is not truncated", "more than there are"],
)
def test_max_keys(bucket: mstbucket.Bucket, verb: str, size: int, count: int, truncated: bool) -> None:
    """[LIST-2], [LIST-3]: with one key below a folder, so that it is counted as one."""
    made(bucket, verb, ["a", "b/1", "b/2", "c"])
    name = "max_uploads" if verb == "list_multipart_uploads" else "max_keys"
    page = getattr(bucket, verb)(delimiter="/", **{name: size})
    items = getattr(page, ITEMS.get(verb, "contents"))
    assert (len(items) + len(page.common_prefixes), page.is_truncated) == (count, truncated)


@pytest.mark.parametrize("verb", VERBS[:3])
def test_above_1000_means_1000_and_a_page_that_fits_exactly_is_the_last(bucket: mstbucket.Bucket, verb: str) -> None:
    """[LIST-2], [LIST-3]."""
    fill(bucket, (f"{n:04}" for n in range(LIST_KEYS_MAX)))
    assert [len(keys) for keys, _ in pages_of(bucket, verb, 5000, {})] == [LIST_KEYS_MAX]
    bucket.put_object("one more", b"")
    assert [len(keys) for keys, _ in pages_of(bucket, verb, 5000, {})] == [LIST_KEYS_MAX, 1]


def test_10000_keys_under_one_prefix(bucket: mstbucket.Bucket) -> None:
    """[LIST-4]: one folder among others, and all keys of it, in order."""
    keys = [f"deep/down/{n:05}" for n in range(10_000)]
    fill(bucket, [*keys, "a", "deep/up", "z"])
    assert pages_of(bucket, "list_objects", 2, {"delimiter": "/"}) == [(["a"], ["deep/"]), (["z"], [])]
    below = {"prefix": "deep/", "delimiter": "/"}
    assert pages_of(bucket, "list_objects", 1, below) == [([], ["deep/down/"]), (["deep/up"], [])]
    for verb, size in (("list_objects", 999), ("list_objects_v1", 1000), ("list_object_versions", 1000)):
        assert [key for page, _ in pages_of(bucket, verb, size, {"prefix": "deep/down/"}) for key in page] == keys


@pytest.mark.parametrize("verb", VERBS[:3])
@pytest.mark.parametrize("delimiter", [None, "/"])
def test_listing_while_keys_come_and_go_neither_repeats_nor_loses_a_key_that_stays(
    bucket: mstbucket.Bucket, verb: str, delimiter: str | None
) -> None:
    """[LIST-5]: odd numbers stay, even ones come and go in other threads."""
    bucket.put_bucket_versioning("Enabled")
    stay = [f"{n:02}" if n % 4 == 1 else f"{n:02}/x" for n in range(1, 40, 2)]
    fill(bucket, stay)
    done = threading.Event()

    def come_and_go(first: int) -> None:
        while not done.is_set():
            for n in range(first, 40, 4):
                result = bucket.put_object(f"{n:02}", b"")
                again = bucket.put_object(f"{n:02}/y", b"")
                bucket.delete_object(f"{n:02}", version_id=result.version_id)
                bucket.delete_object(f"{n:02}/y", version_id=again.version_id)

    threads = [threading.Thread(target=come_and_go, args=(first,)) for first in (0, 2)]
    for thread in threads:
        thread.start()
    try:
        wanted = stay if delimiter is None else [key.replace("/x", "/") for key in stay]
        for size in (1, 2, 3, 7) * 4:
            pages = pages_of(bucket, verb, size, {"delimiter": delimiter})
            found = [item for keys, prefixes in pages for item in sorted(keys + prefixes)]
            assert [item for item in found if item in wanted] == wanted
    finally:
        done.set()
        for thread in threads:
            thread.join()


# --- Write -----------------------------------------------------------------------------------------------------------


class Breaking:
    """A body whose sender goes away."""

    def __init__(self, good: int) -> None:
        self.good = good

    def read(self, size: int) -> bytes:
        if self.good <= 0:
            raise ConnectionResetError("the sender went away")
        self.good -= size
        return bytes(size)


FAILING: dict[str, tuple[dict[str, Any], str]] = {
    "BadDigest": ({"content_md5": "rL0Y20zC+Fzt72VPzMSk2A=="}, "BadDigest"),
    "BadDigest of a zero-byte body": ({"body": b"", "checksums": {"crc32": "y/Q5Jg=="}}, "BadDigest"),
    "InvalidDigest": ({"content_md5": "no digest"}, "InvalidDigest"),
    "InvalidDigest of a zero-byte body": ({"body": b"", "content_md5": ""}, "InvalidDigest"),
    "PreconditionFailed": ({"if_match": "another", "key": "there"}, "PreconditionFailed"),
    "PreconditionFailed of a zero-byte body": ({"body": b"", "if_none_match": "*", "key": "there"}, "PreconditionFailed"),
    "NoSuchKey": ({"if_match": "*"}, "NoSuchKey"),
    "NoSuchKey of a zero-byte body": ({"body": b"", "if_match": "*"}, "NoSuchKey"),
    "EntityTooLarge": ({"body": bytes(2 * CHUNK_SIZE + 1)}, "EntityTooLarge"),
    "MetadataTooLarge": ({"metadata": {"n": "v" * 2048}}, "MetadataTooLarge"),
    "MetadataTooLarge of a zero-byte body": ({"body": b"", "metadata": {"n": "v" * 2048}}, "MetadataTooLarge"),
    "KeyTooLongError": ({"key": "k" * 1025}, "KeyTooLongError"),
    "KeyTooLongError in bytes": ({"key": "é" * 513}, "KeyTooLongError"),
    "InvalidTag": ({"tags": {"k" * 129: ""}}, "InvalidTag"),
    "a sender that goes away at once": ({"body": lambda: Breaking(0)}, ""),
    "a sender that goes away later": ({"body": lambda: Breaking(CHUNK_SIZE)}, ""),
}


@pytest.mark.parametrize("versioning", [None, "Enabled", "Suspended"])
@pytest.mark.parametrize("row", FAILING)
def test_a_write_that_fails_leaves_no_key_and_no_version(
    bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch, row: str, versioning: str | None
) -> None:
    """[PUT-4], [COND-8], [SUM-1]."""
    monkeypatch.setattr("mstbucket.core.body_builder.PUT_SIZE_MAX", 2 * CHUNK_SIZE)
    if versioning is not None:
        bucket.put_bucket_versioning(versioning)
    bucket.put_object("there", b"before")
    before = bucket.list_object_versions(), bucket.head_object("there")
    said, code = FAILING[row]
    if callable(said.get("body")):
        said = said | {"body": said["body"]()}
    with pytest.raises((errors.MstBucketError, ConnectionResetError)) as caught:
        bucket.put_object(**({"key": "new", "body": b"body"} | said))
    assert getattr(caught.value, "code", "") == code
    assert (bucket.list_object_versions(), bucket.head_object("there")) == before
    assert bucket.flush().objects == 1
    bucket.verify()


# --- DeleteObjects -----------------------------------------------------------------------------------------------------


def test_1000_are_deleted_at_a_time_and_1001_are_not(bucket: mstbucket.Bucket) -> None:
    fill(bucket, (f"{n:04}" for n in range(DELETE_KEYS_MAX + 1)))
    keys = [item.key for item in bucket.objects()]
    with pytest.raises(errors.InvalidInput):
        bucket.delete_objects(keys)
    assert [item.key for item in bucket.objects()] == keys
    report = bucket.delete_objects(keys[1:])
    assert ([result.key for result in report.deleted], report.errors) == (keys[1:], ())
    assert [item.key for item in bucket.objects()] == keys[:1]


A, B, X = (("a", None, False), ("b", None, False), ("x", None, False))
DELETED: dict[str, tuple[str | None, list[Any], list[tuple[Any, ...]], list[str]]] = {
    # versioning, what is asked; (key, version id, delete marker) of each answer, where "new" is an id; the keys left
    "a key that is missing succeeds": (None, ["x", "a"], [X, A], ["b"]),
    "the answers come in the order asked": (None, ["b", "x", "a"], [B, X, A], []),
    "a key named twice is answered twice": (None, ["a", "a"], [A, A], ["b"]),
    "no keys, no answers": (None, [], [], ["a", "b"]),
    "enabled: every key gets a marker, a missing one too": (
        "Enabled", ["a", "x"], [("a", "new", True), ("x", "new", True)], ["b"]),
    "enabled: a key named twice gets two": ("Enabled", ["a", "a"], [("a", "new", True)] * 2, ["b"]),
    "enabled: by version id the version goes": (
        "Enabled", [("a", "null"), ("b", None)], [("a", "null", False), ("b", "new", True)], []),
    "enabled: a version id that is missing succeeds": ("Enabled", [("a", "no such")], [("a", "no such", False)], ["a", "b"]),
    "suspended: every key gets the null marker": (
        "Suspended", ["a", "x"], [("a", "null", True), ("x", "null", True)], ["b"]),
}  # fmt: skip


@pytest.mark.parametrize("row", DELETED)
def test_delete_objects(bucket: mstbucket.Bucket, row: str) -> None:
    versioning, asked, answers, left = DELETED[row]
    fill(bucket, "ab")
    if versioning is not None:
        bucket.put_bucket_versioning(versioning)
    report = bucket.delete_objects(asked)
    assert report.errors == ()
    ids = [r.version_id if r.version_id in (None, "null", "no such") else "new" for r in report.deleted]
    assert [(r.key, name, r.delete_marker) for r, name in zip(report.deleted, ids, strict=True)] == answers
    assert [item.key for item in bucket.objects()] == left
    new = [r.version_id for r in report.deleted if r.delete_marker and r.version_id != "null"]
    assert len(new) == len(set(new))
    bucket.flush()
    bucket.verify()


def test_a_key_that_cannot_be_makes_none_be_deleted(bucket: mstbucket.Bucket) -> None:
    fill(bucket, "ab")
    with pytest.raises(errors.KeyTooLong):
        bucket.delete_objects(["a", "k" * 1025])
    assert [item.key for item in bucket.objects()] == ["a", "b"]
