"""Rows of blocks that two writers bring at once: one pack has them, and nobody fails."""

from __future__ import annotations

import threading
import time

import mstbucket
from mstbucket.core.cid import raw_cid
from mstbucket.index import blocks
from mstbucket.index.tx import enter_store

PACK = "INSERT INTO packs (name, state, created) VALUES (%s, %s, 0) RETURNING id"


def test_who_comes_second_counts_on_the_row_of_the_first(store: mstbucket.Store) -> None:
    """[PUT-9] [PUT-12]: neither sees the rows of the other before it inserts its own."""
    db = store._context.db
    cids = sorted(raw_cid(b"%d" % n) for n in range(50))
    with db.connection() as connection:
        first, second = (int(connection.execute(PACK, (name, "ready")).fetchone()[0]) for name in ("a", "b"))
    came: list[int] = []

    def bring() -> None:
        with db.transaction() as connection:
            came.append(blocks.add(enter_store(connection), second, cids, [100 + n for n in range(50)], [1] * 50, []))

    thread = threading.Thread(target=bring)
    with db.transaction() as connection:
        assert blocks.add(enter_store(connection), first, cids[::2], list(range(25)), [1] * 25, []) == 25
        thread.start()
        waiting = """
            SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE NOT l.granted AND a.datname = current_database()
        """
        deadline = time.monotonic() + 60
        with db.connection() as other:
            while other.execute(waiting).fetchone() is None:
                assert time.monotonic() < deadline, "nobody waits for the other"
                time.sleep(0.01)
    thread.join(60)
    assert came == [25]
    with db.connection() as connection:
        query = 'SELECT cid, pack, "offset" FROM blocks WHERE pack = ANY (%s) ORDER BY cid'
        rows = connection.execute(query, ([first, second],)).fetchall()
        found = [(bytes(cid), pack, offset) for cid, pack, offset in rows]
    assert found == [(cid, second, 100 + n) if n % 2 else (cid, first, n // 2) for n, cid in enumerate(cids)]
