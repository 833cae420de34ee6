"""The lifecycle rules of a bucket: put, get, delete. `services.policy.lifecycle_pass` carries them out."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from mstbucket.core.s3rules.lifecycle import check_rules
from mstbucket.errors import NoSuchLifecycleConfiguration
from mstbucket.index import lifecycle_rules
from mstbucket.index.buckets import bucket_id
from mstbucket.index.tx import Tx, inside
from mstbucket.model.policies import LifecycleRule
from mstbucket.pg.database import Database
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.state import publish_state

_ID_BYTES: Final = 24  # of randomness: 32 characters


def put_rules(context: Context, bucket: str, rules: Sequence[LifecycleRule]) -> None:
    """Replace the bucket's rules; see `Bucket.put_bucket_lifecycle_configuration`."""
    check_rules(rules)
    named = [rule if rule.id is not None else replace(rule, id=secrets.token_urlsafe(_ID_BYTES)) for rule in rules]

    def work(tx: Tx) -> None:
        lifecycle_rules.remove_rules(tx)
        lifecycle_rules.add_rules(tx, named)

    inside(context.db, bucket, work)
    publish_state(context, bucket)  # [REB-21]


def delete_rules(context: Context, bucket: str) -> None:
    """Remove the bucket's rules; see `Bucket.delete_bucket_lifecycle`."""
    inside(context.db, bucket, lifecycle_rules.remove_rules)
    publish_state(context, bucket)


def rules_of(db: Database, bucket: str) -> list[LifecycleRule]:
    """The bucket's rules; see `Bucket.get_bucket_lifecycle_configuration`."""
    with db.reading() as connection:
        rules = lifecycle_rules.rules_of(connection, bucket_id(connection, bucket))
    if not rules:
        raise NoSuchLifecycleConfiguration(f"bucket {bucket!r} has no lifecycle rules")
    return rules
