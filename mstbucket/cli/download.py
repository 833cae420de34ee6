"""Copying out: objects become files, each complete or not there, none outside the directory they belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from mstbucket.cli import progress
from mstbucket.cli.address import Address, folder
from mstbucket.cli.exits import describe, one_line
from mstbucket.cli.output import Output, complain
from mstbucket.errors import CorruptionError, NoSuchKey, StorageError
from mstbucket.files.tree import Tree, write_named

if TYPE_CHECKING:
    from mstbucket import Bucket, ObjectReader


@dataclass(slots=True)
class Downloaded:
    """How far a recursive copy came."""

    objects: int = 0
    failed: int = 0


def get_as(bucket: Bucket, source: Address, path: str, out: Output) -> None:
    """Copy one object to the file that *path* names; directories on the way to it are made."""
    with bucket.get_object(source.key) as reader, _bar(source, reader, out) as tell:
        write_named(path, _told(reader, tell))
    _report(out, source, path, reader)


def get_into(bucket: Bucket, source: Address, directory: str, out: Output) -> None:
    """Copy one object into a directory, under the last segment of its key."""
    with bucket.get_object(source.key) as reader, Tree(directory) as tree, _bar(source, reader, out) as tell:
        path = tree.write(source.key.rpartition("/")[2], _told(reader, tell))
    _report(out, source, path, reader)


def get_tree(bucket: Bucket, source: Address, directory: str, out: Output) -> Downloaded:
    """Copy everything under *source*, taken as a folder, into *directory*; what fails is said, counted and passed.

    Raises:
        NoSuchKey: there is nothing under it.
        StorageError: the disk or the store failed, so that going on cannot help.
    """
    prefix = folder(source.key)
    done = Downloaded()
    objects = bucket.objects(prefix)
    first = next(objects, None)
    if first is None:
        raise NoSuchKey(f"there is nothing under {Address(source.bucket, prefix)}")
    with Tree(directory) as tree:
        for summary in chain([first], objects):
            found = Address(source.bucket, summary.key)
            try:
                with bucket.get_object(summary.key) as reader:
                    path = tree.write(summary.key[len(prefix) :], reader)
                _report(out, found, path, reader)
                done.objects += 1
            except (CorruptionError, NoSuchKey) as error:  # [CLI-5] go on with the next
                done.failed += 1
                complain(f"{found}: {describe(error)}")
            except OSError as error:
                if isinstance(error, StorageError):
                    raise
                done.failed += 1
                complain(f"{found}: {describe(error)}")
    return done


def _bar(source: Address, reader: ObjectReader, out: Output) -> AbstractContextManager[Callable[[int], None]]:
    return progress.bar(f"download {source}", reader.info.size, quiet=out.quiet)


def _told(reader: ObjectReader, tell: Callable[[int], None]) -> Iterator[bytes]:
    done = 0
    for chunk in reader:
        yield chunk
        done += len(chunk)
        tell(done)


def _report(out: Output, source: Address, path: str, reader: ObjectReader) -> None:
    info = reader.info
    record = {"action": "download", "source": str(source), "target": path, "size": info.size, "etag": info.etag}
    out.report(record, one_line(f"download: {source} to {path}"))
