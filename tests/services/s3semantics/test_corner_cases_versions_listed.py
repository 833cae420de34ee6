"""Listings of versions: the corner cases by name, and any history at every page size against the model of S3."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from s3model import Bucket, Pages, Said, chunks, key_items, version_items

import mstbucket
from mstbucket import errors
from mstbucket.model.listings import VersionsPage

ALPHABET = ["a", "/", "0", ".", "b", "é", "\ud7ff", "\ue000", "\U0010ffff"]


@pytest.fixture
def enabled(bucket: mstbucket.Bucket) -> mstbucket.Bucket:
    """A bucket with versioning enabled."""
    bucket.put_bucket_versioning("Enabled")
    return bucket


def put(bucket: mstbucket.Bucket, *keys: str) -> list[str]:
    """Put each key; the version ids."""
    return [str(bucket.put_object(key, key.encode()).version_id) for key in keys]


def suspended(bucket: mstbucket.Bucket) -> mstbucket.Bucket:
    bucket.put_bucket_versioning("Suspended")
    return bucket


def names(page: VersionsPage) -> list[tuple[str, str]]:
    return [(version.key, version.version_id) for version in page.versions]


def rest(bucket: mstbucket.Bucket, page: VersionsPage) -> list[tuple[str, str]]:
    """What is listed behind a page, in pages of one."""
    found = []
    while page.is_truncated:
        page = bucket.list_object_versions(
            key_marker=page.next_key_marker, version_id_marker=page.next_version_id_marker, max_keys=1
        )
        found += names(page)
    return found


def history(bucket: mstbucket.Bucket, rng: random.Random) -> Bucket:
    """A random past: puts and deletes, with and without versions; the same in the model."""
    model = Bucket()
    keys = ["".join(rng.choices(ALPHABET, k=rng.randint(1, 3))) for _ in range(rng.choice([2, 5, 9]))]
    for _ in range(rng.choice([5, 15, 30])):
        key = rng.choice(keys)
        what = rng.random()
        if what < 0.1:
            status = rng.choice(["Enabled", "Enabled", "Suspended"])
            bucket.put_bucket_versioning(status)
            model.set_versioning(status)
        elif what < 0.75:
            model.put(key, b"", Said(), bucket.put_object(key, b"").version_id)
        else:
            there = [version.id for version in model.history.get(key, [])]
            name = rng.choice([None, None, *there])
            model.delete(key, name, bucket.delete_object(key, version_id=name).version_id)
    return model


def put_with_checksums(bucket: mstbucket.Bucket) -> None:
    """One object of each kind that checksums know."""
    bucket.put_object("none", b"body")
    for algorithm in ("crc32", "crc32c", "crc64nvme", "sha1", "sha256"):
        bucket.put_object(algorithm, b"body", checksum_algorithm=algorithm)
    for algorithm, kind in (("crc32", "COMPOSITE"), ("crc32", "FULL_OBJECT"), ("sha256", "COMPOSITE")):
        key = f"{algorithm} {kind}"
        upload = bucket.create_multipart_upload(key, checksum_algorithm=algorithm, checksum_type=kind).id
        bucket.complete_multipart_upload(key, upload, [(1, bucket.upload_part(key, upload, 1, b"body").etag)])


SUMMED = {
    "none": ((), None), "crc32": (("crc32",), "FULL_OBJECT"), "crc32c": (("crc32c",), "FULL_OBJECT"),
    "crc64nvme": (("crc64nvme",), "FULL_OBJECT"), "sha1": (("sha1",), "FULL_OBJECT"),
    "sha256": (("sha256",), "FULL_OBJECT"), "crc32 COMPOSITE": (("crc32",), "COMPOSITE"),
    "crc32 FULL_OBJECT": (("crc32",), "FULL_OBJECT"), "sha256 COMPOSITE": (("sha256",), "COMPOSITE"),
}  # fmt: skip


def test_every_listing_says_by_what_and_of_what_checksums_are_kept(enabled: mstbucket.Bucket) -> None:
    """[LIST-6] As HEAD does; with a delimiter and without, of old versions, behind a marker."""
    put_with_checksums(enabled)
    for delimiter in (None, "/"):
        for page in (enabled.list_objects(delimiter=delimiter), enabled.list_objects_v1(delimiter=delimiter)):
            assert {one.key: (one.checksum_algorithms, one.checksum_type) for one in page.contents} == SUMMED
    assert {one.key: (one.checksum_algorithms, one.checksum_type) for one in enabled.objects()} == SUMMED
    heads = {key: enabled.head_object(key) for key in SUMMED}
    assert {key: (tuple(head.checksums), head.checksum_type) for key, head in heads.items()} == SUMMED
    for key in SUMMED:  # now each is an old version behind a marker and a version without
        enabled.put_object(key, b"plain")
        enabled.delete_object(key)
    for delimiter in (None, "/"):
        found = enabled.list_object_versions(delimiter=delimiter).versions
        assert [(one.checksum_algorithms, one.checksum_type) for one in found if one.is_latest] == [((), None)] * len(SUMMED)
        shown = [(one.key, one.checksum_algorithms, one.checksum_type) for one in found]
        assert {key: said for key, *said in shown[2::3]} == {key: list(said) for key, said in SUMMED.items()}
    page = enabled.list_object_versions("sha1", max_keys=1)
    rest = enabled.list_object_versions(
        "sha1", key_marker=page.next_key_marker, version_id_marker=page.next_version_id_marker
    )
    assert [(one.checksum_algorithms, one.checksum_type) for one in rest.versions] == [((), None), SUMMED["sha1"]]


def test_many_paged_listings_of_versions_agree_with_the_model(store: mstbucket.Store) -> None:
    """[VSN-10], [VSN-11], [VSN-12]: prefix, delimiter, key marker; and the objects that are left beside them."""
    rng = random.Random(20261121)
    count = 0
    for round_ in range(12):
        bucket = store.create_bucket(f"listing-{round_}")
        model = history(bucket, rng)
        keys = list(model.history) or ["a"]
        for _ in range(12):
            prefix = rng.choice(["", "", rng.choice(keys)[:1], rng.choice(keys)[:2]])
            delimiter = rng.choice([None, "/", "a", "é", "//", "\U0010ffff"])
            marker = rng.choice(["", "", rng.choice(keys), rng.choice(keys)[:1], "\U0010ffff"]) if delimiter is None else ""
            versions = [
                (text, version and version.id) for text, version, _ in version_items(model, prefix, delimiter, marker)
            ]
            objects = [text for text, _ in key_items(model, prefix, delimiter)]
            for size in {1, 2, 3, max(len(versions), 1), len(versions) + 1, 1000}:
                pages = Pages(bucket, prefix, delimiter, size)
                assert [*pages.versions(marker or None)] == chunks(versions, size), (prefix, delimiter, marker, size)
                assert [*pages.v2()] == chunks(objects, size), (prefix, delimiter, size)
                count += 2
    assert count > 1000


# --- markers -------------------------------------------------------------------------------------------------------------


def test_a_key_marker_alone_is_past_all_versions_of_that_key(enabled: mstbucket.Bucket) -> None:
    put(enabled, "a", "a", "b", "c", "b")
    assert [key for key, _ in names(enabled.list_object_versions(key_marker="a"))] == ["b", "b", "c"]
    assert [key for key, _ in names(enabled.list_object_versions(key_marker="a0"))] == ["b", "b", "c"]
    assert names(enabled.list_object_versions(key_marker="c")) == []


def test_both_markers_page_exactly_through_the_versions_of_one_key(enabled: mstbucket.Bucket) -> None:
    ids = put(enabled, *["k"] * 7)[::-1]
    for size in range(1, 9):
        pages = list(Pages(enabled, "", None, size).versions())
        assert pages == [[("k", name) for name in ids[at : at + size]] for at in range(0, 7, size)]


def test_the_id_of_any_version_serves_as_a_marker(enabled: mstbucket.Bucket) -> None:
    ids = put(enabled, *["k"] * 4)[::-1]
    enabled.put_object("l", b"")
    for at, name in enumerate(ids):
        page = enabled.list_object_versions("k", key_marker="k", version_id_marker=name)
        assert names(page) == [("k", older) for older in ids[at + 1 :]]


def test_the_id_null_serves_as_a_marker(bucket: mstbucket.Bucket) -> None:
    put(bucket, "k", "l")
    assert [key for key, _ in names(bucket.list_object_versions(key_marker="k", version_id_marker="null"))] == ["l"]
    bucket.put_bucket_versioning("Enabled")
    put(bucket, "k")
    assert [key for key, _ in names(bucket.list_object_versions(key_marker="k", version_id_marker="null"))] == ["l"]


@pytest.mark.parametrize(
    ("key_marker", "version_id_marker"),
    [(None, "null"), (None, "x"), ("k", "no such version"), ("k", ""), ("k", "\0"), ("\0", None), ("\ud800", None)],
    ids=["a version id without a key", "a foreign one without a key", "an id that is not there", "an empty id", "NUL",
         "a key with NUL", "a key with a lone surrogate"],
)  # fmt: skip
def test_a_foreign_or_damaged_marker_is_invalid_argument(
    enabled: mstbucket.Bucket, key_marker: str | None, version_id_marker: str | None
) -> None:
    put(enabled, "k")
    with pytest.raises(errors.InvalidInput) as caught:
        enabled.list_object_versions(key_marker=key_marker, version_id_marker=version_id_marker)
    assert (caught.value.code, caught.value.status) == ("InvalidArgument", 400)


def test_a_negative_max_keys_is_refused(enabled: mstbucket.Bucket) -> None:
    with pytest.raises(errors.InvalidInput):
        enabled.list_object_versions(max_keys=-1)


MEANWHILE: dict[str, Callable[[mstbucket.Bucket, list[str]], object]] = {
    "nothing": lambda b, ids: None,
    "the version that the marker names is deleted": lambda b, ids: b.delete_object("k", version_id=ids[2]),
    "the current version is deleted": lambda b, ids: b.delete_object("k", version_id=ids[0]),
    "a version is put on top": lambda b, ids: b.put_object("k", b""),
    "a delete marker is put on top": lambda b, ids: b.delete_object("k"),
    "all that was listed is deleted": lambda b, ids: b.delete_objects(("k", name) for name in ids[:3]),
    "all that was listed is deleted, and the key goes on": lambda b, ids: (
        b.delete_objects(("k", name) for name in ids[:3]), put(b, "k", "k")),
    "versioning is suspended, and the null version is put": lambda b, ids: put(suspended(b), "k"),
    "everything is folded into the tree": lambda b, ids: b.flush(),
}  # fmt: skip


@pytest.mark.parametrize("what", MEANWHILE)
def test_what_stays_is_listed_once_whatever_happens_between_two_pages(enabled: mstbucket.Bucket, what: str) -> None:
    """[VSN-12]: the page ends in the middle of a key's versions, and its marker keeps the place."""
    ids = put(enabled, *["k"] * 6)[::-1]
    behind = put(enabled, "l")
    page = enabled.list_object_versions(max_keys=3)
    assert names(page) == [("k", name) for name in ids[:3]]
    MEANWHILE[what](enabled, ids)
    stay = [*(("k", name) for name in ids[3:]), ("l", behind[0])]
    assert [item for item in rest(enabled, page) if item in stay] == stay


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_page_that_ends_with_the_current_object_keeps_its_place(enabled: mstbucket.Bucket, gone: int) -> None:
    """[VSN-12]: it is deleted, or becomes noncurrent, before the next page is asked for."""
    ids = put(enabled, *["k"] * 3)[::-1]
    page = enabled.list_object_versions(max_keys=1)
    assert names(page) == [("k", ids[0])]
    put(enabled, *["k"] * gone)
    if gone != 1:
        enabled.delete_object("k", version_id=ids[0])
    assert rest(enabled, page) == [("k", name) for name in ids[1:]]


def test_a_folder_of_delete_markers_is_among_the_versions_and_not_among_the_objects(enabled: mstbucket.Bucket) -> None:
    put(enabled, "a/1", "a/2", "b")
    enabled.delete_objects(["a/1", "a/2", "never/was"])
    assert enabled.list_objects(delimiter="/").common_prefixes == ()
    assert enabled.list_objects_v1("a/", delimiter="/").contents == ()
    assert enabled.list_object_versions(delimiter="/").common_prefixes == ("a/", "never/")
    enabled.put_object("a/2", b"")
    assert enabled.list_objects(delimiter="/").common_prefixes == ("a/",)


def test_a_folder_counts_once_however_many_versions_are_in_it(enabled: mstbucket.Bucket) -> None:
    put(enabled, "a", "a/1", "a/1", "a/2", "a/1", "b", "b")
    pages = list(Pages(enabled, "", "/", 1).versions())
    assert [page[0][0] for page in pages] == ["a", "a/", "b", "b"]
    assert enabled.list_object_versions(delimiter="/", max_keys=2).common_prefixes == ("a/",)


def test_older_versions_tell_what_they_were(enabled: mstbucket.Bucket) -> None:
    enabled.put_object("k", b"12345")
    etag = enabled.head_object("k").etag
    enabled.delete_object("k")
    enabled.put_object("k", b"1")
    newest, marker, oldest = enabled.list_object_versions().versions
    assert (newest.is_latest, marker.is_latest, oldest.is_latest) == (True, False, False)
    assert (marker.delete_marker, marker.size, marker.etag) == (True, None, None)
    assert (oldest.delete_marker, oldest.size, oldest.etag) == (False, 5, etag)
    assert all(younger.last_modified >= older.last_modified for younger, older in pairwise((newest, marker, oldest)))


# --- buckets -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flushed", [False, True], ids=["", "flushed"])
def test_a_bucket_with_delete_markers_only_is_not_empty(store: mstbucket.Store, flushed: bool) -> None:
    """Whichever way they came; and it is empty when the last one was removed."""
    bucket = store.create_bucket("things")
    bucket.put_bucket_versioning("Enabled")
    marker = bucket.delete_object("never").version_id
    put(bucket, "k")
    for version in bucket.list_object_versions("k").versions:
        bucket.delete_object("k")
        bucket.delete_object("k", version_id=version.version_id)
    if flushed:
        bucket.flush()
        bucket.verify()
    assert list(bucket.objects()) == []
    with pytest.raises(errors.BucketNotEmpty) as caught:
        store.delete_bucket("things")
    assert (caught.value.code, caught.value.status) == ("BucketNotEmpty", 409)
    bucket.delete_object("k", version_id=bucket.list_object_versions("k").versions[0].version_id)
    with pytest.raises(errors.BucketNotEmpty):
        store.delete_bucket("things")
    bucket.delete_object("never", version_id=marker)
    store.delete_bucket("things")
    again = store.create_bucket("things")
    assert (again.get_bucket_versioning(), again.list_object_versions().versions) == (None, ())
