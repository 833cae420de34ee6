"""`export` and `car join`: buckets, and what is new in them, as CAR files."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mstbucket.cli import progress
from mstbucket.cli.address import STREAM, Address, parse_readable_bucket
from mstbucket.cli.output import Output, count, warn
from mstbucket.cli.stores import open_store, opened
from mstbucket.cli.transfer import check_new_file, refuse_terminal
from mstbucket.errors import InvalidInput, NoSuchKey

if TYPE_CHECKING:
    from mstbucket import Bucket, BucketView, ExportReport, FilesReport

    Report = ExportReport | FilesReport

_S3 = "s3://"
_BESIDE_BODY = 450  # bytes of an export for each object beside its body: its manifest, its share of the tree, section heads

Tell = Callable[[int], object] | None


def export(arguments: argparse.Namespace, out: Output) -> None:
    """Write a bucket as a CAR file: flushed first, so that all that one sees leaves; or as it was at a commit."""
    from mstbucket import BucketView, ExportReport

    source = parse_readable_bucket(arguments.bucket)
    target: str = arguments.file
    _check(arguments, out)
    with open_store(arguments) as store:
        if arguments.resume and source.commit is None:
            source = _begun(source, target)
        if source.commit is None and not arguments.no_flush:  # [CLI-22] [CLI-56]
            store.bucket(source.bucket).flush()
        of_view = arguments.resume or arguments.since is not None or arguments.prefix is not None
        if of_view and source.commit is None:  # a view is of one commit
            newest = store.bucket(source.bucket).head_commit()
            source = source if newest is None else replace(source, commit=newest.cid)
        with opened(store, source) as bucket, progress.bar(f"export {source.root}", quiet=out.quiet) as tell:
            _check_prefix(arguments, bucket, source)
            _expect(arguments, bucket, tell)
            if target == STREAM:
                _write(arguments, bucket, sys.stdout.buffer, tell)
                return
            report = _to_place(arguments, bucket, target, tell)
    if not isinstance(report, ExportReport):
        _tell_files(report, source, target, out)
        return
    record = {
        "action": "export", "bucket": source.bucket, "target": target, "commit": report.root, "blocks": report.blocks,
        "bytes": report.bytes, "sha256": report.sha256,
    }  # fmt: skip
    if isinstance(bucket, BucketView) and (arguments.since is not None or arguments.prefix is not None):
        record |= {"commit": bucket.commit.cid, "delta" if arguments.since is not None else "part": report.root}
    out.emit(record, f"export: {source.root} to {target}: {record['commit']}, {count(report.blocks, 'block')}, "
             f"{count(report.bytes, 'byte')}, sha256 {report.sha256}")  # fmt: skip


def _expect(arguments: argparse.Namespace, bucket: Bucket | BucketView, tell: progress.Progress) -> None:
    """[CLI-161] Say how large the file will be, as far as the commit tells that."""
    from mstbucket import BucketView

    commit = bucket.commit if isinstance(bucket, BucketView) else bucket.head_commit()
    whole = arguments.since is None and arguments.prefix is None
    if commit is not None and whole and (commit.versions is None or arguments.files):
        tell.expect_about(commit.bytes + commit.objects * _BESIDE_BODY)


def _check_prefix(arguments: argparse.Namespace, bucket: Bucket | BucketView, source: Address) -> None:
    """[CLI-233] A prefix that nothing starts with is most often a mistyped one. That nothing does can be proved, though."""
    if arguments.prefix and next(iter(bucket.objects(prefix=arguments.prefix)), None) is None:
        text = f"nothing starts with {source.with_key(arguments.prefix)}"
        if arguments.files:
            raise NoSuchKey(text)
        warn(f"{text}: the file proves that")


def _tell_files(report: FilesReport, source: Address, target: str, out: Output) -> None:
    """[CLI-231] Say what is in the folder, and which keys have another name there."""
    record = {
        "action": "export", "bucket": source.bucket, "target": target, "commit": report.commit, "root": report.root,
        "files": report.files, "folders": report.folders, "escaped": report.escaped, "renamed": dict(report.renamed),
        "blocks": report.blocks, "bytes": report.bytes, "sha256": report.sha256,
    }  # fmt: skip
    if report.escaped and not out.quiet:
        warn(f"{count(report.escaped, 'key is no path and has', 'keys are no paths and have')} another name in the folder")
        for key, path in report.renamed.items():
            warn(f"{key!r} is {path!r}")
        if report.escaped > len(report.renamed):
            warn(f"and {report.escaped - len(report.renamed)} more")
    out.emit(record, f"export: {source.root} to {target}: {report.root}, {count(report.files, 'file')} in "
             f"{count(report.folders, 'folder')}, {count(report.bytes, 'byte')}, sha256 {report.sha256}")  # fmt: skip


def join(arguments: argparse.Namespace, out: Output) -> None:
    """Make the export of a commit from an earlier export and a delta."""
    from mstbucket import join_cars

    check_new_file(arguments.file, arguments.force, out)
    with progress.bar(f"join {arguments.base}", quiet=out.quiet) as tell:
        if arguments.file == STREAM:
            join_cars(arguments.base, arguments.delta, sys.stdout.buffer, progress=tell)
            return
        report = join_cars(arguments.base, arguments.delta, os.path.realpath(arguments.file), progress=tell)
    record = {
        "action": "join", "target": arguments.file, "commit": report.root, "blocks": report.blocks, "bytes": report.bytes,
        "sha256": report.sha256,
    }  # fmt: skip
    out.emit(record, f"join: {arguments.file}: {report.root}, {count(report.blocks, 'block')}, "
             f"{count(report.bytes, 'byte')}, sha256 {report.sha256}")  # fmt: skip


def _check(arguments: argparse.Namespace, out: Output) -> None:
    """Refuse what cannot be done, before any work is done."""
    target: str = arguments.file
    forms = [arguments.resume, arguments.since is not None, arguments.car_version == 2]
    if arguments.files:
        _check_files(*forms)
    elif sum(forms) + (arguments.prefix is not None) > 1:
        raise InvalidInput("--resume, --since, --prefix and --car-version 2 do not go together")
    if (arguments.resume or arguments.car_version == 2) and (target == STREAM or target.startswith(_S3)):
        raise InvalidInput("--resume and --car-version 2 need a file: their beginning is read or written again")
    if not target.startswith(_S3):
        check_new_file(target, arguments.force or arguments.resume, out)


def _check_files(resume: bool, since: bool, indexed: bool) -> None:
    """[CLI-232] A folder of files is of keys and bodies alone, and whole."""
    if resume:
        raise InvalidInput("--files and --resume do not go together: the file does not say of which commit it is, so "
                           "nothing tells what has to come next; write it anew")  # fmt: skip
    if since:
        raise InvalidInput("--files and --since do not go together: a folder has no commit, so nothing could put a delta "
                           "and a folder together; write the whole folder")  # fmt: skip
    if indexed:
        raise InvalidInput("--files and --car-version 2 do not go together: tools of IPFS read a folder from its beginning")


def _begun(source: Address, target: str) -> Address:
    """The bucket at the commit with which the unfinished file was begun ([CLI-101])."""
    from mstbucket.core.cid import to_text
    from mstbucket.services.tree.export import root_of_part

    if not os.path.exists(target):
        return source
    with open(target, "rb") as file:
        root = root_of_part(file)
    return source if root is None else replace(source, commit=to_text(root))


def _to_place(arguments: argparse.Namespace, bucket: Bucket | BucketView, target: str, tell: Tell) -> Report:
    from mstbucket import BucketView

    if target.startswith(_S3):
        return _to_service(arguments, bucket, target, tell)
    if os.path.exists(target) and not os.path.isfile(target):
        with open(target, "wb") as device:  # never replaced: /dev/null stays what it is
            refuse_terminal(device, target)
            return _write(arguments, bucket, device, tell)
    path = os.path.realpath(target)
    if arguments.resume and isinstance(bucket, BucketView):
        return bucket.resume_export(path, progress=tell)
    if arguments.car_version == 2:
        return bucket.export_indexed(path, progress=tell)
    return _write(arguments, bucket, path, tell)


def _write(arguments: argparse.Namespace, bucket: Bucket | BucketView, target: Any, tell: Tell) -> Report:
    if arguments.files:
        return bucket.export_files(target, prefix=arguments.prefix or "", progress=tell)
    if arguments.since is not None:
        return bucket.export_delta(arguments.since, target, progress=tell)
    if arguments.prefix is not None:
        return bucket.export_part(arguments.prefix, target, progress=tell)
    return bucket.export_car(target, progress=tell)


def _to_service(arguments: argparse.Namespace, bucket: Bucket | BucketView, target: str, tell: Tell) -> Report:
    """Write an object of a service, in parts; it appears when it is whole ([CLI-103])."""
    from mstbucket.remote import S3Bucket
    from mstbucket.remote.place import parse_place

    place = parse_place(target)
    if not place.prefix or place.prefix.endswith("/"):
        raise InvalidInput("the S3 URL names no object to make: write s3://BUCKET/KEY")
    there = S3Bucket(place)
    make = there.open_write if arguments.force else there.open_write_if_absent
    with make(place.prefix) as writer:
        report = _write(arguments, bucket, _Whole(writer.write), tell)
        writer.commit()
    return report


class _Whole:
    """Makes a binary file of a function that takes all it is given."""

    def __init__(self, take: Callable[[bytes], object]) -> None:
        self._take = take

    def write(self, data: bytes) -> int:
        """Write all of it."""
        self._take(data)
        return len(data)
