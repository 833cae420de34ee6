"""`ls`: buckets, or what is under a prefix, in the columns of `aws s3 ls`."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from mstbucket.cli.address import SCHEME, Address, parse_readable
from mstbucket.cli.buckets import bucket_record
from mstbucket.cli.exits import one_line
from mstbucket.cli.output import Output, human_size, local_time
from mstbucket.cli.stores import open_store, opened
from mstbucket.cli.versions import show_versions
from mstbucket.errors import InvalidInput, NoSuchKey

if TYPE_CHECKING:
    from mstbucket import Bucket, BucketInfo, BucketView, ObjectSummary

_DELIMITER = "/"


def show(arguments: argparse.Namespace, out: Output) -> None:
    """List buckets, or one level of a prefix, or everything below it.

    Raises:
        NoSuchKey: nothing starts with the prefix that was given.
    """
    if arguments.target != SCHEME:
        _show_objects(arguments, parse_readable(arguments.target), out)
        return
    if arguments.recursive or arguments.summarize or arguments.versions:
        raise InvalidInput("-r, --summarize and --versions are for what is in a bucket: name one, mst://bucket")
    with open_store(arguments) as store:
        infos = store.list_buckets()
        remotes = {remote.name for remote in store.list_remotes()}
        identities = {info.name: info.identity for info in infos}
        for info in infos:
            remote = _fetched_from(info, remotes, identities)
            mark = "" if remote is None else f"  (fetched from {remote})"
            record = bucket_record(info) | {"type": "bucket", "fetched_from": remote}
            out.emit(record, f"{local_time(info.created)} {info.name}{mark}")


def _fetched_from(info: BucketInfo, remotes: Collection[str], identities: Mapping[str, str]) -> str | None:
    """[CLI-252] The remote of which the bucket holds the state; None for a bucket of this store's own."""
    name, _, remote = info.name.rpartition(".")
    return remote if remote in remotes and identities.get(name, info.identity) == info.identity else None


def _show_objects(arguments: argparse.Namespace, target: Address, out: Output) -> None:
    found = objects = size = 0
    if arguments.versions and arguments.summarize:
        raise InvalidInput("--summarize counts objects, and not versions: leave out one of them")
    with open_store(arguments) as store, opened(store, target) as bucket:
        if arguments.versions:
            delimiter = None if arguments.recursive else _DELIMITER
            if show_versions(bucket, target, delimiter, arguments.human_readable, out) == 0 and target.key:
                raise NoSuchKey(f"nothing starts with {target}")
            return
        for item in bucket.objects(target.key) if arguments.recursive else _one_level(bucket, target):
            found += 1
            if isinstance(item, str):
                _show_prefix(item, out)
            else:
                objects += 1
                size += item.size
                _show_object(item, arguments.recursive, arguments.human_readable, out)
    if arguments.summarize:
        _summarize(objects, size, arguments.human_readable, out)
    if found == 0 and target.key:
        raise NoSuchKey(f"nothing starts with {target}")


def _one_level(bucket: Bucket | BucketView, target: Address) -> Iterator[ObjectSummary | str]:
    token: str | None = None
    while True:
        page = bucket.list_objects(target.key, delimiter=_DELIMITER, continuation_token=token)
        yield from page.common_prefixes
        yield from page.contents
        token = page.next_continuation_token
        if token is None:
            return


def _show_prefix(prefix: str, out: Output) -> None:
    name = prefix.removesuffix(_DELIMITER).rpartition(_DELIMITER)[2] + _DELIMITER
    out.emit({"type": "prefix", "prefix": prefix}, f"{'PRE':>30} {one_line(name)}")


def _show_object(item: ObjectSummary, whole: bool, human: bool, out: Output) -> None:
    record = {
        "type": "object", "key": item.key, "size": item.size, "etag": item.etag, "last_modified": item.last_modified,
    }  # fmt: skip
    name = item.key if whole else item.key.rpartition(_DELIMITER)[2]
    size = human_size(item.size) if human else str(item.size)
    out.emit(record, f"{local_time(item.last_modified):<19} {size:>10} {one_line(name)}")


def _summarize(objects: int, size: int, human: bool, out: Output) -> None:
    shown = human_size(size) if human else str(size)
    text = f"\n{'Total Objects: ':>15}{objects}\n{'Total Size: ':>15}{shown}"
    out.emit({"type": "summary", "objects": objects, "bytes": size}, text)
