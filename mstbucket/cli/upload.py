"""Copying in: files become objects, small ones by the batch, large ones streamed one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Final

from mstbucket.cli import progress
from mstbucket.cli.address import Address, folder
from mstbucket.cli.exits import describe, one_line
from mstbucket.cli.output import Output, complain, warn
from mstbucket.core.keys import encode_key
from mstbucket.errors import InvalidInput, StorageError
from mstbucket.files.types import guess_type
from mstbucket.files.walk import Skipped, open_file, walk
from mstbucket.limits import MIB
from mstbucket.model import EMPTY, PutRequest, PutResult

if TYPE_CHECKING:
    from mstbucket import Bucket

_WHOLE: Final = MIB  # files up to this are read before they join a batch, so that one that fails does not spoil it


@dataclass(frozen=True, slots=True)
class Extras:
    """What is stored beside the bytes, as the options say; without a type it is guessed from the key."""

    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    headers: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    tags: Mapping[str, str] = field(default_factory=lambda: EMPTY)

    def request(self, key: str, body: bytes | BinaryIO) -> PutRequest:
        """The request that stores *body* under *key*."""
        kind = self.content_type or guess_type(key)
        return PutRequest(key, body, kind, self.metadata, self.headers, self.tags)


@dataclass(slots=True)
class Uploaded:
    """How far a recursive copy came."""

    objects: int = 0
    bytes: int = 0
    failed: int = 0


def put_stream(bucket: Bucket, target: Address, source: BinaryIO, extras: Extras, out: Output) -> None:
    """Store what *source* gives, to its end, as one object."""
    with progress.bar(f"upload to {target}", quiet=out.quiet) as tell:
        put = _put(bucket, extras.request(target.key, progress.Counted(source, tell)))  # type: ignore[arg-type]
    _report(out, "-", target, put)


def put_file(bucket: Bucket, target: Address, path: str, extras: Extras, out: Output) -> None:
    """Store one file as one object; it may be a pipe, since it is the user who named it.

    Raises:
        OSError: it cannot be opened or read.
    """
    encode_key(target.key)
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size or None
        with progress.bar(f"upload to {target}", size, quiet=out.quiet) as tell:
            put = _put(bucket, extras.request(target.key, progress.Counted(file, tell)))  # type: ignore[arg-type]
    _report(out, path, target, put)


def put_tree(
    bucket: Bucket,
    target: Address,
    root: str,
    extras: Extras,
    out: Output,
    *,
    follow: bool,
    leave_out: frozenset[bytes] = frozenset(),
) -> Uploaded:
    """Store every file below *root* under *target* taken as a folder; what cannot be is said, counted and passed."""
    done = Uploaded()
    paths: dict[str, str] = {}  # of the batch under way, by key

    def stored(put: PutResult) -> None:
        done.objects += 1
        done.bytes += put.size
        _report(out, paths.pop(put.key, root), Address(target.bucket, put.key), put)

    def failed(text: str) -> None:
        done.failed += 1
        complain(text)

    def requests() -> Iterator[PutRequest]:
        prefix = folder(target.key)
        for found in walk(root, follow=follow, leave_out=leave_out):
            path = os.fsdecode(found.path)
            if isinstance(found, Skipped):
                (failed if found.failed else warn)(f"{path!r}: {found.reason}; skipped")
                continue
            try:
                key = prefix + found.key
                encode_key(key)
                with open_file(found.path) as file:
                    start = _read_up_to(file, _WHOLE + 1)
                    if len(start) <= _WHOLE:
                        request = extras.request(key, start)
                    else:
                        put = _put(bucket, extras.request(key, _Again(start, file)))  # type: ignore[arg-type]
                        paths[key] = path
                        stored(put)
                        continue
            except StorageError:
                raise
            except InvalidInput as error:
                failed(describe(error) if repr(path) in str(error) else f"{path!r}: {describe(error)}")
            except OSError as error:
                failed(f"{path!r}: {error.strerror or error}")
            else:
                paths[key] = path
                yield request

    bucket.put_objects(requests(), stored=stored)
    return done


class _Again:
    """A reader of what was read already and then of the rest of the file."""

    def __init__(self, start: bytes, file: BinaryIO) -> None:
        self._start = memoryview(start)
        self._file = file

    def read(self, size: int) -> bytes:
        if self._start:
            piece, self._start = bytes(self._start[:size]), self._start[size:]
            return piece
        return self._file.read(size)


def _read_up_to(file: BinaryIO, wanted: int) -> bytes:
    parts = []
    while wanted > 0 and (part := file.read(wanted)):
        parts.append(part)
        wanted -= len(part)
    return b"".join(parts)


def _put(bucket: Bucket, request: PutRequest) -> PutResult:
    return bucket.put_object(
        request.key, request.body, content_type=request.content_type, metadata=request.metadata,
        headers=request.headers, tags=request.tags,
    )  # fmt: skip


def _report(out: Output, source: str, target: Address, put: PutResult) -> None:
    record = {
        "action": "upload", "source": source, "target": str(target), "size": put.size, "etag": put.etag,
        "content": put.content, "manifest": put.manifest,
    }  # fmt: skip
    out.report(record, one_line(f"upload: {source} to {target}"))
