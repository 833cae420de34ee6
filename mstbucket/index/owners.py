"""The keys that a block belongs to. Only errors ask: there is no index by these CIDs, so the tables are read whole."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from mstbucket.limits import CHUNK_SIZE
from mstbucket.pg import binary

if TYPE_CHECKING:
    from mstbucket.pg.database import Database

_DIRECT: Final = """
    SELECT o.key FROM objects o JOIN buckets t ON t.id = o.bucket
    WHERE t.name = %(bucket)s AND (o.manifest = ANY (%(cids)s) OR o.content = ANY (%(cids)s))
    UNION
    SELECT v.key FROM versions v JOIN buckets t ON t.id = v.bucket
    WHERE t.name = %(bucket)s AND (v.manifest = ANY (%(cids)s) OR v.content = ANY (%(cids)s))
    ORDER BY 1 LIMIT %(most)s
"""
# No row names a chunk of a large body. A put writes the chunks and the root of a body into one pack.
_SAME_PACK: Final = """
    SELECT DISTINCT o.key FROM objects o JOIN buckets t ON t.id = o.bucket JOIN blocks r ON r.cid = o.content
    WHERE t.name = %(bucket)s AND o.size > %(chunk)s AND r.pack IN (SELECT pack FROM blocks WHERE cid = ANY (%(cids)s))
    ORDER BY 1 LIMIT %(most)s
"""


def keys_of_blocks(db: Database, bucket: str, cids: Collection[bytes], most: int) -> list[str]:
    """At most `most` keys of the bucket whose manifest or body is one of these blocks.

    Where there is none: keys of large bodies with the root in the same pack as one of the blocks.
    """
    asked = {"bucket": bucket, "cids": binary.bytea_array(list(cids)), "chunk": CHUNK_SIZE, "most": most}
    with db.reading() as connection:
        rows = connection.execute(_DIRECT, asked).fetchall() or connection.execute(_SAME_PACK, asked).fetchall()
    return [key for (key,) in rows]
