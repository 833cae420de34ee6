"""The rows of an import: their form on the way to the database, and how they become those of a bucket.

The rows have the number of a bucket that nobody can find yet. So nobody waits for them. A row is made in the binary form of
COPY. The caller keeps the rows, and hands them back in pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from mstbucket.core.dagcbor import decode_fast
from mstbucket.index.rows import MANIFEST_COLUMNS, created_column, etag_column, json_of, sha256_column
from mstbucket.pg import binary
from mstbucket.pg.queries import own_table

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

_OBJECT_START: Final = Struct(">hiqi").pack
_CID_LENGTH: Final = Struct(">i").pack(36)
_SIZE: Final = Struct(">iqi").pack
_LENGTH: Final = Struct(">i").pack
_SIX_NULLS: Final = 6 * binary.NULL  # checksums, headers, metadata, tags, parts, version_id

# --- rows -----------------------------------------------------------------------------------------------------------


def object_row(bucket: int, key: bytes, cid: bytes, manifest: bytes) -> bytes:
    """A row of `objects`, from the block of its manifest. The caller has judged the manifest strictly."""
    fields = decode_fast(manifest)
    # The seven fields of nearly all objects: six that every object has, and one that may be absent. In half the time.
    if len(fields) == 7 and "sha256" in fields:
        etag, kind, content = etag_column(fields["etag"]), fields["content_type"].encode(), fields["content"]
        created, modified = fields["created"], fields["modified"]
        return b"".join((
            _OBJECT_START(16, 8, bucket, len(key)), key, _CID_LENGTH, cid, _CID_LENGTH, content,
            _SIZE(8, fields["size"], len(etag)), etag, _LENGTH(len(kind)), kind,
            binary.NULL if created == modified else binary.int8(created), binary.int8(modified),
            binary.data(sha256_column(content, fields["sha256"])), _SIX_NULLS,
        ))  # fmt: skip
    return binary.row(binary.int8(bucket), binary.data(key), *_manifest_columns(cid, fields.get))


def version_row(bucket: int, key: bytes, seq: int, cid: bytes, manifest: bytes) -> bytes:
    """As `object_row`, of a noncurrent version or a delete marker."""
    place = (binary.int8(bucket), binary.data(key), binary.int8(seq))
    return binary.row(*place, *_manifest_columns(cid, decode_fast(manifest).get))


def repeat_row(key: bytes, seq: int | None, cid: bytes) -> bytes:
    """A place whose manifest came before, in another place; *seq* is that of a version, None for an object."""
    return binary.row(binary.data(key), binary.NULL if seq is None else binary.int8(seq), binary.data(cid))


def _manifest_columns(cid: bytes, field: Callable[[str], Any]) -> tuple[bytes, ...]:
    """The columns of a row of `objects` or `versions` that a manifest makes, in their order."""
    size, etag, content = field("size"), field("etag"), field("content")
    created = created_column(field("created"), field("modified"))
    return (
        binary.data(cid),
        binary.data(content),
        binary.NULL if size is None else binary.int8(size),
        binary.NULL if etag is None else binary.data(etag_column(etag)),
        binary.text(field("content_type")),
        binary.NULL if created is None else binary.int8(created),
        binary.int8(field("modified")),
        binary.data(sha256_column(content, field("sha256"))),
        _map(field("checksums")),
        _map(field("headers")),
        _map(field("metadata")),
        _map(field("tags")),
        binary.int8_array(field("parts") or ()),
        binary.text(field("version_id")),
    )


def _map(value: dict[str, str] | None) -> bytes:
    return binary.NULL if value is None else binary.jsonb(json_of(value))


# --- tables ---------------------------------------------------------------------------------------------------------

_REPEATS: Final = own_table("repeats")
#: The versions of a bucket that is being made, before they become rows of `versions`.
PAST: Final = own_table("past")
_OBJECT: Final = f"bucket, key, manifest, {MANIFEST_COLUMNS}"  # as `object_row` has them
_VERSION: Final = f"bucket, key, seq, manifest, {MANIFEST_COLUMNS}"  # as `version_row` has them
_COPIED: Final = ", ".join(f"m.{column}" for column in ("manifest", *MANIFEST_COLUMNS.split(", ")))
_REPEAT_OBJECTS: Final = f"""
    INSERT INTO objects (bucket, key, manifest, {MANIFEST_COLUMNS})
    SELECT m.bucket, r.key, {_COPIED} FROM {_REPEATS} r JOIN (
        SELECT DISTINCT ON (manifest) * FROM objects
        WHERE bucket = %(bucket)s AND manifest IN (SELECT manifest FROM {_REPEATS})) m ON m.manifest = r.manifest
    WHERE r.seq IS NULL
"""
_REPEAT_VERSIONS: Final = f"""
    INSERT INTO {PAST} (bucket, key, seq, manifest, {MANIFEST_COLUMNS})
    SELECT %(bucket)s, r.key, r.seq, {_COPIED} FROM {_REPEATS} r JOIN (
        SELECT DISTINCT ON (m.manifest) {_COPIED} FROM (
            SELECT {_COPIED} FROM objects m WHERE m.bucket = %(bucket)s UNION ALL SELECT {_COPIED} FROM {PAST} m) m
        WHERE m.manifest IN (SELECT manifest FROM {_REPEATS} WHERE seq IS NOT NULL)) m ON m.manifest = r.manifest
    WHERE r.seq IS NOT NULL
"""
_PLACE_OBJECTS: Final = f"""
    UPDATE objects o SET seq = v.newest + 1
    FROM (SELECT key, max(seq) AS newest FROM {PAST} GROUP BY key) v WHERE o.bucket = %(bucket)s AND o.key = v.key
"""


def add_objects(connection: Connection, bucket: int, rows: Iterable[bytes], repeats: Iterable[bytes]) -> None:
    """Take the rows of the objects, and the repeats of objects and versions. `add_versions` uses the repeats again."""
    copy_objects(connection, "objects", rows)
    connection.execute(f"CREATE TEMPORARY TABLE {_REPEATS} (key text, seq bigint, manifest bytea) ON COMMIT DROP")
    copy_rows(connection, _REPEATS, "key, seq, manifest", repeats)
    connection.execute(_REPEAT_OBJECTS, {"bucket": bucket})


def add_versions(connection: Connection, bucket: int, rows: Iterable[bytes]) -> None:
    """Take the rows of noncurrent versions and markers, and place the objects above them. Call `add_objects` before."""
    connection.execute(f"CREATE TEMPORARY TABLE {PAST} (LIKE versions) ON COMMIT DROP")
    copy_versions(connection, PAST, rows)
    connection.execute(_REPEAT_VERSIONS, {"bucket": bucket})
    connection.execute(f"INSERT INTO versions SELECT * FROM {PAST}")
    place_objects(connection, bucket)


def place_objects(connection: Connection, bucket: int) -> None:
    """Place the objects of a bucket above the versions that the table `past` has of their keys."""
    connection.execute(_PLACE_OBJECTS, {"bucket": bucket})


def copy_objects(connection: Connection, table: str, rows: Iterable[bytes]) -> None:
    """Send rows that `object_row` makes to `objects`, or to a table with its columns."""
    copy_rows(connection, table, _OBJECT, rows)


def copy_versions(connection: Connection, table: str, rows: Iterable[bytes]) -> None:
    """Send rows that `version_row` makes to a table with the columns of `versions`."""
    copy_rows(connection, table, _VERSION, rows)


def copy_rows(connection: Connection, table: str, columns: str, rows: Iterable[bytes]) -> None:
    """Send rows, joined in pieces of any size, by COPY.

    The columns are always named: a table stands in the order that wastes the least room, and a row in that of its maker.
    """
    with connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT binary)") as copy:
        copy.write(binary.START)
        for piece in rows:
            copy.write(piece)
        copy.write(binary.END)
