"""`cp`: which of the directions it is, and the names on both sides."""

from __future__ import annotations

import argparse
import errno
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mstbucket.cli import download, upload
from mstbucket.cli.address import Address, Local, Stream, folder, parse_object, parse_place
from mstbucket.cli.exits import FAILED, OK, describe
from mstbucket.cli.output import Output, complain, count
from mstbucket.cli.stores import open_store
from mstbucket.cli.streams import standard_input
from mstbucket.errors import InvalidInput, NoSuchKey, NotFound

if TYPE_CHECKING:
    from mstbucket import Bucket, Store


def copy(arguments: argparse.Namespace, out: Output) -> int:
    """Copy files into a bucket, objects out of it, or objects to other keys; see `spec/store/13-cli.md`."""
    source, target = parse_place(arguments.source), parse_place(arguments.target)
    extras = upload.Extras(
        arguments.content_type, pairs("metadata", arguments.metadata), pairs("header", arguments.header),
        pairs("tag", arguments.tag),
    )  # fmt: skip
    if isinstance(source, Address):
        if extras != upload.Extras():
            raise InvalidInput("--content-type, --metadata, --header and --tag are for copying in only")
        if isinstance(target, Address):
            return _within(arguments, out, source, target)
        return _out_of(arguments, out, source, target)
    if not isinstance(target, Address):
        raise InvalidInput("neither side is in a bucket: one of them has to be mst://bucket/key")
    return _into(arguments, out, source, target, extras)


# --- into a bucket ---------------------------------------------------------------------------------------------------


def _into(
    arguments: argparse.Namespace, out: Output, source: Local | Stream, target: Address, extras: upload.Extras
) -> int:
    if isinstance(source, Stream):
        if arguments.recursive or target.key == "" or target.key.endswith("/"):
            raise InvalidInput("what comes from standard input needs the whole key: mst://bucket/key, without -r")
        with open_store(arguments) as store:
            upload.put_stream(store.bucket(target.bucket), target, standard_input(), extras, out)
        return OK
    if not os.path.exists(source.path):
        raise FileNotFoundError(errno.ENOENT, "there is no such file or directory", source.path)
    if arguments.recursive != os.path.isdir(source.path):  # [CLI-21]
        raise InvalidInput(
            f"{source.path!r} is no directory, and -r is for directories: leave it out"
            if arguments.recursive
            else f"{source.path!r} is a directory: copy what is below it with -r"
        )
    with open_store(arguments) as store:
        bucket = store.bucket(target.bucket)
        if not arguments.recursive:
            name = os.path.basename(os.path.abspath(source.path))
            whole = target.key == "" or target.key.endswith("/")  # [CLI-20]
            upload.put_file(bucket, target.child(name) if whole else target, source.path, extras, out)
            return OK
        done = upload.put_tree(bucket, target, source.path, extras, out, follow=not arguments.no_follow_symlinks)
    return _ended(done.failed, done.objects)


def pairs(option: str, given: list[str]) -> Mapping[str, str]:
    """`NAME=VALUE` options as a map."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise InvalidInput(f"--{option} takes NAME=VALUE, not {text!r}")
        found[name] = value
    return found


# --- out of a bucket -------------------------------------------------------------------------------------------------


def _out_of(arguments: argparse.Namespace, out: Output, source: Address, target: Local | Stream) -> int:
    if isinstance(target, Stream):
        if arguments.recursive:
            raise InvalidInput("standard output takes one object, not a folder: leave -r out")
        from mstbucket.cli.objects import write_out

        with open_store(arguments) as store:
            write_out(store, parse_object(str(source)))
        return OK
    if arguments.recursive:
        with open_store(arguments) as store:
            done = download.get_tree(store.bucket(source.bucket), source, target.path, out)
        return _ended(done.failed, done.objects)
    if source.key == "":
        raise InvalidInput(f"mst://{source.bucket} is a whole bucket: copy what is in it with -r")
    with open_store(arguments) as store:
        bucket = store.bucket(source.bucket)
        if target.names_folder or os.path.isdir(target.path):
            download.get_into(bucket, source, target.path, out)
        else:
            download.get_as(bucket, source, target.path, out)
    return OK


# --- from key to key -------------------------------------------------------------------------------------------------


def _within(arguments: argparse.Namespace, out: Output, source: Address, target: Address) -> int:
    with open_store(arguments) as store:
        bucket = store.bucket(target.bucket)
        if not arguments.recursive:
            name = parse_object(str(source)).key.rpartition("/")[2]
            whole = target.key == "" or target.key.endswith("/")
            _copy_one(bucket, source, target.child(name) if whole else target, out)
            return OK
        return _copy_tree(store, bucket, source, target, out)


def _copy_tree(store: Store, bucket: Bucket, source: Address, target: Address, out: Output) -> int:
    start = folder(source.key)
    if source.bucket == target.bucket and folder(target.key).startswith(start):
        raise InvalidInput(f"{target} lies inside {source}: the copy would find its own results, without end")
    objects = failed = 0
    for summary in store.bucket(source.bucket).objects(start):
        found = Address(source.bucket, summary.key)
        try:
            _copy_one(bucket, found, target.child(summary.key[len(start) :]), out)
            objects += 1
        except (InvalidInput, NotFound) as error:
            complain(f"{found}: {describe(error)}")
            failed += 1
    if objects + failed == 0:
        raise NoSuchKey(f"there is nothing under {Address(source.bucket, start)}")
    return _ended(failed, objects)


def _copy_one(bucket: Bucket, source: Address, target: Address, out: Output) -> None:
    put = bucket.copy_object(source.key, target.key, source_bucket=source.bucket)
    record = {"action": "copy", "source": str(source), "target": str(target), "size": put.size, "etag": put.etag}
    out.report(record, f"copy: {source} to {target}")


def _ended(failed: int, objects: int) -> int:
    """[CLI-5] what failed was said line by line; the end says how many, and the exit code that there were any."""
    if failed == 0:
        return OK
    complain(f"{count(failed, 'object')} not copied, {count(objects, 'object')} copied; the reasons are above")
    return FAILED
