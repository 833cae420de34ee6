"""Versions: what a key held before, delete markers, the null version; in the index, in listings, in the tree and back."""

from __future__ import annotations

import io
import itertools
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mstbucket
from mstbucket import PutRequest, errors
from mstbucket.core import car, commit_fields
from mstbucket.core import commit as commits
from mstbucket.core import manifest as manifests
from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.cid import dag_cbor_cid, raw_cid
from mstbucket.core.closure import closure
from mstbucket.core.keys import version_key
from mstbucket.core.manifest import Manifest
from mstbucket.core.mst.build import build
from mstbucket.limits import CHUNK_SIZE, SEQ_MAX
from mstbucket.model.listings import ObjectVersion, VersionsPage
from mstbucket.services.tree import snapshot

OBJECT, MARKER = False, True


@pytest.fixture
def versioned(bucket: mstbucket.Bucket) -> mstbucket.Bucket:
    """A bucket with versioning enabled from the start."""
    bucket.put_bucket_versioning("Enabled")
    return bucket


def everything(bucket: mstbucket.Bucket, prefix: str = "", size: int = 1000) -> list[ObjectVersion]:
    """All versions, by pages of this size."""
    return [version for page in pages(bucket, prefix, None, size) for version in page.versions]


def pages(bucket: mstbucket.Bucket, prefix: str, delimiter: str | None, size: int) -> Iterator[VersionsPage]:
    """The pages of a whole listing."""
    page = bucket.list_object_versions(prefix, delimiter=delimiter, max_keys=size)
    yield page
    while page.is_truncated:
        page = bucket.list_object_versions(
            prefix,
            delimiter=delimiter,
            key_marker=page.next_key_marker,
            version_id_marker=page.next_version_id_marker,
            max_keys=size,
        )
        yield page


def state_of(bucket: mstbucket.Bucket, key: str) -> list[tuple[str, bool, bytes]]:
    """The versions of a key, newest first: its body, or nothing for a marker, under "null" or a name for its id."""
    found = []
    for number, version in enumerate(everything(bucket)):
        assert version.key == key
        assert version.is_latest == (number == 0)
        body = b"" if version.delete_marker else bucket.get_object(key, version_id=version.version_id).read()
        found.append(("null" if version.version_id == "null" else "id", version.delete_marker, body))
    return found


# --- what writes and deletes do ------------------------------------------------------------------------------------------

NULL_ONE, ID_ONE, ID_TWO = ("null", OBJECT, b"1"), ("id", OBJECT, b"1"), ("id", OBJECT, b"2")
NULL_TWO, NULL_GONE, ID_GONE = ("null", OBJECT, b"2"), ("null", MARKER, b""), ("id", MARKER, b"")

# The steps: `e` enables, `s` suspends, 1 to 3 put that body, `d` deletes. Then the versions of the key, newest first.
STEPS: dict[str, tuple[str, list[tuple[str, bool, bytes]]]] = {
    "never set, a put replaces": ("12", [NULL_TWO]),
    "never set, a delete removes": ("1d", []),
    "never set, a delete of nothing does nothing": ("d", []),
    "enabled, a put keeps what was": ("e12", [ID_TWO, ID_ONE]),
    "enabled, the object from before is the null version": ("1e2", [ID_TWO, NULL_ONE]),
    "enabled, a delete puts a marker": ("e1d", [ID_GONE, ID_ONE]),
    "enabled, a delete of nothing puts a marker too": ("ed", [ID_GONE]),
    "enabled, a marker on a marker": ("e1dd", [ID_GONE, ID_GONE, ID_ONE]),
    "enabled, a put on a marker": ("e1d2", [ID_TWO, ID_GONE, ID_ONE]),
    "suspended, a put makes the null version": ("e1s2", [NULL_TWO, ID_ONE]),
    "suspended, a put replaces the current null version": ("1s2", [NULL_TWO]),
    "suspended, a put removes a null version further down": ("1e2s3", [("null", OBJECT, b"3"), ID_TWO]),
    "suspended, a put removes a null marker": ("e1sd2", [NULL_TWO, ID_ONE]),
    "suspended, a put removes a null marker further down": ("esde1s2", [NULL_TWO, ID_ONE]),
    "suspended, a delete puts a null marker": ("e1sd", [NULL_GONE, ID_ONE]),
    "suspended, a delete removes the current null version": ("e1s2d", [NULL_GONE, ID_ONE]),
    "suspended, a delete removes a null version further down": ("1e2sd", [NULL_GONE, ID_TWO]),
    "suspended, a second delete leaves one null marker": ("e1sdd", [NULL_GONE, ID_ONE]),
    "suspended, a delete of nothing puts a null marker": ("sd", [NULL_GONE]),
    "enabled again, the null version stays": ("e1s2e1", [ID_ONE, NULL_TWO, ID_ONE]),
    "enabled again, a null marker stays": ("e1sde2", [ID_TWO, NULL_GONE, ID_ONE]),
}


@pytest.mark.parametrize("way", ["one by one", "in bulk"])
@pytest.mark.parametrize(("steps", "after"), STEPS.values(), ids=STEPS)
def test_puts_and_deletes_by_the_state_of_the_bucket(
    bucket: mstbucket.Bucket, steps: str, after: list[tuple[str, bool, bytes]], way: str
) -> None:
    """[VSN-2] [VSN-5] [VSN-8]: and a flush at the end leaves index and tree equal."""
    for step in steps:
        if step in "es":
            bucket.put_bucket_versioning({"e": "Enabled", "s": "Suspended"}[step])
        elif way == "in bulk":
            if step == "d":
                bucket.delete_objects(["k"])
            else:
                bucket.put_objects([PutRequest("k", step.encode())])
        elif step == "d":
            bucket.delete_object("k")
        else:
            bucket.put_object("k", step.encode())
    assert state_of(bucket, "k") == after
    bucket.flush()
    assert bucket.verify().dirty == 0


@pytest.mark.parametrize("write", ["put_object", "put_objects", "copy_object", "complete_multipart_upload"])
def test_every_kind_of_write_makes_a_version_and_names_it(bucket: mstbucket.Bucket, write: str) -> None:
    """[VSN-2] [VSN-5]: ids are fresh; suspended, it is the null version; before, there is none."""
    bucket.put_object("source", b"x")

    def made() -> str | None:
        if write == "put_objects":
            results: list[mstbucket.PutResult] = []
            bucket.put_objects([PutRequest("k", b"x")], stored=results.append)
            return results[0].version_id
        if write == "complete_multipart_upload":
            upload = bucket.create_multipart_upload("k").id
            part = bucket.upload_part("k", upload, 1, b"x")
            first = bucket.complete_multipart_upload("k", upload, [(1, part.etag)])
            again = bucket.complete_multipart_upload("k", upload, [(1, part.etag)])
            assert first.version_id == again.version_id
            return first.version_id
        return (bucket.copy_object("source", "k") if write == "copy_object" else bucket.put_object("k", b"x")).version_id

    assert made() is None
    assert bucket.head_object("k").version_id is None
    bucket.put_bucket_versioning("Enabled")
    ids = [made(), made()]
    assert len({None, "null", *ids}) == 4
    assert bucket.head_object("k").version_id == ids[-1]
    bucket.put_bucket_versioning("Suspended")
    assert made() == "null"
    assert bucket.head_object("k").version_id == bucket.get_object("k").info.version_id == "null"
    assert [version.version_id for version in everything(bucket, "k")] == ["null", ids[1], ids[0]]


def test_puts_of_one_batch_to_one_key_become_versions_in_their_order(versioned: mstbucket.Bucket) -> None:
    """[VSN-5]."""
    versioned.put_objects(PutRequest("ab"[n % 2], bytes([n])) for n in range(7))
    assert [versioned.get_object(v.key, version_id=v.version_id).read()[0] for v in everything(versioned)] == [
        6, 4, 2, 0, 5, 3, 1,
    ]  # fmt: skip


@pytest.mark.parametrize("status", ["enabled", "", "Off", None])
def test_a_state_is_one_of_two_and_never_goes_back(bucket: mstbucket.Bucket, status: str) -> None:
    """[VSN-1]."""
    assert bucket.get_bucket_versioning() is None
    bucket.put_bucket_versioning("Enabled")
    with pytest.raises(errors.InvalidInput, match="'Enabled' or 'Suspended'"):
        bucket.put_bucket_versioning(status)
    assert bucket.get_bucket_versioning() == "Enabled"


def test_a_writer_that_believes_in_another_state_makes_its_manifest_anew(
    open_store: Callable[[], mstbucket.Store], bucket: mstbucket.Bucket
) -> None:
    """[VSN-7]: the other process, whose memory of the state is old, follows each change."""
    other = open_store().bucket("things")
    other.put_object("k", b"0")
    bucket.put_bucket_versioning("Enabled")
    assert other.put_object("k", b"1").version_id not in (None, "null")
    bucket.put_bucket_versioning("Suspended")
    assert other.put_object("k", b"2").version_id == "null"
    assert len(everything(bucket)) == 2


def test_a_change_of_the_state_waits_for_the_writer_inside(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[VSN-1]."""
    inside, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with store._context.db.transaction() as connection:
            connection.execute("SELECT enter('things')")
            inside.set()
            assert go_on.wait(30)

    with ThreadPoolExecutor(2) as pool:
        writer = pool.submit(hold)
        assert inside.wait(30)
        change = pool.submit(bucket.put_bucket_versioning, "Enabled")
        with pytest.raises(TimeoutError):
            change.result(0.3)
        assert bucket.get_bucket_versioning() is None
        go_on.set()
        writer.result(30)
        change.result(30)
    assert bucket.get_bucket_versioning() == "Enabled"


# --- by version id -------------------------------------------------------------------------------------------------------


def test_a_version_is_read_by_its_id(versioned: mstbucket.Bucket) -> None:
    """Whole, in ranges and parts, small and large, flushed or not, with conditions of its own."""
    bodies = [b"old", random.Random(5).randbytes(2 * CHUNK_SIZE + 9), b"", b"new"]
    ids = []
    for n, body in enumerate(bodies):
        ids.append(versioned.put_object("k", body, metadata={"n": str(n)}, tags={"t": str(n)}).version_id)
        if n == 1:
            versioned.flush()
    for n, (body, name) in enumerate(zip(bodies, ids, strict=True)):
        assert name is not None
        info = versioned.head_object("k", version_id=name)
        assert (info.size, info.metadata, info.version_id) == (len(body), {"n": str(n)}, name)
        assert versioned.get_object("k", version_id=name).read() == body
        assert versioned.get_object_tagging("k", version_id=name) == {"t": str(n)}
        assert versioned.get_object_attributes("k", version_id=name).size == len(body)
        with pytest.raises(errors.NotModified):
            versioned.head_object("k", version_id=name, if_none_match=info.etag)
    assert versioned.get_object("k", version_id=ids[1], range="bytes=5-9").read() == bodies[1][5:10]


REFUSED_READS: dict[str, tuple[str, type[errors.MstBucketError]]] = {
    "an id that the key does not have": ("no-such-id", errors.NoSuchVersion),
    "the null version where there is none": ("null", errors.NoSuchVersion),
    "a delete marker": ("MARKER", errors.MethodNotAllowed),
    "an empty id": ("", errors.InvalidInput),
    "an id that is too long": ("é" * 513, errors.InvalidInput),
    "an id with NUL": ("a\0", errors.InvalidInput),
    "an id that is no UTF-8": ("\udc80", errors.InvalidInput),
}


@pytest.mark.parametrize(("name", "error"), REFUSED_READS.values(), ids=REFUSED_READS)
def test_reads_of_a_version_that_are_refused(
    versioned: mstbucket.Bucket, name: str, error: type[errors.MstBucketError]
) -> None:
    versioned.put_object("k", b"1")
    marker = versioned.delete_object("k").version_id
    assert marker is not None
    name = marker if name == "MARKER" else name
    upload = versioned.create_multipart_upload("other").id
    for read in (
        lambda: versioned.get_object("k", version_id=name),
        lambda: versioned.head_object("k", version_id=name),
        lambda: versioned.get_object_tagging("k", version_id=name),
        lambda: versioned.put_object_tagging("k", {}, version_id=name),
        lambda: versioned.delete_object_tagging("k", version_id=name),
        lambda: versioned.get_object_attributes("k", version_id=name),
    ):
        with pytest.raises(error):
            read()
    for copy in (
        lambda: versioned.copy_object("k", "other", source_version_id=name),
        lambda: versioned.upload_part_copy("other", upload, 1, "k", source_version_id=name),
    ):
        with pytest.raises(errors.InvalidRequest if error is errors.MethodNotAllowed else error):
            copy()
    with pytest.raises(errors.NoSuchKey, match="its newest version is a delete marker"):
        versioned.get_object("k")


def test_deletes_by_id_remove_exactly_that_and_bring_the_next_older_one_up(bucket: mstbucket.Bucket) -> None:
    """[VSN-6]."""
    bucket.put_object("k", b"null")
    bucket.put_bucket_versioning("Enabled")
    first, second = bucket.put_object("k", b"1").version_id, bucket.put_object("k", b"2").version_id
    assert first
    assert second
    marker = bucket.delete_object("k").version_id
    assert marker
    bucket.flush()

    def gone(name: str) -> tuple[bool, bool]:
        result = bucket.delete_object("k", version_id=name)
        assert (result.key, result.version_id) == ("k", name)
        return result.delete_marker, result.existed

    assert gone("unknown") == (False, False)
    assert gone(first) == (False, True)
    assert gone(first) == (False, False)
    with pytest.raises(errors.NoSuchKey):
        bucket.get_object("k")
    assert gone(marker) == (True, True)
    assert bucket.get_object("k").read() == b"2"  # removing the marker brings the object back
    assert gone(second) == (False, True)
    assert bucket.get_object("k").read() == b"null"
    bucket.flush()
    assert bucket.verify().dirty == 0
    assert gone("null") == (False, True)
    assert everything(bucket) == []
    bucket.flush()
    assert bucket.verify().objects == 0
    assert bucket.head_commit() is not None
    assert bucket.head_commit().versions is None


def test_a_delete_of_the_newest_leaves_an_older_marker_on_top(versioned: mstbucket.Bucket) -> None:
    """[VSN-6]."""
    versioned.put_object("k", b"1")
    versioned.delete_object("k")
    name = versioned.put_object("k", b"2").version_id
    versioned.delete_object("k", version_id=name)
    with pytest.raises(errors.NoSuchKey):
        versioned.head_object("k")
    assert state_of(versioned, "k") == [ID_GONE, ID_ONE]


def test_delete_objects_takes_keys_and_versions_side_by_side(versioned: mstbucket.Bucket) -> None:
    """[VSN-6]: results in the order asked, and items of one key one after the other."""
    a, b = (versioned.put_object(key, key.encode()).version_id for key in "ab")
    report = versioned.delete_objects(["b", ("a", a), "new", ("b", b), ("b", "unknown"), ("a", None)])
    assert [(one.key, one.delete_marker, one.existed) for one in report.deleted] == [
        ("b", True, True),
        ("a", False, True),
        ("new", True, False),
        ("b", False, True),
        ("b", False, False),
        ("a", True, False),
    ]
    assert report.deleted[1].version_id == a
    assert [(v.key, v.delete_marker) for v in everything(versioned)] == [("a", True), ("b", True), ("new", True)]


def test_conditions_are_about_the_current_object(versioned: mstbucket.Bucket) -> None:
    """A key whose newest version is a marker counts as free; with a version id a delete takes no conditions."""
    etag = versioned.put_object("k", b"1").etag
    with pytest.raises(errors.PreconditionFailed):
        versioned.put_object("k", b"2", if_none_match="*")
    with pytest.raises(errors.PreconditionFailed):
        versioned.delete_object("k", if_match="other")
    versioned.delete_object("k", if_match=etag)
    with pytest.raises(errors.NoSuchKey):
        versioned.put_object("k", b"2", if_match=etag)
    name = versioned.put_object("k", b"2", if_none_match="*").version_id
    with pytest.raises(errors.InvalidRequest):
        versioned.delete_object("k", version_id=name, if_match="*")
    assert state_of(versioned, "k") == [ID_TWO, ID_GONE, ID_ONE]


def test_copies_and_tags_of_versions(versioned: mstbucket.Bucket) -> None:
    """An old version copied onto its key is current again; tags of an old version change that one only."""
    old = versioned.put_object("k", b"old", tags={"a": "1"}, metadata={"m": "x"})
    versioned.put_object("k", b"new")
    versioned.flush()
    versioned.put_object_tagging("k", {"b": "2"}, version_id=old.version_id)
    assert versioned.get_object_tagging("k") == {}
    assert versioned.get_object_tagging("k", version_id=old.version_id) == {"b": "2"}
    copied = versioned.copy_object("k", "k", source_version_id=old.version_id)
    assert copied.version_id not in (None, old.version_id)
    assert (versioned.get_object("k").read(), versioned.head_object("k").metadata) == (b"old", {"m": "x"})
    assert len(everything(versioned)) == 3
    upload = versioned.create_multipart_upload("parts").id
    part = versioned.upload_part_copy("parts", upload, 1, "k", source_version_id=old.version_id)
    versioned.complete_multipart_upload("parts", upload, [(1, part.etag)])
    assert versioned.get_object("parts").read() == b"old"
    versioned.flush()
    assert versioned.verify().dirty == 0


def test_a_bucket_with_markers_only_is_not_empty(store: mstbucket.Store, versioned: mstbucket.Bucket) -> None:
    versioned.put_object("k", b"1")
    versioned.delete_object("k")
    assert list(versioned.objects()) == []
    with pytest.raises(errors.BucketNotEmpty, match="versions or delete markers"):
        store.delete_bucket("things")
    versioned.delete_objects([(v.key, v.version_id) for v in everything(versioned)])
    store.delete_bucket("things")


def test_the_last_sequence_is_refused_and_not_wrapped(store: mstbucket.Store) -> None:
    """[VSN-3] [VSN-9]: only an import can bring one near it."""
    bucket = store.import_car(car_of({}, {version_key(b"k", SEQ_MAX - 1): dropped("a")}, "Enabled"))
    name = bucket.put_object("k", b"1").version_id
    for write in (lambda: bucket.put_object("k", b"3"), lambda: bucket.delete_object("k")):
        with pytest.raises(errors.Unsupported, match="'k' has come to its end"):
            write()
    assert state_of(bucket, "k") == [ID_ONE, ID_GONE]
    assert everything(bucket, size=1) == everything(bucket)
    bucket.delete_object("k", version_id=name)
    bucket.put_object("k", b"2")
    bucket.flush()
    assert bucket.verify().dirty == 0
    with pytest.raises(errors.Unsupported, match="last sequence"):
        store.import_car(car_of({"k": held()}, {version_key(b"k", SEQ_MAX): dropped("a")}, "Enabled"), "second")


# --- listing -------------------------------------------------------------------------------------------------------------

LISTED = st.lists(
    st.tuples(st.text("a/0.bé\U0010ffff", min_size=1, max_size=4), st.sampled_from(["put", "delete"])), max_size=14
)


def test_listings_of_versions_are_those_of_a_sorted_list(store: mstbucket.Store) -> None:
    """[VSN-10] [VSN-11]: every page size, prefix and delimiter against an obvious listing."""
    names = itertools.count()

    @given(LISTED, st.sampled_from(["", "a", "a/", "é"]), st.sampled_from([None, "/", "a", "/0"]))
    @settings(deadline=None, max_examples=60)
    def check(history: list[tuple[str, str]], prefix: str, delimiter: str | None) -> None:
        bucket = store.create_bucket(f"bucket-{next(names)}")
        bucket.put_bucket_versioning("Enabled")
        model: dict[str, list[tuple[str, bool]]] = {}
        for key, verb in history:
            done = bucket.put_object(key, b"x") if verb == "put" else bucket.delete_object(key)
            assert done.version_id is not None
            model.setdefault(key, []).insert(0, (done.version_id, verb == "delete"))
        items: list[tuple[str, ...]] = []
        for key in sorted(model, key=str.encode):
            if key.startswith(prefix):
                at = key.find(delimiter, len(prefix)) if delimiter else -1
                if at >= 0:
                    assert delimiter is not None
                    items.append((key[: at + len(delimiter)],))
                else:
                    items += [(key, name, str(marker), str(n == 0)) for n, (name, marker) in enumerate(model[key])]
        items = list(dict.fromkeys(items))
        for size in (1, 2, 3, 5, len(items) or 1, 1000):
            got: list[tuple[str, ...]] = []
            for page in pages(bucket, prefix, delimiter, size):
                here = [(v.key, v.version_id, str(v.delete_marker), str(v.is_latest)) for v in page.versions]
                folders = [(text,) for text in page.common_prefixes]
                assert 0 < len(here) + len(folders) <= size or not items
                # Within a page the two come apart; together they are in the order of keys.
                got += sorted([*here, *folders], key=lambda item: items.index(item))
            assert got == items

    check()


def test_a_listing_holds_its_place_while_versions_come_and_go(versioned: mstbucket.Bucket) -> None:
    """[VSN-12]: the version that a marker names is deleted, or replaced as the current one; nothing else is lost."""
    rng = random.Random(9)
    for round_ in range(40):
        key = f"k{round_}"
        names = [versioned.put_object(key, b"").version_id for _ in range(6)]
        page = versioned.list_object_versions(key, max_keys=rng.randint(1, 5))
        seen = [version.version_id for version in page.versions]
        untouched = set(names)
        for name in rng.sample(names, 2):
            versioned.delete_object(key, version_id=name)
            untouched.discard(name)
        fresh = {versioned.put_object(key, b"").version_id for _ in range(rng.randint(0, 2))}
        rest = versioned.list_object_versions(
            key, key_marker=page.next_key_marker, version_id_marker=page.next_version_id_marker
        )
        listed = [name for name in (*seen, *(version.version_id for version in rest.versions)) if name in untouched]
        assert listed == [name for name in reversed(names) if name in untouched], fresh


def test_markers_by_hand(versioned: mstbucket.Bucket) -> None:
    """[VSN-11] [VSN-12]: a plain id is a marker, too; a key alone is done with the key."""
    ids = [versioned.put_object("k", bytes([n])).version_id for n in range(3)][::-1]
    versioned.put_object("k2", b"")

    def behind(name: str | None) -> list[str]:
        return [v.version_id for v in versioned.list_object_versions(key_marker="k", version_id_marker=name).versions]

    last = [versioned.head_object("k2").version_id]
    assert behind(None) == last
    assert [behind(name) for name in ids] == [ids[1:] + last, ids[2:] + last, last]
    with pytest.raises(errors.InvalidInput, match="no version 'unknown'"):
        behind("unknown")
    with pytest.raises(errors.InvalidInput, match="with a key_marker only"):
        versioned.list_object_versions(version_id_marker=ids[0])
    assert versioned.list_object_versions(max_keys=0) == VersionsPage((), (), False, None, None)
    with pytest.raises(errors.InvalidInput):
        versioned.list_object_versions(max_keys=-1)


def test_objects_of_a_bucket_without_versioning_are_null_versions(bucket: mstbucket.Bucket) -> None:
    bucket.put_object("k", b"1")
    [version] = everything(bucket)
    assert (version.version_id, version.is_latest, version.size) == ("null", True, 1)
    assert bucket.get_object("k", version_id="null").read() == b"1"
    assert bucket.delete_object("k", version_id="null").existed
    assert everything(bucket) == []


# --- in the tree, out and back -------------------------------------------------------------------------------------------


def grown(bucket: mstbucket.Bucket, keys: int = 12) -> None:
    """A history of everything: null versions and null markers in all places, shared manifests, large bodies."""
    rng = random.Random(3)
    for state in (None, "Enabled", "Suspended", "Enabled"):
        if state is not None:
            bucket.put_bucket_versioning(state)
        for _ in range(40):
            key = f"k{rng.randrange(keys)}"
            if rng.random() < 0.3:
                bucket.delete_object(key)
            else:
                bucket.put_object(key, rng.choice([b"", b"x", rng.randbytes(3000)]), tags={"n": key[:2]})
        bucket.put_object("large", rng.randbytes(CHUNK_SIZE + rng.randrange(9)))
        bucket.flush()


def test_versions_leave_and_come_back(bucket: mstbucket.Bucket, second_store: mstbucket.Store) -> None:
    """[VSN-8] [VSN-9] [COM-12]: state, versions and markers; the same file again; and life goes on from there."""
    grown(bucket)
    bucket.flush()
    first = io.BytesIO()
    bucket.export_car(first)
    report = mstbucket.verify_car(io.BytesIO(first.getvalue()))
    assert report.commit.versioning == "Enabled"
    assert report.versions == len([v for v in everything(bucket) if not v.is_latest or v.delete_marker])
    again = second_store.import_car(io.BytesIO(first.getvalue()))
    assert again.get_bucket_versioning() == "Enabled"
    assert everything(again) == everything(bucket)
    for version in everything(bucket):
        if not version.delete_marker:
            here, there = (b.get_object(version.key, version_id=version.version_id) for b in (bucket, again))
            assert (here.info, here.read()) == (there.info, there.read())
    assert again.verify().dirty == 0
    second = io.BytesIO()
    again.export_car(second)
    assert second.getvalue() == first.getvalue()
    for version in everything(again):
        again.delete_object(version.key, version_id=version.version_id)
    again.put_object("new", b"")
    again.flush()
    assert again.verify().objects == 1


def test_a_change_of_the_state_alone_makes_a_commit(bucket: mstbucket.Bucket) -> None:
    """[VSN-8]."""
    first = bucket.flush()
    bucket.put_bucket_versioning("Suspended")
    assert bucket.verify().dirty == 1
    second = bucket.flush()
    assert second.seq == first.seq + 1
    assert bucket.flush() == second
    bucket.put_bucket_versioning("Suspended")
    assert bucket.flush() == second


def test_large_histories_are_folded_in_several_commits_that_lose_nothing(
    bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[VSN-8]: also where one key has more changes than a flush folds."""
    monkeypatch.setattr(snapshot, "FLUSH_KEYS", 7)
    grown(bucket)
    for n in range(30):
        bucket.put_object("k1", bytes([n]))
        bucket.put_object(f"one {n}", b"")
    before = everything(bucket)
    bucket.flush()
    assert bucket.verify().dirty == 0
    assert everything(bucket) == before
    assert max(info.seq for info in bucket.log()) > 20


class _Seen(set[bytes]):
    def add(self, item: bytes) -> bool:  # type: ignore[override]
        new = item not in self
        super().add(item)
        return new


def car_of(objects: dict[str, Manifest], versions: dict[bytes, Manifest], versioning: str | None) -> io.BytesIO:
    """A CAR that a store of ours would perhaps not have written; its blocks and trees are good."""
    blocks = MemoryBlocks()
    blocks.put(raw_cid(b"x"), b"x")

    def tree(pairs: dict[bytes, Manifest]) -> bytes:
        made = {key: manifests.encode(m) for key, m in pairs.items()}
        for block in made.values():
            blocks.put(dag_cbor_cid(block), block)
        return build(((key, dag_cbor_cid(made[key])) for key in sorted(made)), blocks.put)

    block = commits.encode(
        commits.Commit(
            bucket=commit_fields.bucket_id(bytes(16)),
            name="strange",
            seq=1,
            tree=tree({key.encode(): m for key, m in objects.items()}),
            time=1,
            objects=len(objects),
            bytes=len(objects),
            versions=tree(versions) if versions else None,
            config=commit_fields.config(versioning),
        )
    )
    blocks.put(dag_cbor_cid(block), block)
    out = io.BytesIO(car.header(dag_cbor_cid(block)))
    out.seek(0, io.SEEK_END)
    for cid, data in closure(blocks, dag_cbor_cid(block), _Seen()):
        out.write(car.section(cid, data))
    out.seek(0)
    return out


def held(name: str | None = None) -> Manifest:
    return Manifest(raw_cid(b"x"), 1, "e", "t", 2**32, 2**32, version_id=name)


def dropped(name: str | None = None) -> Manifest:
    return Manifest(None, None, None, None, 2**32, 2**32, version_id=name, delete_marker=True)


UNTRUE = {
    "versions of a bucket that never had any": ({"k": held()}, {version_key(b"k", 1): dropped("a")}, None),
    "a history without an object or a marker on top": (
        {}, {version_key(b"k", 2): held("b"), version_key(b"k", 1): dropped("a")}, "Enabled",
    ),
    "two versions of one id": ({"k": held()}, {version_key(b"k", n): held("a") for n in (1, 2)}, "Enabled"),
    "two null versions": ({"k": held()}, {version_key(b"k", 1): dropped()}, "Suspended"),
    "a version with the id of the object": ({"k": held("a")}, {version_key(b"k", 9): held("a")}, "Enabled"),
}  # fmt: skip


@pytest.mark.parametrize(("objects", "versions", "versioning"), UNTRUE.values(), ids=UNTRUE)
def test_histories_that_no_store_can_hold_are_refused(
    store: mstbucket.Store,
    objects: dict[str, Manifest],
    versions: dict[bytes, Manifest],
    versioning: str | None,
) -> None:
    """[VSN-4] [VSN-9]: as untrue, and nothing of the bucket is there."""
    with pytest.raises(errors.Untrue):
        store.import_car(car_of(objects, versions, versioning))
    assert store.list_buckets() == []


def test_strange_histories_that_are_true_are_taken(store: mstbucket.Store) -> None:
    """[VSN-9]: gaps, equal manifests in many places, ids of any text, times that no calendar has."""
    late = Manifest(raw_cid(b"x"), 1, "e", "t", 2**63 - 1, 2**63 - 1, version_id="é @0/\n")
    versions = {
        version_key(b"k", 5): held("same"), version_key(b"k2", 7): held("same"), version_key(b"k2", 0): late,
        version_key(b"gone", 2**63 - 2): dropped(), version_key(b"k", 4): dropped(),
    }  # fmt: skip
    source = car_of({"k": held("top"), "k2": held("top"), "k3": held("same")}, versions, "Suspended")
    bucket = store.import_car(source)
    assert [(v.key, v.version_id, v.delete_marker) for v in everything(bucket)] == [
        ("gone", "null", True), ("k", "top", False), ("k", "same", False), ("k", "null", True),
        ("k2", "top", False), ("k2", "same", False), ("k2", "é @0/\n", False), ("k3", "same", False),
    ]  # fmt: skip
    assert everything(bucket, size=1) == everything(bucket)
    out = io.BytesIO()
    bucket.export_car(out)
    assert out.getvalue() == source.getvalue()
    bucket.put_object("gone", b"back")
    assert bucket.flush().seq == 2
    assert bucket.verify().dirty == 0


def test_index_and_tree_of_versions_are_compared(store: mstbucket.Store, versioned: mstbucket.Bucket) -> None:
    """[VSN-8]: a check that cannot be passed by an index that lost, changed or gained a version."""
    for n in range(3):
        versioned.put_object("k", bytes([n]))
    versioned.flush()
    for damage, said in (
        ("DELETE FROM versions WHERE seq = 1", "the tree holds"),
        ("UPDATE versions SET manifest = content WHERE seq = 1", "the tree holds"),
        ("UPDATE versions SET seq = 3 WHERE seq = 1", "the index"),
        ("DELETE FROM objects", "the tree holds"),
        ("UPDATE buckets SET versioning = 'Suspended'", "its versioning is not that"),
    ):
        with store._context.db.connection() as connection:
            connection.execute("BEGIN")
            connection.execute("CREATE TABLE o AS TABLE objects")
            connection.execute("CREATE TABLE v AS TABLE versions")
            connection.execute(damage)
            connection.execute("COMMIT")
        with pytest.raises(errors.Untrue, match=said):
            versioned.verify()
        with store._context.db.connection() as connection:
            connection.execute("UPDATE buckets SET versioning = 'Enabled'")
            connection.execute("TRUNCATE objects, versions")
            connection.execute("INSERT INTO objects TABLE o")
            connection.execute("INSERT INTO versions TABLE v")
            connection.execute("DROP TABLE o, v")
    versioned.verify()


# --- races ---------------------------------------------------------------------------------------------------------------


def test_every_acknowledged_write_of_a_race_is_a_version(
    open_store: Callable[[], mstbucket.Store], versioned: mstbucket.Bucket
) -> None:
    """[VSN-2] [VSN-3] [VSN-5]: eight writers of two keys, flushes in between, deletes of their own versions."""
    stop = threading.Event()

    def write(seed: int) -> list[str]:
        bucket = open_store().bucket("things")
        rng, mine = random.Random(seed), []
        for n in range(25):
            key = rng.choice("ab")
            done = bucket.delete_object(key) if rng.random() < 0.3 else bucket.put_object(key, bytes([seed, n]))
            assert done.version_id is not None
            mine.append(done.version_id)
            if rng.random() < 0.2:
                gone = mine.pop(rng.randrange(len(mine)))
                bucket.delete_objects([("a", gone), ("b", gone)])
        return mine

    def flush() -> None:
        while not stop.is_set():
            versioned.flush()

    with ThreadPoolExecutor(9) as pool:
        flusher = pool.submit(flush)
        written = [name for mine in pool.map(write, range(8)) for name in mine]
        stop.set()
        flusher.result(60)
    there = everything(versioned)
    assert sorted(version.version_id for version in there) == sorted(written)
    assert [version.key for version in there if version.is_latest] == sorted({version.key for version in there})
    versioned.flush()
    assert versioned.verify().dirty == 0


def test_no_version_id_of_ours_looks_like_an_option_of_a_command(versioned: mstbucket.Bucket) -> None:
    versioned.put_objects(PutRequest("k", b"%d" % number) for number in range(2000))
    ids = [version.version_id for version in everything(versioned)]
    assert len(set(ids)) == 2000  # of as many random texts, thirty would have started with a dash
    assert not [one for one in ids if one is None or one.startswith("-")]
