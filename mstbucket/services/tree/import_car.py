"""Import: one pass through the CAR verifies it whole and stages it in the store, then a short switch makes it a bucket.

    1. The blocks that the store lacks go to pending packs. The rows go to temporary files, in the form in which the database
       takes them. Nobody waits for the import, however long the file takes to come.
    2. When the file is verified, a transaction takes the rows of the bucket, under a number that no bucket has yet. It holds
       nothing that anybody else waits for.
    3. The blocks are recorded, a pack at a time, each in a short transaction of its own; of a bucket without versions
       meanwhile, by threads.
    4. The transaction of step 2 goes behind the barrier, makes the bucket, and commits ([IMP-3], [IMP-5]).

Nothing is visible before the end. An interrupted import leaves pending packs. Between steps 3 and 4 it leaves blocks that
nothing leads to; another import of the file counts on them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Final

from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import CID
from mstbucket.core.commit import Commit
from mstbucket.core.keys import check_bucket_name
from mstbucket.errors import BucketAlreadyExists
from mstbucket.index import buckets, commits, staging
from mstbucket.model.streams import Readable
from mstbucket.services.blocks.context import Context
from mstbucket.services.tree.import_rows import ImportRows
from mstbucket.services.tree.publish import publish_made
from mstbucket.services.tree.staged_blocks import Staged
from mstbucket.verify.replay import Kind, Replay

_EVERY: Final = 4096  # events between two calls of `progress`
_OBJECT: Final = Kind.OBJECT


def import_car(
    context: Context,
    stream: Readable,
    name: str | None,
    progress: Callable[[int], object] | None,
    expected: CID | None,
    accept: Callable[[CID, Commit], object],
    staged: Staged | None = None,
) -> str:
    """Make a bucket of a CAR and return its name; see `Store.import_car`. The caller ends *staged*, if it gives one."""
    if name is not None:
        _check_name(context, name)  # before anything is read or written
    with ExitStack() as stack:
        replay = stack.enter_context(Replay(CarReader(stream), expected))
        accept(replay.root, replay.commit)
        name = replay.commit.name if name is None else name
        _check_name(context, name)
        rows = stack.enter_context(ImportRows(buckets.reserve_number(context.db)))
        blocks = stack.enter_context(Staged(context)) if staged is None else staged
        for number, (kind, cid, block, _, key) in enumerate(replay):
            if block is not None:
                blocks.add(cid, block)
            if key is not None:
                if kind is _OBJECT:
                    rows.add_object(key, cid, block)
                else:
                    rows.add_version(key, cid, block)
            if number % _EVERY == 0:
                blocks.say_alive()
                if progress is not None:
                    progress(replay.offset)
        blocks.seal()
        _switch(context, blocks, replay.root, replay.commit, name, rows)
    publish_made(context, name, f"bucket {name!r} is imported")  # [IMP-4]
    return name


def _switch(context: Context, blocks: Staged, root: bytes, commit: Commit, name: str, rows: ImportRows) -> None:
    """Steps 2 to 4: one transaction takes the rows and makes the bucket; others record the blocks meanwhile ([IMP-3])."""
    with context.db.transaction() as connection:
        take_objects = partial(
            staging.add_objects, connection, rows.bucket, rows.objects.pieces(), rows.repeats.pieces()
        )
        _check_name(context, name)  # it may have been taken while the file came
        if commit.versions is None:
            blocks.record(take_objects)
        else:  # the rows are judged together, before any block has its row
            take_objects()
            # The replay has refused what no bucket of a store can hold ([VSN-9]).
            staging.add_versions(connection, rows.bucket, rows.versions.pieces())
            blocks.record()
        # [IMP-5] The barrier is taken here and not before. Nobody waits for the rows above: nobody else has that number.
        tx = buckets.insert_imported(connection, rows.bucket, name, root, commit)
        commits.insert(tx, root, commit, whole=True)
        blocks.withdraw(tx)


def _check_name(context: Context, name: str) -> None:
    """Refuse a name early; whether it is free is decided by the transaction."""
    check_bucket_name(name)
    if buckets.exists(context.db, name):
        raise BucketAlreadyExists(f"a bucket named {name!r} exists already: import under another name")
