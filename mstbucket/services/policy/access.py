"""Who may do what with a bucket: its policy and its CORS rules, put, found, removed."""

from __future__ import annotations

from collections.abc import Sequence

from mstbucket.core.s3rules import bucket_limits, cors
from mstbucket.core.s3rules.policy_documents import parse_policy
from mstbucket.errors import NoSuchBucketPolicy, NoSuchCORSConfiguration
from mstbucket.index import documents
from mstbucket.index.documents import Kind
from mstbucket.index.tx import inside
from mstbucket.model.access_policy import AccessPolicy, BucketAccess, BucketLimits
from mstbucket.model.cors import CorsRule
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.state import publish_state


def put_policy(context: Context, bucket: str, text: str) -> None:
    """Replace the policy; see `Bucket.put_bucket_policy`."""
    parse_policy(text, bucket)
    _put(context, bucket, "policy", text)


def put_cors(context: Context, bucket: str, rules: Sequence[CorsRule]) -> None:
    """Replace the CORS rules; see `Bucket.put_bucket_cors`."""
    cors.check_rules(rules)
    _put(context, bucket, "cors", cors.kept(rules))


def put_limits(context: Context, bucket: str, limits: BucketLimits) -> None:
    """Replace the limits; see `Bucket.put_bucket_limits`."""
    bucket_limits.check_limits(limits)
    if limits == BucketLimits():
        remove(context, bucket, "limits")
    else:
        _put(context, bucket, "limits", bucket_limits.kept(limits))


def _put(context: Context, bucket: str, kind: Kind, text: str) -> None:
    inside(context.db, bucket, lambda tx: documents.put(tx, kind, text))
    publish_state(context, bucket)  # [REB-21]


def cors_of(context: Context, bucket: str) -> list[CorsRule]:
    """The CORS rules; see `Bucket.get_bucket_cors`."""
    rules = access_of(context, bucket).cors
    if not rules:
        raise NoSuchCORSConfiguration(f"bucket {bucket!r} has no CORS rules")
    return list(rules)


def remove(context: Context, bucket: str, kind: Kind) -> None:
    """Remove a document; no error where there is none."""
    inside(context.db, bucket, lambda tx: documents.remove(tx, kind))
    publish_state(context, bucket)  # [REB-21]


def policy_of(context: Context, bucket: str) -> AccessPolicy:
    """The policy; see `Bucket.get_bucket_policy`."""
    policy = access_of(context, bucket).policy
    if policy is None:
        raise NoSuchBucketPolicy(f"bucket {bucket!r} has no policy")
    return policy


def access_of(context: Context, bucket: str) -> BucketAccess:
    """Policy, CORS rules and limits; see `Bucket.get_access`."""
    found = documents.find_all(context.db, bucket)
    policy = parse_policy(found["policy"], bucket) if "policy" in found else None
    limits = bucket_limits.read(found["limits"]) if "limits" in found else BucketLimits()
    return BucketAccess(policy, cors.read(found["cors"]) if "cors" in found else (), limits)
