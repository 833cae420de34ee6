"""PutObject, CopyObject, DeleteObject, DeleteObjects."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

from mstbucket import DeleteResult
from mstbucket.errors import InvalidInput, MstBucketError
from mstbucket.gateway.refusals import Refused, refusal
from mstbucket.gateway.s3 import xml_in
from mstbucket.gateway.s3.call import Call
from mstbucket.gateway.s3.limits import check_size, check_type, is_limited, spending
from mstbucket.gateway.s3.needs import of_version
from mstbucket.gateway.s3.object_headers import (
    checksum_headers,
    described,
    source_conditions,
    stored_headers,
    write_conditions,
)
from mstbucket.gateway.s3.xml_out import checksum_elements, document, element, group, moment, quoted
from mstbucket.gateway.wire.answer import Answer
from mstbucket.limits import DELETE_KEYS_MAX, PUT_SIZE_MAX
from mstbucket.model.objects import checksum_type_of


def put_object(call: Call) -> Answer:
    """Store the body under the key. The object appears once the whole body has come and is what the request says."""
    said = {**described(call), **write_conditions(call)}
    check_type(call, said["content_type"])
    with spending(call, call.content.length):
        result = call.bucket.put_object(call.key, **body_of(call, PUT_SIZE_MAX), **said)
    return Answer(200, [*stored_headers(call, result), *checksum_headers(result)])


def body_of(call: Call, most: int) -> dict[str, Any]:
    """The body, of up to `most` bytes, and what the request says of it, as arguments of a put or a part."""
    length = call.request.headers.get("content-length")
    if length is None and call.content.length == 0 and "x-amz-decoded-content-length" not in call.request.headers:
        raise Refused("MissingContentLength", "You must provide the Content-Length HTTP header.")
    check_size(call, call.content.length, most)
    before, algorithm, behind = call.checksums, call.checksum_algorithm, call.checksums_behind()
    if call.content.awaited:
        call.store.bucket(call.bucket_name)  # [GW-7] looked for before the client is told to send
    body = call.content.stored()
    if isinstance(body, bytes) and behind is not None:  # the body has ended: what stood behind it is known
        before, behind = {**before, **behind()}, None
    return {
        "body": body,
        "content_md5": call.header("content-md5"),
        "checksums": before,
        "checksum_algorithm": algorithm,
        "checksums_behind": behind,
    }


def copy_source(call: Call) -> tuple[str, str, str | None]:
    """Bucket, key and version of the source of a copy. The caller has to be allowed to read it ([GW-21])."""
    bucket, key, version_id = source_of(call)
    call.require(of_version("s3:GetObject", version_id), bucket, key, version_id)
    return bucket, key, version_id


def source_of(call: Call) -> tuple[str, str, str | None]:
    """Bucket, key and version of the source of a copy."""
    said = call.header("x-amz-copy-source") or ""
    path, mark, version = said.partition("?versionId=")
    try:
        bucket, slash, key = unquote_to_bytes(path.removeprefix("/")).decode("utf-8").partition("/")
    except UnicodeDecodeError:
        bucket, slash, key = "", "", ""
    if not bucket or not slash or not key or (mark and not version):
        raise Refused("InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
    return bucket, key, version or None


def copy_object(call: Call) -> Answer:
    """Store the body of another object of this store under the key."""
    bucket, key, version_id = copy_source(call)
    directive = call.header("x-amz-metadata-directive") or "COPY"
    tagging = call.header("x-amz-tagging-directive") or "COPY"
    said = described(call)
    if directive == "COPY":  # the request's own do not count, as in S3; clients send a content type with everything
        said |= {"content_type": None, "metadata": {}, "headers": {}}
    if tagging == "COPY":
        said["tags"] = {}
        _check_tags(call, bucket, key, version_id)
    _check_algorithm(call, bucket, key, version_id)
    expected = source_conditions(call)
    size = 0
    if is_limited(call):
        source = call.site.bucket(bucket).head_object(key, version_id=version_id)
        size = source.size
        check_size(call, size)
        check_type(call, source.content_type if directive == "COPY" else said["content_type"])
        if expected["copy_source_if_match"] is None and expected["copy_source_if_unmodified_since"] is None:
            expected["copy_source_if_match"] = source.etag  # copy only what was looked at, as those two make sure
    with spending(call, size):
        result = call.bucket.copy_object(
            key, call.key, source_bucket=bucket, source_version_id=version_id, metadata_directive=directive,
            tagging_directive=tagging, **said, **write_conditions(call), **expected,
        )  # fmt: skip
    info = call.bucket.head_object(call.key, version_id=result.version_id)
    headers = stored_headers(call, result)
    if version_id is not None:
        headers.append(("x-amz-copy-source-version-id", version_id))
    etag, when = element("ETag", quoted(result.etag)), element("LastModified", moment(info.last_modified))
    sums = checksum_elements(result.checksums), element("ChecksumType", checksum_type_of(result.checksums))
    return Answer(200, headers, document("CopyObjectResult", when, etag, *sums))


def _check_tags(call: Call, bucket: str, key: str, version_id: str | None) -> None:
    """Tags come with a copy only if the caller may read them there and put them here ([GW-21])."""
    reads = call.rights.may(of_version("s3:GetObjectTagging", version_id), bucket, key, version_id)
    if reads and call.rights.may("s3:PutObjectTagging", call.bucket_name, call.key):
        return
    if call.site.bucket(bucket).get_object_tagging(key, version_id=version_id):
        raise Refused("AccessDenied", "Access Denied")


def _check_algorithm(call: Call, bucket: str, key: str, version_id: str | None) -> None:
    """A copy keeps the checksums of its source, and gets no others."""
    algorithm = call.header("x-amz-checksum-algorithm")
    if algorithm is None:
        return
    if algorithm.lower() not in call.site.bucket(bucket).head_object(key, version_id=version_id).checksums:
        raise Refused("NotImplemented", f"The source has no {algorithm}, and a copy keeps the checksums of its source.")


def delete_object(call: Call) -> Answer:
    """Delete the object, put a delete marker on it, or remove one version."""
    bypass = _bypass(call)
    result = call.bucket.delete_object(
        call.key, version_id=call.version_id, if_match=call.header("if-match"), bypass_governance_retention=bypass
    )
    headers = []
    if result.version_id is not None:
        headers.append(("x-amz-version-id", result.version_id))
    if result.delete_marker:
        headers.append(("x-amz-delete-marker", "true"))
    return Answer(204, headers)


def _bypass(call: Call) -> bool:
    bypass = call.truth("x-amz-bypass-governance-retention")
    if bypass:
        call.require("s3:BypassGovernanceRetention", call.bucket_name, call.key)
    return bypass


def delete_objects(call: Call) -> Answer:
    """Delete up to 1,000 objects or versions; each is decided and answered by itself ([GW-21])."""
    if "content-md5" not in call.request.headers and not call.checksums and call.checksums_behind() is None:
        raise Refused("InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
    found = xml_in.children(call.xml("Delete"), ("Object", "Quiet"))
    quiet = xml_in.only(found, "Quiet")
    is_quiet = quiet is not None and xml_in.truth(quiet.text or "")
    asked = [xml_in.texts(one, ("Key", "VersionId", "ETag")) for one in found.get("Object", [])]
    if not 1 <= len(asked) <= DELETE_KEYS_MAX or not all(one.get("Key") for one in asked):
        raise Refused("MalformedXML", f"Delete names from 1 to {DELETE_KEYS_MAX} objects by their keys")
    bypass = call.truth("x-amz-bypass-governance-retention")
    told: list[str] = []
    items: list[tuple[str, str | None]] = []
    for one in asked:
        key, version_id = one["Key"], one.get("VersionId") or None
        try:
            call.require(of_version("s3:DeleteObject", version_id), call.bucket_name, key, version_id)
            if bypass:
                call.require("s3:BypassGovernanceRetention", call.bucket_name, key, version_id)
            if "ETag" in one:
                result = call.bucket.delete_object(
                    key, version_id=version_id, if_match=one["ETag"], bypass_governance_retention=bypass
                )
                told.append("" if is_quiet else _deleted(result, version_id))
            else:
                items.append((key, version_id))
        except (MstBucketError, Refused) as error:
            told.append(_failed(key, version_id, error))
    told += _delete_all(call, items, bypass, is_quiet)
    return Answer(200, [], document("DeleteResult", *told))


def _delete_all(call: Call, items: list[tuple[str, str | None]], bypass: bool, is_quiet: bool) -> list[str]:
    """Delete in one transaction. A key that is refused does not keep the others from being deleted."""
    try:
        report = call.bucket.delete_objects(items, bypass_governance_retention=bypass)
    except InvalidInput as error:
        if len(items) == 1:
            return [_failed(*items[0], error)]
        return [text for item in items for text in _delete_all(call, [item], bypass, is_quiet)]
    named = set(items)
    told = [_deleted(one, one.version_id if (one.key, one.version_id) in named else None) for one in report.deleted]
    return ([] if is_quiet else told) + [_failed(one.key, one.version_id, one.error) for one in report.errors]


def _deleted(result: DeleteResult, asked: str | None) -> str:
    """What S3 says of one delete: the version that was removed, or the marker that was put or removed."""
    inside = [element("Key", result.key), element("VersionId", asked)]
    if result.delete_marker:
        inside += [element("DeleteMarker", True), element("DeleteMarkerVersionId", result.version_id)]
    return group("Deleted", *inside)


def _failed(key: str, version_id: str | None, error: Exception) -> str:
    _, code, message, _ = refusal(error)
    about = element("Key", key), element("VersionId", version_id)
    return group("Error", *about, element("Code", code), element("Message", message))
