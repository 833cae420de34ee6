"""Check a bucket against its store: the judge reads an export that is never written down, then index meets tree."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any, Final

from mstbucket.core import car
from mstbucket.core.cid import to_text
from mstbucket.core.closure import closure
from mstbucket.core.keys import version_key
from mstbucket.core.mst.walk import walk
from mstbucket.errors import NoSuchCommit, Untrue
from mstbucket.model import CheckReport
from mstbucket.pg.queries import server_cursor
from mstbucket.services.buckets import bucket_id
from mstbucket.services.context import Context
from mstbucket.services.damage import look_again
from mstbucket.services.naming import naming
from mstbucket.services.versions import check_history
from mstbucket.verify.car import verify_car
from mstbucket.verify.seen import Seen

_FETCH: Final = 2000  # rows of the index fetched at a time


def check(context: Context, bucket: str, progress: Callable[[int], object] | None) -> CheckReport:
    """Verify the newest commit in the store, and the index against it; see `Bucket.verify`."""
    with naming(context, bucket), context.db.snapshot() as connection:
        number = bucket_id(connection, bucket)
        head = """
            SELECT c.cid, c.tree, c.versions, b.tags, b.versioning, b.tags_dirty
            FROM buckets b JOIN commits c ON c.bucket = b.id AND c.seq = b.seq
            WHERE b.id = %s
        """
        row = connection.execute(head, (number,), binary=True).fetchone()
        if row is None:
            raise NoSuchCommit(f"bucket {bucket!r} has no commit yet: flush it first")
        commit, tree, versions, tags, versioning, tags_dirty = row
        with Seen() as seen, io.BufferedReader(_Sections(context, commit, seen), car.WINDOW) as stream:
            report = verify_car(stream, progress)
        dirty = int(tags_dirty is not None)
        for root, read in ((tree, _objects), (versions, _versions)):
            with closing(read(connection, number)) as rows:  # before the connection is given back
                dirty += _compare(context, bucket, root, rows)
        if tags_dirty is None and dict(report.commit.tags) != (tags or {}):  # [TAG-6]
            raise Untrue(f"bucket {bucket!r}: its tags are not those in commit {to_text(commit)}")
        if tags_dirty is None and report.commit.versioning != versioning:  # [VSN-8]
            raise Untrue(f"bucket {bucket!r}: its versioning is not that in commit {to_text(commit)}")
        wrong = check_history(connection, number)
        if wrong is not None:
            raise Untrue(f"bucket {bucket!r}: {wrong}")
    look_again(context.db, context.blocks.pack)  # [PUT-15]
    return CheckReport(to_text(commit), report.blocks, report.objects, report.bytes, dirty)


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


def _objects(connection: Any, number: int) -> Generator[_Row, None, None]:
    query = """
        SELECT coalesce(o.key, d.key), o.manifest, d.key IS NOT NULL
        FROM (SELECT key, manifest FROM objects WHERE bucket = %(bucket)s) o
        FULL JOIN (SELECT key FROM dirty WHERE bucket = %(bucket)s) d ON d.key = o.key
        ORDER BY coalesce(o.key, d.key) COLLATE "C"
    """
    with server_cursor(connection, "checking", _FETCH) as cursor:
        for key, manifest, is_dirty in cursor.execute(query, {"bucket": number}):
            yield key.encode(), manifest, is_dirty


def _versions(connection: Any, number: int) -> Generator[_Row, None, None]:
    query = """
        SELECT coalesce(v.key, d.key), coalesce(v.seq, d.seq), v.manifest, d.key IS NOT NULL
        FROM (SELECT key, seq, manifest FROM versions WHERE bucket = %(bucket)s) v
        FULL JOIN (SELECT key, seq FROM dirty_versions WHERE bucket = %(bucket)s) d ON d.key = v.key AND d.seq = v.seq
        ORDER BY coalesce(v.key, d.key) COLLATE "C", coalesce(v.seq, d.seq) DESC
    """
    with server_cursor(connection, "checking", _FETCH) as cursor:
        for key, seq, manifest, is_dirty in cursor.execute(query, {"bucket": number}):
            yield version_key(key.encode(), seq), manifest, is_dirty


def _compare(context: Context, bucket: str, tree: bytes | None, rows: Iterator[_Row]) -> int:
    """Index and tree side by side in key order ([FLUSH-1]: for every key without a dirty row they are equal)."""
    dirty = 0
    entries = iter(()) if tree is None else walk(context.blocks, tree)
    entry = next(entries, None)
    for key, manifest, is_dirty in rows:
        if entry is not None and entry[0] < key:
            raise Untrue(f"bucket {bucket!r}: the tree holds {entry[0].decode()!r}, and the index does not")
        in_tree = entry is not None and entry[0] == key
        if is_dirty:
            dirty += 1
        elif entry is None or not in_tree or manifest is None:
            raise Untrue(f"bucket {bucket!r}: the index holds {key.decode()!r}, and the tree does not")
        elif entry[1] != manifest:
            raise Untrue(
                f"bucket {bucket!r}: for {key.decode()!r} the tree holds {to_text(entry[1])}, the index {to_text(manifest)}"
            )
        if in_tree:
            entry = next(entries, None)
    if entry is not None:
        raise Untrue(f"bucket {bucket!r}: the tree holds {entry[0].decode()!r}, and the index does not")
    return dirty
