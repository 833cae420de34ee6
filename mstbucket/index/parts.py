"""Parts of open multipart uploads: of each its size, its digests, and the digests of its chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mstbucket.core.s3rules.parts import StoredPart
from mstbucket.index.rows import json_of
from mstbucket.index.tx import Tx
from mstbucket.pg import binary
from mstbucket.pg.queries import one_row

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection


class NewPart(NamedTuple):
    """A part that has come.

    Attributes:
        modified: when it came, in ms since 1970.
        chunks: the SHA-256 of each of its chunks, one after the other.
    """

    number: int
    size: int
    md5: bytes
    sha256: bytes
    modified: int
    chunks: bytes
    checksums: Mapping[str, str]


class ListedPart(NamedTuple):
    """A part as a listing shows it; `modified` is in ms since 1970."""

    number: int
    md5: bytes
    size: int
    modified: int
    checksums: Mapping[str, str] | None


class PartChunks(NamedTuple):
    """What the body of an object is composed of: the size of a part, and the SHA-256 of each of its chunks."""

    size: int
    digests: bytes


def put(tx: Tx, upload_id: str, part: NewPart) -> None:
    """Put a part in place of the one of its number. The transaction shares the open upload."""
    tx.connection.execute(
        "SELECT put_part(%s, %s, %s, %s, %s, %s, %s, %s)", (upload_id, *part[:6], json_of(part.checksums))
    )


def page_of(connection: Connection, upload_id: str, above: int, limit: int) -> list[ListedPart]:
    """At most `limit` parts of an upload with numbers above one, by number."""
    query = """
        SELECT number, md5, size, modified, checksums FROM parts
        WHERE upload = %s AND number > %s ORDER BY number LIMIT %s
    """
    return list(map(ListedPart._make, connection.execute(query, (upload_id, above, limit), binary=True).fetchall()))


def of_numbers(connection: Connection, upload_id: str, numbers: Sequence[int]) -> dict[int, StoredPart]:
    """The parts of an upload with these numbers, by number; those that are not there are left out."""
    query = """
        SELECT number, generation, size, md5, sha256, checksums FROM parts
        WHERE upload = %s AND number = ANY (%s) ORDER BY number
    """
    rows = connection.execute(query, (upload_id, binary.integer_array(numbers)), binary=True).fetchall()
    return dict(zip((row[0] for row in rows), map(StoredPart._make, rows), strict=True))


def chunks_of(db: Database, upload_id: str, parts: Sequence[StoredPart]) -> list[PartChunks]:
    """The chunks of these parts, by number; those that were uploaded again meanwhile are left out."""
    query = """
        SELECT p.size, p.chunks FROM parts p JOIN unnest(%s, %s) AS w (number, generation)
            ON p.number = w.number AND p.generation = w.generation
        WHERE p.upload = %s ORDER BY p.number
    """
    with db.reading() as connection:
        return list(map(PartChunks._make, connection.execute(query, (*_pairs(parts), upload_id), binary=True).fetchall()))


def count_unchanged(tx: Tx, upload_id: str, parts: Sequence[StoredPart]) -> int:
    """How many of these parts are there still, and were not uploaded again."""
    query = """
        SELECT count(*) FROM parts p JOIN unnest(%s, %s) AS w (number, generation)
            ON p.number = w.number AND p.generation = w.generation
        WHERE p.upload = %s
    """
    return int(one_row(tx.connection, query, (*_pairs(parts), upload_id))[0])


def remove_all(tx: Tx, upload_id: str) -> None:
    """Remove all parts of an upload."""
    tx.connection.execute("DELETE FROM parts WHERE upload = %s", (upload_id,))


def _pairs(parts: Sequence[StoredPart]) -> tuple[object, object]:
    return (
        binary.integer_array([part.number for part in parts]),
        binary.bigint_array([part.generation for part in parts]),
    )
