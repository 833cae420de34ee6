"""`rm`, `cat` and `stat`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING

import mstbucket
from mstbucket.cli.address import Address, folder, parse_address, parse_readable, with_object
from mstbucket.cli.buckets import bucket_record
from mstbucket.cli.commits import commit_record
from mstbucket.cli.exits import one_line
from mstbucket.cli.output import Output, count, iso
from mstbucket.cli.stores import open_store, opened
from mstbucket.core.batches import in_batches
from mstbucket.errors import InvalidInput, NoSuchKey, StorageError
from mstbucket.limits import DELETE_KEYS_MAX

Say = Callable[[Mapping[str, object], str], None]

if TYPE_CHECKING:
    from mstbucket import Bucket, BucketView, Store


def remove(arguments: argparse.Namespace, out: Output) -> None:
    """Remove an object (one that is not there is no error, as in S3), or everything under a prefix."""
    target = parse_address(arguments.target)
    if not target.key and not arguments.recursive:
        raise InvalidInput(f"{target} is a whole bucket: -r removes what is in it, rb the bucket")
    if arguments.recursive and arguments.version_id is not None:
        raise InvalidInput("--version-id names one version of one object: leave out -r")
    with open_store(arguments) as store:
        bucket = store.bucket(target.bucket)
        if not arguments.recursive:
            if arguments.version_id is None:
                with suppress(NoSuchKey), folders_said(bucket, target, "use -r to remove everything below it"):
                    bucket.head_object(target.key)
            _remove(bucket, target.bucket, [(target.key, arguments.version_id)], out.report)
            return
        prefix = folder(target.key)
        removed = 0
        for page in in_batches(bucket.objects(prefix), DELETE_KEYS_MAX):
            removed += len(page)
            _remove(bucket, target.bucket, [(summary.key, None) for summary in page], out.item)
    where = Address(target.bucket, prefix)
    if removed == 0 and prefix:
        raise NoSuchKey(f"there is nothing under {where}")
    out.total({}, one_line(f"delete: {count(removed, 'object')} from {where}"))  # [CLI-152]


@contextmanager
def folders_said(bucket: Bucket | BucketView, target: Address, advice: str) -> Iterator[None]:
    """If there is no such object, but a folder of this name, say that instead ([CLI-113])."""
    try:
        yield
    except NoSuchKey:
        if next(bucket.objects(folder(target.key)), None) is not None:
            raise InvalidInput(f"{target} is a folder: {advice}") from None
        raise


def _remove(bucket: Bucket, name: str, items: Sequence[tuple[str, str | None]], say: Say) -> None:
    report = bucket.delete_objects(items)
    for result in report.deleted:
        address = Address(name, result.key)
        record = {
            "action": "delete", "target": str(address), "existed": result.existed, "version_id": result.version_id,
            "delete_marker": result.delete_marker,
        }  # fmt: skip
        version = "" if result.version_id is None else f" version {result.version_id}"
        marker = " (delete marker)" if result.delete_marker else ""
        verb = "delete" if result.existed or result.delete_marker else "not there"
        say(record, one_line(f"{verb}: {address}{version}{marker}"))
    for failure in report.errors:  # a locked version; one at most, since only one can be named
        raise failure.error


def cat(arguments: argparse.Namespace, out: Output) -> None:
    """Write objects to standard output, one after the other."""
    if out.as_json:
        raise InvalidInput("cat writes the objects' bytes: --json is not for it")
    targets = [with_object(parse_readable(target)) for target in arguments.targets]
    if arguments.version_id is not None and len(targets) > 1:
        raise InvalidInput("--version-id names a version of one object: name no other")
    with open_store(arguments) as store:
        for target in targets:
            write_out(store, target, arguments.range, arguments.version_id)


def write_out(store: Store, target: Address, span: str | None = None, version_id: str | None = None) -> None:
    """Write an object or one version of it, or a range of that, to standard output."""
    with opened(store, target) as bucket:
        with folders_said(bucket, target, f"'ls {target}/' lists it, 'cp -r' copies it"):
            reader = bucket.get_object(target.key, version_id=version_id, range=span)
        with reader:
            _write_all(reader)


def _write_all(chunks: Iterable[bytes]) -> None:
    try:
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
    except OSError as error:
        if not isinstance(error, (StorageError, BrokenPipeError)):
            error.filename = "standard output"
        raise


def stat(arguments: argparse.Namespace, out: Output) -> None:
    """Show everything about an object, or about a bucket or one of its commits."""
    target = parse_readable(arguments.target)
    version_id = arguments.version_id
    if version_id is not None and not target.key:
        raise InvalidInput(f"--version-id is of an object, and {target} names none")
    with open_store(arguments) as store, opened(store, target) as bucket:
        if target.key:
            record = _of_object(bucket, target, version_id)
        elif isinstance(bucket, mstbucket.BucketView):
            record = commit_record(target.bucket, bucket.commit)
        else:
            record = _of_bucket(store, bucket, target.bucket)
    out.emit(record, "\n".join(_lines(record)))


def _of_object(bucket: Bucket | BucketView, target: Address, version_id: str | None) -> dict[str, object]:
    info = bucket.head_object(target.key, version_id=version_id)
    return {
        "bucket": target.bucket,
        "key": info.key,
        "size": info.size,
        "etag": info.etag,
        "last_modified": iso(info.last_modified),
        "content_type": info.content_type,
        "content": info.content,
        "manifest": info.manifest,
        "sha256": info.sha256,
        "headers": dict(info.headers),
        "metadata": dict(info.metadata),
        "tags": dict(info.tags),
        "version_id": info.version_id,
    }


def _of_bucket(store: Store, bucket: Bucket, name: str) -> dict[str, object]:
    info = next((info for info in store.list_buckets() if info.name == name), None)
    commit = bucket.head_commit()
    if info is None:
        return {"bucket": name}  # removed in this very moment; `bucket.head_commit()` has said so already
    record = bucket_record(info) | {"created": iso(info.created), "versioning": bucket.get_bucket_versioning()}
    if commit is not None:
        record |= {"committed": iso(commit.time), "objects": commit.objects, "bytes": commit.bytes, "tree": commit.tree}
    return record


def _lines(record: dict[str, object]) -> list[str]:
    lines = []
    for name, value in record.items():
        if isinstance(value, dict):
            lines += [f"{name:<14}{one_line(f'{key}: {text}')}" for key, text in value.items()]
        elif isinstance(value, list):
            lines += [f"{name:<14}{one_line(str(one))}" for one in value]
        elif value is not None:
            text = iso(value) if isinstance(value, datetime) else str(value)
            lines.append(f"{name:<14}{one_line(text)}")
    return lines
