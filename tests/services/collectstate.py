"""What the tests of collections ask of a store and do to it, below its interface."""

from __future__ import annotations

from typing import Any

import psycopg

import mstbucket


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
