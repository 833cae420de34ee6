"""Reading: one query finds the object and its first block; every byte handed out was hashed before ([GET-1])."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from mstbucket.core import unixfs
from mstbucket.core.keys import encode_key
from mstbucket.core.manifest import Manifest
from mstbucket.core.ranges import parse_range
from mstbucket.errors import (
    CorruptionError,
    FormatError,
    HashMismatch,
    InvalidInput,
    InvalidPartNumber,
    MissingBlock,
    NoSuchKey,
    Untrue,
)
from mstbucket.limits import MIB
from mstbucket.model import ObjectInfo
from mstbucket.pg.database import Database
from mstbucket.services.blocks import LOCATION_COLUMNS, StoreBlocks
from mstbucket.services.buckets import bucket_id
from mstbucket.services.conditions import Conditions
from mstbucket.services.rows import MANIFEST_COLUMNS, info_of, manifest_of

READ_AHEAD: Final = 2 * MIB  # fetched at a time from a large body; more chunks cost more in fresh memory than they save

_COLUMNS: Final = ", ".join(f"o.{column}" for column in MANIFEST_COLUMNS.split(", "))
_HEAD: Final = f"""
    SELECT o.manifest, {_COLUMNS} FROM buckets t JOIN objects o ON o.bucket = t.id
    WHERE t.name = %s AND o.key = %s
"""
_GET: Final = f"""
    SELECT o.manifest, {_COLUMNS}, {LOCATION_COLUMNS}
    FROM buckets t JOIN objects o ON o.bucket = t.id
         LEFT JOIN blocks b ON b.cid = o.content LEFT JOIN packs p ON p.id = b.pack
    WHERE t.name = %s AND o.key = %s
"""


class ObjectReader:
    """The bytes of one object, as a stream; every chunk is checked against its CID before any of it is handed out.

    Reading past damage raises `CorruptionError` (`HashMismatch`, `MissingBlock`) and never yields a wrong or shortened
    body. The reader holds at most 2 MiB ahead. It sees the object as it was when it was opened, also when the key is
    overwritten meanwhile. Not thread-safe: give each thread its own.

    Attributes:
        info: what `head_object` would have said.
        start, stop: the half-open range of the object's bytes that this reader gives.
    """

    def __init__(self, info: ObjectInfo, start: int, stop: int, chunks: Iterator[bytes]) -> None:
        self.info = info
        self.start = start
        self.stop = stop
        self._chunks = chunks
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes, or all that are left; fewer only at the end, b"" when there are none left."""
        wanted = self.stop - self.start if size is None or size < 0 else size
        parts: list[bytes | memoryview] = []
        while wanted > 0:
            if not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    break
                self._rest = memoryview(chunk)
            part = self._rest[:wanted]
            self._rest = self._rest[len(part) :]
            wanted -= len(part)
            parts.append(part)
        return b"".join(parts)

    def __iter__(self) -> Iterator[bytes]:
        """The bytes not read yet, in chunks of at most 1 MiB."""
        if self._rest:
            rest, self._rest = bytes(self._rest), memoryview(b"")
            yield rest
        yield from self._chunks

    def close(self) -> None:
        """Let go of what is held ahead; reading afterwards gives nothing."""
        self._rest = memoryview(b"")
        self._chunks = iter(())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def head(db: Database, bucket: str, key: str, wanted: Conditions) -> ObjectInfo:
    """What is known of the object; see `Bucket.head_object`."""
    cid, manifest = find(db, bucket, key)
    wanted.check_read(manifest.etag or "", manifest.modified, f"object {key!r} of bucket {bucket!r}")
    return info_of(key, cid, manifest)


def find(db: Database, bucket: str, key: str) -> tuple[bytes, Manifest]:
    """The object's manifest and its CID, from the row; `NoSuchKey` or `NoSuchBucket` where there is none."""
    encode_key(key)
    with db.reading() as connection:
        row = connection.execute(_HEAD, (bucket, key), binary=True).fetchone()
        if row is None:
            raise _no_such_key(connection, bucket, key)
    return row[0], manifest_of(row[1:])


def open_object(
    db: Database, blocks: StoreBlocks, bucket: str, key: str, span: str | None, part: int | None, wanted: Conditions
) -> ObjectReader:
    """A reader of the object, of the range `span`, or of the part numbered `part`; see `Bucket.get_object`."""
    encode_key(key)
    if span is not None and part is not None:
        raise InvalidInput("get_object takes a range or a part_number, not both")
    with db.reading() as connection:
        row = connection.execute(_GET, (bucket, key), binary=True).fetchone()
        if row is None:
            raise _no_such_key(connection, bucket, key)
    manifest = manifest_of(row[1:14])
    content, size = manifest.content, manifest.size
    assert content is not None and size is not None  # rows of `objects` are never delete markers
    wanted.check_read(manifest.etag or "", manifest.modified, f"object {key!r} of bucket {bucket!r}")
    if part is not None:
        start, stop = part_range(part, manifest.parts or (size,))
    else:
        start, stop = (0, size) if span is None else parse_range(span, size)

    def chunks() -> Iterator[bytes]:
        try:
            yield from body_range(blocks, content, blocks.at(content, row[14:]), size, start, stop)
        except (CorruptionError, FormatError) as error:
            raise _named(error, bucket, key) from error

    return ObjectReader(info_of(key, row[0], manifest), start, stop, chunks())


def part_range(number: int, parts: Sequence[int]) -> tuple[int, int]:
    """The half-open range of the part at place `number`, counted from 1, of an object with parts of these sizes.

    An object that came by a single put has one part ([MPU-16]).
    """
    if number < 1:
        raise InvalidInput(f"part number {number} is not a part number: they start at 1")
    if number > len(parts):
        raise InvalidPartNumber(f"part {number} was asked for of an object that has {len(parts)}")
    start = sum(parts[: number - 1])
    return start, start + parts[number - 1]


def body_range(blocks: StoreBlocks, content: bytes, root: bytes, size: int, start: int, stop: int) -> Iterator[bytes]:
    """The bytes from `start` to `stop` of the body with root CID `content` and root block `root`.

    The source has hashed every block; that each has the size and height of its place is checked here ([GET-2]).
    """
    height = unixfs.body_height(size)
    links = unixfs.open_block(root, size, height)
    if height == 0:
        yield root if (start, stop) == (0, size) else root[start:stop]
        return
    pending = _children(links, height, 0, start, stop)[::-1]
    while pending:
        batch = [pending.pop()]
        ahead = batch[0].size
        while pending and ahead + pending[-1].size <= READ_AHEAD:
            batch.append(pending.pop())
            ahead += batch[-1].size
        got = blocks.get_many({child.cid for child in batch})
        for done, child in enumerate(batch, 1):
            block = got[child.cid]
            links = unixfs.open_block(block, child.size, child.height)
            if child.height == 0:
                yield block[max(start - child.at, 0) : stop - child.at]
                continue
            pending.extend(reversed(batch[done:]))  # what follows this node in the body waits for its children
            pending.extend(reversed(_children(links, child.height, child.at, start, stop)))
            break


class _Child(NamedTuple):
    """A block below a body's root: where in the body it starts, the bytes under it, and its height (0 is a chunk)."""

    cid: bytes
    at: int
    size: int
    height: int


def _children(links: tuple[tuple[bytes, int], ...], height: int, base: int, start: int, stop: int) -> list[_Child]:
    """Those children of a node at `height` that have bytes between `start` and `stop` of the body."""
    children = []
    at = base
    for cid, size in links:
        if at < stop and at + size > start:
            children.append(_Child(cid, at, size, height - 1))
        at += size
    return children


def _no_such_key(connection: Any, bucket: str, key: str) -> NoSuchKey:
    bucket_id(connection, bucket)  # raises NoSuchBucket where that is the reason
    return NoSuchKey(f"there is no object {key!r} in bucket {bucket!r}")


def _named(error: CorruptionError | FormatError, bucket: str, key: str) -> CorruptionError:
    """The same error, saying whose bytes they are: a stored block that is malformed is damage to the reader."""
    kind = type(error) if isinstance(error, (HashMismatch, MissingBlock, Untrue)) else Untrue
    return kind(f"object {key!r} of bucket {bucket!r} cannot be read: {error}")


