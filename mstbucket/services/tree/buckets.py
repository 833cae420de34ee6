"""A new bucket: its name is judged, its identity is drawn, and all that it begins with stands in one transaction."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from mstbucket.core.commit import bucket_id
from mstbucket.core.keys import check_bucket_name
from mstbucket.index import buckets
from mstbucket.services.blocks.context import Context

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
