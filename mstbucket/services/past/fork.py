"""Fork: a bucket made of any commit of another one. No body is copied, and no block but a new commit is written ([PAST-40]).

    1. A lease holds the commit, and so all blocks that it reaches.
    2. The new commit has the trees of the old one, another identity, and says what it came from. It is written to a pack.
    3. A transaction takes the rows, under a number that no bucket has yet. It holds nothing that anybody else waits for.
    4. The same transaction goes behind the barrier, makes the bucket, records the block and commits.

Interrupted anywhere before 4 ends, nothing is there but a pending pack.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mstbucket.core import commit as commits
from mstbucket.core.commit import Commit
from mstbucket.core.commit_fields import bucket_id
from mstbucket.core.commit_names import CommitName
from mstbucket.core.keys import check_bucket_name
from mstbucket.core.mst.walk import walk
from mstbucket.errors import BucketAlreadyExists
from mstbucket.index import buckets, forking, staging
from mstbucket.index import commits as rows
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.error_context import error_context
from mstbucket.services.blocks.pack_in_progress import PackInProgress
from mstbucket.services.past.snapshots import find_commit
from mstbucket.services.tree.flush import flush
from mstbucket.services.tree.leases import Lease, hold
from mstbucket.services.tree.publish import publish_made
from mstbucket.services.tree.sealing import seal

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

_PAGE: Final = 4096  # manifests read at a time, and pairs of a tree between two looks at the lease


def fork(context: Context, source: str, name: str, commit: CommitName | None) -> None:
    """Make a bucket of a commit; see `Store.fork`."""
    check_bucket_name(name)
    if buckets.exists(context.db, name):  # early; whether it is free is decided by the transaction
        raise BucketAlreadyExists(f"a bucket named {name!r} exists already: fork under another name").about(bucket=name)
    if commit is None:
        flush(context, source)
    with hold(context, find_commit(context, source, commit)) as lease, error_context(context, source):
        made, cid, block = seal(_first_commit(context, lease, name), context.signer)
        with PackInProgress(context) as pack:
            pack.add(cid, block)
            pack.seal()
            number = buckets.reserve_number(context.db)
            with context.db.transaction() as connection:
                fill(context, connection, lease, number)
                lease.confirm()  # [PAST-41] what follows takes less than a lease lasts
                tx = buckets.insert_imported(connection, number, name, cid, made)
                rows.insert(tx, cid, made, whole=True)
                pack.record(tx)
            pack.keep()
    publish_made(context, name, f"bucket {name!r} is made")


def _first_commit(context: Context, lease: Lease, name: str) -> Commit:
    """The first commit of the new bucket: the state of the held one, without its signature ([COM-21])."""
    return replace(
        commits.decode(context.blocks.get(lease.commit.cid)),
        bucket=bucket_id(secrets.token_bytes(16)),
        name=name,
        seq=1,
        prev=None,
        forked=lease.commit.cid,
        merged=None,
        message=None,
        time=context.db.now_ms(),
        key=None,
        sig=None,
    )


def fill(context: Context, connection: Connection, lease: Lease, number: int) -> None:
    """Take the rows of the commit: all of the source's, where they are those of the commit, else by the trees."""
    staging.make_past(connection)
    if not forking.copy_current(connection, lease.commit.bucket, number, lease.commit.cid):
        _fill_by_trees(context, connection, lease, number)
    staging.give_past(connection, number)


def _fill_by_trees(context: Context, connection: Connection, lease: Lease, number: int) -> None:
    """Take the rows of the two trees: from the source's rows where they are the same, else from the manifests."""
    held = lease.commit
    objects = _watched(lease, walk(context.blocks, held.tree))
    versions = () if held.versions is None else _watched(lease, walk(context.blocks, held.versions))
    places = forking.stage(connection, objects, versions)
    if forking.copy_from_source(connection, held.bucket, number) < places:
        forking.drop_copied(connection, number)
        after = None
        while found := forking.next_places(connection, after, _PAGE):
            blocks = context.blocks.get_many({place.manifest for place in found})
            forking.add_rows(connection, number, [(place, blocks[place.manifest]) for place in found])
            after = found[-1]
            lease.renew()


def _watched(lease: Lease, pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    for n, pair in enumerate(pairs):
        if n % _PAGE == 0:
            lease.renew()
        yield pair
