"""Buckets made and removed. What a new one begins with, its identity among it, stands in one transaction."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from mstbucket.core.commit_fields import bucket_id
from mstbucket.core.keys import check_bucket_name
from mstbucket.index import buckets
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.state import publish_gone, publish_state

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection


def create(context: Context, name: str, object_lock: bool) -> None:
    """Make an empty bucket, durably; see `Store.create_bucket`."""
    check_bucket_name(name)

    def work(connection: Connection) -> None:
        buckets.insert(connection, name, bucket_id(secrets.token_bytes(16)))
        if object_lock:
            buckets.begin_object_lock(connection, name)

    context.db.run(work)
    publish_state(context, name)  # [REB-21]


def delete(context: Context, name: str) -> None:
    """Remove an empty bucket, durably; see `Store.delete_bucket`."""
    buckets.delete(context.db, name)
    publish_gone(context)  # [REB-24]
