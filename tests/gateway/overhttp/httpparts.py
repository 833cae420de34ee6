"""Multipart uploads before the gateways, with the verbs of `mstbucket.Bucket` and their values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from httperrors import CannotSay
from httpstore import HttpStore, bare, checksums, cid_of, described, second

from mstbucket.model.objects import PutResult
from mstbucket.model.uploads import Part, PartsPage, Upload, UploadsPage


class HttpUploads:
    """The half of a bucket that is about uploads. A completion does not tell the size: HEAD tells it the first time."""

    store: HttpStore
    name: str

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}

    def call(self, verb: str, **arguments: Any) -> Any:
        raise NotImplementedError

    def source(self, key: str, bucket: str | None, version_id: str | None) -> dict[str, str]:
        """What is to be copied."""
        said = {"Bucket": self.store.prefix + (self.name if bucket is None else bucket), "Key": key}
        return said if version_id is None else {**said, "VersionId": version_id}

    def create_multipart_upload(
        self, key: str, *, checksum_algorithm: str | None = None, checksum_type: str | None = None, **said: Any
    ) -> Upload:
        if "\uffff" in key:
            raise CannotSay("XML 1.0 has no U+FFFF, and the answer to CreateMultipartUpload names the key")
        algorithm = checksum_algorithm and checksum_algorithm.upper()
        answer = self.call(
            "create_multipart_upload", Key=key, ChecksumAlgorithm=algorithm, ChecksumType=checksum_type, **described(**said)
        )
        assert (answer.get("ChecksumAlgorithm"), answer.get("ChecksumType")) == (algorithm, checksum_type)
        assert answer["Key"] == key
        return Upload(answer["UploadId"], key, datetime.now(UTC), checksum_algorithm, answer.get("ChecksumType"))

    def upload_part(self, key: str, upload_id: str, part_number: int, body: bytes) -> Part:
        answer = self.call("upload_part", Key=key, UploadId=upload_id, PartNumber=part_number, Body=body)
        return Part(part_number, bare(answer["ETag"]), len(body), datetime.now(UTC), checksums(answer))

    def upload_part_copy(
        self, key: str, upload_id: str, part_number: int, source_key: str, *, source_bucket: str | None = None,
        source_version_id: str | None = None, range: str | None = None,
    ) -> Part:  # fmt: skip
        source = self.source(source_key, source_bucket, source_version_id)
        answer = self.call(
            "upload_part_copy", Key=key, UploadId=upload_id, PartNumber=part_number, CopySource=source, CopySourceRange=range
        )["CopyPartResult"]
        for part in self.list_parts(key, upload_id, part_number_marker=part_number - 1, max_parts=1).parts:
            assert part.etag == bare(answer["ETag"])
            return part
        raise AssertionError("the part is not there")

    def list_parts(
        self, key: str, upload_id: str, *, part_number_marker: int = 0, max_parts: int | None = None
    ) -> PartsPage:
        page = self.call(
            "list_parts", Key=key, UploadId=upload_id, PartNumberMarker=part_number_marker, MaxParts=max_parts
        )
        parts = tuple(
            Part(one["PartNumber"], bare(one["ETag"]), one["Size"], second(one["LastModified"]), checksums(one))
            for one in page.get("Parts", ())
        )
        return PartsPage(parts, page["IsTruncated"], page["NextPartNumberMarker"] if page["IsTruncated"] else None)

    def list_multipart_uploads(
        self, prefix: str = "", *, delimiter: str | None = None, key_marker: str | None = None,
        upload_id_marker: str | None = None, max_uploads: int | None = None,
    ) -> UploadsPage:  # fmt: skip
        # Unlike the other listings boto3 does not ask for keys that are encoded, and XML cannot hold every key.
        page = self.call(
            "list_multipart_uploads", Prefix=prefix, Delimiter=delimiter, KeyMarker=key_marker,
            UploadIdMarker=upload_id_marker, MaxUploads=max_uploads, EncodingType="url",
        )  # fmt: skip
        uploads = tuple(
            Upload(one["UploadId"], unquote_plus(one["Key"]), second(one["Initiated"])) for one in page.get("Uploads", ())
        )
        prefixes = tuple(unquote_plus(one["Prefix"]) for one in page.get("CommonPrefixes", ()))
        following = page.get("NextKeyMarker")
        return UploadsPage(
            uploads, prefixes, page["IsTruncated"], None if following is None else unquote_plus(following),
            page.get("NextUploadIdMarker"),
        )  # fmt: skip

    def complete_multipart_upload(
        self, key: str, upload_id: str, parts: Iterable[Any], *, if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> PutResult:  # fmt: skip
        named = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
        answer = self.call(
            "complete_multipart_upload", Key=key, UploadId=upload_id, MultipartUpload={"Parts": named}, IfMatch=if_match,
            IfNoneMatch=if_none_match,
        )  # fmt: skip
        if upload_id not in self._sizes:
            head = self.call("head_object", Key=key, VersionId=answer.get("VersionId"))
            self._sizes[upload_id] = head["ContentLength"]
        return PutResult(
            answer["Key"], self._sizes[upload_id], bare(answer["ETag"]), cid_of(answer), "", checksums(answer),
            answer.get("VersionId"),
        )  # fmt: skip

    def abort_multipart_upload(self, key: str, upload_id: str) -> None:
        self.call("abort_multipart_upload", Key=key, UploadId=upload_id)
