"""Multipart uploads before the gateways, with the verbs of `mstbucket.Bucket` and their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from httperrors import CannotSay
from httpstore import HttpStore, bare, checksums_in, cid_of, described, lowered, second, sendable, summed

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
        assert answer.get("ChecksumAlgorithm") == algorithm
        assert checksum_type in (None, answer.get("ChecksumType"))
        assert answer["Key"] == key
        name = answer["UploadId"]
        return Upload(name, key, self._initiated(key, name), lowered(algorithm), answer.get("ChecksumType"))

    def _initiated(self, key: str, upload_id: str) -> datetime:
        """When it was begun, which only a listing tells."""
        before: dict[str, Any] = {}
        while True:
            page = self.list_multipart_uploads(key, **before)
            for one in page.uploads:
                if one.id == upload_id:
                    return one.initiated
            assert page.is_truncated
            before = {"key_marker": page.next_key_marker, "upload_id_marker": page.next_upload_id_marker}

    def upload_part(
        self, key: str, upload_id: str, part_number: int, body: Any, *, content_md5: str | None = None,
        checksums: Mapping[str, str] | None = None, checksum_algorithm: str | None = None,
    ) -> Part:  # fmt: skip
        algorithm = checksum_algorithm and checksum_algorithm.upper()
        answer = self.call(
            "upload_part", Key=key, UploadId=upload_id, PartNumber=part_number, Body=sendable(body), ContentMD5=content_md5,
            ChecksumAlgorithm=algorithm, **summed(checksums),
        )  # fmt: skip
        return self._part(key, upload_id, part_number, answer)

    def _part(self, key: str, upload_id: str, number: int, answer: Any) -> Part:
        """The part that was made, with what a listing tells of it and the answer does not."""
        for part in self.list_parts(key, upload_id, part_number_marker=number - 1, max_parts=1).parts:
            assert (part.number, part.etag) == (number, bare(answer["ETag"]))
            assert checksums_in(answer).items() <= part.checksums.items()
            return part
        raise AssertionError("the part is not there")

    def upload_part_copy(
        self, key: str, upload_id: str, part_number: int, source_key: str, *, source_bucket: str | None = None,
        source_version_id: str | None = None, range: str | None = None,
    ) -> Part:  # fmt: skip
        source = self.source(source_key, source_bucket, source_version_id)
        answer = self.call(
            "upload_part_copy", Key=key, UploadId=upload_id, PartNumber=part_number, CopySource=source, CopySourceRange=range
        )["CopyPartResult"]
        return self._part(key, upload_id, part_number, answer)

    def list_parts(
        self, key: str, upload_id: str, *, part_number_marker: int = 0, max_parts: int | None = None
    ) -> PartsPage:
        page = self.call(
            "list_parts", Key=key, UploadId=upload_id, PartNumberMarker=part_number_marker, MaxParts=max_parts
        )
        parts = tuple(
            Part(one["PartNumber"], bare(one["ETag"]), one["Size"], second(one["LastModified"]), checksums_in(one))
            for one in page.get("Parts", ())
        )
        following = page["NextPartNumberMarker"] if page["IsTruncated"] else None
        algorithm = lowered(page.get("ChecksumAlgorithm"))
        return PartsPage(parts, page["IsTruncated"], following, algorithm, page.get("ChecksumType"))

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
            Upload(
                one["UploadId"], unquote_plus(one["Key"]), second(one["Initiated"]), lowered(one.get("ChecksumAlgorithm")),
                one.get("ChecksumType"),
            )
            for one in page.get("Uploads", ())
        )
        prefixes = tuple(unquote_plus(one["Prefix"]) for one in page.get("CommonPrefixes", ()))
        following = page.get("NextKeyMarker")
        return UploadsPage(
            uploads, prefixes, page["IsTruncated"], None if following is None else unquote_plus(following),
            page.get("NextUploadIdMarker"),
        )  # fmt: skip

    def complete_multipart_upload(
        self, key: str, upload_id: str, parts: Iterable[Any], *, if_match: str | None = None,
        if_none_match: str | None = None, checksums: Mapping[str, str] | None = None,
    ) -> PutResult:  # fmt: skip
        named = [
            {"PartNumber": number, "ETag": etag, **summed(sums[0] if sums else None)} for number, etag, *sums in parts
        ]
        answer = self.call(
            "complete_multipart_upload", Key=key, UploadId=upload_id, MultipartUpload={"Parts": named}, IfMatch=if_match,
            IfNoneMatch=if_none_match, **summed(checksums),
        )  # fmt: skip
        if upload_id not in self._sizes:
            head = self.call("head_object", Key=key, VersionId=answer.get("VersionId"))
            self._sizes[upload_id] = head["ContentLength"]
        return PutResult(
            answer["Key"], self._sizes[upload_id], bare(answer["ETag"]), cid_of(answer), "", checksums_in(answer),
            answer.get("VersionId"),
        )  # fmt: skip

    def abort_multipart_upload(self, key: str, upload_id: str) -> None:
        self.call("abort_multipart_upload", Key=key, UploadId=upload_id)
