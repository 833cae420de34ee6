"""Listing versions: pages by key, those of one key newest first ([VSN-10] to [VSN-12]).

A page starts at a place: a key and a sequence number. The versions of that key go on from there, without the one whose id
the marker names. A version keeps its number from when it is written to when it is deleted, current or not. So a marker
keeps its place when its version, or any other, is deleted, becomes noncurrent or becomes current again in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mstbucket.core.keys import TOP, check_text
from mstbucket.core.s3rules.listing import common_prefix, page_size, read_version_marker, write_version_marker
from mstbucket.core.s3rules.versions import NULL_VERSION, stored_id
from mstbucket.core.times import moment
from mstbucket.errors import InvalidInput
from mstbucket.index import listing_versions as index
from mstbucket.index.buckets import bucket_id
from mstbucket.index.listing_versions import ListedVersion, Start
from mstbucket.model.objects import ObjectVersion, VersionsPage
from mstbucket.pg.database import Database

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection


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
    wanted = page_size("max_keys", max_keys)
    with db.snapshot() as connection:  # one view for page and marker
        number = bucket_id(connection, bucket)
        start = _start(connection, number, prefix, delimiter, key_marker or "", version_id_marker)
        rows = index.list_versions(connection, number, prefix, delimiter, start, wanted + 1) if wanted else []
    truncated = len(rows) > wanted
    rows = rows[:wanted]
    last = _marker(rows[-1]) if truncated else (None, None)
    versions = tuple(
        ObjectVersion(key, version_id or NULL_VERSION, latest, marker, size, etag, moment(modified))
        for key, _, version_id, size, etag, modified, marker, latest, cut in rows
        if cut == 0
    )
    return VersionsPage(versions, tuple(row.key for row in rows if row.cut != 0), truncated, *last)


def _start(
    connection: Connection, number: int, prefix: str, delimiter: str | None, key: str, version_id_marker: str | None
) -> Start:
    around = common_prefix(key, prefix, delimiter)
    if around is not None:  # [VSN-11] the marker is, or lies in, a common prefix: it is done with all of it
        return Start(around + TOP)
    if version_id_marker is None:
        return Start(key)
    named = read_version_marker(version_id_marker)
    if named is not None:
        version_id, seq = named
        return Start(key, seq, version_id)
    stored = stored_id(version_id_marker)
    place = index.place_of_version(connection, number, key, stored)
    if place is None:
        raise InvalidInput(f"{key!r} has no version {version_id_marker!r} to go on from: use the markers of the page before")
    return Start(key, place, stored)


def _marker(row: ListedVersion) -> tuple[str, str | None]:
    """Key and version id marker behind the last row of a page."""
    return row.key, None if row.cut != 0 else write_version_marker(row.version_id, row.seq)
