"""Multipart uploads: create, upload, copy, list, complete, abort."""

from __future__ import annotations

import re
from typing import Any

from mstbucket import Part
from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.s3 import xml_in
from mstbucket.gateway.s3.call import ALGORITHMS, Call
from mstbucket.gateway.s3.limits import check_size, check_type, is_limited, largest, spending
from mstbucket.gateway.s3.object_headers import (
    described,
    encrypted,
    stored_headers,
    write_conditions,
)
from mstbucket.gateway.s3.service import OWNER
from mstbucket.gateway.s3.write import body_of, copy_source
from mstbucket.gateway.s3.xml_out import (
    KeyEncoding,
    checksum_elements,
    document,
    element,
    escape,
    group,
    moment,
    quoted,
)
from mstbucket.gateway.wire.answer import Answer, Headers
from mstbucket.limits import COMPLETION_XML_MAX, OBJECT_SIZE_MAX, PART_SIZE_MAX, PARTS_MAX
from mstbucket.model.objects import checksum_type_of

_INITIATOR = OWNER.replace("Owner>", "Initiator>")


def create_multipart_upload(call: Call) -> Answer:
    """Begin an upload."""
    algorithm, kind = call.header("x-amz-checksum-algorithm"), call.header("x-amz-checksum-type")
    check_type(call, call.header("content-type"))
    upload = call.bucket.create_multipart_upload(
        call.key, checksum_algorithm=algorithm, checksum_type=kind, **described(call)
    )
    headers = encrypted(call.site)
    if upload.checksum_algorithm is not None:
        headers.append(("x-amz-checksum-algorithm", upload.checksum_algorithm.upper()))
        headers.append(("x-amz-checksum-type", upload.checksum_type or ""))
    inside = element("Bucket", call.bucket_name), element("Key", call.key), element("UploadId", upload.id)
    return Answer(200, headers, document("InitiateMultipartUploadResult", *inside))


def _part_number(call: Call) -> int:
    text = call.query("partNumber") or ""
    number = call.number("partNumber", 0)
    if not 1 <= number <= PARTS_MAX:
        raise Refused("InvalidArgument", f"Part number must be an integer between 1 and {PARTS_MAX}, inclusive",
                      ArgumentName="partNumber", ArgumentValue=text[:100])  # fmt: skip
    return number


def upload_part(call: Call) -> Answer:
    """Store one part."""
    number = _part_number(call)
    with spending(call, call.content.length):
        part = call.bucket.upload_part(call.key, call.query("uploadId") or "", number, **body_of(call, PART_SIZE_MAX))
    headers: Headers = [("ETag", quoted(part.etag)), *encrypted(call.site)]
    return Answer(200, headers + [(f"x-amz-checksum-{name}", value) for name, value in part.checksums.items()])


def upload_part_copy(call: Call) -> Answer:
    """Store bytes of an object of this store as a part."""
    bucket, key, version_id = copy_source(call)
    span, size = call.header("x-amz-copy-source-range"), 0
    if is_limited(call) or any(name.startswith("x-amz-copy-source-if-") for name in call.request.headers):
        source = call.site.bucket(bucket).head_object(key, version_id=version_id, **_source_conditions(call))
        size = _length_of(span, source.size)
    check_size(call, size)
    with spending(call, size):
        part = call.bucket.upload_part_copy(
            call.key, call.query("uploadId") or "", _part_number(call), key,
            source_bucket=bucket, source_version_id=version_id, range=span,
        )  # fmt: skip
    headers = encrypted(call.site)
    if version_id is not None:
        headers.append(("x-amz-copy-source-version-id", version_id))
    when, etag = element("LastModified", moment(part.last_modified)), element("ETag", quoted(part.etag))
    return Answer(200, headers, document("CopyPartResult", when, etag, checksum_elements(part.checksums)))


def _length_of(span: str | None, size: int) -> int:
    """How many bytes a range of a source has. A text that is no range counts as all of them: the library refuses it."""
    found = None if span is None else re.fullmatch(r"bytes=([0-9]{1,19})-([0-9]{1,19})", span)
    return size if found is None else max(0, int(found[2]) - int(found[1]) + 1)


def _source_conditions(call: Call) -> dict[str, Any]:
    start = "x-amz-copy-source-"
    return {
        "if_match": call.header(start + "if-match"),
        "if_none_match": call.header(start + "if-none-match"),
        "if_modified_since": call.moment(start + "if-modified-since"),
        "if_unmodified_since": call.moment(start + "if-unmodified-since"),
    }


def list_parts(call: Call) -> Answer:
    """The parts of an open upload, by number."""
    upload_id = call.query("uploadId") or ""
    marker, most = call.number("part-number-marker", 0), call.page("max-parts")
    page = call.bucket.list_parts(call.key, upload_id, part_number_marker=marker, max_parts=most)
    algorithm = page.checksum_algorithm
    return Answer(200, [], document(
        "ListPartsResult",
        element("Bucket", call.bucket_name),
        element("Key", call.key),
        element("UploadId", upload_id),
        _INITIATOR,
        OWNER,
        element("StorageClass", "STANDARD"),
        element("PartNumberMarker", marker),
        element("NextPartNumberMarker", page.next_part_number_marker or (page.parts[-1].number if page.parts else 0)),
        element("MaxParts", most),
        element("IsTruncated", page.is_truncated),
        element("ChecksumAlgorithm", None if algorithm is None else algorithm.upper()),
        element("ChecksumType", page.checksum_type),
        *map(_part, page.parts),
    ))  # fmt: skip


def _part(part: Part) -> str:
    return group(
        "Part",
        element("PartNumber", part.number),
        element("LastModified", moment(part.last_modified)),
        element("ETag", quoted(part.etag)),
        element("Size", part.size),
        checksum_elements(part.checksums),
    )


def list_multipart_uploads(call: Call) -> Answer:
    """The open uploads of a bucket, by key."""
    encode = encoding(call)
    prefix, delimiter = call.query("prefix") or "", call.query("delimiter") or None
    key_marker, id_marker = call.query("key-marker") or None, call.query("upload-id-marker") or None
    most = call.page("max-uploads")
    page = call.bucket.list_multipart_uploads(
        prefix, delimiter=delimiter, key_marker=key_marker, upload_id_marker=id_marker, max_uploads=most
    )
    uploads = (
        group(
            "Upload",
            element("Key", encode(one.key)),
            element("UploadId", one.id),
            _INITIATOR,
            OWNER,
            element("StorageClass", "STANDARD"),
            element("Initiated", moment(one.initiated)),
            element("ChecksumAlgorithm", None if one.checksum_algorithm is None else one.checksum_algorithm.upper()),
            element("ChecksumType", one.checksum_type),
        )
        for one in page.uploads
    )
    return Answer(200, [], document(
        "ListMultipartUploadsResult",
        element("Bucket", call.bucket_name),
        element("KeyMarker", encode(key_marker or "")),
        element("UploadIdMarker", id_marker or ""),
        element("NextKeyMarker", None if page.next_key_marker is None else encode(page.next_key_marker)),
        element("NextUploadIdMarker", page.next_upload_id_marker),
        element("Prefix", encode(prefix)),
        element("Delimiter", None if delimiter is None else encode(delimiter)),
        encode.said(),
        element("MaxUploads", most),
        element("IsTruncated", page.is_truncated),
        *uploads,
        encode.prefixes(page.common_prefixes),
    ))  # fmt: skip


def encoding(call: Call) -> KeyEncoding:
    """How keys are written in a listing."""
    said = call.query("encoding-type")
    if said not in (None, "", "url"):
        raise Refused("InvalidArgument", "Invalid Encoding Method specified in Request", ArgumentName="encoding-type",
                      ArgumentValue=str(said)[:100])  # fmt: skip
    return KeyEncoding(said == "url")


def complete_multipart_upload(call: Call) -> Answer:
    """Make the object of the named parts. A slow answer begins early ([GW-23])."""
    names = {f"Checksum{name.upper()}": name for name in ALGORITHMS}
    body = call.content.whole(COMPLETION_XML_MAX)  # its headers speak of the object, and not of this document
    found = xml_in.children(xml_in.parse(body, "CompleteMultipartUpload"), ("Part",))
    parts = [xml_in.texts(one, ("PartNumber", "ETag", *names)) for one in found.get("Part", [])]
    if not 1 <= len(parts) <= PARTS_MAX or any("PartNumber" not in one or "ETag" not in one for one in parts):
        raise Refused("MalformedXML", f"CompleteMultipartUpload names from 1 to {PARTS_MAX} parts by number and ETag")
    named = [
        (xml_in.number(one["PartNumber"]), one["ETag"], {names[n]: value for n, value in one.items() if n in names})
        for one in parts
    ]
    upload_id = call.query("uploadId") or ""
    _check_size(call, upload_id, {number for number, _, _ in named})
    result = call.bucket.complete_multipart_upload(
        call.key, upload_id, named, checksums=call.checksums, **write_conditions(call)
    )
    inside = [
        element("Location", f"/{escape(call.bucket_name)}/{escape(call.key)}"),
        element("Bucket", call.bucket_name),
        element("Key", call.key),
        element("ETag", quoted(result.etag)),
        checksum_elements(result.checksums),
        element("ChecksumType", checksum_type_of(result.checksums)),
    ]
    return Answer(200, stored_headers(call, result), document("CompleteMultipartUploadResult", *inside))


def _check_size(call: Call, upload_id: str, numbers: set[int]) -> None:
    """Compare the size of the named parts with what the bucket takes, and with what the client expects. The client names
    their ETags, too: a part that is replaced meanwhile is refused.
    """
    said, most = call.header("x-amz-mp-object-size"), largest(call)
    if said is None and most == OBJECT_SIZE_MAX:
        return
    size, marker = 0, 0
    while True:
        page = call.bucket.list_parts(call.key, upload_id, part_number_marker=marker)
        size += sum(part.size for part in page.parts if part.number in numbers)
        if page.next_part_number_marker is None:
            break
        marker = page.next_part_number_marker
    check_size(call, size)
    if said is not None and said != str(size):
        raise Refused("InvalidRequest", f"The parts have {size} bytes together, and x-amz-mp-object-size says {said[:20]}.")


def abort_multipart_upload(call: Call) -> Answer:
    """End an upload, and drop its parts."""
    call.bucket.abort_multipart_upload(call.key, call.query("uploadId") or "")
    return Answer(204)
