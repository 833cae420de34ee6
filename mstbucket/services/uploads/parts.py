"""Parts of multipart uploads: their bytes go to the blob store as they arrive, their chunks' digests to the database."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Final, cast

from mstbucket.core.cid import RAW_PREFIX
from mstbucket.core.keys import encode_key
from mstbucket.core.s3rules.conditions import Conditions
from mstbucket.core.s3rules.digests import Claims, claims_of
from mstbucket.core.times import moment
from mstbucket.errors import BlocksMoved, EntityTooLarge, InvalidInput, InvalidRange, InvalidRequest, MethodNotAllowed
from mstbucket.index.buckets import bucket_id
from mstbucket.index.rows import json_of
from mstbucket.limits import PART_SIZE_MAX, PARTS_MAX
from mstbucket.model.objects import EMPTY, Body
from mstbucket.model.uploads import Part
from mstbucket.pg import binary
from mstbucket.pg.queries import one_row
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.incoming import Incoming, repeating
from mstbucket.services.objects.read import Source, Wanted, open_object
from mstbucket.services.objects.read_body import BodyRead, read_body
from mstbucket.services.uploads.part_checksums import Kind
from mstbucket.services.uploads.uploads import find_open

_SOURCE_RANGE: Final = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a part goes: bucket, key, upload, number."""

    bucket: str
    key: str
    upload_id: str
    number: int


def upload_part(
    context: Context,
    target: Target,
    body: Body,
    content_md5: str | None,
    checksums: Mapping[str, str],
    checksum_algorithm: str | None,
) -> Part:
    """Store a part; see `Bucket.upload_part`."""
    kind = _check(context, target)
    claimed = claims_of(content_md5, checksums, checksum_algorithm)
    kind.check_part(claimed.algorithms)
    if kind.algorithm is not None:  # [SUM-8] whether it was given or not
        claimed = replace(claimed, algorithms=(kind.algorithm,))
    if isinstance(body, (bytes, bytearray, memoryview, os.PathLike)):
        return repeating(lambda: _store(context, target, body, claimed))
    return _store(context, target, body, claimed)


def copy_part(context: Context, target: Target, source: Source, span: str | None) -> Part:
    """Store bytes of an object as a part; see `Bucket.upload_part_copy`.

    The bytes are read, since the part's ETag is their MD5; chunks that the store has are not written again.
    """
    kind = _check(context, target)
    try:
        return repeating(lambda: _copy(context, target, source, span, kind))
    except MethodNotAllowed as error:  # a read is refused with 405, a source with 400
        raise InvalidRequest(f"{error}: there is nothing to copy") from error


def _copy(context: Context, target: Target, source: Source, span: str | None, kind: Kind) -> Part:
    everything = Wanted(source.key, source.version_id)
    with open_object(context.db, context.blocks, source.bucket, everything, Conditions()) as whole:
        size = whole.info.size
        start, stop = (0, size) if span is None else _source_range(span, size)
    if stop - start > PART_SIZE_MAX:
        raise EntityTooLarge(f"a part takes up to {PART_SIZE_MAX} bytes, not {stop - start}: copy ranges of {source.key!r}")
    exact = None if (start, stop) == (0, size) else f"bytes={start}-{stop - 1}"
    wanted = Wanted(source.key, source.version_id, exact)
    with open_object(context.db, context.blocks, source.bucket, wanted, Conditions()) as body:
        return _store(context, target, cast("BinaryIO", body), claims_of(None, EMPTY, kind.algorithm))


def _source_range(text: str, size: int) -> tuple[int, int]:
    """S3 takes one form only here, and both ends have to be inside the source ([MPU-13])."""
    found = _SOURCE_RANGE.fullmatch(text)
    first, last = (int(found[1]), int(found[2])) if found else (1, 0)
    if last < first:
        raise InvalidInput(f"{text!r} is not a copy range: write it as 'bytes=FIRST-LAST', with both ends")
    if last >= size:
        raise InvalidRange(f"copy range {text!r} ends outside the source, which has {size} bytes")
    return first, last + 1


def _check(context: Context, target: Target) -> Kind:
    """Refuse early, before the body is read, what the transaction would refuse in the end; the upload's checksum."""
    encode_key(target.key)
    number = target.number
    if type(number) is not int or not 1 <= number <= PARTS_MAX:  # [MPU-2]
        raise InvalidInput(f"part number {number!r} is not an integer from 1 to {PARTS_MAX}")
    with context.db.reading() as connection:
        return _find(connection, target, bucket_id(connection, target.bucket), "")


def _find(connection: Any, target: Target, bucket: int, lock: str) -> Kind:
    return find_open(connection, target.bucket, bucket, target.key, target.upload_id, lock)


class _Chunks:
    """The chunks of a part on their way into the store; nodes are left out."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._size = 0
        self.digests = bytearray()

    def add(self, cid: bytes, block: bytes | memoryview) -> None:
        """Take the next block of the part's body."""
        if not cid.startswith(RAW_PREFIX):
            return  # a node of the part as a body of its own: only the whole body's nodes are ever needed
        self._size += len(block)
        if self._size > PART_SIZE_MAX:
            raise EntityTooLarge(f"a part takes up to {PART_SIZE_MAX} bytes: send the rest as further parts")
        self.digests += cid[len(RAW_PREFIX) :]
        self._incoming.add(cid, block)


def _store(context: Context, target: Target, body: Body, claimed: Claims) -> Part:
    with Incoming(context) as incoming:
        chunks = _Chunks(incoming)
        taken = read_body(body, lambda: chunks, claimed.algorithms)
        what = f"part {target.number} of {target.key!r}"
        checksums = claimed.check(what, taken.etag, taken.digests)  # [SUM-8] else nothing is stored
        part = Part(target.number, taken.etag, taken.size, moment(now := context.db.now_ms()), checksums)

        def record(connection: Any) -> None:
            _record(connection, target, taken, incoming, bytes(chunks.digests), now, checksums)

        incoming.seal()
        try:
            incoming.commit(lambda: context.db.run(record))
        except BlocksMoved:
            if taken.inline is None or chunks.digests:
                raise
            chunks.add(taken.content, taken.inline)  # [PUT-13] a small chunk that is in a damaged pack
            incoming.seal()
            incoming.commit(lambda: context.db.run(record))
    return part


def _record(
    connection: Any,
    target: Target,
    taken: BodyRead,
    incoming: Incoming,
    digests: bytes,
    now: int,
    checksums: Mapping[str, str],
) -> None:
    """The transaction ([MPU-3]): the row of the upload first, shared, which a completion or an abort takes exclusively."""
    bucket, epoch, _ = one_row(connection, "SELECT * FROM enter(%s)", (target.bucket,))
    _find(connection, target, bucket, "FOR KEY SHARE")
    if digests:
        incoming.record(connection, epoch)
    else:
        assert taken.inline is not None
        digests = taken.content[len(RAW_PREFIX) :]
        cids, bodies = binary.bytea_array([taken.content]), binary.bytea_array([taken.inline])
        connection.execute("SELECT add_bodies(%s, %s, %s)", (epoch, cids, bodies))
    connection.execute(
        "SELECT put_part(%s, %s, %s, %s, %s, %s, %s, %s)",
        (
            target.upload_id, target.number, taken.size, bytes.fromhex(taken.etag), taken.sha256, now, digests,
            json_of(checksums),
        ),
    )  # fmt: skip
