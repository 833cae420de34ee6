"""A bucket goes on to a later commit that was made elsewhere, from a delta or from a whole export ([DELTA-6], [IMP-10]).

    1. A lease holds the newest commit, the base. The blocks of the file go to pending packs, and get their rows.
    2. The file is verified: a delta by what differs between the two commits ([DELTA-7]), an export from end to end.
    3. What differs between the trees of the two commits becomes rows that nobody sees.
    4. One transaction is alone in the bucket. If the base is still the newest commit and nothing was written since, it
       replaces the rows that differ, judges the versions of their keys side by side, and moves the commit.

A crash before 4 ends leaves blocks that nothing leads to, and nothing has changed.
"""

from __future__ import annotations

from contextlib import ExitStack

from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import CID
from mstbucket.core.commit import Commit
from mstbucket.errors import CommitMoved
from mstbucket.index import buckets
from mstbucket.index.commits import read_head
from mstbucket.model.streams import Readable
from mstbucket.services.blocks.context import Context
from mstbucket.services.past.advance import EVERY, Accept, Progress, To, advance
from mstbucket.services.tree.leases import hold_newest
from mstbucket.services.tree.publish import publish_made
from mstbucket.services.tree.staged_blocks import Staged
from mstbucket.verify.replay import Replay


def import_next(
    context: Context, stream: Readable, name: str, progress: Progress | None, expected: CID | None, accept: Accept
) -> str:
    """Bring a bucket from the commit before that of a whole export to that; return its name. See `Store.import_car`."""
    with ExitStack() as stack:
        head, lease = hold_newest(context, name)
        stack.enter_context(lease)
        replay = stack.enter_context(Replay(CarReader(stream), expected))
        to = To(replay.root, replay.commit)
        accept(*to)
        if (head.identity, head.commit) != (to.commit.bucket, to.commit.prev):
            raise CommitMoved(f"somebody else flushed bucket {name!r} meanwhile: it has gone its own way").about(bucket=name)
        blocks = stack.enter_context(Staged(context))
        said = lease.during(progress)
        for number, (_, cid, block, _, _) in enumerate(replay):
            if block is not None:
                blocks.add(cid, block)
            if number % EVERY == 0:
                blocks.say_alive()
                said(replay.offset)
        blocks.seal()
        blocks.record()
        advance(context, head, lease, to, blocks)
    publish_made(context, name, f"bucket {name!r} has followed")
    return name


def follows(context: Context, name: str, commit: Commit) -> bool:
    """Whether there is a bucket of that name, and its newest commit is the one before *commit* ([IMP-10])."""
    if not buckets.exists(context.db, name):
        return False
    with context.db.reading() as connection:
        head = read_head(connection, name)
    return head.identity == commit.bucket and head.commit is not None and head.commit == commit.prev
