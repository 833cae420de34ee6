"""Pages of versions: by key, those of one key newest first, from the index alone ([VSN-10] to [VSN-12])."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mstbucket.index.listing import CUT, ITEM, PAST, loose_scan, scan_arguments

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

_CURRENT: Final = """
    SELECT o.key, coalesce(o.seq, 1) AS seq, o.version_id, o.size, etag_text(o.etag) AS etag, o.modified, o.checksums,
        false AS marker
    FROM objects o WHERE o.bucket = %(bucket)s AND {objects}
"""
_NONCURRENT: Final = """
    SELECT v.key, v.seq, v.version_id, v.size, etag_text(v.etag), v.modified, v.checksums, v.content IS NULL
    FROM versions v WHERE v.bucket = %(bucket)s AND {versions}
"""
_BEHIND: Final = "{0}.key = %(key)s AND {0}.version_id IS DISTINCT FROM %(id)s"
# The rest of the versions of one key.
_REST: Final = f"""
    SELECT r.*, r.seq = greatest((SELECT max(seq) FROM versions WHERE bucket = %(bucket)s AND key = %(key)s),
                                 (SELECT coalesce(seq, 1) FROM objects WHERE bucket = %(bucket)s AND key = %(key)s)),
           0 AS cut
    FROM (
        {_CURRENT.format(objects=_BEHIND.format("o") + " AND coalesce(o.seq, 1) <= %(seq)s")}
        UNION ALL
        ({_NONCURRENT.format(versions=_BEHIND.format("v") + " AND v.seq <= %(seq)s")}
         ORDER BY v.seq DESC LIMIT %(limit)s)) AS r
    ORDER BY r.seq DESC LIMIT %(limit)s
"""
_ABOVE: Final = "{0}.key > %(after)s AND {0}.key >= %(prefix)s AND {0}.key <= %(end)s"
_PLAIN: Final = f"""
    SELECT *, 0 AS cut FROM (
        ({_CURRENT.format(objects=_ABOVE.format("o"))} ORDER BY o.key LIMIT %(limit)s)
        UNION ALL
        ({_NONCURRENT.format(versions=_ABOVE.format("v"))} ORDER BY v.key, v.seq DESC LIMIT %(limit)s)) AS all_of_them
    ORDER BY key, seq DESC LIMIT %(limit)s
"""
# The scan goes over both tables: each step finds the next key of either, once, and the versions of a key come after it.
_NEXT_KEY: Final = f"""
    SELECT o.key, {CUT} FROM (
        (SELECT o.key FROM objects o WHERE o.bucket = %(bucket)s AND {{above}} AND o.key <= %(end)s ORDER BY o.key LIMIT 1)
        UNION ALL
        (SELECT o.key FROM versions o WHERE o.bucket = %(bucket)s AND {{above}} AND o.key <= %(end)s ORDER BY o.key LIMIT 1)
    ) AS o ORDER BY o.key LIMIT 1
"""
_LOOSE: Final = f"""
    {loose_scan(_NEXT_KEY, "o.key > %(after)s AND o.key >= %(prefix)s", f"o.key > {PAST}")}
    SELECT {ITEM}, e.seq, e.version_id, e.size, e.etag, e.modified, e.checksums, e.marker, p.cut
    FROM page p LEFT JOIN LATERAL (
        ({_CURRENT.format(objects="o.key = p.key AND p.cut = 0")})
        UNION ALL
        ({_NONCURRENT.format(versions="v.key = p.key AND p.cut = 0")} ORDER BY v.seq DESC LIMIT %(limit)s)) AS e ON p.cut = 0
    ORDER BY p.n, e.seq DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a page starts: above this key; or in its versions, from this place down, without this stored id."""

    key: str
    seq: int | None = None
    version_id: str | None = None


class ListedVersion(NamedTuple):
    """A version of a page. Where `cut` is not 0, its key is a common prefix, and the rest says nothing.

    Attributes:
        seq: its place among the versions of its key; the newest has the greatest.
        modified: in ms since 1970.
        checksums: that are kept with it, base64 by algorithm.
        marker: whether it is a delete marker; then `size`, `etag` and `checksums` are None.
        latest: whether it is the newest of its key.
    """

    key: str
    seq: int
    version_id: str | None
    size: int | None
    etag: str | None
    modified: int
    checksums: Mapping[str, str] | None
    marker: bool
    latest: bool
    cut: int


def list_versions(
    connection: Connection, bucket: int, prefix: str, delimiter: str | None, start: Start, limit: int
) -> list[ListedVersion]:
    """The first `limit` versions and common prefixes from `start` on. Ask it and `place_of_version` of one snapshot."""
    page: list[ListedVersion] = []
    if start.seq is not None and start.key.startswith(prefix):
        rest = scan_arguments(bucket, prefix, None, limit) | {"key": start.key, "seq": start.seq, "id": start.version_id}
        page = [ListedVersion._make(row) for row in connection.execute(_REST, rest, binary=True)]
    if len(page) == limit:
        return page
    arguments = scan_arguments(bucket, prefix, delimiter, limit - len(page)) | {"after": start.key}
    rows = connection.execute(_LOOSE if delimiter else _PLAIN, arguments, binary=True).fetchall()
    return page + _with_latest(rows)


def _with_latest(rows: Sequence[tuple[Any, ...]]) -> list[ListedVersion]:
    """The rows of whole keys as versions: the first of each key is its newest."""
    page = []
    before = None
    for key, seq, version_id, size, etag, modified, checksums, marker, cut in rows:
        page.append(ListedVersion(key, seq, version_id, size, etag, modified, checksums, marker, key != before, cut))
        before = key
    return page


def place_of_version(connection: Connection, bucket: int, key: str, version_id: str | None) -> int | None:
    """The place among the versions of a key that the one with this stored id has; None where there is none."""
    query = """
        SELECT coalesce(seq, 1) FROM objects
        WHERE bucket = %(bucket)s AND key = %(key)s AND version_id IS NOT DISTINCT FROM %(id)s
        UNION ALL
        SELECT seq FROM versions
        WHERE version_place(bucket, key, version_id) = version_place(%(bucket)s, %(key)s, %(id)s)
    """
    row = connection.execute(query, {"bucket": bucket, "key": key, "id": version_id}, binary=True).fetchone()
    if row is None:
        return None
    (seq,) = row
    return int(seq)
