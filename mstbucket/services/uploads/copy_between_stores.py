"""Copy from one store into another: the bytes are read and verified there, and written here ([ATTR-10])."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from mstbucket.core.keys import encode_key
from mstbucket.core.s3rules.conditions import UNCONDITIONAL, Conditions, conditions, expected
from mstbucket.core.s3rules.metadata import check_request
from mstbucket.core.s3rules.part_checksums import UploadChecksum
from mstbucket.errors import InvalidRequest, MethodNotAllowed, MstBucketError
from mstbucket.limits import COPY_SIZE_MAX
from mstbucket.model.objects import EMPTY, ObjectInfo, PutRequest, PutResult
from mstbucket.services.blocks.context import Context
from mstbucket.services.objects.copy import check_directives
from mstbucket.services.objects.put import put_one
from mstbucket.services.objects.read import Source, Wanted, open_object
from mstbucket.services.objects.reader import ObjectReader
from mstbucket.services.uploads import complete as completing
from mstbucket.services.uploads import parts, uploads


def copy(
    there: Context,
    source: Source,
    context: Context,
    bucket: str,
    request: PutRequest,
    metadata_directive: str,
    tagging_directive: str,
    wanted: Conditions,
) -> PutResult:
    """Make `request.key` of `context` an object with the body of `source`, which is in another store.

    See `Bucket.copy_object`. The request has no body of its own. Its conditions are on the object that the key has now.
    """
    encode_key(source.key)
    check_request(request)
    check_directives(request, metadata_directive, tagging_directive)
    with _open(there, source, Wanted(source.key, source.version_id)) as reader:
        info = reader.info
        wanted.check_source(info.etag, round(info.last_modified.timestamp() * 1000), str(source))
        if info.size > COPY_SIZE_MAX:  # [ATTR-8]
            raise InvalidRequest(
                f"{source} has {info.size} bytes, and one copy takes at most {COPY_SIZE_MAX}: upload it in parts"
            )
        copied = _described(request, info, metadata_directive, tagging_directive)
        if not info.parts:
            # The checksums that the source has of its body are checked once more, and kept.
            return put_one(context, bucket, replace(copied, body=reader, checksums=info.checksums))
    return _in_parts(there, source, context, bucket, copied, info)


def _described(request: PutRequest, info: ObjectInfo, metadata_directive: str, tagging_directive: str) -> PutRequest:
    """The request, with what it takes over from the source by the directives."""
    if metadata_directive == "COPY":
        request = replace(request, content_type=info.content_type, headers=info.headers, metadata=info.metadata)
    return replace(request, tags=info.tags) if tagging_directive == "COPY" else request


def _in_parts(
    there: Context, source: Source, context: Context, bucket: str, copied: PutRequest, info: ObjectInfo
) -> PutResult:
    """Copy in parts of the sizes that the source has, so the ETag and the checksums stay as they are."""
    checksum = UploadChecksum(next(iter(info.checksums), None), info.checksum_type)
    upload = uploads.create(context, bucket, copied, checksum)
    same = conditions(info.etag, None, None, None)  # the source may be overwritten meanwhile: no mixture is made
    try:
        named = []
        for number in range(1, len(info.parts) + 1):
            target = parts.Target(bucket, copied.key, upload.id, number)
            with _open(there, source, Wanted(source.key, source.version_id, part=number), same) as reader:
                part = parts.upload_part(context, target, reader, None, EMPTY, None)
            named.append((number, part.etag, EMPTY))
        expectation = expected(copied.if_match, copied.if_none_match)
        checksums = info.checksums if checksum.type == "FULL_OBJECT" else EMPTY
        return completing.complete(context, bucket, copied.key, upload.id, named, checksums, expectation)
    except BaseException:
        with suppress(MstBucketError):  # the error on its way out says more
            uploads.abort(context, bucket, copied.key, upload.id)
        raise


def _open(there: Context, source: Source, wanted: Wanted, expect: Conditions = UNCONDITIONAL) -> ObjectReader:
    try:
        return open_object(there.db, there.blocks, source.bucket, wanted, expect)
    except MethodNotAllowed as error:
        what = f"version {source.version_id!r} of {source}"
        raise InvalidRequest(f"{what} is a delete marker: there is nothing to copy") from error
