"""What no user sees of a bucket: rows, and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mstbucket import Bucket


def rows(bucket: Bucket, query: str) -> list[tuple[Any, ...]]:
    """The answer of the database of the bucket's store."""
    with bucket._context.db.reading() as connection:
        return connection.execute(query).fetchall()  # type: ignore[no-any-return]


def left(bucket: Bucket, tmp_path: Path) -> tuple[Any, ...]:
    """Everything that a write could have left anywhere: rows of every table, files."""
    tables = ("objects", "dirty", "blocks", "packs")
    found = [rows(bucket, f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]
    return *found, sorted(path for path in (tmp_path / "blobs").rglob("*") if path.is_file())
