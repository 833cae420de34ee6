"""Reading: one query finds the object and its first block; every byte handed out was hashed before ([GET-1])."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from mstbucket.core import unixfs
from mstbucket.core.keys import encode_key
from mstbucket.core.manifest import Manifest
from mstbucket.core.ranges import parse_range
from mstbucket.core.s3rules.conditions import UNCONDITIONAL, Conditions
from mstbucket.core.s3rules.versions import stored_id
from mstbucket.errors import (
    CorruptionError,
    FormatError,
    InvalidInput,
    InvalidPartNumber,
    MethodNotAllowed,
    NoSuchKey,
    NoSuchVersion,
    StorageError,
    Untrue,
)
from mstbucket.index.blocks import LOCATION_COLUMNS
from mstbucket.index.buckets import bucket_id, no_such_bucket
from mstbucket.index.rows import MANIFEST_COLUMNS, info_of, manifest_of
from mstbucket.limits import MIB
from mstbucket.model.objects import ObjectInfo
from mstbucket.pg.database import Database
from mstbucket.pg.queries import Lookup
from mstbucket.services.blocks.blocks import StoreBlocks

READ_AHEAD: Final = 2 * MIB  # fetched at a time from a large body; more chunks cost more in fresh memory than they save

_COLUMNS: Final = ", ".join(f"o.{column}" for column in MANIFEST_COLUMNS.split(", "))
# The lock of the current object, in a CASE, so that only buckets with object lock pay for it.
_LOCK: Final = """CASE WHEN t.object_lock THEN (
        SELECT jsonb_build_array(l.mode, l.until, l.hold) FROM locks l
        WHERE l.bucket = t.id AND l.key = o.key AND l.version = coalesce(o.version_id, '')) END"""
_HEAD: Final = Lookup(
    "mstbucket_head",
    f"""
    SELECT t.versioning, {_LOCK}, o.manifest, {_COLUMNS} FROM buckets t JOIN objects o ON o.bucket = t.id
    WHERE t.name = $1 AND o.key = $2
    """,
    2,
)
_GET: Final = Lookup(
    "mstbucket_get",
    f"""
    SELECT t.versioning, {_LOCK}, o.manifest, {_COLUMNS}, {LOCATION_COLUMNS}
    FROM buckets t JOIN objects o ON o.bucket = t.id
         LEFT JOIN blocks b ON b.cid = o.content LEFT JOIN packs p ON p.id = b.pack
    WHERE t.name = $1 AND o.key = $2
    """,
    2,
)
_CURRENT: Final = f"SELECT NULL::bigint, o.manifest, {_COLUMNS} FROM objects o WHERE o.bucket = %s AND o.key = %s"
_VERSION: Final = f"""
    {_CURRENT} AND o.version_id IS NOT DISTINCT FROM %s
    UNION ALL
    SELECT o.seq, o.manifest, {_COLUMNS} FROM versions o
    WHERE version_place(o.bucket, o.key, o.version_id) = version_place(%s, %s, %s)
"""
_PLACE: Final = f"SELECT {LOCATION_COLUMNS} FROM blocks b LEFT JOIN packs p ON p.id = b.pack WHERE b.cid = %s"


class ObjectReader:
    """The bytes of one object, as a stream; every chunk is checked against its CID before any of it is handed out.

    Reading past damage raises `CorruptionError` (`HashMismatch`, `MissingBlock`) and never yields a wrong or shortened
    body. After an error of any kind every further read raises it again: open the object anew to read on. The reader
    holds at most 2 MiB ahead. It sees the object as it was when it was opened, also when the key is overwritten
    meanwhile. Not thread-safe: give each thread its own.

    Attributes:
        start, stop: the half-open range of the object's bytes that this reader gives.
    """

    def __init__(self, describe: Callable[[], ObjectInfo], start: int, stop: int, chunks: Iterator[bytes]) -> None:
        self._describe = describe
        self.start = start
        self.stop = stop
        self._chunks = chunks
        self._rest = memoryview(b"")
        self._failed: Exception | None = None

    @cached_property
    def info(self) -> ObjectInfo:
        """What `head_object` would have said. Made when it is first looked at: a small read spends a fifth of it here."""
        return self._describe()

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes, or all that are left; fewer only at the end, b"" when there are none left."""
        wanted = self.stop - self.start if size is None or size < 0 else size
        if self._failed is not None:
            raise self._failed
        parts: list[bytes | memoryview] = []
        while wanted > 0:
            if not self._rest:
                chunk = self._next()
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
        while (chunk := self._next()) is not None:
            yield chunk

    def _next(self) -> bytes | None:
        if self._failed is not None:
            raise self._failed  # [GET-1] a generator that raised has ended, which would look like the end of the bytes
        try:
            return next(self._chunks, None)
        except BaseException as error:
            interrupted = StorageError("the reading was interrupted: open the object again")
            self._failed = error if isinstance(error, Exception) else interrupted
            raise

    def close(self) -> None:
        """Let go of what is held. Reading afterwards raises `InvalidInput`, a `ValueError` as with files. Repeatable."""
        self._rest = memoryview(b"")
        self._chunks = iter(())
        self._failed = InvalidInput("the body was closed: open the object again")  # [GET-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Source:
    """What a copy reads: an object, or one version of it."""

    bucket: str
    key: str
    version_id: str | None

    def __str__(self) -> str:
        return f"object {self.key!r} of bucket {self.bucket!r}"


class Found(NamedTuple):
    """An object or version that was found: its place among the noncurrent ones (None if current), and its manifest."""

    seq: int | None
    cid: bytes
    manifest: Manifest


def find_row(connection: Any, number: int, bucket: str, key: str, version_id: str | None) -> Found:
    """The current object of a key, or one of its versions, which may be a delete marker; not checked before: the key.

    Raises:
        NoSuchKey: there is no current object.
        NoSuchVersion: there is no version of that id.
    """
    if version_id is None:
        row = connection.execute(_CURRENT, (number, key), binary=True).fetchone()
        if row is None:
            raise _no_such_key(connection, number, bucket, key)
    else:
        one = (number, key, stored_id(version_id))
        row = connection.execute(_VERSION, (*one, *one), binary=True).fetchone()
        if row is None:
            raise NoSuchVersion(f"there is no version {version_id!r} of object {key!r} in bucket {bucket!r}")
    return Found(row[0], row[1], manifest_of(row[2:]))


class Locked(NamedTuple):
    """The lock of a version: its mode and until when in ms, both None without a retention; None for a hold never set."""

    mode: str | None
    until: int | None
    hold: bool | None


UNLOCKED: Final = Locked(None, None, None)


def head(db: Database, bucket: str, wanted: Wanted, expect: Conditions) -> ObjectInfo:
    """What is known of the object; see `Bucket.head_object`."""
    key = wanted.key
    versioning, lock, cid, manifest = find(db, bucket, key, wanted.version_id)
    if expect is not UNCONDITIONAL:
        expect.check_read(manifest.etag or "", manifest.modified, f"object {key!r} of bucket {bucket!r}")
    info = info_of(key, cid, manifest, versioning, lock)
    if wanted.part is None:
        return info
    return replace(info, part_range=part_range(wanted.part, manifest.parts or (info.size,)))


def lock_of_version(connection: Any, number: int, key: str, version: str) -> Locked:
    """The lock of a version of the bucket with row `number`; "" is the null version, and any may not exist."""
    query = "SELECT mode, until, hold FROM locks WHERE bucket = %s AND key = %s AND version = %s"
    row = connection.execute(query, (number, key, version), binary=True).fetchone()
    return UNLOCKED if row is None else Locked(*row)


def _lock_of(column: list[Any] | None) -> Locked:
    return UNLOCKED if column is None else Locked(*column)


def find(db: Database, bucket: str, key: str, version_id: str | None) -> tuple[str | None, Locked, bytes, Manifest]:
    """The state of the bucket's versioning, the lock of the object or version, its manifest's CID, and the manifest.

    Raises:
        NoSuchKey, NoSuchVersion, NoSuchBucket: it is not there.
        MethodNotAllowed: that version is a delete marker.
    """
    encode_key(key)
    if version_id is None:
        row = db.find(_HEAD, bucket, key)
        if row is None:
            raise _missing(db, bucket, key)
        return row[0], _lock_of(row[1]), row[2], manifest_of(row[3:])
    with db.reading() as connection:
        number, versioning, has_lock = _bucket(connection, bucket)
        found = find_row(connection, number, bucket, key, version_id)
        lock = lock_of_version(connection, number, key, found.manifest.version_id or "") if has_lock else UNLOCKED
    if found.manifest.delete_marker:
        raise MethodNotAllowed(f"version {version_id!r} of object {key!r} in bucket {bucket!r} is a delete marker")
    return versioning, lock, found.cid, found.manifest


def _bucket(connection: Any, name: str) -> tuple[int, str | None, bool]:
    query = "SELECT id, versioning, object_lock FROM buckets WHERE name = %s"
    row = connection.execute(query, (name,), binary=True).fetchone()
    if row is None:
        raise no_such_bucket(name)
    return row[0], row[1], row[2]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of an object is to be read: the current one or a version, all of it, or the range `span`, or one part."""

    key: str
    version_id: str | None = None
    span: str | None = None
    part: int | None = None


def open_object(db: Database, blocks: StoreBlocks, bucket: str, wanted: Wanted, expect: Conditions) -> ObjectReader:
    """A reader of the object, or of a part of its bytes; see `Bucket.get_object`."""
    key = wanted.key
    encode_key(key)
    if wanted.span is not None and wanted.part is not None:
        raise InvalidInput("get_object takes a range or a part_number, not both")
    if wanted.version_id is None:
        row = db.find(_GET, bucket, key)
        if row is None:
            raise _missing(db, bucket, key)
        versioning, lock, cid, manifest, place = row[0], _lock_of(row[1]), row[2], manifest_of(row[3:16]), row[16:]
    else:
        versioning, lock, cid, manifest = find(db, bucket, key, wanted.version_id)
        with db.reading() as connection:
            place = connection.execute(_PLACE, (manifest.content,), binary=True).fetchone() or (None,) * 4
    content, size = manifest.content, manifest.size
    assert content is not None and size is not None  # rows of `objects` are never delete markers, and `find` raises
    if expect is not UNCONDITIONAL:
        expect.check_read(manifest.etag or "", manifest.modified, f"object {key!r} of bucket {bucket!r}")
    if wanted.part is not None:
        start, stop = part_range(wanted.part, manifest.parts or (size,))
    else:
        start, stop = (0, size) if wanted.span is None else parse_range(wanted.span, size)

    def describe() -> ObjectInfo:
        info = info_of(key, cid, manifest, versioning, lock)
        return info if wanted.part is None else replace(info, part_range=(start, stop))

    def chunks() -> Iterator[bytes]:
        try:
            yield from body_range(blocks, content, blocks.at(content, place), size, start, stop)
        except (CorruptionError, FormatError) as error:
            raise _named(error, bucket, key) from error

    return ObjectReader(describe, start, stop, chunks())


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


def _missing(db: Database, bucket: str, key: str) -> NoSuchKey:
    with db.reading() as connection:
        return _no_such_key(connection, bucket_id(connection, bucket), bucket, key)


def _no_such_key(connection: Any, number: int, bucket: str, key: str) -> NoSuchKey:
    query = "SELECT FROM versions WHERE bucket = %s AND key = %s LIMIT 1"  # without an object, the newest is a marker
    marked = connection.execute(query, (number, key)).fetchone() is not None
    why = ": its newest version is a delete marker" if marked else ""
    return NoSuchKey(f"there is no object {key!r} in bucket {bucket!r}{why}")


def _named(error: CorruptionError | FormatError, bucket: str, key: str) -> CorruptionError:
    """The same error, saying whose bytes they are: a stored block that is malformed is damage to the reader."""
    kind = type(error) if isinstance(error, CorruptionError) else Untrue
    return kind(f"object {key!r} of bucket {bucket!r} cannot be read: {error}")


