"""Multipart uploads as such: begin, abort, list, expire. Parts are in `services.parts`, the end in `services.completing`."""

from __future__ import annotations

import secrets
from typing import Any, Final

from mstbucket.core import manifest as manifests
from mstbucket.core.cid import raw_cid
from mstbucket.core.keys import TOP, check_text, encode_key
from mstbucket.core.manifest import Manifest
from mstbucket.core.s3rules.listing import common_prefix, page_size
from mstbucket.core.s3rules.metadata import DEFAULT_TYPE, check_request, lower
from mstbucket.core.s3rules.retention import lock_wanted
from mstbucket.core.s3rules.tags import tags_of
from mstbucket.core.times import moment
from mstbucket.errors import InvalidInput, NoSuchUpload
from mstbucket.index import listing_uploads
from mstbucket.index.buckets import bucket_id, require
from mstbucket.index.locks import note_for_upload
from mstbucket.index.rows import json_of
from mstbucket.index.tx import Tx
from mstbucket.limits import PARTS_MAX, UPLOAD_AGE_DAYS, UPLOAD_ANSWER_DAYS
from mstbucket.model.objects import EMPTY, PutRequest
from mstbucket.model.uploads import Part, PartsPage, Upload, UploadsPage
from mstbucket.pg.queries import one_row
from mstbucket.services.blocks.context import Context
from mstbucket.services.uploads.part_checksums import Kind

DAY_MS: Final = 24 * 3600 * 1000
UPLOAD_AGE_MS: Final = UPLOAD_AGE_DAYS * DAY_MS
_EXPIRED: Final = 10  # uploads of one batch, which may have 10,000 parts each: a transaction of a second at most
_LAST: Final = "~"  # above every upload id, which is of hexadecimal digits


def create(context: Context, bucket: str, request: PutRequest, wanted: Kind) -> Upload:
    """Begin an upload; see `Bucket.create_multipart_upload`. The body of the request is not looked at."""
    check_request(request)
    lock = lock_wanted(request)
    headers, metadata, tags = lower(request.headers), lower(request.metadata), tags_of(request)
    content_type = request.content_type or DEFAULT_TYPE
    now = context.db.now_ms()
    # [MPU-1] what no manifest can hold is refused now, not after all parts have been sent
    manifests.encode(
        Manifest(raw_cid(b""), 0, "0", content_type, now, now, headers=headers, metadata=metadata, tags=tags)
    )
    name = f"{now:012x}{secrets.token_hex(16)}"
    row = (
        name, request.key, now, content_type, json_of(headers), json_of(metadata), json_of(tags), wanted.algorithm,
        wanted.type,
    )  # fmt: skip

    def work(connection: Any) -> None:
        number, epoch, versioning = one_row(connection, "SELECT * FROM enter(%s)", (bucket,))
        connection.execute(
            "INSERT INTO uploads"
            " (id, key, initiated, content_type, headers, metadata, tags, checksum_algorithm, checksum_type, bucket)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (*row, number),
        )
        note_for_upload(Tx(connection, number, epoch, versioning), name, lock)

    context.db.run(work)
    return Upload(name, request.key, moment(now), wanted.algorithm, wanted.type)


def abort(context: Context, bucket: str, key: str, upload_id: str) -> None:
    """Remove an open upload with its parts; see `Bucket.abort_multipart_upload`."""
    encode_key(key)

    def work(connection: Any) -> None:
        number, _, _ = one_row(connection, "SELECT * FROM enter(%s)", (bucket,))
        # [MPU-10] waits for a completion under way, and looks again at what it left
        query = "DELETE FROM uploads WHERE id = %s AND bucket = %s AND key = %s AND completed IS NULL"
        if connection.execute(query, (checked_id(upload_id), number, key)).rowcount != 1:
            raise no_such_upload(bucket, key, upload_id)

    context.db.run(work)


def checked_id(upload_id: str) -> str:
    """An upload id as the database can compare it; what cannot be one is no id of any upload."""
    return upload_id if isinstance(upload_id, str) and upload_id.isascii() and "\0" not in upload_id else ""


def no_such_upload(bucket: str, key: str, upload_id: str) -> NoSuchUpload:
    """The error for an upload that is not open."""
    return NoSuchUpload(
        f"bucket {bucket!r} has no open upload {upload_id!r} for {key!r}: it was completed, aborted, has expired, or "
        "never was; begin another"
    )


def find_open(connection: Any, bucket: str, number: int, key: str, upload_id: str, lock: str) -> Kind:
    """What the open upload of that id for that key is to have as a checksum; `NoSuchUpload` where there is none."""
    query = f"""
        SELECT checksum_algorithm, checksum_type FROM uploads
        WHERE id = %s AND bucket = %s AND key = %s AND completed IS NULL {lock}
    """
    row = connection.execute(query, (checked_id(upload_id), number, key)).fetchone()
    if row is None:
        raise no_such_upload(bucket, key, upload_id)
    return Kind(*row)


# --- listing -----------------------------------------------------------------------------------------------------------


def list_parts(
    context: Context, bucket: str, key: str, upload_id: str, part_number_marker: int, max_parts: int
) -> PartsPage:
    """One page of an upload's parts; see `Bucket.list_parts`."""
    encode_key(key)
    wanted = page_size("max_parts", max_parts)
    if part_number_marker < 0:
        raise InvalidInput(f"part_number_marker is {part_number_marker}; it must not be negative")
    query = """
        SELECT number, md5, size, modified, checksums FROM parts
        WHERE upload = %s AND number > %s ORDER BY number LIMIT %s
    """
    with context.db.reading() as connection:
        number = bucket_id(connection, bucket)
        kind = find_open(connection, bucket, number, key, upload_id, "")
        if wanted == 0:
            return PartsPage((), False, None, kind.algorithm, kind.type)
        marker = min(part_number_marker, PARTS_MAX)
        rows = connection.execute(query, (upload_id, marker, wanted + 1), binary=True).fetchall()
    # [MPU-14] one more was asked for than the page holds, so an exact fit is not truncated
    parts = tuple(Part(n, md5.hex(), size, moment(ms), sums or EMPTY) for n, md5, size, ms, sums in rows[:wanted])
    truncated = len(rows) > wanted
    return PartsPage(parts, truncated, parts[-1].number if truncated else None, kind.algorithm, kind.type)


def list_uploads(
    context: Context,
    bucket: str,
    *,
    prefix: str,
    delimiter: str | None,
    key_marker: str | None,
    upload_id_marker: str | None,
    max_uploads: int,
) -> UploadsPage:
    """One page of a bucket's open uploads; see `Bucket.list_multipart_uploads`."""
    check_text("prefix", prefix)
    for name, text in (("delimiter", delimiter), ("key_marker", key_marker), ("upload_id_marker", upload_id_marker)):
        check_text(name, text or "")
    wanted = page_size("max_uploads", max_uploads)
    if wanted == 0:
        require(context.db, bucket)
        return UploadsPage((), (), False, None, None)
    after = _start(prefix, delimiter, key_marker or "", upload_id_marker)
    rows = listing_uploads.list_uploads(context.db, bucket, prefix, delimiter, after, wanted + 1)
    truncated = len(rows) > wanted
    rows = rows[:wanted]
    last = rows[-1] if truncated else None
    return UploadsPage(
        tuple(
            Upload(row.id, row.key, moment(row.initiated), row.checksum_algorithm, row.checksum_type)
            for row in rows
            if row.cut == 0
        ),
        tuple(row.key for row in rows if row.cut != 0),
        truncated,
        None if last is None else last.key,
        None if last is None or last.cut != 0 else last.id,
    )


def _start(prefix: str, delimiter: str | None, key: str, upload_id: str | None) -> tuple[str, str]:
    """What the first item must be above. A marker that is itself a common prefix is done with all of it ([MPU-15])."""
    if common_prefix(key, prefix, delimiter) == key:
        return key + TOP, ""
    if key == "":
        return "", ""  # an upload id without a key says nothing
    return key, _LAST if upload_id is None else upload_id


# --- expiry ------------------------------------------------------------------------------------------------------------


def expire_uploads(context: Context, older_than: int = UPLOAD_AGE_MS) -> int:
    """Abort every upload that was initiated more than `older_than` milliseconds ago; return how many.

    In batches of 10, each a transaction of its own; uploads that somebody works on at this moment are left for the
    next time. Safe from several processes at once, and to repeat.
    """
    query = """
        WITH gone AS MATERIALIZED (
            SELECT id FROM uploads WHERE completed IS NULL AND initiated < %s ORDER BY initiated LIMIT %s
            FOR UPDATE SKIP LOCKED)
        DELETE FROM uploads u USING gone WHERE u.id = gone.id
    """
    return _in_batches(context, query, context.db.now_ms() - older_than)


def forget_answers(context: Context, older_than: int = UPLOAD_ANSWER_DAYS * DAY_MS) -> int:
    """Remove what is kept of uploads that were completed more than `older_than` milliseconds ago; return how many.

    After that a repeated completion finds no upload ([MPU-9]).
    """
    query = """
        WITH gone AS MATERIALIZED (
            SELECT id FROM uploads WHERE completed < %s ORDER BY completed LIMIT %s FOR UPDATE SKIP LOCKED)
        DELETE FROM uploads u USING gone WHERE u.id = gone.id
    """
    return _in_batches(context, query, context.db.now_ms() - older_than)


def _in_batches(context: Context, query: str, before: int) -> int:
    total = 0
    while True:
        with context.db.connection() as connection:
            gone = connection.execute(query, (before, _EXPIRED)).rowcount
        total += gone
        if gone < _EXPIRED:
            return total
