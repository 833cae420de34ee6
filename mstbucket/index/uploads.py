"""Multipart uploads: the open ones, and for a while the answers of those that were completed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.core.s3rules.part_checksums import UploadChecksum
from mstbucket.index.listing import CUT, ITEM, PAST, loose_scan, scan_arguments
from mstbucket.index.rows import json_of
from mstbucket.index.tx import Tx
from mstbucket.model.objects import ChecksumType

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection


class NewUpload(NamedTuple):
    """An upload that begins: what its object will have, and when it was initiated, in ms since 1970."""

    id: str
    key: str
    initiated: int
    content_type: str
    headers: Mapping[str, str]
    metadata: Mapping[str, str]
    tags: Mapping[str, str]
    checksum: UploadChecksum


class Answer(NamedTuple):
    """What a completion answered: the object that it made."""

    size: int
    etag: str
    content: bytes
    manifest: bytes
    checksums: Mapping[str, str] | None
    version_id: str | None


class UploadRow(NamedTuple):
    """An upload, open or completed.

    Attributes:
        content_type, headers, metadata, tags, checksum: what its object will have; None is an empty map.
        asked: the digest of the parts that the completion named; None while the upload is open.
        answer: of the completion; None while the upload is open.
    """

    id: str
    content_type: str
    headers: Mapping[str, str] | None
    metadata: Mapping[str, str] | None
    tags: Mapping[str, str] | None
    checksum: UploadChecksum
    asked: bytes | None
    answer: Answer | None


# --- one upload ----------------------------------------------------------------------------------------------------------


def add(tx: Tx, new: NewUpload) -> None:
    """Begin an upload."""
    tx.connection.execute(
        "INSERT INTO uploads"
        " (id, key, initiated, content_type, headers, metadata, tags, checksum_algorithm, checksum_type, bucket)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            new.id, new.key, new.initiated, new.content_type, json_of(new.headers), json_of(new.metadata),
            json_of(new.tags), *new.checksum, tx.bucket,
        ),
    )  # fmt: skip


def abort(tx: Tx, key: str, upload_id: str) -> bool:
    """Remove an open upload with its parts; whether there was one. Waits for a completion under way ([MPU-10])."""
    query = "DELETE FROM uploads WHERE id = %s AND bucket = %s AND key = %s AND completed IS NULL"
    return tx.connection.execute(query, (_comparable(upload_id), tx.bucket, key)).rowcount == 1


def find_open(connection: Connection, bucket: int, key: str, upload_id: str) -> UploadChecksum | None:
    """What the object of an open upload is to have as a checksum; None where there is no such open upload."""
    return _find_open(connection, bucket, key, upload_id, "")


def share_open(tx: Tx, key: str, upload_id: str) -> bool:
    """Keep an open upload from being completed or aborted until the transaction ends; whether there is one."""
    return _find_open(tx.connection, tx.bucket, key, upload_id, "FOR KEY SHARE") is not None


def _find_open(connection: Connection, bucket: int, key: str, upload_id: str, lock: str) -> UploadChecksum | None:
    query = f"""
        SELECT checksum_algorithm, checksum_type FROM uploads
        WHERE id = %s AND bucket = %s AND key = %s AND completed IS NULL {lock}
    """
    row = connection.execute(query, (_comparable(upload_id), bucket, key)).fetchone()
    return None if row is None else UploadChecksum(*row)


def find(connection: Connection, bucket: int, key: str, upload_id: str) -> UploadRow | None:
    """An upload, open or completed, of the bucket with this row number."""
    return _find(connection, bucket, key, upload_id, "")


def hold(tx: Tx, key: str, upload_id: str) -> UploadRow | None:
    """As `find`, for the one transaction that completes it: others wait until this one ends."""
    return _find(tx.connection, tx.bucket, key, upload_id, "FOR UPDATE")


def _find(connection: Connection, bucket: int, key: str, upload_id: str, lock: str) -> UploadRow | None:
    query = f"""
        SELECT content_type, headers, metadata, tags, checksum_algorithm, checksum_type, asked, completed,
               size, etag, content, manifest, checksums, version_id
        FROM uploads
        WHERE id = %s AND bucket = %s AND key = %s {lock}
    """
    row = connection.execute(query, (_comparable(upload_id), bucket, key), binary=True).fetchone()
    if row is None:
        return None
    content_type, headers, metadata, tags, algorithm, kind, asked, completed, *answer = row
    return UploadRow(
        upload_id, content_type, headers, metadata, tags, UploadChecksum(algorithm, kind), asked,
        None if completed is None else Answer(*answer),
    )  # fmt: skip


def complete(tx: Tx, upload_id: str, now: int, asked: bytes, answer: Answer) -> None:
    """Mark an upload as completed at `now`, and keep the answer for those who ask again ([MPU-9])."""
    a = answer
    tx.connection.execute(
        "UPDATE uploads SET completed = %s, asked = %s, size = %s, etag = %s, content = %s, manifest = %s,"
        " checksums = %s, version_id = %s WHERE id = %s",
        (now, asked, a.size, a.etag, a.content, a.manifest, json_of(a.checksums or {}), a.version_id, upload_id),
    )


def _comparable(upload_id: str) -> str:
    """An upload id as the database can compare it. A text that cannot be an id is the id of no upload."""
    return upload_id if isinstance(upload_id, str) and upload_id.isascii() and "\0" not in upload_id else ""


# --- old uploads ---------------------------------------------------------------------------------------------------------


def expire(db: Database, before: int, limit: int) -> int:
    """Abort at most `limit` uploads that were initiated before a time; return how many.

    An upload that somebody works on at this moment is left for the next time.
    """
    return _remove(db, "completed IS NULL AND initiated < %s ORDER BY initiated", before, limit)


def forget_answers(db: Database, before: int, limit: int) -> int:
    """Remove the answers of at most `limit` uploads that were completed before a time; return how many."""
    return _remove(db, "completed < %s ORDER BY completed", before, limit)


def _remove(db: Database, which: str, before: int, limit: int) -> int:
    query = f"""
        WITH gone AS MATERIALIZED (
            SELECT id FROM uploads WHERE {which} LIMIT %s FOR UPDATE SKIP LOCKED)
        DELETE FROM uploads u USING gone WHERE u.id = gone.id
    """
    with db.connection() as connection:
        return connection.execute(query, (before, limit)).rowcount


# --- listing -------------------------------------------------------------------------------------------------------------


class Listed(NamedTuple):
    """An item of a listing: an open upload, or a common prefix of keys.

    Attributes:
        text: the key, or the common prefix.
        cut: 0 for an upload; above 0 for a common prefix, and the fields behind it then say nothing.
    """

    text: str
    id: str
    initiated: int
    cut: int
    algorithm: str | None
    type: ChecksumType | None


_PLAIN: Final = """
    SELECT key, id, initiated, 0, checksum_algorithm, checksum_type FROM uploads
    WHERE bucket = %(bucket)s AND completed IS NULL AND key >= %(prefix)s AND key <= %(end)s
        AND (key, id) > (%(key)s, %(id)s)
    ORDER BY key, id LIMIT %(limit)s
"""
_NEXT: Final = f"""
    SELECT o.key, o.id, o.initiated, {CUT}, o.checksum_algorithm AS algorithm, o.checksum_type AS type FROM uploads o
    WHERE o.bucket = %(bucket)s AND o.completed IS NULL AND {{above}} AND o.key <= %(end)s ORDER BY o.key, o.id LIMIT 1
"""
_FIRST: Final = "o.key >= %(prefix)s AND (o.key, o.id) > (%(key)s, %(id)s)"
_LATER: Final = f"(o.key, o.id) > ({PAST}, CASE WHEN p.cut = 0 THEN p.id ELSE '' END)"
_LOOSE: Final = f"""
    {loose_scan(_NEXT, _FIRST, _LATER)}
    SELECT {ITEM}, p.id, p.initiated, p.cut, p.algorithm, p.type FROM page p ORDER BY p.n
"""


def page_of_open(
    connection: Connection, bucket: int, prefix: str, delimiter: str | None, key: str, upload_id: str, limit: int
) -> list[Listed]:
    """At most `limit` items of the open uploads with `prefix`, above (`key`, `upload_id`), rolled up at the delimiter."""
    arguments = scan_arguments(bucket, prefix, delimiter, limit) | {"key": key, "id": upload_id}
    query = _LOOSE if delimiter else _PLAIN
    return list(map(Listed._make, connection.execute(query, arguments, binary=True).fetchall()))
