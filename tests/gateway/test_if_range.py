"""A download that goes on after a break: `If-Range` beside `Range`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

ROWS: dict[str, tuple[Callable[[str, str], str], bool]] = {
    # what is held of the object, made of its ETag and its Last-Modified; and whether it is the one that is there
    "the ETag": (lambda etag, _: etag, True),
    "the Last-Modified": (lambda _, when: when, True),
    "another ETag": (lambda *_: '"0123456789abcdef0123456789abcdef"', False),
    "the weak form of the ETag": (lambda etag, _: f"W/{etag}", False),
    "the ETag without its quotes": (lambda etag, _: etag.strip('"'), False),
    "a list of ETags": (lambda etag, _: f'"a", {etag}', False),
    "a later time": (lambda *_: "Fri, 01 Jan 2100 00:00:00 GMT", False),
    "nothing": (lambda *_: "", False),
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("row", ROWS)
def test_a_range_counts_only_for_the_object_that_is_held(
    gateway: Any, s3: Any, wire: Any, bucket_name: str, row: str, method: str
) -> None:
    """[GW-65]"""
    s3.put_object(Bucket=bucket_name, Key="k", Body=b"0123456789")
    head = s3.head_object(Bucket=bucket_name, Key="k")
    make, same = ROWS[row]
    held = make(head["ETag"], head["ResponseMetadata"]["HTTPHeaders"]["last-modified"])

    def ask(span: str) -> tuple[int, str | None, bytes]:
        path = f"/{bucket_name}/k"
        with wire.Wire(gateway.port) as connection:
            signed = wire.sign(gateway, method, path)
            connection.send(wire.head(method, path, {**signed, "Range": span, "If-Range": held}))
            status, headers, body = connection.answer(method)
            return status, headers.get("content-range"), body

    whole = (200, None, b"0123456789" if method == "GET" else b"")
    part = (206, "bytes 4-9/10", b"456789" if method == "GET" else b"")
    assert ask("bytes=4-") == (part if same else whole)
    if same:
        assert ask("bytes=10-")[0] == 416
    else:
        assert ask("bytes=10-") == whole
