"""The arguments of the commands on buckets and objects."""

from __future__ import annotations

import argparse
from typing import Any

from mstbucket.cli.adding import Adder, number_or_none, whole_number


def buckets(add: Adder) -> None:
    command = add(
        "mb", "buckets:make", "make a bucket, and the store if there is none",
        "Compression and encryption are settings of the store, since equal blocks of all its buckets are stored once: set "
        "them by 'store reencode', as soon as the store is made.",
    )  # fmt: skip
    command.add_argument("bucket", metavar="mst://BUCKET")
    command.add_argument("--object-lock", action="store_true", help="with versioning and object lock, for good")

    command = add("rb", "buckets:remove", "remove an empty bucket")
    command.add_argument("bucket", metavar="mst://BUCKET")
    command.add_argument("--force", action="store_true", help="remove its objects first, all versions of them")

    command = add("ls", "listing:show", "list buckets, or the objects and folders under a prefix")
    command.add_argument("target", metavar="mst://BUCKET/PREFIX", nargs="?", default="mst://")
    command.add_argument("-r", "--recursive", action="store_true", help="all objects below, with their whole keys")
    command.add_argument("--human-readable", action="store_true", help="sizes as 1.5 MiB")
    command.add_argument("--summarize", action="store_true", help="number and size of the objects at the end")
    command.add_argument("--versions", action="store_true", help="every version and delete marker; * is the latest of a key")

    command = add("versioning", "versions:versioning", "show, enable or suspend a bucket's versioning")
    command.add_argument("bucket", metavar="mst://BUCKET")
    command.add_argument("state", choices=["enable", "suspend"], nargs="?", help="without it, only show the state")

    command = add("limit", "limiting:run", "show or set what the S3 server takes into a bucket")
    command.add_argument("bucket", metavar="mst://BUCKET")
    size = "bytes that an object may have, or none"
    command.add_argument("--object-size", metavar="BYTES|none", type=number_or_none, help=size)
    types = "type that objects may have, such as image/*; may repeat; none takes the limit away"
    command.add_argument("--content-type", metavar="TYPE|none", action="append", dest="content_types", help=types)

    command = add("lock", "locks:run", "show or set object lock of a bucket, or what protects a version")
    command.add_argument("target", metavar="mst://BUCKET/KEY")
    command.add_argument("--enable", action="store_true", help="of a bucket with versioning: give it object lock, for good")
    command.add_argument("--default", metavar="MODE:PERIOD", help="of a bucket: governance:30d, compliance:7y, or none")
    command.add_argument("--retain", metavar="MODE:TIME", help="of a version: governance:2030-01-01T00:00:00Z, or none")
    command.add_argument("--hold", choices=["on", "off"], help="of a version: put it under a legal hold, or lift the hold")
    command.add_argument("--bypass-governance", action="store_true", help="with --retain: shorten or end governance")
    version_id(command, "this version")

    command = add(
        "lifecycle", "lifecycle:run", "show, set, remove or carry out the rules that delete old objects",
        "'put' takes S3's own JSON, as 'aws s3api put-bucket-lifecycle-configuration' does, and 'get' prints it. 'set' "
        "takes the same, or an array of rules as 'show --json' prints them.",
    )  # fmt: skip
    command.add_argument("bucket", metavar="mst://BUCKET")
    actions = ["show", "get", "put", "set", "rm", "run"]
    command.add_argument("action", choices=actions, nargs="?", default="show", help="by default show")
    command.add_argument("file", metavar="FILE", nargs="?", help="with 'put' and 'set': the rules; '-' is standard input")

    command = add("status", "buckets:status", "say which store is used, and what is in it")
    command.add_argument("--usage", action="store_true", help="also what it takes on disk, and what each bucket holds")


def objects(add: Adder) -> None:
    command = add(
        "cp", "copying:copy", "copy files into a bucket, objects out of it, or objects to other keys",
        "A target that ends with a slash, or is a directory, is a folder to copy into. With -r, source and target are "
        "folders. Keys that cannot be file names are escaped on the way out, and restored by copying in.",
    )  # fmt: skip
    command.add_argument("source", metavar="SOURCE", help="a file, a directory, mst://BUCKET/KEY, or '-'")
    command.add_argument("target", metavar="TARGET", help="the same; one of the two is in a bucket")
    command.add_argument("-r", "--recursive", action="store_true", help="everything below a directory or a prefix")
    command.add_argument("--no-follow-symlinks", action="store_true", help="leave out symbolic links when copying in")
    version_id(command, "of the source: copy this version")
    extras(command, "when copying in", "by default guessed from the key")

    _sync(add)

    command = add("rm", "objects:remove", "remove an object, or all under a prefix")
    command.add_argument("target", metavar="mst://BUCKET/KEY")
    command.add_argument("-r", "--recursive", action="store_true", help="everything below the prefix as a folder")
    version_id(command, "remove this version for good")

    command = add("cat", "objects:cat", "write objects to standard output, each verified on the way")
    command.add_argument("targets", metavar="mst://BUCKET/KEY", nargs="+")
    command.add_argument("--range", metavar="bytes=A-B", help="only these bytes; bytes=-N are the last N")
    version_id(command, "of this version")

    command = add("stat", "objects:stat", "show everything about an object or a bucket")
    command.add_argument("target", metavar="mst://BUCKET/KEY")
    version_id(command, "of this version")

    command = add("tag", "tagging:run", "show the tags of an object or a bucket, after changing them")
    command.add_argument("target", metavar="mst://BUCKET/KEY")
    command.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="add or change; may repeat")
    command.add_argument("--remove", metavar="NAME", action="append", default=[], help="remove, if it is there; may repeat")
    command.add_argument("--clear", action="store_true", help="remove all that --set does not name")

    command = add("uploads", "uploads:run", "list the open multipart uploads, or abort them")
    command.add_argument("target", metavar="mst://BUCKET/PREFIX")
    group = command.add_mutually_exclusive_group()
    group.add_argument("--abort", metavar="ID", help="abort this upload, to mst://BUCKET/KEY")
    group.add_argument("--abort-all", action="store_true", help="abort every upload to a key with the prefix")


def extras(command: argparse.ArgumentParser, when: str, without: str) -> None:
    group = command.add_argument_group(when)
    group.add_argument("--content-type", metavar="TYPE", help=f"of the objects; {without}")
    for name, what in (("metadata", "user metadata"), ("header", "kept header, such as cache-control"), ("tag", "tag")):
        group.add_argument(f"--{name}", metavar="NAME=VALUE", action="append", default=[], help=f"{what}; may repeat")


def version_id(command: argparse.ArgumentParser, text: str) -> None:
    command.add_argument("--version-id", metavar="ID", help=f"{text}; 'null' is the one without an id")


def _sync(add: Adder) -> None:
    command = add(
        "sync", "sync:sync", "make a directory or a prefix like another: only what differs is copied",
        "One side is mst://BUCKET/PREFIX, the other a directory, mst:// or s3://. What has the same size counts as equal if "
        "the times say so, and is compared byte by byte if they do not; spec/store/21-sync.md has the rules.",
    )  # fmt: skip
    command.add_argument("source", metavar="SOURCE", help="a directory, mst://BUCKET/PREFIX, or s3://BUCKET/PREFIX")
    command.add_argument("target", metavar="TARGET", help="the same; one of the two is mst://…")
    command.add_argument("--delete", action="store_true", help="remove from the target what the source lacks")
    command.add_argument("-n", "--dry-run", action="store_true", help="print what would be done, and do nothing")
    command.add_argument("--size-only", action="store_true", help="what has the same size counts as equal")
    command.add_argument("--checksum", action="store_true", help="compare the bytes, whatever the times say")
    for name, include, what in (("exclude", False, "leave out keys that match"), ("include", True, "but not these")):
        command.add_argument(
            f"--{name}", metavar="GLOB", dest="filters", action=_Rule, const=include, default=[],
            help=f"{what}; may repeat, the last one that matches counts",
        )  # fmt: skip
    command.add_argument("--no-follow-symlinks", action="store_true", help="leave out symbolic links in a source directory")
    command.add_argument("--workers", type=whole_number, metavar="N", default=8, help="copy so many at a time (default 8)")
    extras(
        command, "of the objects that files become (what is not given stays as it was on an object that is replaced)",
        "by default guessed from the key of a new one",
    )  # fmt: skip


class _Rule(argparse.Action):
    """Keeps `--exclude` and `--include` in one list, in the order they were given."""

    def __call__(self, _parser: Any, namespace: Any, values: Any, _option: Any = None) -> None:
        namespace.filters = [*namespace.filters, (self.const, values)]
