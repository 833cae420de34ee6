"""Who may do what with a bucket: its policy and its CORS rules, put, found, removed."""

from __future__ import annotations

from mstbucket.core.s3rules.access_policy import parse_policy
from mstbucket.errors import NoSuchBucketPolicy
from mstbucket.index import documents
from mstbucket.index.documents import Kind
from mstbucket.index.tx import inside
from mstbucket.model.access_policy import AccessPolicy, BucketAccess
from mstbucket.services.blocks.context import Context


def put_policy(context: Context, bucket: str, text: str) -> None:
    """Replace the policy; see `Bucket.put_bucket_policy`."""
    parse_policy(text, bucket)
    inside(context.db, bucket, lambda tx: documents.put(tx, "policy", text))


def remove(context: Context, bucket: str, kind: Kind) -> None:
    """Remove a document; no error where there is none."""
    inside(context.db, bucket, lambda tx: documents.remove(tx, kind))


def policy_of(context: Context, bucket: str) -> AccessPolicy:
    """The policy; see `Bucket.get_bucket_policy`."""
    policy = access_of(context, bucket).policy
    if policy is None:
        raise NoSuchBucketPolicy(f"bucket {bucket!r} has no policy")
    return policy


def access_of(context: Context, bucket: str) -> BucketAccess:
    """Policy and CORS rules; see `Bucket.get_access`."""
    found = documents.find_all(context.db, bucket)
    return BucketAccess(parse_policy(found["policy"], bucket) if "policy" in found else None)
