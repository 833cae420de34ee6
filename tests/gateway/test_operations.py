"""Every operation of the table by boto3, which parses each answer; what AWS documents of it."""

from __future__ import annotations

import hashlib
import io
import os
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from mstbucket.gateway.s3.table import EXTENSIONS, FORM, OPERATIONS

PART = 5 << 20


def refused(call: Any, **arguments: Any) -> tuple[int, str]:
    """Status and code that a call is refused with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def read(call: Any, **arguments: Any) -> dict[str, Any]:
    """The answer to a get, with its body read: an answer that is left holds its connection."""
    got: dict[str, Any] = call(**arguments)
    return {**got, "Body": got["Body"].read()}


def test_every_operation_of_the_table_is_called_in_these_tests() -> None:
    """[GW-22]"""
    text = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    known = [one.name for one in OPERATIONS if one not in (*EXTENSIONS, FORM)]
    assert [name for name in known if f".{xform_name(name)}" not in text] == []


# --- buckets ----------------------------------------------------------------------------------------------------------


def test_buckets_are_made_listed_and_removed(s3: Any) -> None:
    for name in ("bucket-1", "bucket-2", "other-1"):
        s3.create_bucket(Bucket=name)
    assert refused(s3.create_bucket, Bucket="bucket-1") == (409, "BucketAlreadyOwnedByYou")
    first = s3.list_buckets(Prefix="bucket-", MaxBuckets=1)
    assert [one["Name"] for one in first["Buckets"]] == ["bucket-1"]
    second = s3.list_buckets(Prefix="bucket-", ContinuationToken=first["ContinuationToken"])
    assert [one["Name"] for one in second["Buckets"]] == ["bucket-2"]
    assert "ContinuationToken" not in second
    assert s3.head_bucket(Bucket="bucket-1")["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket="bucket-1")["LocationConstraint"] is None
    s3.put_object(Bucket="other-1", Key="k", Body=b"")
    assert refused(s3.delete_bucket, Bucket="other-1") == (409, "BucketNotEmpty")
    s3.delete_bucket(Bucket="bucket-1")
    assert refused(s3.head_bucket, Bucket="bucket-1")[0] == 404
    assert refused(s3.put_object, Bucket="bucket-1", Key="k", Body=b"") == (404, "NoSuchBucket")
    assert refused(s3.create_bucket, Bucket="x" * 63 + "y") [0] == 400
    location = {"LocationConstraint": "mars-1"}
    assert refused(s3.create_bucket, Bucket="mars", CreateBucketConfiguration=location)[1] == "InvalidLocationConstraint"


def test_what_was_never_set_is_answered_as_aws_does(s3: Any, bucket_name: str) -> None:
    of = {"Bucket": bucket_name}
    assert s3.get_bucket_acl(**of)["Grants"][0]["Permission"] == "FULL_CONTROL"
    assert refused(s3.put_bucket_acl, **of, ACL="public-read") == (400, "AccessControlListNotSupported")
    s3.put_object(**of, Key="k", Body=b"", ACL="private")
    assert refused(s3.put_object_acl, **of, Key="k", ACL="public-read") == (400, "AccessControlListNotSupported")
    assert refused(s3.put_object, **of, Key="k", Body=b"", ACL="public-read") == (400, "AccessControlListNotSupported")
    owner = s3.get_bucket_ownership_controls(**of)["OwnershipControls"]["Rules"]
    assert owner == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert refused(s3.get_public_access_block, **of)[1] == "NoSuchPublicAccessBlockConfiguration"
    assert refused(s3.get_bucket_encryption, **of)[1] == "ServerSideEncryptionConfigurationNotFoundError"
    assert s3.get_bucket_request_payment(**of)["Payer"] == "BucketOwner"
    notification = s3.get_bucket_notification_configuration(**of)
    assert set(notification) == {"ResponseMetadata"}
    assert "LoggingEnabled" not in s3.get_bucket_logging(**of)
    assert "Status" not in s3.get_bucket_accelerate_configuration(**of)
    assert "Status" not in s3.get_bucket_versioning(**of)
    assert refused(s3.get_bucket_tagging, **of)[1] == "NoSuchTagSet"
    assert refused(s3.get_bucket_lifecycle_configuration, **of)[1] == "NoSuchLifecycleConfiguration"
    assert refused(s3.get_object_lock_configuration, **of)[1] == "ObjectLockConfigurationNotFoundError"


def test_tags_of_a_bucket_and_of_objects(s3: Any, bucket_name: str) -> None:
    tags = [{"Key": "a", "Value": "1 & <2>"}, {"Key": "b", "Value": ""}]
    s3.put_bucket_tagging(Bucket=bucket_name, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket_name)["TagSet"] == tags
    s3.delete_bucket_tagging(Bucket=bucket_name)
    of = {"Bucket": bucket_name, "Key": "k"}
    s3.put_object(**of, Body=b"", Tagging="x=1&y=%20z")
    assert s3.get_object_tagging(**of)["TagSet"] == [{"Key": "x", "Value": "1"}, {"Key": "y", "Value": " z"}]
    assert s3.head_object(**of)["ResponseMetadata"]["HTTPHeaders"]["x-amz-tagging-count"] == "2"
    s3.put_object_tagging(**of, Tagging={"TagSet": tags})
    assert s3.get_object_tagging(**of)["TagSet"] == tags
    s3.delete_object_tagging(**of)
    assert s3.get_object_tagging(**of)["TagSet"] == []


def test_lifecycle_rules_come_back_as_they_were_given(s3: Any, bucket_name: str) -> None:
    rules = [
        {"ID": "one", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 30}},
        {
            "ID": "two",
            "Status": "Disabled",
            "Filter": {
                "And": {
                    "Prefix": "a&b/",
                    "Tags": [{"Key": "k", "Value": "v"}],
                    "ObjectSizeGreaterThan": 10,
                    "ObjectSizeLessThan": 20,
                }
            },
            "NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 2},
        },
        {
            "ID": "five",
            "Status": "Enabled",
            "Filter": {"Prefix": "up/"},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        },
        {"ID": "three", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"ExpiredObjectDeleteMarker": True}},
        {"ID": "four", "Status": "Enabled", "Filter": {"Tag": {"Key": "t", "Value": "u"}},
         "Expiration": {"Date": datetime(2040, 1, 1, tzinfo=UTC)}},
    ]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket_name, LifecycleConfiguration={"Rules": rules})
    got = s3.get_bucket_lifecycle_configuration(Bucket=bucket_name)["Rules"]
    assert got == rules
    s3.delete_bucket_lifecycle(Bucket=bucket_name)
    moving = [{"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""},
               "Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]}]  # fmt: skip
    call = s3.put_bucket_lifecycle_configuration
    assert refused(call, Bucket=bucket_name, LifecycleConfiguration={"Rules": moving}) == (501, "NotImplemented")


# --- objects ----------------------------------------------------------------------------------------------------------


def test_ranges_parts_and_overrides(s3: Any, bucket_name: str) -> None:
    of = {"Bucket": bucket_name, "Key": "k"}
    s3.put_object(**of, Body=b"0123456789", CacheControl="no-cache", ContentEncoding="gzip", ContentLanguage="de")
    for span, status, body, told in [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=0-", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("bytes=4-2", 200, b"0123456789", None),
    ]:
        got = s3.get_object(**of, Range=span)
        answer = got["ResponseMetadata"]["HTTPStatusCode"], got["Body"].read(), got.get("ContentRange")
        assert answer == (status, body, told)
        head = s3.head_object(**of, Range=span)
        assert (head["ResponseMetadata"]["HTTPStatusCode"], head["ContentLength"]) == (status, len(body))
    assert refused(s3.get_object, **of, Range="bytes=10-") == (416, "InvalidRange")
    assert refused(s3.get_object, **of, Range="bytes=0-1", PartNumber=1) == (400, "InvalidRequest")
    assert read(s3.get_object, **of, PartNumber=1)["ContentRange"] == "bytes 0-9/10"
    assert refused(s3.get_object, **of, PartNumber=2) == (416, "InvalidPartNumber")
    kept = read(s3.get_object, **of)
    assert (kept["CacheControl"], kept["ContentEncoding"], kept["ContentLanguage"]) == ("no-cache", "gzip", "de")
    other = read(s3.get_object, **of, ResponseCacheControl="max-age=1", ResponseContentType="text/html")
    assert (other["CacheControl"], other["ContentType"]) == ("max-age=1", "text/html")


def test_conditions_of_reads_and_writes(s3: Any, bucket_name: str) -> None:
    of = {"Bucket": bucket_name, "Key": "k"}
    etag = s3.put_object(**of, Body=b"one")["ETag"]
    assert refused(s3.put_object, **of, Body=b"two", IfNoneMatch="*") == (412, "PreconditionFailed")
    assert refused(s3.put_object, **of, Body=b"two", IfMatch='"nothing"') == (412, "PreconditionFailed")
    assert refused(s3.put_object, Bucket=bucket_name, Key="x", Body=b"", IfMatch='"y"') == (404, "NoSuchKey")
    assert s3.get_object(**of, IfMatch=etag)["Body"].read() == b"one"
    assert refused(s3.get_object, **of, IfMatch='"nothing"') == (412, "PreconditionFailed")
    with pytest.raises(ClientError) as same:
        s3.get_object(**of, IfNoneMatch=etag)
    assert same.value.response["ResponseMetadata"]["HTTPStatusCode"] == 304
    assert same.value.response["ResponseMetadata"]["HTTPHeaders"]["etag"] == etag
    later = datetime.now(UTC) + timedelta(days=1)
    assert refused(s3.head_object, **of, IfModifiedSince=later)[0] == 304
    assert refused(s3.get_object, **of, IfUnmodifiedSince=later - timedelta(days=9)) == (412, "PreconditionFailed")
    assert refused(s3.delete_object, **of, IfMatch='"nothing"') == (412, "PreconditionFailed")
    s3.put_object(**of, Body=b"two", IfMatch=etag)
    assert s3.get_object(**of)["Body"].read() == b"two"


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_are_kept_shown_and_compared(s3: Any, bucket_name: str, algorithm: str) -> None:
    of = {"Bucket": bucket_name, "Key": "k"}
    field = f"Checksum{algorithm}"
    put = s3.put_object(**of, Body=b"abc", ChecksumAlgorithm=algorithm)
    got = s3.get_object(**of, ChecksumMode="ENABLED")
    assert got["Body"].read() == b"abc"
    assert got[field] == put[field]
    assert got["ChecksumType"] == "FULL_OBJECT"
    assert field not in read(s3.get_object, **of, ChecksumMode="ENABLED", Range="bytes=0-1")
    attributes = s3.get_object_attributes(**of, ObjectAttributes=["ETag", "Checksum", "ObjectSize", "StorageClass"])
    assert attributes["Checksum"] == {field: put[field], "ChecksumType": "FULL_OBJECT"}
    assert (attributes["ObjectSize"], attributes["StorageClass"]) == (3, "STANDARD")
    wrong = {field: put[field]}
    assert refused(s3.put_object, **of, Body=b"abd", **wrong) == (400, "BadDigest")
    assert refused(s3.put_object, **of, Body=b"abd", **{field: "!"})[0] == 400


def test_content_md5_is_compared(s3: Any, bucket_name: str) -> None:
    digest = b64encode(hashlib.md5(b"abc", usedforsecurity=False).digest()).decode()
    s3.put_object(Bucket=bucket_name, Key="k", Body=b"abc", ContentMD5=digest)
    assert refused(s3.put_object, Bucket=bucket_name, Key="k", Body=b"abd", ContentMD5=digest) == (400, "BadDigest")
    assert s3.get_object(Bucket=bucket_name, Key="k")["Body"].read() == b"abc"


def test_copies(s3: Any, bucket_name: str) -> None:
    s3.put_object(Bucket=bucket_name, Key="a+b c/ä", Body=b"abc", Metadata={"m": "1"}, ContentType="text/plain")
    source = {"Bucket": bucket_name, "Key": "a+b c/ä"}
    result = s3.copy_object(Bucket=bucket_name, Key="copy", CopySource=source)["CopyObjectResult"]
    got = s3.get_object(Bucket=bucket_name, Key="copy")
    assert (got["Body"].read(), got["Metadata"], got["ContentType"]) == (b"abc", {"m": "1"}, "text/plain")
    assert result["ETag"] == got["ETag"]
    s3.copy_object(Bucket=bucket_name, Key="copy", CopySource=source, MetadataDirective="REPLACE", Metadata={"n": "2"},
                   TaggingDirective="REPLACE", Tagging="t=1")  # fmt: skip
    assert s3.head_object(Bucket=bucket_name, Key="copy")["Metadata"] == {"n": "2"}
    assert s3.get_object_tagging(Bucket=bucket_name, Key="copy")["TagSet"] == [{"Key": "t", "Value": "1"}]
    wrong = {"CopySource": source, "CopySourceIfMatch": '"no"'}
    assert refused(s3.copy_object, Bucket=bucket_name, Key="copy", **wrong) == (412, "PreconditionFailed")
    missing = f"{bucket_name}/nothing"
    assert refused(s3.copy_object, Bucket=bucket_name, Key="copy", CopySource=missing) == (404, "NoSuchKey")
    itself = {"Bucket": bucket_name, "Key": "a+b c/ä", "CopySource": source}
    assert refused(s3.copy_object, **itself) == (400, "InvalidRequest")


def test_many_deletes_at_once(s3: Any, bucket_name: str) -> None:
    keys = ["a", "b & c", "d<e>"]
    for key in keys:
        s3.put_object(Bucket=bucket_name, Key=key, Body=b"")
    asked = [{"Key": key} for key in [*keys, "never was"]]
    done = s3.delete_objects(Bucket=bucket_name, Delete={"Objects": asked})
    assert [one["Key"] for one in done["Deleted"]] == [*keys, "never was"]
    assert "Errors" not in done
    s3.put_object(Bucket=bucket_name, Key="a", Body=b"")
    long = {"Objects": [{"Key": "a"}, {"Key": "x" * 1025}], "Quiet": True}
    done = s3.delete_objects(Bucket=bucket_name, Delete=long)
    assert [one["Code"] for one in done["Errors"]] == ["KeyTooLongError"]
    assert "Deleted" not in done
    assert s3.list_objects_v2(Bucket=bucket_name)["KeyCount"] == 0
    many = {"Objects": [{"Key": str(n)} for n in range(1001)]}
    assert refused(s3.delete_objects, Bucket=bucket_name, Delete=many) == (400, "MalformedXML")


def test_listings_in_pages_with_folders(s3: Any, bucket_name: str) -> None:
    """[GW-24] boto3 asks for encoded keys, and decodes what it has to."""
    keys = [f"{folder}/{n} &+ü" for folder in "abc" for n in range(3)] + ["top"]
    for key in keys:
        s3.put_object(Bucket=bucket_name, Key=key, Body=b"x")
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket_name, PaginationConfig={"PageSize": 3}))
    assert [item["Key"] for page in pages for item in page["Contents"]] == keys
    assert [page["KeyCount"] for page in pages] == [3, 3, 3, 1]
    pages = list(s3.get_paginator("list_objects").paginate(Bucket=bucket_name, PaginationConfig={"PageSize": 3}))
    assert [item["Key"] for page in pages for item in page["Contents"]] == keys
    folders = s3.list_objects_v2(Bucket=bucket_name, Delimiter="/", MaxKeys=2)
    assert [one["Prefix"] for one in folders["CommonPrefixes"]] == ["a/", "b/"]
    assert folders["IsTruncated"]
    rest = s3.list_objects_v2(Bucket=bucket_name, Delimiter="/", ContinuationToken=folders["NextContinuationToken"])
    assert [one["Prefix"] for one in rest["CommonPrefixes"]] == ["c/"]
    assert [one["Key"] for one in rest["Contents"]] == ["top"]
    first = s3.list_objects(Bucket=bucket_name, Delimiter="/", MaxKeys=2)
    assert first["NextMarker"] == "b/"
    after = s3.list_objects_v2(Bucket=bucket_name, StartAfter="c/1 &+ü", FetchOwner=True)
    assert [one["Key"] for one in after["Contents"]] == ["c/2 &+ü", "top"]
    assert after["StartAfter"] == "c/1 &+ü"
    assert "ID" in after["Contents"][0]["Owner"]
    assert s3.list_objects_v2(Bucket=bucket_name, MaxKeys=0)["KeyCount"] == 0
    assert refused(s3.list_objects_v2, Bucket=bucket_name, ContinuationToken="x!") == (400, "InvalidArgument")


# --- versions and locks -----------------------------------------------------------------------------------------------


def test_versions(s3: Any, bucket_name: str) -> None:
    of = {"Bucket": bucket_name, "Key": "k"}
    s3.put_object(**of, Body=b"null")
    s3.put_bucket_versioning(Bucket=bucket_name, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket=bucket_name)["Status"] == "Enabled"
    first = s3.put_object(**of, Body=b"one")["VersionId"]
    second = s3.put_object(**of, Body=b"two")["VersionId"]
    assert s3.get_object(**of, VersionId=first)["Body"].read() == b"one"
    assert s3.get_object(**of, VersionId="null")["Body"].read() == b"null"
    marker = s3.delete_object(**of)
    assert marker["DeleteMarker"]
    for call, version, status in ((s3.get_object, {}, 404), (s3.head_object, {}, 404),
                                  (s3.get_object, {"VersionId": marker["VersionId"]}, 405)):  # fmt: skip
        with pytest.raises(ClientError) as caught:
            call(**of, **version)
        told = caught.value.response["ResponseMetadata"]
        assert told["HTTPStatusCode"] == status
        assert told["HTTPHeaders"]["x-amz-delete-marker"] == "true"
        assert told["HTTPHeaders"]["x-amz-version-id"] == marker["VersionId"]
    listed = s3.list_object_versions(Bucket=bucket_name)
    assert [one["VersionId"] for one in listed["Versions"]] == [second, first, "null"]
    assert [one["VersionId"] for one in listed["DeleteMarkers"]] == [marker["VersionId"]]
    page = s3.list_object_versions(Bucket=bucket_name, MaxKeys=2)
    rest = s3.list_object_versions(
        Bucket=bucket_name, KeyMarker=page["NextKeyMarker"], VersionIdMarker=page["NextVersionIdMarker"]
    )
    assert [one["VersionId"] for one in rest["Versions"]] == [first, "null"]
    copy = s3.copy_object(Bucket=bucket_name, Key="c", CopySource={**of, "VersionId": first})
    assert copy["CopySourceVersionId"] == first
    asked = [{"Key": "k", "VersionId": marker["VersionId"]}, {"Key": "k", "VersionId": second}, {"Key": "c"}]
    done = s3.delete_objects(Bucket=bucket_name, Delete={"Objects": asked})["Deleted"]
    assert done[0] == {"Key": "k", "VersionId": marker["VersionId"], "DeleteMarker": True,
                       "DeleteMarkerVersionId": marker["VersionId"]}  # fmt: skip
    assert done[1] == {"Key": "k", "VersionId": second}
    assert set(done[2]) == {"Key", "DeleteMarker", "DeleteMarkerVersionId"}
    assert s3.get_object(**of)["Body"].read() == b"one"
    assert refused(s3.get_object, **of, VersionId="nothing")[0] in (400, 404)


def test_locks(s3: Any) -> None:
    s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    default = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
    s3.put_object_lock_configuration(Bucket="locked", ObjectLockConfiguration=default)
    assert s3.get_object_lock_configuration(Bucket="locked")["ObjectLockConfiguration"] == default
    of = {"Bucket": "locked", "Key": "k"}
    version = s3.put_object(**of, Body=b"x")["VersionId"]
    assert s3.head_object(**of)["ObjectLockMode"] == "GOVERNANCE"
    until = datetime(2040, 1, 1, tzinfo=UTC)
    s3.put_object_retention(**of, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": until})
    assert s3.get_object_retention(**of)["Retention"] == {"Mode": "GOVERNANCE", "RetainUntilDate": until}
    assert refused(s3.delete_object, **of, VersionId=version) == (403, "AccessDenied")
    done = s3.delete_objects(Bucket="locked", Delete={"Objects": [{"Key": "k", "VersionId": version}]})
    assert [one["Code"] for one in done["Errors"]] == ["AccessDenied"]
    s3.put_object_legal_hold(**of, LegalHold={"Status": "ON"})
    assert s3.get_object_legal_hold(**of)["LegalHold"] == {"Status": "ON"}
    assert s3.head_object(**of)["ObjectLockLegalHoldStatus"] == "ON"
    s3.put_object_legal_hold(**of, LegalHold={"Status": "OFF"})
    s3.delete_object(**of, VersionId=version, BypassGovernanceRetention=True)
    s3.put_object(**of, Body=b"y", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until,
                  ObjectLockLegalHoldStatus="ON")  # fmt: skip
    assert s3.head_object(**of)["ObjectLockMode"] == "COMPLIANCE"


# --- multipart --------------------------------------------------------------------------------------------------------


def test_an_upload_in_parts(s3: Any, bucket_name: str) -> None:
    of = {"Bucket": bucket_name, "Key": "big & <odd> ü"}
    upload = s3.create_multipart_upload(**of, Metadata={"m": "1"}, ChecksumAlgorithm="CRC32C")
    named = {**of, "UploadId": upload["UploadId"]}
    bodies = [os.urandom(PART), os.urandom(PART), b"end"]
    parts = []
    for number, body in enumerate(bodies, 1):
        part = s3.upload_part(**named, PartNumber=number, Body=io.BytesIO(body), ChecksumAlgorithm="CRC32C")
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32C": part["ChecksumCRC32C"]})
    listed = s3.list_parts(**named, MaxParts=2)
    assert [one["PartNumber"] for one in listed["Parts"]] == [1, 2]
    assert listed["IsTruncated"]
    assert listed["ChecksumAlgorithm"] == "CRC32C"
    rest = s3.list_parts(**named, PartNumberMarker=listed["NextPartNumberMarker"])
    assert [one["Size"] for one in rest["Parts"]] == [3]
    uploads = s3.list_multipart_uploads(Bucket=bucket_name)["Uploads"]
    assert [(one["Key"], one["UploadId"]) for one in uploads] == [(of["Key"], upload["UploadId"])]
    whole = {"Parts": parts}
    wrong = {**named, "MultipartUpload": whole, "MpuObjectSize": 1}
    assert refused(s3.complete_multipart_upload, **wrong) == (400, "InvalidRequest")
    done = s3.complete_multipart_upload(**named, MultipartUpload=whole, MpuObjectSize=sum(map(len, bodies)))
    assert done["ETag"].endswith('-3"')
    assert done["ChecksumCRC32C"].endswith("-3")
    assert s3.get_object(**of)["Body"].read() == b"".join(bodies)
    second = s3.get_object(**of, PartNumber=2)
    assert (second["Body"].read(), second["PartsCount"]) == (bodies[1], 3)
    told = s3.get_object_attributes(**of, ObjectAttributes=["ObjectParts", "Checksum"])
    assert told["ObjectParts"]["TotalPartsCount"] == 3
    again = s3.create_multipart_upload(**of)
    copy = s3.upload_part_copy(
        **of, UploadId=again["UploadId"], PartNumber=1, CopySource=of, CopySourceRange=f"bytes=0-{PART - 1}"
    )
    assert copy["CopyPartResult"]["ETag"] == parts[0]["ETag"]
    s3.abort_multipart_upload(**of, UploadId=again["UploadId"])
    assert refused(s3.list_parts, **of, UploadId=again["UploadId"]) == (404, "NoSuchUpload")


def test_a_completion_may_name_10_000_parts_with_their_checksums(s3: Any, bucket_name: str) -> None:
    """[GW-4] Which is more than 1 MiB of XML: it is read, and there is no such upload."""
    etag, digest = '"' + "0" * 32 + '"', "A" * 43 + "="
    parts = [{"PartNumber": number, "ETag": etag, "ChecksumSHA256": digest} for number in range(1, 10_001)]
    of = {"Bucket": bucket_name, "Key": "k", "UploadId": "unknown"}
    assert refused(s3.complete_multipart_upload, **of, MultipartUpload={"Parts": parts}) == (404, "NoSuchUpload")


def test_boto3_s_own_transfers_go_through(s3: Any, bucket_name: str, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(os.urandom(20 << 20))
    s3.upload_file(str(source), bucket_name, "file")
    s3.download_file(bucket_name, "file", str(target))
    assert target.read_bytes() == source.read_bytes()


# --- what is not there ------------------------------------------------------------------------------------------------


def test_what_is_not_offered_is_501_and_never_a_silent_200(s3: Any, bucket_name: str) -> None:
    """[GW-22]"""
    of = {"Bucket": bucket_name, "Key": "k"}
    s3.put_object(**of, Body=b"x")
    website = {"IndexDocument": {"Suffix": "i"}}
    for call, arguments in [
        (s3.get_bucket_website, {"Bucket": bucket_name}),
        (s3.put_bucket_website, {"Bucket": bucket_name, "WebsiteConfiguration": website}),
        (s3.get_bucket_replication, {"Bucket": bucket_name}),
        (s3.list_bucket_analytics_configurations, {"Bucket": bucket_name}),
        (s3.get_object_torrent, of),
        (s3.get_object_acl, of),
        (s3.restore_object, of),
        (s3.put_object, {**of, "Body": b"", "StorageClass": "GLACIER"}),
        (s3.put_object, {**of, "Body": b"", "ServerSideEncryption": "aws:kms"}),
        (s3.put_object, {**of, "Body": b"", "ServerSideEncryption": "AES256"}),
        (s3.put_object, {**of, "Body": b"", "WebsiteRedirectLocation": "/x"}),
        (s3.put_object, {**of, "Body": b"", "WriteOffsetBytes": 1}),
    ]:
        assert refused(call, **arguments) == (501, "NotImplemented"), arguments
    assert s3.get_object(**of)["Body"].read() == b"x"
