"""What the tests of collections ask of a store and do to it, below its interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

import mstbucket
from mstbucket.services.collection import cycle


def ask(store: mstbucket.Store, query: str, *arguments: object) -> list[Any]:
    """Ask the database itself, or change it."""
    with psycopg.connect(store.conninfo(), autocommit=True, options="-c search_path=mstbucket") as connection:
        cursor = connection.execute(query.encode(), arguments)
        return cursor.fetchall() if cursor.description is not None else []


def give_up_commits(store: mstbucket.Store) -> None:
    """Give up every commit but the newest of each bucket, as a retention does."""
    ask(store, "DELETE FROM commits c WHERE seq < (SELECT max(n.seq) FROM commits n WHERE n.bucket = c.bucket)")


def assert_nothing_dangles(store: mstbucket.Store) -> None:
    """Every bucket is what its commit says, every row leads to a pack that is there, and every block can be read."""
    for info in store.list_buckets():
        store.bucket(info.name).flush()
        store.bucket(info.name).verify()
    lost = """
        SELECT count(*) FROM blocks b WHERE pack IS NOT NULL
        AND NOT EXISTS (SELECT FROM packs p WHERE p.id = b.pack AND p.state = 'ready')
    """
    assert ask(store, lost) == [(0,)]
    for (cid,) in ask(store, "SELECT cid FROM blocks"):
        store._context.blocks.get(cid)


@contextmanager
def between_mark_and_sweep(work: Callable[[], None]) -> Iterator[None]:
    """Have *work* done in the middle of the next collection."""
    real = cycle.find_strays

    def first(context: Any) -> Any:
        work()
        return real(context)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cycle, "find_strays", first)
        yield
