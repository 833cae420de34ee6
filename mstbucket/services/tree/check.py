"""Check a bucket against its store: the judge reads an export that is never written down, then index meets tree."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from mstbucket.core import car
from mstbucket.core.cid import to_text
from mstbucket.core.closure import closure
from mstbucket.core.keys import version_key
from mstbucket.core.mst.walk import walk
from mstbucket.errors import NoSuchBucket, NoSuchCommit, Untrue
from mstbucket.index.buckets import bucket_id
from mstbucket.index.versioning import check_history
from mstbucket.model.objects import CheckReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.damage import clear_restored
from mstbucket.services.tree.damage import naming
from mstbucket.spill.seen import Seen
from mstbucket.verify.car import verify_car

_PAGE: Final = 2000  # rows of the index that are compared at a time


def check(context: Context, bucket: str, progress: Callable[[int], object] | None) -> CheckReport:
    """Verify the newest commit in the store, and the index against the tree; see `Bucket.verify`.

    [CHK-1] No transaction is open while blocks are read: a snapshot that is held for long keeps every old row of the
    database from being cleaned up.
    """
    with naming(context, bucket):
        head = _head(context, bucket)
        with Seen() as seen, io.BufferedReader(_Sections(context, head.commit, seen), car.WINDOW) as stream:
            report = verify_car(stream, progress)
        if head.tags_dirty is None and dict(report.commit.tags) != (head.tags or {}):  # [TAG-6]
            raise Untrue(f"bucket {bucket!r}: its tags are not those in commit {to_text(head.commit)}")
        if head.tags_dirty is None and report.commit.versioning != head.versioning:  # [VSN-8]
            raise Untrue(f"bucket {bucket!r}: its versioning is not that in commit {to_text(head.commit)}")
        dirty = int(head.tags_dirty is not None)
        for read in (_objects, _versions):
            dirty += _compare(context, bucket, head.number, read)
        with context.db.reading() as connection:
            wrong = check_history(connection, head.number)
        if wrong is not None:
            raise Untrue(f"bucket {bucket!r}: {wrong}")
    clear_restored(context.db, context.blocks.of_pack)  # [PUT-15]
    return CheckReport(to_text(head.commit), report.blocks, report.objects, report.bytes, dirty)


class _Head(NamedTuple):
    """A bucket as one statement saw it: its row number, its newest commit, and what stands beside that in the index."""

    number: int
    commit: bytes
    tags: dict[str, str] | None
    versioning: str | None
    tags_dirty: int | None


def _head(context: Context, bucket: str) -> _Head:
    query = """
        SELECT b.id, c.cid, b.tags, b.versioning, b.tags_dirty
        FROM buckets b JOIN commits c ON c.bucket = b.id AND c.seq = b.seq WHERE b.name = %s
    """
    with context.db.reading() as connection:
        row = connection.execute(query, (bucket,), binary=True).fetchone()
        if row is None:
            bucket_id(connection, bucket)
            raise NoSuchCommit(f"bucket {bucket!r} has no commit yet: flush it first")
    return _Head(*row)


class _Sections(io.RawIOBase):
    """The export of a commit as a stream to read, made as it is read."""

    def __init__(self, context: Context, commit: bytes, seen: Seen) -> None:
        super().__init__()
        self._parts = self._make(context, commit, seen)
        self._rest = memoryview(b"")

    @staticmethod
    def _make(context: Context, commit: bytes, seen: Seen) -> Iterator[bytes]:
        yield car.header(commit)
        for cid, block in closure(context.blocks.scan(), commit, seen):
            yield car.section(cid, block)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        target = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(target):
            if not self._rest:
                part = next(self._parts, None)
                if part is None:
                    break
                self._rest = memoryview(part)
            taken = self._rest[: len(target) - filled]
            target[filled : filled + len(taken)] = taken
            self._rest = self._rest[len(taken) :]
            filled += len(taken)
        return filled


#: A row of the index: its key in the tree, the CID of its manifest (None where it is gone), whether it is dirty.
_Row = tuple[bytes, bytes | None, bool]
#: A key as the index has it, with a sequence, which is 0 for objects.
_Key = tuple[str, int]


class _Page(NamedTuple):
    """What one snapshot said of the keys behind another: the tree's root in it, and its rows in order up to a key.

    `last` is that key, the last there is a word about; None where the rows are all there are.
    """

    root: bytes | None
    rows: list[_Row]
    last: _Key | None


_Read = Callable[[Any, int, _Key], _Page]


def _objects(connection: Any, number: int, after: _Key) -> _Page:
    rows = "SELECT key, 0::bigint, manifest FROM objects WHERE bucket = %s AND key > %s ORDER BY key LIMIT %s"
    marks = "SELECT key, 0::bigint FROM dirty WHERE bucket = %s AND key > %s ORDER BY key LIMIT %s"
    asked = (number, after[0], _PAGE)
    root = _current(connection, number)[0]
    return _page(root, connection.execute(rows, asked, binary=True), connection.execute(marks, asked, binary=True), _bare)


def _versions(connection: Any, number: int, after: _Key) -> _Page:
    behind = "bucket = %s AND key >= %s AND (key > %s OR seq < %s) ORDER BY key, seq DESC LIMIT %s"
    rows = f"SELECT key, seq, manifest FROM versions WHERE {behind}"
    marks = f"SELECT key, seq FROM dirty_versions WHERE {behind}"
    asked = (number, after[0], after[0], after[1], _PAGE)
    root = _current(connection, number)[1]
    return _page(root, connection.execute(rows, asked, binary=True), connection.execute(marks, asked, binary=True), _stored)


def _bare(key: _Key) -> bytes:
    return key[0].encode()


def _stored(key: _Key) -> bytes:
    return version_key(key[0].encode(), key[1])


def _current(connection: Any, number: int) -> tuple[bytes | None, bytes | None]:
    """The roots of both trees of the commit that is the newest in this snapshot."""
    query = "SELECT c.tree, c.versions FROM buckets b JOIN commits c ON c.bucket = b.id AND c.seq = b.seq WHERE b.id = %s"
    row = connection.execute(query, (number,), binary=True).fetchone()
    if row is None:
        raise NoSuchBucket("the bucket was deleted while it was checked")
    return row[0], row[1]


def _page(root: bytes | None, rows: Any, marks: Any, place: Callable[[_Key], bytes]) -> _Page:
    """Rows and marks of one snapshot together, as far as neither was cut by its limit."""
    there = {(key, seq): manifest for key, seq, manifest in rows}
    dirty = {(key, seq) for key, seq in marks}
    cut = [max(part, key=place) for part in (there, dirty) if len(part) == _PAGE]
    last = min(cut, key=place, default=None)
    keys = sorted((place(key), key) for key in there.keys() | dirty)
    end = None if last is None else place(last)
    return _Page(root, [(at, there.get(key), key in dirty) for at, key in keys if end is None or at <= end], last)


def _compare(context: Context, bucket: str, number: int, read: _Read) -> int:
    """Index and tree side by side in key order, page by page ([CHK-2]); how many rows are dirty.

    [FLUSH-1] for every key without a dirty row they are equal: in each snapshot, with the tree that is current in it.
    """
    dirty = 0
    after: _Key = ("", 0)
    done = b""  # the key in the tree up to which all is compared
    root: bytes | None = None
    entries: Iterator[tuple[bytes, bytes]] = iter(())
    entry: tuple[bytes, bytes] | None = None
    while True:
        with context.db.snapshot() as connection:
            page = read(connection, number, after)
        if page.root != root:  # at first, and where a flush came between
            root = page.root
            entries = iter(()) if root is None else walk(context.blocks, root, done + b"\0" if done else b"")
            entry = next(entries, None)
        for key, manifest, is_dirty in page.rows:
            if entry is not None and entry[0] < key:
                raise _not_in_index(bucket, entry[0])
            in_tree = entry is not None and entry[0] == key
            if is_dirty:
                dirty += 1
            elif entry is None or not in_tree or manifest is None:
                raise Untrue(f"bucket {bucket!r}: the index holds {key.decode()!r}, and the tree does not")
            elif entry[1] != manifest:
                raise Untrue(f"bucket {bucket!r}: for {key.decode()!r} the tree holds {to_text(entry[1])}, the index "
                             f"{to_text(manifest)}")  # fmt: skip
            if in_tree:
                entry = next(entries, None)
        if page.last is None:
            if entry is not None:
                raise _not_in_index(bucket, entry[0])
            return dirty
        after, done = page.last, page.rows[-1][0]


def _not_in_index(bucket: str, key: bytes) -> Untrue:
    return Untrue(f"bucket {bucket!r}: the tree holds {key.decode()!r}, and the index does not")
