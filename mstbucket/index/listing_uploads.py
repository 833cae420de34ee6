"""Pages of open uploads: by key, those of one key by id, which is the order in which they were begun."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.index.buckets import bucket_id
from mstbucket.index.listing import CUT, ITEM, PAST, loose_scan, scan_arguments
from mstbucket.model.objects import ChecksumType

if TYPE_CHECKING:
    from mstbucket.pg.database import Database

_PLAIN: Final = """
    SELECT key, id, initiated, checksum_algorithm, checksum_type, 0 AS cut FROM uploads
    WHERE bucket = %(bucket)s AND completed IS NULL AND key >= %(prefix)s AND key <= %(end)s
        AND (key, id) > (%(key)s, %(id)s)
    ORDER BY key, id LIMIT %(limit)s
"""
_NEXT: Final = f"""
    SELECT o.key, o.id, o.initiated, o.checksum_algorithm, o.checksum_type, {CUT} FROM uploads o
    WHERE o.bucket = %(bucket)s AND o.completed IS NULL AND {{above}} AND o.key <= %(end)s ORDER BY o.key, o.id LIMIT 1
"""
_FIRST: Final = "o.key >= %(prefix)s AND (o.key, o.id) > (%(key)s, %(id)s)"
_LATER: Final = f"(o.key, o.id) > ({PAST}, CASE WHEN p.cut = 0 THEN p.id ELSE '' END)"
_LOOSE: Final = f"""
    {loose_scan(_NEXT, _FIRST, _LATER)}
    SELECT {ITEM}, p.id, p.initiated, p.checksum_algorithm, p.checksum_type, p.cut FROM page p ORDER BY p.n
"""


class ListedUpload(NamedTuple):
    """An open upload of a page. Where `cut` is not 0, its key is a common prefix, and the rest says nothing."""

    key: str
    id: str
    initiated: int
    checksum_algorithm: str | None
    checksum_type: ChecksumType | None
    cut: int


def list_uploads(
    db: Database, bucket: str, prefix: str, delimiter: str | None, after: tuple[str, str], limit: int
) -> list[ListedUpload]:
    """The first `limit` open uploads and common prefixes above `after`, a key and an upload id; of keys with the prefix.

    Raises:
        NoSuchBucket: there is no such bucket.
    """
    key, upload = after
    with db.reading() as connection:
        arguments = scan_arguments(bucket_id(connection, bucket), prefix, delimiter, limit) | {"key": key, "id": upload}
        rows = connection.execute(_LOOSE if delimiter else _PLAIN, arguments, binary=True).fetchall()
    return list(map(ListedUpload._make, rows))
