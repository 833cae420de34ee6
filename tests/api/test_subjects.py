"""[ARG-5] An error of a verb says in fields which bucket and key it is about, whoever below has raised it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import mstbucket
from mstbucket import errors

CALLS: dict[str, tuple[Callable[[mstbucket.Bucket], object], type[errors.MstBucketError], str | None]] = {
    "an object that is not there": (lambda b: b.get_object("no"), errors.NoSuchKey, "no"),
    "the same, by name": (lambda b: b.head_object(key="no"), errors.NoSuchKey, "no"),
    "a version that is not there": (lambda b: b.head_object("k", version_id="0" * 16), errors.NoSuchVersion, "k"),
    "a key that cannot be": (lambda b: b.put_object("", b""), errors.InvalidKey, ""),
    "a condition, decided in the database": (lambda b: b.put_object("k", b"", if_none_match="*"),
                                             errors.PreconditionFailed, "k"),
    "a range outside": (lambda b: b.get_object("k", range="bytes=9-"), errors.InvalidRange, "k"),
    "an upload that is not there": (lambda b: b.list_parts("k", "0" * 32), errors.NoSuchUpload, "k"),
    "a bucket's tags": (lambda b: b.get_bucket_tagging(), errors.NoSuchTagSet, None),
    "an export before any flush": (lambda b: b.export_car("nowhere.car"), errors.NoSuchCommit, None),
    "a wrong argument": (lambda b: b.put_object("k", 5), errors.InvalidInput, "k"),  # type: ignore[arg-type]
    "a key of another type": (lambda b: b.get_object(b"k"), errors.InvalidInput, None),  # type: ignore[arg-type]
}  # fmt: skip


@pytest.mark.parametrize("case", CALLS)
def test_the_error_of_a_verb_names_bucket_and_key(bucket: mstbucket.Bucket, case: str) -> None:
    call, kind, key = CALLS[case]
    bucket.put_object("k", b"body")
    with pytest.raises(kind) as caught:
        call(bucket)
    assert (caught.value.bucket, caught.value.key) == (bucket.name, key)


def test_the_error_of_a_store_names_the_bucket_that_was_asked_for(store: mstbucket.Store) -> None:
    store.create_bucket("things")
    for call, kind, name in (
        (store.bucket, errors.NoSuchBucket, "nothing"),
        (store.delete_bucket, errors.NoSuchBucket, "nothing"),
        (store.create_bucket, errors.BucketAlreadyExists, "things"),
        (store.create_bucket, errors.InvalidBucketName, "No"),
    ):
        with pytest.raises(kind) as caught:
            call(name)
        assert (caught.value.bucket, caught.value.key) == (name, None)
