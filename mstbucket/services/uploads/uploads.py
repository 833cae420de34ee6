"""Multipart uploads as such: begin, abort, list, expire. `parts` takes their parts, `complete` makes the object."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from mstbucket.core import manifest as manifests
from mstbucket.core.cid import raw_cid
from mstbucket.core.keys import TOP, check_text, encode_key
from mstbucket.core.manifest import Manifest
from mstbucket.core.s3rules.listing import common_prefix, page_size
from mstbucket.core.s3rules.metadata import DEFAULT_TYPE, check_request, lower_names
from mstbucket.core.s3rules.part_checksums import UploadChecksum
from mstbucket.core.s3rules.retention import lock_wanted
from mstbucket.core.s3rules.tags import tags_of
from mstbucket.core.times import DAY_MS, moment
from mstbucket.errors import InvalidInput, NoSuchUpload
from mstbucket.index import parts as part_rows
from mstbucket.index import uploads as rows
from mstbucket.index.buckets import bucket_id
from mstbucket.index.locks import note_for_upload
from mstbucket.index.tx import Tx, inside
from mstbucket.index.uploads import NewUpload
from mstbucket.limits import PARTS_MAX, UPLOAD_AGE_DAYS, UPLOAD_ANSWER_DAYS
from mstbucket.model.objects import EMPTY, PutRequest
from mstbucket.model.uploads import Part, PartsPage, Upload, UploadsPage
from mstbucket.services.blocks.context import Context

UPLOAD_AGE_MS: Final = UPLOAD_AGE_DAYS * DAY_MS
_EXPIRED: Final = 10  # uploads of one batch, which may have 10,000 parts each: a transaction of a second at most
_LAST: Final = "~"  # above every upload id, which is of hexadecimal digits


def create(context: Context, bucket: str, request: PutRequest, wanted: UploadChecksum) -> Upload:
    """Begin an upload; see `Bucket.create_multipart_upload`. The body of the request is not looked at."""
    check_request(request)
    lock = lock_wanted(request)
    headers, metadata, tags = lower_names(request.headers), lower_names(request.metadata), tags_of(request)
    content_type = request.content_type or DEFAULT_TYPE
    now = context.db.now_ms()
    # [MPU-1] what no manifest can hold is refused now, and not after all parts have been sent
    manifests.encode(
        Manifest(raw_cid(b""), 0, "0", content_type, now, now, headers=headers, metadata=metadata, tags=tags)
    )
    name = f"{now:012x}{secrets.token_hex(16)}"
    new = NewUpload(name, request.key, now, content_type, headers, metadata, tags, wanted)

    def work(tx: Tx) -> None:
        rows.add(tx, new)
        note_for_upload(tx, name, lock)

    inside(context.db, bucket, work)
    return Upload(name, request.key, moment(now), *wanted)


def abort(context: Context, bucket: str, key: str, upload_id: str) -> None:
    """Remove an open upload with its parts; see `Bucket.abort_multipart_upload`."""
    encode_key(key)

    def work(tx: Tx) -> None:
        if not rows.abort(tx, key, upload_id):  # [MPU-10] a completion under way comes first
            raise no_such_upload(bucket, key, upload_id)

    inside(context.db, bucket, work)


def no_such_upload(bucket: str, key: str, upload_id: str) -> NoSuchUpload:
    """The error for an upload that is not open."""
    return NoSuchUpload(
        f"bucket {bucket!r} has no open upload {upload_id!r} for {key!r}: it was completed, aborted, has expired, or "
        "never was; begin another"
    ).about(bucket=bucket, key=key)


def checksum_of_open(context: Context, bucket: str, key: str, upload_id: str) -> UploadChecksum:
    """What the object of an open upload is to have as a checksum.

    Raises:
        NoSuchUpload, NoSuchBucket: there is no such open upload.
    """
    with context.db.reading() as connection:
        found = rows.find_open(connection, bucket_id(connection, bucket), key, upload_id)
    if found is None:
        raise no_such_upload(bucket, key, upload_id)
    return found


# --- listing -----------------------------------------------------------------------------------------------------------


def list_parts(
    context: Context, bucket: str, key: str, upload_id: str, part_number_marker: int, max_parts: int
) -> PartsPage:
    """One page of an upload's parts; see `Bucket.list_parts`."""
    encode_key(key)
    wanted = page_size("max_parts", max_parts)
    if part_number_marker < 0:
        raise InvalidInput(f"part_number_marker is {part_number_marker}; it must not be negative")
    checksum = checksum_of_open(context, bucket, key, upload_id)
    if wanted == 0:
        return PartsPage((), False, None, *checksum)
    with context.db.reading() as connection:
        # [MPU-14] one more than the page holds, so an exact fit is not truncated
        found = part_rows.page_of(connection, upload_id, min(part_number_marker, PARTS_MAX), wanted + 1)
    parts = tuple(
        Part(part.number, part.md5.hex(), part.size, moment(part.modified), part.checksums or EMPTY)
        for part in found[:wanted]
    )
    truncated = len(found) > wanted
    return PartsPage(parts, truncated, parts[-1].number if truncated else None, *checksum)


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
    key, upload_id = _start(prefix, delimiter, key_marker or "", upload_id_marker)
    with context.db.reading() as connection:
        number = bucket_id(connection, bucket)
        if wanted == 0:
            return UploadsPage((), (), False, None, None)
        found = rows.page_of_open(connection, number, prefix, delimiter, key, upload_id, wanted + 1)
    page = found[:wanted]
    last = page[-1] if len(found) > wanted else None
    return UploadsPage(
        uploads=tuple(
            Upload(item.id, item.text, moment(item.initiated), item.algorithm, item.type) for item in page if item.cut == 0
        ),
        common_prefixes=tuple(item.text for item in page if item.cut != 0),
        is_truncated=last is not None,
        next_key_marker=None if last is None else last.text,
        next_upload_id_marker=None if last is None or last.cut != 0 else last.id,
    )


def _start(prefix: str, delimiter: str | None, key: str, upload_id: str | None) -> tuple[str, str]:
    """The key and the upload id that the first item must be above.

    A marker that is a common prefix stands for everything below it ([MPU-15]).
    """
    if common_prefix(key, prefix, delimiter) == key:
        return key + TOP, ""
    if key == "":
        return "", ""  # an upload id without a key says nothing
    return key, _LAST if upload_id is None else upload_id


# --- expiry ------------------------------------------------------------------------------------------------------------


def expire_uploads(context: Context, older_than: int = UPLOAD_AGE_MS) -> int:
    """Abort every upload that was initiated more than `older_than` milliseconds ago; return how many.

    Each batch of 10 is a transaction of its own. An upload that somebody works on at this moment is left for the next
    time. Several processes may do this at once, and it may be repeated.
    """
    before = context.db.now_ms() - older_than
    return _in_batches(lambda limit: rows.expire(context.db, before, limit))


def forget_answers(context: Context, older_than: int = UPLOAD_ANSWER_DAYS * DAY_MS) -> int:
    """Remove what is kept of uploads that were completed more than `older_than` milliseconds ago; return how many.

    After that a repeated completion finds no upload ([MPU-9]).
    """
    before = context.db.now_ms() - older_than
    return _in_batches(lambda limit: rows.forget_answers(context.db, before, limit))


def _in_batches(remove: Callable[[int], int]) -> int:
    """Call `remove` with the size of a batch until it finds no full batch any more; how many it removed together."""
    total = 0
    while True:
        gone = remove(_EXPIRED)
        total += gone
        if gone < _EXPIRED:
            return total
