"""Operations on the policy of a bucket."""

from __future__ import annotations

from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.s3.call import Call
from mstbucket.gateway.s3.xml_out import document, element
from mstbucket.gateway.wire.answer import Answer


def get_bucket_policy(call: Call) -> Answer:
    """The policy, as it was given."""
    return Answer(200, [("Content-Type", "application/json")], call.bucket.get_bucket_policy().encode())


def put_bucket_policy(call: Call) -> Answer:
    """Replace the policy. It counts here at once, and elsewhere within seconds."""
    body = call.document()
    if not body:
        raise Refused("MissingRequestBodyError", "Request Body is empty")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("MalformedPolicy", "Policies must be valid JSON in UTF-8") from None
    call.bucket.put_bucket_policy(text)
    call.site.known.forget(call.bucket_name)
    return Answer(204)


def delete_bucket_policy(call: Call) -> Answer:
    """Remove the policy."""
    call.bucket.delete_bucket_policy()
    call.site.known.forget(call.bucket_name)
    return Answer(204)


def get_bucket_policy_status(call: Call) -> Answer:
    """Whether the policy lets everybody in."""
    return Answer(200, [], document("PolicyStatus", element("IsPublic", call.bucket.get_bucket_policy_status())))
