"""`versioning`, and `ls --versions`: what keys held before."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from mstbucket.cli.address import SCHEME, Address, parse_bucket
from mstbucket.cli.exits import one_line
from mstbucket.cli.output import Output, human_size, local_time
from mstbucket.cli.stores import open_store

if TYPE_CHECKING:
    from mstbucket import Bucket, BucketView, ObjectVersion

STATES: Final = {"enable": "Enabled", "suspend": "Suspended"}


def versioning(arguments: argparse.Namespace, out: Output) -> None:
    """Show the state of a bucket's versioning, or set it."""
    name = parse_bucket(arguments.bucket)
    with open_store(arguments) as store:
        bucket = store.bucket(name)
        if arguments.state is not None:
            bucket.put_bucket_versioning(STATES[arguments.state])
        state = bucket.get_bucket_versioning()
    out.emit({"bucket": name, "versioning": state}, f"{SCHEME}{name}  versioning {state or 'was never set'}")


def show_versions(
    bucket: Bucket | BucketView, target: Address, delimiter: str | None, human: bool, out: Output
) -> int:
    """List every version and delete marker below a prefix; return how many there were, folders included."""
    found = 0
    key_marker = version_id_marker = None
    while True:
        page = bucket.list_object_versions(
            target.key, delimiter=delimiter, key_marker=key_marker, version_id_marker=version_id_marker
        )
        for prefix in page.common_prefixes:
            out.emit({"type": "prefix", "prefix": prefix}, f"{'PRE':>30} {one_line(prefix)}")
        for version in page.versions:
            _show(version, human, out)
        found += len(page.common_prefixes) + len(page.versions)
        key_marker, version_id_marker = page.next_key_marker, page.next_version_id_marker
        if not page.is_truncated:
            return found


def _show(version: ObjectVersion, human: bool, out: Output) -> None:
    record = {
        "type": "version", "key": version.key, "version_id": version.version_id, "is_latest": version.is_latest,
        "delete_marker": version.delete_marker, "size": version.size, "etag": version.etag,
        "last_modified": version.last_modified,
    }  # fmt: skip
    size = "DELETED" if version.size is None else human_size(version.size) if human else str(version.size)
    latest = "*" if version.is_latest else " "
    text = f"{local_time(version.last_modified):<19} {size:>10} {latest} {version.version_id:<32} {one_line(version.key)}"
    out.emit(record, text)
