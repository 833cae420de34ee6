"""What the tests of sweeps ask: what a full mark keeps, and what a sweep has removed of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from collectstate import ask

import mstbucket
from mstbucket.services.collection import sweep as sweeps
from mstbucket.services.collection.roots import mark
from mstbucket.services.collection.turns import asked_for
from mstbucket.services.tree import flush as flushes


def rows(store: mstbucket.Store) -> set[bytes]:
    """The CIDs of all rows of blocks."""
    return {bytes(cid) for (cid,) in ask(store, "SELECT cid FROM blocks")}


def needed(store: mstbucket.Store) -> set[bytes]:
    """Those of them that a cycle would mark: the oracle."""
    with ExitStack() as stack:
        _, marks, _ = mark(store._context, lambda: None, stack)
        return {cid for cid in rows(store) if cid in marks}


def sweep_once(store: mstbucket.Store, grace: int = 0) -> set[bytes]:
    """Sweep, and return what went; nothing of it is needed, before and after."""
    before, was_needed = rows(store), needed(store)
    sweeps.sweep(store._context, grace * 1000, lambda: None, asked_for)
    gone = before - rows(store)
    assert not gone & was_needed, "a sweep has removed what is needed"
    return gone


def retain_one(store: mstbucket.Store) -> None:
    """Give up every commit but the newest of each bucket, as retention does."""
    ask(store, "UPDATE commits SET published = true")
    ask(store, "SELECT give_up_commits(b.id, ARRAY(SELECT c.seq FROM commits c WHERE c.bucket = b.id)) FROM buckets b")


@contextmanager
def between_look_and_removal(work: Callable[[], object]) -> Iterator[None]:
    """Have *work* done in the middle of the next sweep, once it has decided."""
    real = sweeps._Removal.run

    def run(self: Any, *arguments: Any) -> None:
        work()
        real(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeps._Removal, "run", run)
        yield


@contextmanager
def within_the_next_flush(work: Callable[[], object], written: bool) -> Iterator[None]:
    """Have *work* done once in the middle of the next flush: behind its snapshot, before or after its pack is written."""
    real = flushes.write_pack
    left = [work]

    def write_pack(*arguments: Any) -> None:
        if not written:
            while left:
                left.pop()()
        real(*arguments)
        while left:
            left.pop()()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flushes, "write_pack", write_pack)
        yield
