"""Listing versions: pages by key, those of one key newest first, from the index alone ([VSN-10] to [VSN-12]).

A page starts at a place: a key and a sequence, from which the versions of that key go on, but for the one whose id the
marker names. A version has its sequence from when it is written to when it is deleted, current or not. So a marker keeps
its place also when its version, or any other, is deleted, becomes noncurrent or current again in between.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from mstbucket.core.keys import TOP, check_text
from mstbucket.core.s3rules.versions import NULL_VERSION, stored_id
from mstbucket.core.times import moment
from mstbucket.errors import InvalidInput
from mstbucket.index.buckets import bucket_id
from mstbucket.limits import LIST_KEYS_MAX, SEQ_MAX
from mstbucket.model.objects import ObjectVersion, VersionsPage
from mstbucket.pg.database import Database

_MARKER: Final = re.compile(r"(.+)@([0-9a-f]{16})", re.DOTALL)

_ENTRIES: Final = """
    SELECT o.key, coalesce(o.seq, 1) AS seq, o.version_id, o.size, o.etag, o.modified, false AS marker
    FROM objects o WHERE o.bucket = %(bucket)s AND {objects}
"""
_PAST: Final = """
    SELECT v.key, v.seq, v.version_id, v.size, v.etag, v.modified, v.content IS NULL
    FROM versions v WHERE v.bucket = %(bucket)s AND {versions}
"""
_BEHIND: Final = "{0}.key = %(key)s AND {0}.version_id IS DISTINCT FROM %(id)s"
_REST: Final = f"""
    SELECT r.*, r.seq = greatest((SELECT max(seq) FROM versions WHERE bucket = %(bucket)s AND key = %(key)s),
                                 (SELECT coalesce(seq, 1) FROM objects WHERE bucket = %(bucket)s AND key = %(key)s))
    FROM (
        {_ENTRIES.format(objects=_BEHIND.format("o") + " AND coalesce(o.seq, 1) <= %(seq)s")}
        UNION ALL
        ({_PAST.format(versions=_BEHIND.format("v") + " AND v.seq <= %(seq)s")} ORDER BY v.seq DESC LIMIT %(limit)s)) AS r
    ORDER BY r.seq DESC LIMIT %(limit)s
"""
_ABOVE: Final = "{0}.key > %(after)s AND {0}.key >= %(prefix)s AND {0}.key <= %(end)s"
_PLAIN: Final = f"""
    SELECT * FROM (
        ({_ENTRIES.format(objects=_ABOVE.format("o"))} ORDER BY o.key LIMIT %(limit)s)
        UNION ALL
        ({_PAST.format(versions=_ABOVE.format("v"))} ORDER BY v.key, v.seq DESC LIMIT %(limit)s)) AS all_of_them
    ORDER BY key, seq DESC LIMIT %(limit)s
"""

# The keys and common prefixes above a place, each once: a loose index scan over both tables, as in `services.listing`.
_NEXT_KEY: Final = """
    SELECT f.key, strpos(substr(f.key, %(skip)s), %(delimiter)s) AS cut FROM (
        (SELECT o.key FROM objects o WHERE o.bucket = %(bucket)s AND {0} AND o.key <= %(end)s ORDER BY o.key LIMIT 1)
        UNION ALL
        (SELECT o.key FROM versions o WHERE o.bucket = %(bucket)s AND {0} AND o.key <= %(end)s ORDER BY o.key LIMIT 1)) AS f
    ORDER BY f.key LIMIT 1
"""
_LOOSE: Final = f"""
    WITH RECURSIVE page AS (
        (SELECT 1 AS n, s.* FROM ({_NEXT_KEY.format("o.key > %(after)s AND o.key >= %(prefix)s")}) AS s)
        UNION ALL
        SELECT p.n + 1, s.* FROM page p CROSS JOIN LATERAL (
            {_NEXT_KEY.format("o.key > CASE WHEN p.cut = 0 THEN p.key ELSE left(p.key, %(before)s + p.cut) || %(top)s END")}
        ) AS s
        WHERE p.n < %(limit)s
    )
    SELECT CASE WHEN p.cut = 0 THEN p.key ELSE left(p.key, %(before)s + p.cut) END, e.seq, e.version_id, e.size, e.etag,
           e.modified, e.marker, p.cut
    FROM page p LEFT JOIN LATERAL (
        ({_ENTRIES.format(objects="o.key = p.key AND p.cut = 0")})
        UNION ALL
        ({_PAST.format(versions="v.key = p.key AND p.cut = 0")} ORDER BY v.seq DESC LIMIT %(limit)s)) AS e ON p.cut = 0
    ORDER BY p.n, e.seq DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page starts: above this key, or in its versions: from this sequence down, without this id."""

    after: str
    seq: int | None = None
    version_id: str | None = None


def list_versions(
    db: Database,
    bucket: str,
    *,
    prefix: str,
    delimiter: str | None,
    key_marker: str | None,
    version_id_marker: str | None,
    max_keys: int,
) -> VersionsPage:
    """One page; see `Bucket.list_object_versions` for the meaning of each argument."""
    for name, text in (("prefix", prefix), ("delimiter", delimiter), ("key_marker", key_marker)):
        check_text(name, text or "")
    if version_id_marker is not None and not key_marker:
        raise InvalidInput("a version_id_marker counts with a key_marker only: give both, as the page before did")
    if max_keys < 0:
        raise InvalidInput(f"max_keys is {max_keys}; it must be from 0 to {LIST_KEYS_MAX}")
    wanted = min(max_keys, LIST_KEYS_MAX)
    with db.snapshot() as connection:  # one view for page and marker
        number = bucket_id(connection, bucket)
        place = _start(connection, number, prefix, delimiter, key_marker or "", version_id_marker)
        rows = _find(connection, number, prefix, delimiter, place, wanted + 1) if wanted else []
    truncated = len(rows) > wanted
    rows = rows[:wanted]
    last = _marker(rows[-1]) if truncated else (None, None)
    versions = tuple(
        ObjectVersion(key, version_id or NULL_VERSION, latest, marker, size, etag, moment(modified))
        for key, _, version_id, size, etag, modified, marker, latest, cut in rows
        if cut == 0
    )
    return VersionsPage(versions, tuple(row.key for row in rows if row.cut != 0), truncated, *last)


class _Row(NamedTuple):
    """An entry of a page; or, where `cut` is not 0, a common prefix for its key and nothing else."""

    key: str
    seq: int
    version_id: str | None
    size: int | None
    etag: str | None
    modified: int
    marker: bool
    latest: bool
    cut: int


def _find(connection: Any, number: int, prefix: str, delimiter: str | None, place: _Place, limit: int) -> list[_Row]:
    arguments: dict[str, object] = {
        "bucket": number,
        "prefix": prefix,
        "end": prefix + TOP,
        "after": place.after,
        "limit": limit,
    }
    rows: list[_Row] = []
    if place.seq is not None and place.after.startswith(prefix):
        rest = arguments | {"key": place.after, "seq": place.seq, "id": place.version_id}
        rows = [_Row._make((*row, 0)) for row in connection.execute(_REST, rest, binary=True)]
    if len(rows) == limit:
        return rows
    arguments["limit"] = limit - len(rows)
    if delimiter:
        length = len(prefix)
        arguments |= {"delimiter": delimiter, "skip": length + 1, "top": TOP, "before": length + len(delimiter) - 1}
        found = connection.execute(_LOOSE, arguments, binary=True).fetchall()
    else:
        found = [(*row, 0) for row in connection.execute(_PLAIN, arguments, binary=True)]
    before = None
    for row in found:
        rows.append(_Row._make((*row[:-1], row[0] != before, row[-1])))  # of these keys all is here, from the newest on
        before = row[0]
    return rows


def _start(
    connection: Any, number: int, prefix: str, delimiter: str | None, key: str, version_id_marker: str | None
) -> _Place:
    if delimiter and key.startswith(prefix):
        cut = key.find(delimiter, len(prefix))
        if cut >= 0:  # [VSN-11] the marker is, or lies in, a common prefix: it is done with all of it
            return _Place(key[: cut + len(delimiter)] + TOP)
    if version_id_marker is None:
        return _Place(key)
    found = _MARKER.fullmatch(version_id_marker)
    if found is not None and int(found[2], 16) <= SEQ_MAX:
        return _Place(key, int(found[2], 16), stored_id(found[1]))
    return _of_version(connection, number, key, version_id_marker)


def _of_version(connection: Any, number: int, key: str, version_id: str) -> _Place:
    """The place of a version whose plain id was given."""
    query = """
        SELECT coalesce(seq, 1) FROM objects
        WHERE bucket = %(bucket)s AND key = %(key)s AND version_id IS NOT DISTINCT FROM %(id)s
        UNION ALL
        SELECT seq FROM versions
        WHERE version_place(bucket, key, version_id) = version_place(%(bucket)s, %(key)s, %(id)s)
    """
    stored = stored_id(version_id)
    row = connection.execute(query, {"bucket": number, "key": key, "id": stored}, binary=True).fetchone()
    if row is None:
        raise InvalidInput(f"{key!r} has no version {version_id!r} to go on from: use the markers of the page before")
    return _Place(key, row[0], stored)


def _marker(row: _Row) -> tuple[str, str | None]:
    """Key and version id marker behind the last row of a page."""
    return row.key, None if row.cut != 0 else f"{row.version_id or NULL_VERSION}@{row.seq:016x}"
