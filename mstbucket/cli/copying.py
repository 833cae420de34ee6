"""`cp`: which of the directions it is, and the names on both sides. `mstbucket.sync` does the work, as for `sync`."""

from __future__ import annotations

import argparse
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from mstbucket.cli import progress
from mstbucket.cli.address import Address, Local, Stream, folder, parse_place, parse_source, with_object
from mstbucket.cli.copied import Copied
from mstbucket.cli.exits import OK
from mstbucket.cli.extras import are_given, extras_of
from mstbucket.cli.objects import folders_said, write_out
from mstbucket.cli.output import Output
from mstbucket.cli.stores import open_store, opened
from mstbucket.cli.streams import standard_input
from mstbucket.errors import InvalidInput, NoSuchKey
from mstbucket.files.paths import unescape

if TYPE_CHECKING:
    from mstbucket import Bucket, BucketView
    from mstbucket.sync.mover import Meter
    from mstbucket.sync.objects import Objects, SourceObjects


_RECURSIVE: Final = "use -r to copy everything below it"


def copy(arguments: argparse.Namespace, out: Output) -> int:
    """Copy files into a bucket, objects out of it, or objects to other keys; see `spec/store/13-cli.md`."""
    source, target = parse_source(arguments.source), parse_place(arguments.target)
    extras = are_given(arguments)
    if arguments.version_id is not None and (not isinstance(source, Address) or arguments.recursive):
        raise InvalidInput("--version-id names one version of one object, which has to be the source: mst://bucket/key")
    if isinstance(source, Address):
        if extras:
            raise InvalidInput("--content-type, --metadata, --header and --tag are for copying in only")
        if isinstance(target, Address):
            return _within(arguments, out, source, target)
        return _out_of(arguments, out, source, target)
    if not isinstance(target, Address):
        raise InvalidInput("neither side is in a bucket: one of them has to be mst://bucket/key")
    return _into(arguments, out, source, target)


# --- into a bucket ---------------------------------------------------------------------------------------------------


def _into(arguments: argparse.Namespace, out: Output, source: Local | Stream, target: Address) -> int:
    if isinstance(source, Stream):
        if arguments.recursive or _is_folder(target):
            raise InvalidInput("what comes from standard input needs the whole key: mst://bucket/key, without -r")
        return _stream_into(arguments, out, target)
    if not os.path.exists(source.path):
        raise FileNotFoundError(errno.ENOENT, "there is no such file or directory", source.path)
    if arguments.recursive != os.path.isdir(source.path):  # [CLI-21]
        raise InvalidInput(
            f"{source.path!r} is no directory, and -r is for directories: leave it out"
            if arguments.recursive
            else f"{source.path!r} is a directory: copy what is below it with -r"
        )
    return (_tree_into if arguments.recursive else _file_into)(arguments, out, source, target)


def _stream_into(arguments: argparse.Namespace, out: Output, target: Address) -> int:
    from mstbucket.sync import single

    extras = extras_of(arguments)
    with open_store(arguments) as store, _meter(f"upload to {target}", None, out) as meter:
        put = single.put_stream(store.bucket(target.bucket), target.key, standard_input(), extras, meter)
    Copied(Stream(), target, out).uploaded("-", put)
    return OK


def _file_into(arguments: argparse.Namespace, out: Output, source: Local, target: Address) -> int:
    from mstbucket.sync import single

    extras = extras_of(arguments)
    name = unescape([os.path.basename(os.path.abspath(source.path))])  # [CLI-14]
    to = target.child(name) if _is_folder(target) else target
    size = os.stat(source.path).st_size or None
    with open_store(arguments) as store, _meter(f"upload to {to}", size, out) as meter:
        put = single.put_file(store.bucket(target.bucket), to.key, source.path, extras, meter)
    Copied(source, to, out).uploaded(source.path, put)
    return OK


def _tree_into(arguments: argparse.Namespace, out: Output, source: Local, target: Address) -> int:
    from mstbucket.sync.directory import Directory
    from mstbucket.sync.filters import Everything
    from mstbucket.sync.run import copy as copy_all

    extras = extras_of(arguments)
    with open_store(arguments) as store, progress.bar(f"upload to {target}", quiet=out.quiet) as shown:
        told = Copied(source, target, out, shown)
        files = Directory(source.path, Everything(), told.skipped, follow=not arguments.no_follow_symlinks)
        there = _objects(store.bucket(target.bucket), target)
        summary = copy_all(files, there, told.tell, extras, tick=shown, expect=shown.expect)
    return told.ended(summary)


# --- out of a bucket -------------------------------------------------------------------------------------------------


def _out_of(arguments: argparse.Namespace, out: Output, source: Address, target: Local | Stream) -> int:
    if isinstance(target, Stream):
        return _to_standard_output(arguments, out, source)
    if arguments.recursive:
        with open_store(arguments) as store, opened(store, source) as bucket:
            return _tree_out(bucket, source, target, out)
    if source.key == "":
        raise InvalidInput(f"{source.root} is a whole bucket: copy what is in it with -r")
    from mstbucket.sync import single

    version: str | None = arguments.version_id
    with open_store(arguments) as store, opened(store, source) as bucket:
        with _meter(f"download {source}", None, out) as meter, folders_said(bucket, source, _RECURSIVE):
            if target.names_folder or os.path.isdir(target.path):
                info, path = single.get_into(bucket, source.key, target.path, meter, version)
            else:
                info, path = single.get_as(bucket, source.key, target.path, meter, version), target.path
        Copied(source, target, out).downloaded(source, path, info)
    return OK


def _to_standard_output(arguments: argparse.Namespace, out: Output, source: Address) -> int:
    if arguments.recursive:
        raise InvalidInput("standard output takes one object, not a folder: leave -r out")
    if out.as_json:  # [CLI-8] as for `cat`
        raise InvalidInput("standard output takes the object's bytes: --json is not for it")
    with open_store(arguments) as store:
        write_out(store, with_object(source), version_id=arguments.version_id)
    return OK


def _tree_out(bucket: Bucket | BucketView, source: Address, target: Local, out: Output) -> int:
    from mstbucket.sync.directory import Directory
    from mstbucket.sync.filters import Everything
    from mstbucket.sync.run import copy as copy_all

    with progress.bar(f"download {source}", quiet=out.quiet) as shown:
        told = Copied(source, target, out, shown)
        files = Directory(target.path, Everything(), told.skipped, follow=False)
        summary = copy_all(_source(bucket, source), files, told.tell, tick=shown, expect=shown.expect)
    if summary.copied + summary.failed == 0:
        raise _nothing(source)
    return told.ended(summary)


# --- from key to key -------------------------------------------------------------------------------------------------


def _within(arguments: argparse.Namespace, out: Output, source: Address, target: Address) -> int:
    from mstbucket.sync import single
    from mstbucket.sync.run import copy as copy_all

    with open_store(arguments) as store, opened(store, source) as here:
        there = store.bucket(target.bucket)
        if not arguments.recursive:
            name = with_object(source).key.rpartition("/")[2]
            to = target.child(name) if _is_folder(target) else target
            with folders_said(here, source, _RECURSIVE):
                size = here.head_object(source.key, version_id=arguments.version_id).size
            put = single.copy_object(here, source.key, there, to.key, size, arguments.version_id)
            Copied(source, to, out).copied(source, to, put)
            return OK
        start = folder(source.key)
        if source.commit is None and source.bucket == target.bucket and folder(target.key).startswith(start):
            raise InvalidInput(f"{target} lies inside {source}: the copy would find its own results, without end")
        with progress.bar(f"copy {source}", quiet=out.quiet) as shown:
            told = Copied(source, target, out, shown)
            summary = copy_all(_source(here, source), _objects(there, target), told.tell, tick=shown, expect=shown.expect)
        if summary.copied + summary.failed == 0:
            raise _nothing(source)
        return told.ended(summary)


# --- both sides ------------------------------------------------------------------------------------------------------


def _objects(bucket: Bucket, place: Address) -> Objects:
    from mstbucket.sync.filters import Everything
    from mstbucket.sync.objects import Objects

    return Objects(bucket, folder(place.key), Everything())


def _source(bucket: Bucket | BucketView, place: Address) -> SourceObjects:
    from mstbucket.sync.filters import Everything
    from mstbucket.sync.objects import SourceObjects

    return SourceObjects(bucket, folder(place.key), Everything())


def _is_folder(target: Address) -> bool:
    """[CLI-20] The target is a place to copy into, and not a whole new name."""
    return target.key == "" or target.key.endswith("/")


def _nothing(source: Address) -> NoSuchKey:
    """[CLI-21]"""
    return NoSuchKey(f"there is nothing under {source.with_key(folder(source.key))}")


@contextmanager
def _meter(label: str, size: int | None, out: Output) -> Iterator[Meter]:
    from mstbucket.sync.mover import Meter

    with progress.bar(label, size, quiet=out.quiet) as tick:
        yield Meter(tick)
