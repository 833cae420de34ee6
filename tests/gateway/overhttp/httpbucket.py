"""A bucket before the gateways, with the verbs of `mstbucket.Bucket` and their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import shapes
from httperrors import CannotSay
from httpparts import HttpUploads
from httpstore import (
    HEADERS,
    HttpStore,
    bare,
    checksums_in,
    cid_of,
    described,
    held,
    meant,
    second,
    sendable,
    summed,
    tag_set,
)

import mstbucket
from mstbucket.errors import NoSuchKey
from mstbucket.limits import KEY_MAX
from mstbucket.model.listings import MarkerPage, ObjectSummary, ObjectVersion, Page, VersionsPage
from mstbucket.model.objects import DeleteFailure, DeleteReport, DeleteResult, ObjectAttributes, ObjectInfo, PutResult


class Reader:
    """The bytes that a get answered; HEAD has to say the same of the object."""

    def __init__(self, bucket: HttpBucket, key: str, version_id: str | None, answer: Any) -> None:
        self._body = answer["Body"].read()
        assert len(self._body) == answer["ContentLength"]
        self._ask = bucket, key, version_id
        self._answer = answer

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def read(self) -> bytes:
        body, self._body = self._body, b""
        return bytes(body)

    @property
    def info(self) -> ObjectInfo:
        bucket, key, version_id = self._ask
        head = bucket.call("head_object", Key=key, VersionId=version_id)
        about = ("ETag", "LastModified", "VersionId", "ContentType", "Metadata", "TagCount", *HEADERS.values())
        assert {name: head.get(name) for name in about} == {name: self._answer.get(name) for name in about}
        return bucket.head_object(key, version_id=version_id)


class HttpBucket(HttpUploads):
    """One bucket. `name` is without the prefix that its store puts before it."""

    def __init__(self, store: HttpStore, name: str) -> None:
        super().__init__()
        self.store = store
        self.name = name
        self._versioned = self.get_bucket_versioning() is not None

    @property
    def _context(self) -> Any:
        return self.library._context

    @property
    def library(self) -> mstbucket.Bucket:
        """The same bucket, in this process."""
        return self.store.library.bucket(self.store.prefix + self.name)

    def call(self, verb: str, **arguments: Any) -> Any:
        answer = self.store.call(verb, Bucket=self.store.prefix + self.name, **arguments)
        if "".join(word.title() for word in verb.split("_")) in shapes.NAMES_VERSION:
            assert ("VersionId" in answer) == self._versioned, (verb, sorted(answer))
        return answer

    # --- what S3 does not have ---

    def flush(self) -> Any:
        status, told = self.store.flush(self.store.chance.choice(self.store.gateways), self.store.prefix + self.name)
        assert status == 200
        return SimpleNamespace(**told)

    def verify(self) -> Any:
        return self.library.verify()

    def put_objects(self, requests: Iterable[mstbucket.PutRequest], stored: Any = None) -> int:
        return self.library.put_objects((_shown(request) for request in requests), stored=stored)

    # --- the bucket ---

    def put_bucket_versioning(self, status: str | None) -> None:
        self.call("put_bucket_versioning", VersioningConfiguration={} if status is None else {"Status": status})
        self._versioned = True

    def get_bucket_versioning(self) -> Any:
        return self.call("get_bucket_versioning").get("Status")

    def put_bucket_tagging(self, tags: Any) -> None:
        self.call("put_bucket_tagging", Tagging=tag_set(tags))

    def delete_bucket_tagging(self) -> None:
        self.call("delete_bucket_tagging")

    def get_bucket_tagging(self) -> dict[str, str]:
        return {one["Key"]: one["Value"] for one in self.call("get_bucket_tagging")["TagSet"]}

    # --- writing ---

    def put_object(
        self, key: str, body: Any, *, content_md5: str | None = None, checksums: Mapping[str, str] | None = None,
        checksum_algorithm: str | None = None, if_match: str | None = None, if_none_match: str | None = None, **said: Any,
    ) -> PutResult:  # fmt: skip
        algorithm = checksum_algorithm and checksum_algorithm.upper()
        answer = self.call(
            "put_object", Key=key, Body=sendable(body), ContentMD5=content_md5, ChecksumAlgorithm=algorithm,
            IfMatch=if_match, IfNoneMatch=if_none_match, **summed(checksums), **described(**said),
        )  # fmt: skip
        return self._stored(key, answer, answer)

    def _stored(self, key: str, answer: Any, about: Any) -> PutResult:
        """Size and manifest are of no answer of S3's; where another write was quicker they are not to be had."""
        here = self.library.head_object(key, version_id=answer.get("VersionId"))
        assert here.content == cid_of(answer) or answer.get("VersionId") in (None, "null")
        return PutResult(
            key, here.size, bare(about["ETag"]), cid_of(answer), here.manifest, checksums_in(about), answer.get("VersionId")
        )

    def copy_object(
        self, source_key: str, key: str, *, source_bucket: str | None = None, source_version_id: str | None = None,
        metadata_directive: str | None = None, tagging_directive: str | None = None, if_match: str | None = None,
        if_none_match: str | None = None, copy_source_if_match: str | None = None,
        copy_source_if_none_match: str | None = None, copy_source_if_modified_since: Any = None,
        copy_source_if_unmodified_since: Any = None, **said: Any,
    ) -> PutResult:  # fmt: skip
        answer = self.call(
            "copy_object", Key=key, CopySource=self.source(source_key, source_bucket, source_version_id),
            MetadataDirective=metadata_directive, TaggingDirective=tagging_directive, IfMatch=if_match,
            IfNoneMatch=if_none_match, CopySourceIfMatch=copy_source_if_match,
            CopySourceIfNoneMatch=copy_source_if_none_match, CopySourceIfModifiedSince=copy_source_if_modified_since,
            CopySourceIfUnmodifiedSince=copy_source_if_unmodified_since, **described(**said),
        )  # fmt: skip
        assert answer.get("CopySourceVersionId") == source_version_id or source_version_id is None
        return self._stored(key, answer, answer["CopyObjectResult"])

    def delete_object(
        self, key: str, *, version_id: str | None = None, if_match: str | None = None, if_none_match: str | None = None
    ) -> DeleteResult:
        if if_none_match is not None:
            raise CannotSay("DeleteObject has no If-None-Match")
        answer = self.call("delete_object", Key=key, VersionId=version_id, IfMatch=if_match)
        return DeleteResult(key, answer.get("VersionId"), answer.get("DeleteMarker", False), True)

    def delete_objects(self, items: Iterable[Any]) -> DeleteReport:
        named = [(item, None) if isinstance(item, str) else item for item in items]
        if not named:
            raise CannotSay("DeleteObjects names one key at least")
        if any(len(key.encode()) > KEY_MAX for key, _ in named):
            raise CannotSay("DeleteObjects answers each key by itself, and the library refuses the call")
        objects = [{"Key": key, "VersionId": name} if name else {"Key": key} for key, name in named]
        answer = self.call("delete_objects", Delete={"Objects": objects})
        errors = answer.get("Errors", ())
        failed = [DeleteFailure(one["Key"], one.get("VersionId"), NoSuchKey(one["Code"])) for one in errors]
        return DeleteReport(tuple(_deleted(one) for one in answer.get("Deleted", ())), tuple(failed))

    def put_object_tagging(self, key: str, tags: Any, *, version_id: str | None = None) -> None:
        self.call("put_object_tagging", Key=key, VersionId=version_id, Tagging=tag_set(tags))

    def delete_object_tagging(self, key: str, *, version_id: str | None = None) -> None:
        self.call("delete_object_tagging", Key=key, VersionId=version_id)

    # --- reading ---

    def get_object_tagging(self, key: str, *, version_id: str | None = None) -> dict[str, str]:
        answer = self.call("get_object_tagging", Key=key, VersionId=version_id)
        return {one["Key"]: one["Value"] for one in answer["TagSet"]}

    def get_object(self, key: str, *, version_id: str | None = None, **asked: Any) -> Reader:
        return Reader(self, key, version_id, self.call("get_object", Key=key, VersionId=version_id, **_asked(**asked)))

    def head_object(self, key: str, *, version_id: str | None = None, **asked: Any) -> ObjectInfo:
        head = self.call("head_object", Key=key, VersionId=version_id, ChecksumMode="ENABLED", **_asked(**asked))
        tags = {} if "TagCount" not in head else self.get_object_tagging(key, version_id=version_id)
        assert len(tags) == head.get("TagCount", 0)
        etag = bare(head["ETag"])
        parts = self.get_object_attributes(key, version_id=version_id).parts if "-" in etag else ()
        here = self.library.head_object(key, version_id=version_id)  # what S3 does not tell
        info = ObjectInfo(
            key, head["ContentLength"], etag, second(head["LastModified"]), cid_of(head),
            here.manifest, head["ContentType"], sha256=here.sha256,
            headers={name: meant(head[said]) for name, said in HEADERS.items() if said in head},
            metadata={name: meant(text) for name, text in head["Metadata"].items()},
            tags=tags, parts=parts, checksums=checksums_in(head), version_id=head.get("VersionId"),
        )  # fmt: skip
        assert info.checksum_type == head.get("ChecksumType")
        return info

    def get_object_attributes(self, key: str, *, version_id: str | None = None) -> ObjectAttributes:
        answer = self.call(
            "get_object_attributes", Key=key, VersionId=version_id,
            ObjectAttributes=["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"],
        )  # fmt: skip
        parts = answer.get("ObjectParts", {})
        assert not parts.get("IsTruncated")
        sizes = tuple(one["Size"] for one in parts.get("Parts", ()))
        assert len(sizes) == parts.get("TotalPartsCount", 0)
        said = checksums_in(answer.get("Checksum", {}))
        return ObjectAttributes(answer["ETag"], answer["ObjectSize"], said, sizes, answer["StorageClass"])

    def objects(self) -> Iterator[ObjectSummary]:
        token = None
        while True:
            page = self.list_objects(continuation_token=token)
            yield from page.contents
            token = page.next_continuation_token
            if token is None:
                return

    def list_objects(
        self, prefix: str = "", *, start_after: str | None = None, continuation_token: str | None = None, **asked: Any
    ) -> Page:
        page = self.call(
            "list_objects_v2", StartAfter=start_after, ContinuationToken=continuation_token, **_paged(prefix, **asked)
        )
        contents, prefixes = _contents(page)
        assert page["KeyCount"] == len(contents) + len(prefixes)
        return Page(contents, prefixes, page["IsTruncated"], page.get("NextContinuationToken"))

    def list_objects_v1(self, prefix: str = "", *, marker: str | None = None, **asked: Any) -> MarkerPage:
        page = self.call("list_objects", Marker=marker, **_paged(prefix, **asked))
        return MarkerPage(*_contents(page), page["IsTruncated"], page.get("NextMarker"))

    def list_object_versions(
        self, prefix: str = "", *, key_marker: str | None = None, version_id_marker: str | None = None, **asked: Any
    ) -> VersionsPage:
        page = self.call(
            "list_object_versions", KeyMarker=key_marker, VersionIdMarker=version_id_marker, **_paged(prefix, **asked)
        )
        found = {kind: iter(page.get(kind, ())) for kind in ("Versions", "DeleteMarkers")}
        versions = tuple(_version(next(found[kind]), kind == "DeleteMarkers") for kind in page["Order"])
        following = page.get("NextKeyMarker"), page.get("NextVersionIdMarker")
        return VersionsPage(versions, _prefixes(page), page["IsTruncated"], *following)


def _shown(request: mstbucket.PutRequest) -> mstbucket.PutRequest:
    """With no header that is empty: HTTP shows it as none."""
    return replace(request, headers={name: text or held(text) for name, text in request.headers.items()})


def _asked(
    range: str | None = None, part_number: int | None = None, if_match: str | None = None, if_none_match: str | None = None,
    if_modified_since: Any = None, if_unmodified_since: Any = None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "Range": range, "PartNumber": part_number, "IfMatch": if_match, "IfNoneMatch": if_none_match,
        "IfModifiedSince": if_modified_since, "IfUnmodifiedSince": if_unmodified_since,
    }  # fmt: skip


def _paged(prefix: str, delimiter: str | None = None, max_keys: int | None = None) -> dict[str, Any]:
    return {"Prefix": prefix, "Delimiter": delimiter, "MaxKeys": max_keys}


def _prefixes(page: Any) -> tuple[str, ...]:
    return tuple(one["Prefix"] for one in page.get("CommonPrefixes", ()))


def _contents(page: Any) -> tuple[tuple[ObjectSummary, ...], tuple[str, ...]]:
    found = page.get("Contents", ())
    contents = (
        ObjectSummary(o["Key"], o["Size"], bare(o["ETag"]), second(o["LastModified"]), *_summed(o)) for o in found
    )
    return tuple(contents), _prefixes(page)


def _summed(one: Any) -> tuple[tuple[str, ...], Any]:
    return tuple(name.lower() for name in one.get("ChecksumAlgorithm", ())), one.get("ChecksumType")


def _version(one: Any, marker: bool) -> ObjectVersion:
    size, etag = (None, None) if marker else (one["Size"], bare(one["ETag"]))
    modified = second(one["LastModified"])
    return ObjectVersion(one["Key"], one["VersionId"], one["IsLatest"], marker, size, etag, modified, *_summed(one))


def _deleted(one: Any) -> DeleteResult:
    marker = one.get("DeleteMarker", False)
    return DeleteResult(one["Key"], one["DeleteMarkerVersionId"] if marker else one.get("VersionId"), marker, True)
