"""What AWS always says in an answer, and that nothing is said which botocore's model of the operation does not know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from xml.etree import ElementTree

_LISTED: Final = ("Contents[].Key", "Contents[].LastModified", "Contents[].ETag", "Contents[].Size",
                  "Contents[].StorageClass", "CommonPrefixes[].Prefix")  # fmt: skip
_VERSION: Final = ("Key", "VersionId", "IsLatest", "LastModified", "Owner.ID")
_READ: Final = ("AcceptRanges", "LastModified", "ContentLength", "ETag", "ContentType", "Metadata")

#: By operation, the members that are in every answer of AWS's; `X[].Y` is in every item of X, where there are items.
ALWAYS: Final[Mapping[str, tuple[str, ...]]] = {
    "CreateBucket": ("Location",),
    "ListBuckets": ("Owner.ID", "Buckets", "Buckets[].Name", "Buckets[].CreationDate"),
    "PutObject": ("ETag",),
    "GetObject": _READ,
    "HeadObject": _READ,
    "GetObjectAttributes": ("LastModified", "ETag", "ObjectSize", "StorageClass"),
    "CopyObject": ("CopyObjectResult.ETag", "CopyObjectResult.LastModified"),
    "GetObjectTagging": ("TagSet", "TagSet[].Key", "TagSet[].Value"),
    "GetBucketTagging": ("TagSet", "TagSet[].Key", "TagSet[].Value"),
    "ListObjects": ("Name", "Prefix", "Marker", "MaxKeys", "IsTruncated", *_LISTED, "Contents[].Owner.ID"),
    "ListObjectsV2": ("Name", "Prefix", "MaxKeys", "KeyCount", "IsTruncated", *_LISTED),
    "ListObjectVersions": (
        "Name", "Prefix", "KeyMarker", "VersionIdMarker", "MaxKeys", "IsTruncated", "CommonPrefixes[].Prefix",
        *(f"Versions[].{name}" for name in (*_VERSION, "ETag", "Size", "StorageClass")),
        *(f"DeleteMarkers[].{name}" for name in _VERSION)),
    "DeleteObjects": ("Deleted[].Key", "Errors[].Key", "Errors[].Code", "Errors[].Message"),
    "CreateMultipartUpload": ("Bucket", "Key", "UploadId"),
    "UploadPart": ("ETag",),
    "UploadPartCopy": ("CopyPartResult.ETag", "CopyPartResult.LastModified"),
    "CompleteMultipartUpload": ("Location", "Bucket", "Key", "ETag"),
    "ListParts": (
        "Bucket", "Key", "UploadId", "PartNumberMarker", "NextPartNumberMarker", "MaxParts", "IsTruncated", "Initiator.ID",
        "Owner.ID", "StorageClass", "Parts[].PartNumber", "Parts[].LastModified", "Parts[].ETag", "Parts[].Size"),
    "ListMultipartUploads": (
        "Bucket", "KeyMarker", "UploadIdMarker", "MaxUploads", "IsTruncated", "CommonPrefixes[].Prefix",
        "Uploads[].UploadId", "Uploads[].Key", "Uploads[].Initiated", "Uploads[].StorageClass", "Uploads[].Owner.ID",
        "Uploads[].Initiator.ID"),
}  # fmt: skip
#: Operations that answer with nothing that is always there.
MAY_BE_EMPTY: Final = frozenset({
    "AbortMultipartUpload", "DeleteBucket", "DeleteBucketTagging", "DeleteObject", "DeleteObjectTagging",
    "GetBucketVersioning", "HeadBucket", "PutBucketTagging", "PutBucketVersioning", "PutObjectTagging",
})  # fmt: skip
#: Operations that name the version which they read or made, wherever versioning was ever set.
NAMES_VERSION: Final = frozenset({"PutObject", "GetObject", "HeadObject", "GetObjectAttributes", "CopyObject"})

#: Operations whose answer has the checksums of the object inside another element; a part's have no type.
CHECKSUMS_IN: Final = {"GetObjectAttributes": "Checksum", "CopyObject": "CopyObjectResult"}
PART_ANSWERS: Final = frozenset({"CreateMultipartUpload", "ListParts", "UploadPart", "UploadPartCopy"})


def check(name: str, answer: Mapping[str, Any]) -> None:
    """Nothing is missing that AWS always says, or says together with what is there."""
    assert name in ALWAYS or name in MAY_BE_EMPTY, name
    missing = [path for path in ALWAYS.get(name, ()) if None in _at(answer, path)]
    assert missing == [], f"{name} does not say {missing}"
    about = answer.get(CHECKSUMS_IN[name], {}) if name in CHECKSUMS_IN else answer
    sums = [one for one in about if one.startswith("Checksum") and one not in ("ChecksumType", "ChecksumAlgorithm")]
    assert name in PART_ANSWERS or bool(sums) == ("ChecksumType" in about), f"{name}: {sorted(about)}"


def _at(value: Any, path: str) -> Iterator[Any]:
    """The values at a path; None for each that is missing."""
    name, _, rest = path.partition(".")
    inside = value.get(name.removesuffix("[]"))
    items = inside or () if name.endswith("[]") else (inside,)
    for item in items:
        if rest and item is not None:
            yield from _at(item, rest)
        else:
            yield item


def unknown(body: bytes, model: Any) -> list[str]:
    """Elements of an answer that the model of its operation does not know: boto3 leaves them out without a word."""
    shape = model.output_shape
    if shape is None or not body:
        return []
    payload = shape.serialization.get("payload")
    return list(_unknown(ElementTree.fromstring(body), shape.members[payload] if payload is not None else shape))


def _unknown(node: ElementTree.Element, shape: Any) -> Iterator[str]:
    if shape.type_name == "list":
        for child in node:
            yield from _unknown(child, shape.member)
    if shape.type_name != "structure":
        return
    known = {one.serialization.get("name", name): one for name, one in shape.members.items()}
    for name, one in shape.members.items():  # the name of a flattened list's items
        if one.type_name == "list" and one.serialization.get("flattened"):
            known[one.member.serialization.get("name", one.serialization.get("name", name))] = one.member
            known[one.serialization.get("name", name)] = one.member
    for child in node:
        name = child.tag.rpartition("}")[2]
        if name not in known:
            yield f"{node.tag.rpartition('}')[2]}.{name}"
        else:
            yield from _unknown(child, known[name])
