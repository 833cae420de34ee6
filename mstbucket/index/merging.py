"""Where two buckets parted, or met last, as their commits tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mstbucket.index.leases import Kept

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

# A commit of either bucket that names one of the other: the newest merge between them, else the fork.
_MET: Final = """
    SELECT b.id, b.identity, b.name, a.seq, a.cid, a.tree, a.versions
    FROM commits m JOIN commits a ON a.cid IN (m.merged, m.forked) JOIN buckets b ON b.id = a.bucket
    WHERE (m.bucket, a.bucket) IN ((%(one)s, %(other)s), (%(other)s, %(one)s))
    ORDER BY m.merged IS NOT NULL DESC, m.time DESC, a.seq DESC LIMIT 1
"""

# The same bucket in two places: a commit that both have had, or that one has and a commit of the other follows or merged.
_SHARED: Final = """
    SELECT b.id, b.identity, b.name, a.seq, a.cid, a.tree, a.versions
    FROM commits m JOIN commits a ON a.cid IN (m.cid, m.prev, m.merged) JOIN buckets b ON b.id = a.bucket
    WHERE (m.bucket, a.bucket) IN ((%(one)s, %(other)s), (%(other)s, %(one)s))
        AND (SELECT count(DISTINCT identity) FROM buckets WHERE id IN (%(one)s, %(other)s)) = 1
    ORDER BY a.seq DESC LIMIT 1
"""


def find_common(connection: Connection, one: int, other: int) -> Kept | None:
    """The newest commit that two buckets are known to have both come from, of those that can be read; None if none is."""
    asked = {"one": one, "other": other}
    row = connection.execute(_SHARED, asked, binary=True).fetchone()
    if row is None:
        row = connection.execute(_MET, asked, binary=True).fetchone()
    return None if row is None else Kept(*row)
