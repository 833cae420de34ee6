"""Leases: who reads a commit says so, and all that it reaches stays meanwhile, whatever becomes of it ([PAST-2], [PAST-3]).

    _, lease = hold_newest(context, "photos")
    with lease:
        for block in closure(context.blocks, lease.commit.cid):
            ...
            lease.renew()

A lease counts by the database's clock, so a crashed reader keeps nothing for long.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from mstbucket.core.cid import to_text
from mstbucket.errors import LeaseLost, NoSuchCommit, StorageError
from mstbucket.index import leases
from mstbucket.index.commits import Head, read_head
from mstbucket.index.leases import Kept
from mstbucket.limits import LEASE_SECONDS
from mstbucket.services.blocks.context import Context

_LENGTH: Final = LEASE_SECONDS * 1000  # ms
RENEW_SECONDS: Final = LEASE_SECONDS / 6  # between two renewals: some may fail, and the lease still stands


class Lease:
    """A lease on `commit`, until it is given back. Thread-safe.

    Attributes:
        commit: what can be read as long as `renew` is called now and then.
    """

    def __init__(self, context: Context, commit: Kept, number: int) -> None:
        self._context = context
        self._number = number
        self._next = time.monotonic() + RENEW_SECONDS
        self.commit = commit

    def renew(self) -> None:
        """Make it last, if it is time for that: costs nothing most times. Call it between two reads.

        Raises:
            LeaseLost: nobody called this for LEASE_SECONDS, and the commit was given up meanwhile.
        """
        if time.monotonic() >= self._next:
            with suppress(StorageError):  # the next one may get through, and tells what is wrong if none does
                self.confirm()

    def confirm(self) -> None:
        """Make it last for LEASE_SECONDS from now.

        Raises:
            LeaseLost: as `renew`.
            StorageError: the database could not be asked.
        """
        stands = leases.renew_lease(self._context.db, self._number, _LENGTH)
        self._next = time.monotonic() + RENEW_SECONDS
        if stands:
            return
        # As long as the commit has its row, nothing that it reaches was freed, with or without a lease ([PAST-4]).
        number = self._context.db.run(lambda connection: leases.take_lease(connection, self.commit, _LENGTH))
        if number is None:
            raise LeaseLost(
                f"commit {to_text(self.commit.cid)} was given up while its reader stood still for more than "
                f"{LEASE_SECONDS} seconds: read another one"
            ).about(bucket=self.commit.name, cid=self.commit.cid)
        self._number = number

    def during(self, progress: Callable[[int], object] | None) -> Callable[[int], object]:
        """*progress*, which renews the lease as well each time it is called."""

        def called(done: int) -> None:
            self.renew()
            if progress is not None:
                progress(done)

        return called

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(StorageError):  # it runs out by itself
            leases.give_lease_back(self._context.db, self._number)


def hold(context: Context, commit: Kept) -> Lease:
    """Take a lease on a commit.

    Raises:
        NoSuchCommit: it was given up, or its bucket removed, since it was found.
    """
    number = context.db.run(lambda connection: leases.take_lease(connection, commit, _LENGTH))
    if number is None:
        raise NoSuchCommit(
            f"commit {commit.seq} of bucket {commit.name!r}, {to_text(commit.cid)}, was given up meanwhile"
        ).about(bucket=commit.name, cid=commit.cid)
    return Lease(context, commit, number)


def hold_newest(context: Context, bucket: str) -> tuple[Head, Lease]:
    """Take a lease on the newest commit of a bucket; with the bucket as it was when that was its newest.

    Raises:
        NoSuchBucket: there is no such bucket.
        NoSuchCommit: it was never flushed.
    """
    while True:
        with context.db.reading() as connection:
            head = read_head(connection, bucket)
        if head.commit is None or head.tree is None:
            raise NoSuchCommit(f"bucket {bucket!r} has no commit yet: flush it first").about(bucket=bucket)
        with suppress(NoSuchCommit):  # a flush came between, and so did retention
            commit = Kept(head.bucket, head.identity, head.name, head.seq, head.commit, head.tree, head.versions)
            return head, hold(context, commit)
