"""ListObjects, ListObjectsV2, ListObjectVersions."""

from __future__ import annotations

from mstbucket import ObjectSummary, ObjectVersion
from mstbucket.gateway.s3.call import Call
from mstbucket.gateway.s3.multipart import encoding
from mstbucket.gateway.s3.service import OWNER
from mstbucket.gateway.s3.xml_out import KeyEncoding, document, element, escape, moment
from mstbucket.gateway.wire.answer import Answer


def list_objects(call: Call) -> Answer:
    """One page of keys, in S3's first form, with a marker."""
    encode = encoding(call)
    prefix, delimiter = call.query("prefix") or "", call.query("delimiter") or None
    marker, most = call.query("marker") or None, call.page("max-keys")
    page = call.reading.list_objects_v1(prefix, delimiter=delimiter, marker=marker, max_keys=most)
    return Answer(200, [], document(
        "ListBucketResult",
        element("Name", call.bucket_name),
        element("Prefix", encode(prefix)),
        element("Marker", encode(marker or "")),
        element("NextMarker", None if page.next_marker is None else encode(page.next_marker)),
        element("MaxKeys", most),
        element("Delimiter", None if delimiter is None else encode(delimiter)),
        encode.said(),
        element("IsTruncated", page.is_truncated),
        *(_content(one, encode, OWNER) for one in page.contents),
        encode.prefixes(page.common_prefixes),
    ))  # fmt: skip


def list_objects_v2(call: Call) -> Answer:
    """One page of keys, with a token that leads to the next. Tokens are never encoded."""
    encode = encoding(call)
    prefix, delimiter = call.query("prefix") or "", call.query("delimiter") or None
    token, after, most = call.query("continuation-token"), call.query("start-after") or None, call.page("max-keys")
    page = call.reading.list_objects(
        prefix, delimiter=delimiter, start_after=after, continuation_token=token, max_keys=most
    )
    owner = OWNER if call.query("fetch-owner") == "true" else ""
    return Answer(200, [], document(
        "ListBucketResult",
        element("Name", call.bucket_name),
        element("Prefix", encode(prefix)),
        element("ContinuationToken", token),
        element("NextContinuationToken", page.next_continuation_token),
        element("StartAfter", None if after is None else encode(after)),
        element("KeyCount", len(page.contents) + len(page.common_prefixes)),
        element("MaxKeys", most),
        element("Delimiter", None if delimiter is None else encode(delimiter)),
        encode.said(),
        element("IsTruncated", page.is_truncated),
        *(_content(one, encode, owner) for one in page.contents),
        encode.prefixes(page.common_prefixes),
    ))  # fmt: skip


def _content(one: ObjectSummary, encode: KeyEncoding, owner: str) -> str:
    return (
        f"<Contents><Key>{escape(encode(one.key))}</Key><LastModified>{moment(one.last_modified)}</LastModified>"
        f"<ETag>&quot;{one.etag}&quot;</ETag>{_sums(one)}<Size>{one.size}</Size>{owner}"
        f"<StorageClass>STANDARD</StorageClass></Contents>"
    )


def _sums(one: ObjectSummary | ObjectVersion) -> str:
    """By which algorithms checksums are kept, and what they are of ([LIST-6]); the values are in no listing."""
    if one.checksum_type is None:
        return ""
    algorithms = "".join(f"<ChecksumAlgorithm>{name.upper()}</ChecksumAlgorithm>" for name in one.checksum_algorithms)
    return f"{algorithms}<ChecksumType>{one.checksum_type}</ChecksumType>"


def list_object_versions(call: Call) -> Answer:
    """One page of versions and delete markers, those of a key newest first."""
    encode = encoding(call)
    prefix, delimiter, most = call.query("prefix") or "", call.query("delimiter") or None, call.page("max-keys")
    key_marker, id_marker = call.query("key-marker") or None, call.query("version-id-marker")
    if key_marker is None:  # beside a key an empty id is refused, as in S3: it names no version
        id_marker = id_marker or None
    page = call.reading.list_object_versions(
        prefix, delimiter=delimiter, key_marker=key_marker, version_id_marker=id_marker, max_keys=most
    )
    next_key = page.next_key_marker
    return Answer(200, [], document(
        "ListVersionsResult",
        element("Name", call.bucket_name),
        element("Prefix", encode(prefix)),
        element("KeyMarker", encode(key_marker or "")),
        element("VersionIdMarker", id_marker or ""),
        element("NextKeyMarker", None if next_key is None else encode(next_key)),
        element("NextVersionIdMarker", page.next_version_id_marker),
        element("MaxKeys", most),
        element("Delimiter", None if delimiter is None else encode(delimiter)),
        encode.said(),
        element("IsTruncated", page.is_truncated),
        *(_version(one, encode) for one in page.versions),
        encode.prefixes(page.common_prefixes),
    ))  # fmt: skip


def _version(one: ObjectVersion, encode: KeyEncoding) -> str:
    kind = "DeleteMarker" if one.delete_marker else "Version"
    body = "" if one.delete_marker else (
        f"<ETag>&quot;{one.etag}&quot;</ETag>{_sums(one)}<Size>{one.size}</Size><StorageClass>STANDARD</StorageClass>"
    )  # fmt: skip
    return (
        f"<{kind}><Key>{escape(encode(one.key))}</Key><VersionId>{escape(one.version_id)}</VersionId>"
        f"{element('IsLatest', one.is_latest)}<LastModified>{moment(one.last_modified)}</LastModified>{body}{OWNER}</{kind}>"
    )
