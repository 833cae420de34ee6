"""Errors about blocks get the name of the bucket, and the keys where the index can tell them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from mstbucket.core.cid import from_text
from mstbucket.errors import CorruptionError, FormatError, StorageError
from mstbucket.index.owners import keys_of_blocks
from mstbucket.services.blocks.context import Context

KEYS: Final = 3  # named in one message


@contextmanager
def error_context(context: Context, bucket: str, key: str | None = None) -> Iterator[None]:
    """Add the bucket and the object to an error about blocks that the body raises: message and fields ([GET-1]).

    Args:
        key: the object, if the caller knows it. Otherwise the index is asked, and only after an error.
    """
    try:
        yield
    except (CorruptionError, FormatError) as error:
        if error.bucket is None:
            keys = _keys(context, bucket, error) if key is None else [key]
            error.args = (f"bucket {bucket!r}{_shown(keys)}: {error}",)  # the type and the rest stay
            error.about(bucket=bucket, key=keys[0] if len(keys) == 1 else None)
        raise


def _keys(context: Context, bucket: str, error: CorruptionError | FormatError) -> list[str]:
    """Keys that the blocks of the error belong to; one more than a message names, if there are so many."""
    cids = list(error.blocks) if isinstance(error, CorruptionError) else []
    if not cids and error.cid is not None:
        cids = [from_text(error.cid)]
    # The database may fail to say whose the damage is. The error about the damage matters more.
    with suppress(StorageError):
        return keys_of_blocks(context.db, bucket, cids, KEYS + 1) if cids else []
    return []


def _shown(keys: list[str]) -> str:
    if not keys:
        return ""
    more = " and more" if len(keys) > KEYS else ""
    return f", object{'s' if len(keys) > 1 else ''} {', '.join(map(repr, keys[:KEYS]))}{more}"
