"""`put` of a request does what `put_object` does with the same arguments, all of them."""

from __future__ import annotations

import dataclasses
import inspect
import io
from datetime import UTC, datetime
from typing import Any

import pytest

import mstbucket
from mstbucket import PutRequest
from mstbucket.errors import BadDigest, InvalidInput, InvalidKey, PreconditionFailed

LATER = datetime(2040, 1, 1, tzinfo=UTC)
EVERYTHING: dict[str, Any] = {
    "content_type": "text/plain", "metadata": {"Place": "pier"}, "headers": {"Cache-Control": "no-store"},
    "tags": [{"Key": "a", "Value": "b"}], "if_none_match": "*", "checksum_algorithm": "crc32c",
    "object_lock_mode": "GOVERNANCE", "object_lock_retain_until": LATER, "object_lock_legal_hold": True,
}  # fmt: skip


def test_a_request_has_a_field_for_every_argument_of_put_object() -> None:
    """But for the storage class, of which there is one only."""
    fields = [field.name for field in dataclasses.fields(PutRequest)]
    arguments = list(inspect.signature(mstbucket.Bucket.put_object).parameters)
    assert fields == [name for name in arguments if name not in {"self", "storage_class"}]


def test_a_request_stores_what_the_same_arguments_store(store: mstbucket.Store) -> None:
    one, other = (store.create_bucket(name, object_lock=True) for name in ("one", "other"))
    put = one.put(PutRequest("k", b"body", **EVERYTHING))
    same = other.put_object("k", b"body", **EVERYTHING)
    vary = {"version_id", "manifest", "last_modified"}  # these have the time or random bits in them
    shown = [
        {name: value for name, value in dataclasses.asdict(found).items() if name not in vary}
        for found in (put, same, one.head_object("k"), other.head_object("k"))
    ]
    assert shown[0] == shown[1]
    assert shown[2] == shown[3]
    assert shown[2]["object_lock_mode"] == "GOVERNANCE"
    assert one.get_object_tagging("k") == {"a": "b"}


def test_whatever_has_a_read_method_is_a_body(bucket: mstbucket.Bucket) -> None:
    class Slowly:
        def __init__(self, data: bytes) -> None:
            self.rest = io.BytesIO(data)

        def read(self, size: int, /) -> bytes:
            return self.rest.read(min(size, 7))

    data = bytes(range(256)) * 400
    bucket.put(PutRequest("k", Slowly(data)))
    bucket.put_object("l", bucket.get_object("k"))  # the reader of another object is one, too
    assert bucket.get_object("l").read() == data


def test_a_request_is_refused_as_put_object_refuses_it(bucket: mstbucket.Bucket) -> None:
    bucket.put(PutRequest("k", b"body"))
    for request, error in (
        (PutRequest("", b""), InvalidKey),
        (PutRequest("k", b"", if_none_match="*"), PreconditionFailed),
        (PutRequest("k", b"", content_md5="AAAAAAAAAAAAAAAAAAAAAA=="), BadDigest),
    ):
        with pytest.raises(error):
            bucket.put(request)
    with pytest.raises(InvalidInput, match=r"request is of type tuple; it has to be a PutRequest\(key, body, …\)"):
        bucket.put(("k", b""))  # type: ignore[arg-type]
    assert bucket.get_object("k").read() == b"body"
