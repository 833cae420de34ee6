"""The table of operations: what is in it is supported, and nothing else is ([GW-22])."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from mstbucket.gateway.s3 import (
    access,
    cors,
    extensions,
    lifecycle,
    listing,
    multipart,
    post,
    read,
    service,
    settings,
    write,
)
from mstbucket.gateway.s3.call import Call
from mstbucket.gateway.wire.answer import Answer

Scope = Literal["service", "bucket", "object"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Attributes:
        name: as AWS calls it.
        scope: what its path names.
        action: what a policy calls the right to it.
        handler: does it.
        needs: parameters of the query by which it is known, with the value if that counts: `list-type=2`.
        takes: further parameters that it understands.
        header: the header by which it is known.
        early: its answer may begin before it is done.
        past: it can read the state at a commit ([GW-34]).
    """

    name: str
    method: str
    scope: Scope
    action: str
    handler: Callable[[Call], Answer]
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    header: str | None = None
    early: bool = False
    past: bool = False


_COPY: Final = "x-amz-copy-source"
_PAGE: Final = ("prefix", "delimiter", "encoding-type")
_READ: Final = (
    "versionId", "partNumber", "response-content-type", "response-cache-control", "response-content-disposition",
    "response-content-encoding", "response-content-language", "response-expires",
)  # fmt: skip
_VERSION: Final = ("versionId",)

_BUCKETS: Final = (
    Operation("ListBuckets", "GET", "service", "s3:ListAllMyBuckets", service.list_buckets,
              takes=("prefix", "max-buckets", "continuation-token", "bucket-region")),
    Operation("CreateBucket", "PUT", "bucket", "s3:CreateBucket", service.create_bucket),
    Operation("HeadBucket", "HEAD", "bucket", "s3:ListBucket", service.head_bucket),
    Operation("DeleteBucket", "DELETE", "bucket", "s3:DeleteBucket", service.delete_bucket),
    Operation("GetBucketLocation", "GET", "bucket", "s3:GetBucketLocation", service.get_bucket_location, ("location",)),
    Operation("GetBucketVersioning", "GET", "bucket", "s3:GetBucketVersioning", settings.get_bucket_versioning,
              ("versioning",)),
    Operation("PutBucketVersioning", "PUT", "bucket", "s3:PutBucketVersioning", settings.put_bucket_versioning,
              ("versioning",)),
    Operation("GetBucketTagging", "GET", "bucket", "s3:GetBucketTagging", settings.get_bucket_tagging, ("tagging",)),
    Operation("PutBucketTagging", "PUT", "bucket", "s3:PutBucketTagging", settings.put_bucket_tagging, ("tagging",)),
    Operation("DeleteBucketTagging", "DELETE", "bucket", "s3:PutBucketTagging", settings.delete_bucket_tagging,
              ("tagging",)),
    Operation("GetBucketLifecycleConfiguration", "GET", "bucket", "s3:GetLifecycleConfiguration",
              lifecycle.get_bucket_lifecycle_configuration, ("lifecycle",)),
    Operation("PutBucketLifecycleConfiguration", "PUT", "bucket", "s3:PutLifecycleConfiguration",
              lifecycle.put_bucket_lifecycle_configuration, ("lifecycle",)),
    Operation("DeleteBucketLifecycle", "DELETE", "bucket", "s3:PutLifecycleConfiguration",
              lifecycle.delete_bucket_lifecycle, ("lifecycle",)),
    Operation("GetBucketPolicy", "GET", "bucket", "s3:GetBucketPolicy", access.get_bucket_policy, ("policy",)),
    Operation("PutBucketPolicy", "PUT", "bucket", "s3:PutBucketPolicy", access.put_bucket_policy, ("policy",)),
    Operation("DeleteBucketPolicy", "DELETE", "bucket", "s3:DeleteBucketPolicy", access.delete_bucket_policy, ("policy",)),
    Operation("GetBucketPolicyStatus", "GET", "bucket", "s3:GetBucketPolicyStatus", access.get_bucket_policy_status,
              ("policyStatus",)),
    Operation("GetBucketCors", "GET", "bucket", "s3:GetBucketCORS", cors.get_bucket_cors, ("cors",)),
    Operation("PutBucketCors", "PUT", "bucket", "s3:PutBucketCORS", cors.put_bucket_cors, ("cors",)),
    Operation("DeleteBucketCors", "DELETE", "bucket", "s3:PutBucketCORS", cors.delete_bucket_cors, ("cors",)),
    Operation("GetObjectLockConfiguration", "GET", "bucket", "s3:GetBucketObjectLockConfiguration",
              settings.get_object_lock_configuration, ("object-lock",)),
    Operation("PutObjectLockConfiguration", "PUT", "bucket", "s3:PutBucketObjectLockConfiguration",
              settings.put_object_lock_configuration, ("object-lock",)),
    Operation("GetBucketAcl", "GET", "bucket", "s3:GetBucketAcl", service.get_bucket_acl, ("acl",)),
    Operation("PutBucketAcl", "PUT", "bucket", "s3:PutBucketAcl", service.put_acl, ("acl",)),
    Operation("GetBucketOwnershipControls", "GET", "bucket", "s3:GetBucketOwnershipControls",
              service.get_bucket_ownership_controls, ("ownershipControls",)),
    Operation("GetPublicAccessBlock", "GET", "bucket", "s3:GetBucketPublicAccessBlock",
              service.get_public_access_block, ("publicAccessBlock",)),
    Operation("GetBucketEncryption", "GET", "bucket", "s3:GetEncryptionConfiguration", service.get_bucket_encryption,
              ("encryption",)),
    Operation("GetBucketRequestPayment", "GET", "bucket", "s3:GetBucketRequestPayment",
              service.get_bucket_request_payment, ("requestPayment",)),
    Operation("GetBucketNotificationConfiguration", "GET", "bucket", "s3:GetBucketNotification",
              service.get_bucket_notification, ("notification",)),
    Operation("GetBucketLogging", "GET", "bucket", "s3:GetBucketLogging", service.get_bucket_logging, ("logging",)),
    Operation("GetBucketAccelerateConfiguration", "GET", "bucket", "s3:GetAccelerateConfiguration",
              service.get_bucket_accelerate, ("accelerate",)),
)  # fmt: skip

_LISTINGS: Final = (
    Operation("ListObjects", "GET", "bucket", "s3:ListBucket", listing.list_objects,
              takes=(*_PAGE, "marker", "max-keys", "list-type"), past=True),
    Operation("ListObjectsV2", "GET", "bucket", "s3:ListBucket", listing.list_objects_v2, ("list-type=2",),
              (*_PAGE, "continuation-token", "start-after", "max-keys", "fetch-owner"), past=True),
    Operation("ListObjectVersions", "GET", "bucket", "s3:ListBucketVersions", listing.list_object_versions,
              ("versions",), (*_PAGE, "key-marker", "version-id-marker", "max-keys"), past=True),
    Operation("ListMultipartUploads", "GET", "bucket", "s3:ListBucketMultipartUploads",
              multipart.list_multipart_uploads, ("uploads",), (*_PAGE, "key-marker", "upload-id-marker", "max-uploads")),
    Operation("DeleteObjects", "POST", "bucket", "s3:DeleteObject", write.delete_objects, ("delete",)),
)  # fmt: skip

_OBJECTS: Final = (
    Operation("PutObject", "PUT", "object", "s3:PutObject", write.put_object),
    Operation("GetObject", "GET", "object", "s3:GetObject", read.get_object, takes=_READ, past=True),
    Operation("HeadObject", "HEAD", "object", "s3:GetObject", read.head_object, takes=_READ, past=True),
    Operation("DeleteObject", "DELETE", "object", "s3:DeleteObject", write.delete_object, takes=_VERSION),
    Operation("CopyObject", "PUT", "object", "s3:PutObject", write.copy_object, header=_COPY),
    Operation("GetObjectAttributes", "GET", "object", "s3:GetObjectAttributes", read.get_object_attributes,
              ("attributes",), _VERSION, past=True),
    Operation("GetObjectTagging", "GET", "object", "s3:GetObjectTagging", settings.get_object_tagging, ("tagging",),
              _VERSION, past=True),
    Operation("PutObjectTagging", "PUT", "object", "s3:PutObjectTagging", settings.put_object_tagging, ("tagging",),
              _VERSION),
    Operation("DeleteObjectTagging", "DELETE", "object", "s3:DeleteObjectTagging", settings.delete_object_tagging,
              ("tagging",), _VERSION),
    Operation("GetObjectRetention", "GET", "object", "s3:GetObjectRetention", settings.get_object_retention,
              ("retention",), _VERSION),
    Operation("PutObjectRetention", "PUT", "object", "s3:PutObjectRetention", settings.put_object_retention,
              ("retention",), _VERSION),
    Operation("GetObjectLegalHold", "GET", "object", "s3:GetObjectLegalHold", settings.get_object_legal_hold,
              ("legal-hold",), _VERSION),
    Operation("PutObjectLegalHold", "PUT", "object", "s3:PutObjectLegalHold", settings.put_object_legal_hold,
              ("legal-hold",), _VERSION),
    Operation("PutObjectAcl", "PUT", "object", "s3:PutObjectAcl", service.put_acl, ("acl",), _VERSION),
    Operation("CreateMultipartUpload", "POST", "object", "s3:PutObject", multipart.create_multipart_upload,
              ("uploads",)),
    Operation("UploadPart", "PUT", "object", "s3:PutObject", multipart.upload_part, ("uploadId", "partNumber")),
    Operation("UploadPartCopy", "PUT", "object", "s3:PutObject", multipart.upload_part_copy,
              ("uploadId", "partNumber"), header=_COPY),
    Operation("ListParts", "GET", "object", "s3:ListMultipartUploadParts", multipart.list_parts, ("uploadId",),
              ("part-number-marker", "max-parts")),
    Operation("CompleteMultipartUpload", "POST", "object", "s3:PutObject", multipart.complete_multipart_upload,
              ("uploadId",), early=True),
    Operation("AbortMultipartUpload", "DELETE", "object", "s3:AbortMultipartUpload", multipart.abort_multipart_upload,
              ("uploadId",)),
)  # fmt: skip

#: Operations that S3 does not have, and its clients do not know.
EXTENSIONS: Final = (
    Operation("MstGetCommit", "GET", "bucket", "mst:GetCommit", extensions.get_commit, ("mst-commit",), past=True),
    Operation("MstFlush", "POST", "bucket", "mst:Flush", extensions.flush, ("mst-flush",)),
    Operation("MstExport", "GET", "bucket", "mst:Export", extensions.export, ("mst-export",), past=True),
)

#: S3 has it for browsers; the models of S3's clients do not have it.
FORM: Final = Operation("PostObject", "POST", "bucket", "s3:PutObject", post.post_object)

OPERATIONS: Final[tuple[Operation, ...]] = (*_BUCKETS, *_LISTINGS, *_OBJECTS, FORM, *EXTENSIONS)
