"""Flushes of one bucket wait for each other, and do not repeat what others have done ([FLUSH-11], [FLUSH-12])."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from mstbucket.errors import Conflict
from mstbucket.index import commits
from mstbucket.services.blocks.context import Context

WAIT_SECONDS: Final = 60.0  # for another flush of the bucket, which may be stopped, or hang
LOCK: Final = 0x6D7376  # the class of the advisory locks; the second number is the bucket's row number
FLUSH_ATTEMPTS: Final = 20  # a flush that loses this often is raised to the caller
_T = TypeVar("_T")
_PAUSE_MAX: Final = 0.1  # seconds between two looks whether it is our turn


@contextmanager
def turn(context: Context, bucket: int) -> Iterator[None]:
    """Keep flushes of the bucket with that row number waiting; after WAIT_SECONDS the block goes on without that."""
    end = time.monotonic() + WAIT_SECONDS
    while True:
        with context.db.holding(LOCK, bucket) as mine:  # [FLUSH-11]
            if mine or time.monotonic() >= end:
                yield
                return
        time.sleep(random.uniform(_PAUSE_MAX / 2, _PAUSE_MAX))


def in_turn(context: Context, bucket: str, fold: Callable[[], _T], joins: bool) -> _T | None:
    """Call *fold* as soon as no other flush of the bucket is under way, but after WAIT_SECONDS at the latest.

    If *fold* loses against another flush, wait for the next turn. If the call *joins* others, and they have folded meanwhile
    all that was dirty at the beginning, return None and do not call it; else what it returns.

    Raises:
        NoSuchBucket: there is no such bucket.
        Conflict: *fold* raised it FLUSH_ATTEMPTS times.
    """
    with context.db.reading() as connection:
        head = commits.read_head(connection, bucket)
    turn = time.monotonic() + WAIT_SECONDS
    pause, lost = 0.005, 0
    while True:
        with context.db.holding(LOCK, head.bucket) as mine:  # [FLUSH-11]
            if mine or time.monotonic() >= turn:
                try:
                    return fold()
                except Conflict:
                    lost += 1
                    if lost == FLUSH_ATTEMPTS:
                        raise
        # [FLUSH-12] The snapshot of the next commit may be older than this call; that of the second one is not.
        if joins and commits.has_whole(context.db, head.bucket, head.seq + 2):
            return None
        time.sleep(random.uniform(pause / 2, pause))
        pause = min(_PAUSE_MAX, pause * 2)
