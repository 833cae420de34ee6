"""Documents about a bucket: its policy, its CORS rules, its limits, as they were given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mstbucket.index.buckets import bucket_id
from mstbucket.index.tx import Tx

if TYPE_CHECKING:
    from mstbucket.pg.database import Database

Kind = Literal["cors", "limits", "policy"]


def put(tx: Tx, kind: Kind, document: str) -> None:
    """Keep a document in place of the one there was."""
    query = """
        INSERT INTO bucket_documents (bucket, kind, document) VALUES (%s, %s, %s)
        ON CONFLICT (bucket, kind) DO UPDATE SET document = excluded.document
    """
    tx.connection.execute(query, (tx.bucket, kind, document))


def remove(tx: Tx, kind: Kind) -> None:
    """Remove a document; no error where there is none."""
    tx.connection.execute("DELETE FROM bucket_documents WHERE bucket = %s AND kind = %s", (tx.bucket, kind))


def find_all(db: Database, bucket: str) -> dict[str, str]:
    """The documents of a bucket, by kind."""
    with db.reading() as connection:
        rows = connection.execute(
            "SELECT kind, document FROM bucket_documents WHERE bucket = %s", (bucket_id(connection, bucket),)
        ).fetchall()
    return dict(rows)
