"""Listing versions: pages by key, those of one key newest first ([VSN-10] to [VSN-12]).

A page starts at a place: a key and a sequence number. The versions of that key go on from there, without the one whose id
the marker names. A version keeps its number from when it is written to when it is deleted, current or not. So a marker
keeps its place when its version, or any other, is deleted, becomes noncurrent or becomes current again in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mstbucket.core.keys import TOP, check_text
from mstbucket.core.s3rules.listing import common_prefix, page_size, read_version_marker, write_version_marker
from mstbucket.core.s3rules.versions import NULL_VERSION, stored_id
from mstbucket.core.times import moment
from mstbucket.errors import InvalidInput
from mstbucket.index import listing_versions as index
from mstbucket.index.buckets import bucket_id
from mstbucket.index.listing_versions import ListedVersion, Start
from mstbucket.model.listings import ObjectVersion, VersionsPage
from mstbucket.model.objects import EMPTY, checksum_type_of
from mstbucket.pg.database import Database

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection


class VersionRows(Protocol):
    """Where the rows of a listing of versions come from; both questions are asked of the same state."""

    def first(self, prefix: str, delimiter: str | None, start: Start, limit: int) -> list[ListedVersion]:
        """The first `limit` versions and common prefixes from `start` on."""
        ...

    def place(self, key: str, version_id: str | None) -> int | None:
        """The place among the versions of a key that the one with this stored id has; None where there is none."""
        ...


class _IndexRows:
    """The rows of a bucket by its number, as one snapshot of the database has them."""

    def __init__(self, connection: Connection, number: int) -> None:
        self._connection = connection
        self._number = number

    def first(self, prefix: str, delimiter: str | None, start: Start, limit: int) -> list[ListedVersion]:
        return index.list_versions(self._connection, self._number, prefix, delimiter, start, limit)

    def place(self, key: str, version_id: str | None) -> int | None:
        return index.place_of_version(self._connection, self._number, key, version_id)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a page of versions is asked for by; see `Bucket.list_object_versions`.

    Raises:
        InvalidInput: no page can be asked for by that.
    """

    prefix: str
    delimiter: str | None
    key_marker: str | None
    version_id_marker: str | None
    max_keys: int

    def __post_init__(self) -> None:
        for name, text in (("prefix", self.prefix), ("delimiter", self.delimiter), ("key_marker", self.key_marker)):
            check_text(name, text or "")
        if self.version_id_marker is not None and not self.key_marker:
            raise InvalidInput("a version_id_marker counts with a key_marker only: give both, as the page before did")
        page_size("max_keys", self.max_keys)


def list_versions(db: Database, bucket: str, asked: Asked) -> VersionsPage:
    """One page of the versions that the bucket has now."""
    with db.snapshot() as connection:  # one view for page and marker
        return versions_page(_IndexRows(connection, bucket_id(connection, bucket)), asked)


def versions_page(rows_from: VersionRows, asked: Asked) -> VersionsPage:
    """One page of the versions that there are in *rows_from*.

    Raises:
        InvalidInput: the marker names a version that does not exist.
    """
    wanted = page_size("max_keys", asked.max_keys)
    start = _start(rows_from, asked)
    rows = rows_from.first(asked.prefix, asked.delimiter, start, wanted + 1) if wanted else []
    truncated = len(rows) > wanted
    rows = rows[:wanted]
    last = _marker(rows[-1]) if truncated else (None, None)
    versions = tuple(_shown(row) for row in rows if row.cut == 0)
    return VersionsPage(versions, tuple(row.key for row in rows if row.cut != 0), truncated, *last)


def _shown(row: ListedVersion) -> ObjectVersion:
    sums = row.checksums or EMPTY
    return ObjectVersion(
        row.key, row.version_id or NULL_VERSION, row.latest, row.marker, row.size, row.etag, moment(row.modified),
        tuple(sums), checksum_type_of(sums),
    )  # fmt: skip


def _start(rows_from: VersionRows, asked: Asked) -> Start:
    key = asked.key_marker or ""
    around = common_prefix(key, asked.prefix, asked.delimiter)
    if around is not None:  # [VSN-11] the marker is, or lies in, a common prefix: it is done with all of it
        return Start(around + TOP)
    if asked.version_id_marker is None:
        return Start(key)
    named = read_version_marker(asked.version_id_marker)
    if named is not None:
        version_id, seq = named
        return Start(key, seq, version_id)
    stored = stored_id(asked.version_id_marker)
    place = rows_from.place(key, stored)
    if place is None:
        raise InvalidInput(
            f"{key!r} has no version {asked.version_id_marker!r} to go on from: use the markers of the page before"
        )
    return Start(key, place, stored)


def _marker(row: ListedVersion) -> tuple[str, str | None]:
    """Key and version id marker behind the last row of a page."""
    return row.key, None if row.cut != 0 else write_version_marker(row.version_id, row.seq)
