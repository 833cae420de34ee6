"""The commits of each bucket: the newest, a new one, the log, and which of them are published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.core.cid import to_text
from mstbucket.core.commit import Commit
from mstbucket.core.times import moment
from mstbucket.errors import NoSuchBucket
from mstbucket.index.buckets import bucket_id, no_such_bucket
from mstbucket.index.tx import Tx
from mstbucket.limits import SEQ_MAX
from mstbucket.model.buckets import CommitInfo
from mstbucket.pg.binary import bigint_array, cid_array
from mstbucket.pg.queries import one_row

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection

_PAGE: Final = 1000  # commits of a log that are fetched at a time


class Head(NamedTuple):
    """A bucket and its newest commit, as one statement saw them. Before the first commit the last four fields are None.

    Attributes:
        bucket: the row number.
        commit: the CID of the newest commit, None before the first.
        tags: of the bucket.
        tags_dirty: the generation of the last change of tags or versioning; None if a commit holds it.
        now: the time of the database's clock, in ms since 1970.
        tree, versions: the roots of the two trees; `versions` is None where there are none.
        objects, size: how many objects the commit holds, and the sum of their sizes.
    """

    bucket: int
    identity: str
    name: str
    seq: int
    commit: bytes | None
    tags: dict[str, str] | None
    tags_dirty: int | None
    versioning: str | None
    now: int
    tree: bytes | None
    versions: bytes | None
    objects: int | None
    size: int | None


class Roots(NamedTuple):
    """The roots of the two trees of a commit; `versions` is None where there are none."""

    tree: bytes
    versions: bytes | None


class Unpublished(NamedTuple):
    """A commit that is to be published: the row number and the identity of its bucket, its number, its CID."""

    bucket: int
    identity: str
    seq: int
    cid: bytes


class History(NamedTuple):
    """An identity, and the largest number of a commit of the buckets that have it: an import keeps the identity."""

    identity: str
    newest: int


class CommitRow(NamedTuple):
    """A commit that can be read, with the row number and the identity of its bucket; `time` is in ms since 1970."""

    bucket: int
    identity: str
    cid: bytes
    prev: bytes | None
    name: str
    seq: int
    tree: bytes
    versions: bytes | None
    time: int
    objects: int
    size: int
    forked: bytes | None
    merged: bytes | None
    message: str | None
    names: list[str]

    def info(self) -> CommitInfo:
        """The commit as users see it."""
        return CommitInfo(
            cid=to_text(self.cid),
            bucket=self.identity,
            name=self.name,
            seq=self.seq,
            tree=to_text(self.tree),
            versions=None if self.versions is None else to_text(self.versions),
            prev=None if self.prev is None else to_text(self.prev),
            time=moment(self.time),
            objects=self.objects,
            bytes=self.size,
            forked=None if self.forked is None else to_text(self.forked),
            merged=None if self.merged is None else to_text(self.merged),
            message=self.message,
            names=tuple(self.names),
        )


def row_of(bucket: int, cid: bytes, commit: Commit) -> CommitRow:
    """The row of a commit of the bucket with that row number; it has no names yet."""
    c = commit
    return CommitRow(bucket, c.bucket, cid, c.prev, c.name, c.seq, c.tree, c.versions, c.time, c.objects, c.bytes, c.forked,
                     c.merged, c.message, [])  # fmt: skip


#: A SELECT of rows of `CommitRow`, of buckets `b` and their commits `c`.
SELECT_COMMITS: Final = """
    SELECT b.id, b.identity, c.cid, c.prev, c.name, c.seq, c.tree, c.versions, c.time, c.objects, c.bytes, c.forked,
           c.merged, c.message,
           ARRAY (SELECT n.name FROM snapshots n WHERE n.bucket = c.bucket AND n.seq = c.seq ORDER BY n.name)
    FROM buckets b JOIN commits c ON c.bucket = b.id
"""


# --- the newest ---------------------------------------------------------------------------------------------------


def read_head(connection: Connection, name: str) -> Head:
    """The bucket of that name and its newest commit.

    Raises:
        NoSuchBucket: there is none.
    """
    query = """
        SELECT b.id, b.identity, b.name, b.seq, b.commit, b.tags, b.tags_dirty, b.versioning, now_ms(),
               c.tree, c.versions, c.objects, c.bytes
        FROM buckets b LEFT JOIN commits c ON c.bucket = b.id AND c.seq = b.seq WHERE b.name = %s
    """
    row = connection.execute(query, (name,), binary=True).fetchone()
    if row is None:
        raise no_such_bucket(name)
    return Head._make(row)


def read_roots(connection: Connection, bucket: int) -> Roots:
    """The roots of the newest commit of the bucket with that row number.

    Raises:
        NoSuchBucket: the bucket has gone.
    """
    query = "SELECT c.tree, c.versions FROM buckets b JOIN commits c ON c.bucket = b.id AND c.seq = b.seq WHERE b.id = %s"
    row = connection.execute(query, (bucket,), binary=True).fetchone()
    if row is None:
        raise NoSuchBucket("the bucket was deleted while it was checked")
    return Roots._make(row)


def has_whole(db: Database, bucket: int, seq: int) -> bool:
    """Whether a commit with this number, or a later one, left nothing out that was dirty at its snapshot."""
    query = "SELECT EXISTS (SELECT FROM commits WHERE bucket = %s AND seq >= %s AND whole)"
    with db.reading() as connection:
        return bool(one_row(connection, query, (bucket, seq))[0])


def is_whole(tx: Tx, seq: int) -> bool:
    """Whether that commit of the bucket left nothing out that was dirty at its snapshot. Before the first is nothing."""
    if seq == 0:
        return True
    row = tx.connection.execute("SELECT whole FROM commits WHERE bucket = %s AND seq = %s", (tx.bucket, seq)).fetchone()
    return row is not None and bool(row[0])


# --- a new one ----------------------------------------------------------------------------------------------------


def advance(tx: Tx, head: Head, commit: bytes, seq: int) -> bool:
    """Move the bucket from *head* to *commit*, of number *seq*. If *head* is not the newest any more, change nothing: False.

    [TAG-6] The mark of changed tags goes only if it is still the one in *head*.
    """
    query = """
        UPDATE buckets SET commit = %(commit)s, seq = %(new)s,
            tags_since = CASE WHEN tags_dirty = %(mark)s THEN NULL ELSE tags_since END,
            tags_dirty = CASE WHEN tags_dirty = %(mark)s THEN NULL ELSE tags_dirty END
        WHERE id = %(bucket)s AND seq = %(seq)s AND commit IS NOT DISTINCT FROM %(old)s
    """
    asked = {"commit": commit, "mark": head.tags_dirty, "bucket": tx.bucket, "seq": head.seq, "old": head.commit,
             "new": seq}  # fmt: skip
    return tx.connection.execute(query, asked).rowcount == 1


def insert(tx: Tx, cid: bytes, commit: Commit, whole: bool) -> None:
    """Record a commit of the bucket; it is not published yet.

    Another bucket that has a commit which this one names, or the same, is left to the cycles from now on ([GC-22]).

    Args:
        whole: whether it holds everything that was dirty at its snapshot.
    """
    c = commit
    tx.connection.execute(
        "INSERT INTO commits (bucket, seq, cid, prev, forked, merged, message, name, tree, versions, time, objects, bytes, "
        "whole) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (tx.bucket, c.seq, cid, c.prev, c.forked, c.merged, c.message, c.name, c.tree, c.versions, c.time, c.objects,
         c.bytes, whole),
    )
    if tx.seq is None or c.forked is not None or c.merged is not None:
        leave_to_cycles = """
            UPDATE buckets b SET folded = NULL WHERE b.id <> %s AND b.folded IS NOT NULL
            AND EXISTS (SELECT FROM commits c WHERE c.bucket = b.id AND c.cid = ANY (%s))
        """
        named = [one for one in (cid, c.forked, c.merged) if one is not None]
        tx.connection.execute(leave_to_cycles, (tx.bucket, cid_array(named)))


# --- the log ------------------------------------------------------------------------------------------------------


def log(db: Database, name: str) -> Iterator[CommitInfo]:
    """The commits of the bucket that this store knows, newest first.

    Raises:
        NoSuchBucket: there is none of that name.
    """
    query = f"""
        {SELECT_COMMITS}
        WHERE b.id = %s AND c.seq <= %s ORDER BY c.seq DESC LIMIT %s
    """
    last = SEQ_MAX
    with db.reading() as connection:
        bucket = bucket_id(connection, name)
    while True:
        with db.reading() as connection:
            rows = [CommitRow._make(row) for row in connection.execute(query, (bucket, last, _PAGE), binary=True)]
        for row in rows:
            yield row.info()
        if len(rows) < _PAGE:
            return
        last = rows[-1].seq - 1


def newest(db: Database, name: str) -> CommitInfo | None:
    """The newest commit of the bucket, or None before the first flush."""
    return next(log(db, name), None)


# --- what is published --------------------------------------------------------------------------------------------


def unpublished(db: Database, bucket: str) -> list[Unpublished]:
    """The commits of the bucket that no blob publishes yet, the oldest first ([FLUSH-9])."""
    query = """
        SELECT b.id, b.identity, c.seq, c.cid FROM buckets b JOIN commits c ON c.bucket = b.id
        WHERE b.name = %s AND NOT c.published ORDER BY c.seq
    """
    with db.connection() as connection:
        return [Unpublished._make(row) for row in connection.execute(query, (bucket,), binary=True)]


def mark_published(db: Database, commit: Unpublished) -> None:
    """Note that the blob of a commit is durable."""
    with db.connection() as connection:
        query = "UPDATE commits SET published = true WHERE bucket = %s AND seq = %s"
        connection.execute(query, (commit.bucket, commit.seq))


def mark_all_published(tx: Tx) -> None:
    """Note that every commit of the bucket is published: they were found by that."""
    tx.connection.execute("UPDATE commits SET published = true WHERE bucket = %s", (tx.bucket,))


def list_long_histories(db: Database, above: int) -> list[History]:
    """The identities that have a commit with a number above *above*."""
    query = "SELECT identity, max(seq) FROM buckets GROUP BY identity HAVING max(seq) > %s ORDER BY identity"
    with db.reading() as connection:
        return [History._make(row) for row in connection.execute(query, (above,))]


def newest_of_identity(db: Database, identity: str) -> list[int]:
    """The number of the newest commit of every bucket that has this identity."""
    query = "SELECT seq FROM buckets WHERE identity = %s"
    with db.reading() as connection:
        return [seq for (seq,) in connection.execute(query, (identity,))]


def kept_of_identity(db: Database, identity: str, seqs: Sequence[int]) -> set[int]:
    """Those numbers under which a bucket of this identity has a commit that can be read."""
    query = "SELECT c.seq FROM commits c JOIN buckets b ON b.id = c.bucket WHERE b.identity = %s AND c.seq = ANY (%s)"
    with db.reading() as connection:
        return {seq for (seq,) in connection.execute(query, (identity, bigint_array(seqs)), binary=True)}
