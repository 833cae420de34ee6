"""Damage says whose it is: errors about blocks get the bucket's name, and the keys, where the index can tell them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from mstbucket.core.cid import from_text
from mstbucket.errors import CorruptionError, FormatError, StorageError
from mstbucket.limits import CHUNK_SIZE
from mstbucket.pg.binary import bytea_array
from mstbucket.services.blocks.context import Context

KEYS: Final = 3  # named in one message

_CID: Final = re.compile(r"\bb[a-z2-7]{58}\b")
_DIRECT: Final = """
    SELECT o.key FROM objects o JOIN buckets t ON t.id = o.bucket
    WHERE t.name = %(bucket)s AND (o.manifest = ANY (%(cids)s) OR o.content = ANY (%(cids)s))
    UNION
    SELECT v.key FROM versions v JOIN buckets t ON t.id = v.bucket
    WHERE t.name = %(bucket)s AND (v.manifest = ANY (%(cids)s) OR v.content = ANY (%(cids)s))
    ORDER BY 1 LIMIT %(most)s
"""
#: A chunk of a large body has no row of its own that names it; the body's root is in the same pack, as it was put.
_BESIDE: Final = """
    SELECT DISTINCT o.key FROM objects o JOIN buckets t ON t.id = o.bucket JOIN blocks r ON r.cid = o.content
    WHERE t.name = %(bucket)s AND o.size > %(chunk)s AND r.pack IN (SELECT pack FROM blocks WHERE cid = ANY (%(cids)s))
    ORDER BY 1 LIMIT %(most)s
"""


@contextmanager
def naming(context: Context, bucket: str, key: str | None = None) -> Iterator[None]:
    """Errors from inside about blocks of `bucket` name it, the block's CID, and the object ([GET-1]).

    Where the caller does not know its key, the index is asked, only then, and in its own time: it has no index by these
    CIDs, which nothing but errors would need.
    """
    try:
        yield
    except (CorruptionError, FormatError) as error:
        text = str(error)
        if f"bucket {bucket!r}" not in text:
            whose = _objects(context, bucket, text) if key is None else f", object {key!r}"
            error.args = (f"bucket {bucket!r}{whose}: {text}",)  # the type and the rest stay
        raise


def _objects(context: Context, bucket: str, text: str) -> str:
    cids = bytea_array([from_text(cid) for cid in dict.fromkeys(_CID.findall(text))])
    asked = {"bucket": bucket, "cids": cids, "chunk": CHUNK_SIZE, "most": KEYS + 1}
    keys: list[str] = []
    # The damage on its way out matters more than a database that cannot say whose it is.
    with suppress(StorageError), context.db.reading() as connection:
        for query in (_DIRECT, _BESIDE):
            keys = keys or [row[0] for row in connection.execute(query, asked).fetchall()]
    if not keys:
        return ""
    more = " and more" if len(keys) > KEYS else ""
    return f", object{'s' if len(keys) > 1 else ''} {', '.join(map(repr, keys[:KEYS]))}{more}"
