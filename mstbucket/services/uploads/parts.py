"""Parts of multipart uploads: their bytes go to the blob store as they arrive, the digests of their chunks to the index."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mstbucket.core.cid import RAW_PREFIX
from mstbucket.core.keys import encode_key
from mstbucket.core.s3rules.conditions import Conditions
from mstbucket.core.s3rules.digests import Claims, claims_of
from mstbucket.core.s3rules.part_checksums import UploadChecksum
from mstbucket.core.s3rules.parts import check_number, copy_range
from mstbucket.core.times import moment
from mstbucket.errors import BlocksMoved, EntityTooLarge, InvalidRequest, MethodNotAllowed
from mstbucket.index import parts as part_rows
from mstbucket.index import uploads
from mstbucket.index.objects import add_bodies
from mstbucket.index.parts import NewPart
from mstbucket.index.tx import Tx, inside
from mstbucket.limits import PART_SIZE_MAX
from mstbucket.model.objects import EMPTY, Body
from mstbucket.model.uploads import Part
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.incoming import Incoming, repeating
from mstbucket.services.objects.read import Source, Wanted, open_object
from mstbucket.services.objects.read_body import read_body
from mstbucket.services.uploads.uploads import checksum_of_open, no_such_upload


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
    behind: Callable[[], Mapping[str, str]] | None = None,
) -> Part:
    """Store a part; see `Bucket.upload_part`."""
    checksum = _check(context, target)
    claimed = claims_of(content_md5, checksums, checksum_algorithm)
    checksum.check_part(claimed.algorithms)
    if checksum.algorithm is not None:  # [SUM-8] whether it was given or not
        claimed = replace(claimed, algorithms=(checksum.algorithm,))
    if isinstance(body, (bytes, bytearray, memoryview, os.PathLike)):
        return repeating(lambda: _store(context, target, body, claimed, behind))
    return _store(context, target, body, claimed, behind)


def copy_part(context: Context, target: Target, source: Source, span: str | None) -> Part:
    """Store bytes of an object as a part; see `Bucket.upload_part_copy`.

    The bytes are read, since the part's ETag is their MD5; chunks that the store has are not written again.
    """
    checksum = _check(context, target)
    try:
        return repeating(lambda: _copy(context, target, source, span, checksum))
    except MethodNotAllowed as error:  # a read is refused with 405, a source with 400
        raise InvalidRequest(f"{error}: there is nothing to copy") from error


def _copy(context: Context, target: Target, source: Source, span: str | None, checksum: UploadChecksum) -> Part:
    everything = Wanted(source.key, source.version_id)
    with open_object(context.db, context.blocks, source.bucket, everything, Conditions()) as whole:
        size = whole.info.size
        start, stop = (0, size) if span is None else copy_range(span, size)
    if stop - start > PART_SIZE_MAX:
        raise EntityTooLarge(f"a part takes up to {PART_SIZE_MAX} bytes, not {stop - start}: copy ranges of {source.key!r}")
    exact = None if (start, stop) == (0, size) else f"bytes={start}-{stop - 1}"
    wanted = Wanted(source.key, source.version_id, exact)
    with open_object(context.db, context.blocks, source.bucket, wanted, Conditions()) as body:
        return _store(context, target, body, claims_of(None, EMPTY, checksum.algorithm))


def _check(context: Context, target: Target) -> UploadChecksum:
    """Refuse, before the body is read, what the transaction would refuse in the end; return the upload's checksum."""
    encode_key(target.key)
    check_number(target.number)
    return checksum_of_open(context, target.bucket, target.key, target.upload_id)


class _Chunks:
    """The chunks of a part on their way into the store; nodes are left out."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._size = 0
        self.digests = bytearray()

    def add(self, cid: bytes, block: bytes | memoryview) -> None:
        """Take the next block of the part's body."""
        if not cid.startswith(RAW_PREFIX):
            return  # only the nodes of the whole body are ever needed, not those of a part as a body of its own
        self._size += len(block)
        if self._size > PART_SIZE_MAX:
            raise EntityTooLarge(f"a part takes up to {PART_SIZE_MAX} bytes: send the rest as further parts")
        self.digests += cid[len(RAW_PREFIX) :]
        self._incoming.add(cid, block)


def _store(
    context: Context,
    target: Target,
    body: Body,
    claimed: Claims,
    behind: Callable[[], Mapping[str, str]] | None = None,
) -> Part:
    with Incoming(context) as incoming:
        chunks = _Chunks(incoming)
        read = read_body(body, lambda: chunks, claimed.algorithms)
        if behind is not None:
            claimed = claimed.also(behind())
        what = f"part {target.number} of {target.key!r}"
        checksums = claimed.check(what, read.etag, read.digests)  # [SUM-8] else nothing is stored
        now = context.db.now_ms()

        def record(tx: Tx) -> None:
            """The transaction ([MPU-3]): the row of the upload first. A completion or an abort would wait for it."""
            if not uploads.share_open(tx, target.key, target.upload_id):
                raise no_such_upload(target.bucket, target.key, target.upload_id)
            digests = bytes(chunks.digests)
            if digests:
                incoming.record(tx, tx.seq)
            else:
                assert read.inline is not None
                add_bodies(tx, {read.content: read.inline})
                digests = read.content[len(RAW_PREFIX) :]
            md5 = bytes.fromhex(read.etag)
            part_rows.put(
                tx, target.upload_id, NewPart(target.number, read.size, md5, read.sha256, now, digests, checksums)
            )

        incoming.seal()
        try:
            incoming.commit(lambda: inside(context.db, target.bucket, record))
        except BlocksMoved:
            if read.inline is None or chunks.digests:
                raise
            chunks.add(read.content, read.inline)  # [PUT-13] a small chunk that is in a damaged pack
            incoming.seal()
            incoming.commit(lambda: inside(context.db, target.bucket, record))
    return Part(target.number, read.etag, read.size, moment(now), checksums)
