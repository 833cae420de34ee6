"""Prune: what was fetched from a remote, and is no longer there, goes ([RMT-15]). What somebody wrote is never removed.

A bucket goes in one transaction, alone in it, if it is as it was fetched still. So a crash leaves it whole, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING

from mstbucket.errors import NoSuchBucket, StorageError
from mstbucket.index import buckets, remotes
from mstbucket.index.tx import enter_alone
from mstbucket.model.remotes import FetchedBucket
from mstbucket.model.shared_files import SharedFiles
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.state import publish_gone
from mstbucket.services.remotes.file_peer import read_head

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

There = Callable[[Collection[str]], set[str]]  # of identities of buckets, those that are there


def in_store(context: Context, identities: Collection[str]) -> set[str]:
    """Those of the identities that a bucket of the store has."""
    return {one.identity for one in buckets.list_all(context.db)} & set(identities)


def in_files(files: SharedFiles, identities: Collection[str]) -> set[str]:
    """Those of the identities that have files.

    Raises:
        StorageError: nothing at all is there, as where a disk is not mounted.
    """
    if next(files.folders(), None) is None:
        raise StorageError(f"{files.where} is empty, so it may not be what was pushed to: is the disk mounted? To forget "
                           "it, remove the remote")  # fmt: skip
    return {one for one in identities if read_head(files, one)[0] is not None}


def nowhere(_identities: Collection[str]) -> set[str]:
    """None of them, for a remote that is given up."""
    return set()


def prune(context: Context, remote: str, there: There, dry_run: bool) -> list[FetchedBucket]:
    """Remove what was fetched from there and has gone there; see `Store.prune_remote`."""
    fetched = remotes.list_fetched(context.db, remote)
    met = remotes.identities_met(context.db, remote)
    present = there({one.identity for one in fetched} | met)
    done: list[FetchedBucket] = []
    for one in fetched:
        if one.identity in present:
            continue
        kept = one.kept
        if kept is None and not dry_run:
            try:
                kept = context.db.run(partial(_drop, remote, one.name))
            except NoSuchBucket:  # somebody else was faster
                continue
        done.append(FetchedBucket(one.name, kept))
    if not dry_run:
        remotes.forget_met(context.db, remote, met - present)
        publish_gone(context)  # [REB-24]
    return done


def _drop(remote: str, name: str, connection: Connection) -> str | None:
    return remotes.drop_fetched(enter_alone(connection, name), remote, name)
