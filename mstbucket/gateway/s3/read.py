"""GetObject, HeadObject, GetObjectAttributes."""

from __future__ import annotations

import re
from typing import Any, Final

from mstbucket import ObjectInfo
from mstbucket.errors import InvalidRange, MethodNotAllowed, NoSuchKey, NotModified
from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.s3.call import Call
from mstbucket.gateway.s3.object_headers import checksum_headers, conditions, http_date, object_headers, overrides
from mstbucket.gateway.s3.xml_out import checksum_elements, document, element, group, quoted
from mstbucket.gateway.wire.answer import Answer, Headers

# As RFC 9110 says, a text that is no range does not count. Several ranges are answered with everything.
_RANGE: Final = re.compile(r"bytes=[ \t]*(?:([0-9]{1,19})-([0-9]{0,19})|-([0-9]{1,19}))[ \t]*", re.IGNORECASE)
_ATTRIBUTES: Final = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")


def get_object(call: Call) -> Answer:
    """The object, one version of it, a range of its bytes, or one of its parts."""
    wanted = _wanted(call)
    try:
        reader, ranged = _open(call, wanted)
    except NotModified:
        return _not_modified(call)
    except (NoSuchKey, MethodNotAllowed) as error:
        raise _marked(call, error) from error
    headers = object_headers(call, reader.info)
    status = _said_of_range(call, headers, reader.start, reader.stop, reader.info, ranged)
    return Answer(status, headers, reader, reader.stop - reader.start)


def head_object(call: Call) -> Answer:
    """As GetObject, without the bytes."""
    wanted = _wanted(call)
    ranged = False
    try:
        if _range(call) is None:
            info = call.reading.head_object(call.key, **wanted)
            start, stop = info.part_range or (0, info.size)
        else:
            reader, ranged = _open(call, wanted)  # reads no block
            with reader:
                info, start, stop = reader.info, reader.start, reader.stop
    except NotModified:
        return _not_modified(call)
    except (NoSuchKey, MethodNotAllowed) as error:
        raise _marked(call, error) from error
    headers = object_headers(call, info)
    status = _said_of_range(call, headers, start, stop, info, ranged)
    return Answer(status, headers, length=stop - start)


def _open(call: Call, wanted: dict[str, Any]) -> tuple[Any, bool]:
    """The object that is there, open at what is asked for, and whether that is a range.

    [GW-65] Whoever goes on with a body that was cut off gets the rest of the same one, or a whole one. What decides is
    the object that was opened, so that no write comes between.
    """
    span = _range(call)
    held = call.header("if-range")
    if span is None or held is None:
        return call.reading.get_object(call.key, range=span, **wanted), span is not None
    try:
        reader = call.reading.get_object(call.key, range=span, **wanted)
    except InvalidRange:
        whole = call.reading.get_object(call.key, **wanted)
        if _is(held, whole.info):
            whole.close()
            raise
        return whole, False
    if _is(held, reader.info):
        return reader, True
    reader.close()
    return call.reading.get_object(call.key, **wanted), False


def _is(held: str, info: ObjectInfo) -> bool:
    """Whether the object is the one of an `If-Range`: a strong ETag, or exactly its Last-Modified."""
    return held in (quoted(info.etag), http_date(info.last_modified))


def get_object_attributes(call: Call) -> Answer:
    """ETag, checksums, parts, size and storage class: those that are asked for."""
    wanted = [name.strip() for name in (call.header("x-amz-object-attributes") or "").split(",")]
    if not all(name in _ATTRIBUTES for name in wanted):
        raise Refused("InvalidArgument", f"x-amz-object-attributes names some of {', '.join(_ATTRIBUTES)}.")
    info = call.reading.head_object(call.key, version_id=call.version_id)
    said = {
        "ETag": element("ETag", info.etag),
        "Checksum": _checksum(info),
        "ObjectParts": _parts(call, info),
        "StorageClass": element("StorageClass", "STANDARD"),
        "ObjectSize": element("ObjectSize", info.size),
    }
    headers = [("Last-Modified", http_date(info.last_modified))]
    if info.version_id is not None:
        headers.append(("x-amz-version-id", info.version_id))
    body = document("GetObjectAttributesResponse", *(said[name] for name in _ATTRIBUTES if name in wanted))
    return Answer(200, headers, body)


def _checksum(info: ObjectInfo) -> str:
    if not info.checksums:
        return ""
    return group("Checksum", checksum_elements(info.checksums), element("ChecksumType", info.checksum_type))


def _parts(call: Call, info: ObjectInfo) -> str:
    """The sizes of the parts after a marker. Checksums of parts are not kept; S3 shows parts without them so, too."""
    if not info.parts:
        return ""
    marker, most = _bound(call, "x-amz-part-number-marker", 0), _bound(call, "x-amz-max-parts", 1000)
    page = list(enumerate(info.parts, 1))[marker : marker + min(most, 1000)]
    last = page[-1][0] if page else marker
    parts = (group("Part", element("PartNumber", number), element("Size", size)) for number, size in page)
    return group(
        "ObjectParts",
        element("PartsCount", len(info.parts)),
        element("PartNumberMarker", marker),
        element("NextPartNumberMarker", last),
        element("MaxParts", most),
        element("IsTruncated", last < len(info.parts)),
        *parts,
    )


def _bound(call: Call, name: str, otherwise: int) -> int:
    text = call.header(name)
    if text is None:
        return otherwise
    if re.fullmatch("[0-9]{1,9}", text) is None:
        raise Refused("InvalidArgument", f"{name} is a number.")
    return int(text)


def _wanted(call: Call) -> dict[str, Any]:
    number = call.query("partNumber")
    if number is not None and not 1 <= call.number("partNumber", 0) <= 10_000:
        raise Refused("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive",
                      ArgumentName="partNumber", ArgumentValue=number[:100])  # fmt: skip
    if number is not None and call.header("range") is not None:
        raise Refused("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    return {
        "version_id": call.version_id,
        "part_number": None if number is None else int(number),
        **conditions(call),
        **overrides(call),
    }


def _range(call: Call) -> str | None:
    text = call.header("range")
    found = None if text is None else _RANGE.fullmatch(text)
    if found is None or (found[2] and int(found[1]) > int(found[2])):
        return None
    return text


def _said_of_range(call: Call, headers: Headers, start: int, stop: int, info: ObjectInfo, ranged: bool) -> int:
    """Add the headers that belong to a range or to the whole; return the status."""
    part = call.query("partNumber") is not None
    if info.parts_count is not None and part:
        headers.append(("x-amz-mp-parts-count", str(info.parts_count)))
    if part and info.size == 0:
        return 206
    if part or ranged:
        headers.append(("Content-Range", f"bytes {start}-{stop - 1}/{info.size}"))
        return 206
    if (call.header("x-amz-checksum-mode") or "").upper() == "ENABLED":
        headers += checksum_headers(info)
    return 200


def _marked(call: Call, error: NoSuchKey | MethodNotAllowed) -> Exception:
    """The error; with S3's headers about a delete marker, if one is the reason."""
    if isinstance(error, MethodNotAllowed):
        headers = {"x-amz-delete-marker": "true", "x-amz-version-id": call.version_id or "", "Allow": "DELETE"}
        return Refused("MethodNotAllowed", str(error), headers=headers)
    newest = next(iter(call.reading.list_object_versions(call.key, max_keys=1).versions), None)
    if newest is None or newest.key != call.key or not newest.delete_marker:
        return error
    headers = {"x-amz-delete-marker": "true", "x-amz-version-id": newest.version_id}
    return Refused("NoSuchKey", str(error), headers=headers)


def _not_modified(call: Call) -> Answer:
    """304 with the headers that RFC 9110 wants."""
    info = call.reading.head_object(call.key, version_id=call.version_id)
    return Answer(304, [("ETag", quoted(info.etag)), ("Last-Modified", http_date(info.last_modified))])
