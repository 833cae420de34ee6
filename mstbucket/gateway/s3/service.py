"""Operations on the service and on buckets as such, and what is the same for all buckets."""

from __future__ import annotations

from typing import Final

from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.s3 import xml_in
from mstbucket.gateway.s3.call import Call
from mstbucket.gateway.s3.xml_out import document, element, group, moment
from mstbucket.gateway.wire.answer import Answer

#: Everything belongs to whoever runs the gateway. S3 names an owner by a number, and shows it in listings.
OWNER_ID: Final = "0" * 64
ACCOUNT: Final = "0" * 12
OWNER: Final = group("Owner", element("ID", OWNER_ID), element("DisplayName", "mstbucket"))
_XSI: Final = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"'
_BUCKETS_MAX: Final = 10_000


def list_buckets(call: Call) -> Answer:
    """The buckets, by name, from a prefix, a page at a time."""
    prefix, token = call.query("prefix") or "", call.query("continuation-token") or ""
    most = call.number("max-buckets", _BUCKETS_MAX)
    if not 1 <= most <= _BUCKETS_MAX:
        raise Refused("InvalidArgument", f"max-buckets must be an integer between 1 and {_BUCKETS_MAX}.")
    if call.query("bucket-region") not in (None, call.site.region):
        return Answer(200, [], document("ListAllMyBucketsResult", OWNER, "<Buckets></Buckets>"))
    found = [one for one in call.store.list_buckets() if one.name.startswith(prefix) and one.name > token]
    page = found[:most]
    shown = (
        group("Bucket", element("Name", one.name), element("CreationDate", moment(one.created)),
              element("BucketRegion", call.site.region))
        for one in page
    )  # fmt: skip
    following = element("ContinuationToken", page[-1].name if len(found) > most else None)
    inside = OWNER, group("Buckets", *shown), following, element("Prefix", prefix or None)
    return Answer(200, [], document("ListAllMyBucketsResult", *inside))


def create_bucket(call: Call) -> Answer:
    """Make a bucket, with object lock from the beginning if the request asks for it."""
    body = call.document()
    if body:
        found = xml_in.texts(xml_in.parse(body, "CreateBucketConfiguration"), ("LocationConstraint",))
        if found.get("LocationConstraint", "") not in ("", call.site.region):
            raise Refused("InvalidLocationConstraint", f"The only location is {call.site.region}.")
    call.store.create_bucket(call.bucket_name, object_lock=call.truth("x-amz-bucket-object-lock-enabled"))
    return Answer(200, [("Location", f"/{call.bucket_name}")])


def head_bucket(call: Call) -> Answer:
    """Whether there is such a bucket."""
    call.store.bucket(call.bucket_name)
    return Answer(200, [("x-amz-bucket-region", call.site.region), ("x-amz-access-point-alias", "false")])


def delete_bucket(call: Call) -> Answer:
    """Remove an empty bucket."""
    call.store.delete_bucket(call.bucket_name)
    call.site.handles.pop(call.bucket_name, None)
    return Answer(204)


def get_bucket_location(call: Call) -> Answer:
    """Where the bucket is. S3 answers nothing for its first region, us-east-1, and so does this."""
    call.store.bucket(call.bucket_name)
    return Answer(200, [], document("LocationConstraint"))


# --- what is never set -----------------------------------------------------------------------------------------------------


def get_bucket_acl(call: Call) -> Answer:
    """The only ACL that there is: the owner's."""
    call.store.bucket(call.bucket_name)
    grantee = f"<Grantee {_XSI}>{element('ID', OWNER_ID)}{element('DisplayName', 'mstbucket')}</Grantee>"
    grant = group("Grant", grantee, element("Permission", "FULL_CONTROL"))
    return Answer(200, [], document("AccessControlPolicy", OWNER, group("AccessControlList", grant)))


def put_acl(call: Call) -> Answer:
    """ACLs are not offered, as in AWS's buckets since 2023."""
    raise Refused("AccessControlListNotSupported", "The bucket does not allow ACLs")


def get_bucket_ownership_controls(call: Call) -> Answer:
    """Everything belongs to the owner of the bucket."""
    call.store.bucket(call.bucket_name)
    rule = group("Rule", element("ObjectOwnership", "BucketOwnerEnforced"))
    return Answer(200, [], document("OwnershipControls", rule))


def get_public_access_block(call: Call) -> Answer:
    """No such block is ever set."""
    call.store.bucket(call.bucket_name)
    raise Refused("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found")


def get_bucket_encryption(call: Call) -> Answer:
    """What the store does with its packs."""
    call.store.bucket(call.bucket_name)
    if not call.site.encrypts:
        raise Refused("ServerSideEncryptionConfigurationNotFoundError",
                      "The server side encryption configuration was not found")  # fmt: skip
    default = group("ApplyServerSideEncryptionByDefault", element("SSEAlgorithm", "AES256"))
    rule = group("Rule", default, element("BucketKeyEnabled", False))
    return Answer(200, [], document("ServerSideEncryptionConfiguration", rule))


def get_bucket_request_payment(call: Call) -> Answer:
    """Whoever runs the store pays."""
    call.store.bucket(call.bucket_name)
    return Answer(200, [], document("RequestPaymentConfiguration", element("Payer", "BucketOwner")))


def get_bucket_notification(call: Call) -> Answer:
    """There are no notifications."""
    call.store.bucket(call.bucket_name)
    return Answer(200, [], document("NotificationConfiguration"))


def get_bucket_logging(call: Call) -> Answer:
    """There is no logging."""
    call.store.bucket(call.bucket_name)
    return Answer(200, [], document("BucketLoggingStatus"))


def get_bucket_accelerate(call: Call) -> Answer:
    """Acceleration is never set."""
    call.store.bucket(call.bucket_name)
    return Answer(200, [], document("AccelerateConfiguration"))
