"""`uploads`: the open multipart uploads of a bucket, and the end of those that nobody will complete."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mstbucket.cli.address import Address, parse_address, parse_object
from mstbucket.cli.exits import one_line
from mstbucket.cli.output import Output, local_time
from mstbucket.cli.stores import open_store

if TYPE_CHECKING:
    from mstbucket import Bucket, Upload


def run(arguments: argparse.Namespace, out: Output) -> None:
    """List the open uploads under a prefix, or abort one, or all of them."""
    one = arguments.abort is not None
    target = parse_object(arguments.target) if one else parse_address(arguments.target)
    with open_store(arguments) as store:
        bucket = store.bucket(target.bucket)
        if one:
            _abort(bucket, target, arguments.abort, out)
            return
        for upload in _open(bucket, target.key):
            if arguments.abort_all:
                _abort(bucket, Address(target.bucket, upload.key), upload.id, out)
            else:
                _show(upload, out)


def _open(bucket: Bucket, prefix: str) -> Iterator[Upload]:
    key: str | None = None
    upload_id: str | None = None
    while True:
        page = bucket.list_multipart_uploads(prefix, key_marker=key, upload_id_marker=upload_id)
        yield from page.uploads
        if not page.is_truncated:
            return
        key, upload_id = page.next_key_marker, page.next_upload_id_marker


def _show(upload: Upload, out: Output) -> None:
    record = {
        "key": upload.key, "id": upload.id, "initiated": upload.initiated,
        "checksum_algorithm": upload.checksum_algorithm, "checksum_type": upload.checksum_type,
    }  # fmt: skip
    out.emit(record, f"{local_time(upload.initiated)} {upload.id} {one_line(upload.key)}")


def _abort(bucket: Bucket, target: Address, upload_id: str, out: Output) -> None:
    bucket.abort_multipart_upload(target.key, upload_id)
    out.report({"action": "abort", "target": str(target), "id": upload_id}, one_line(f"abort: {target} {upload_id}"))
