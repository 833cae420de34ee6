"""Errors about blocks get the name of the bucket, and the keys where the index can tell them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from mstbucket.core.cid import from_text
from mstbucket.errors import CorruptionError, FormatError, StorageError
from mstbucket.index.owners import keys_of_blocks
from mstbucket.services.blocks.context import Context

KEYS: Final = 3  # named in one message

_CID: Final = re.compile(r"\bb[a-z2-7]{58}\b")


@contextmanager
def error_context(context: Context, bucket: str, key: str | None = None) -> Iterator[None]:
    """Add the bucket and the object to the message of an error about blocks that the body raises ([GET-1]).

    Args:
        key: the object, if the caller knows it. Otherwise the index is asked, and only after an error.
    """
    try:
        yield
    except (CorruptionError, FormatError) as error:
        text = str(error)
        if f"bucket {bucket!r}" not in text:
            whose = _objects(context, bucket, text) if key is None else f", object {key!r}"
            error.args = (f"bucket {bucket!r}{whose}: {text}",)  # the type and the rest stay
        raise


def _objects(context: Context, bucket: str, text: str) -> str:
    cids = [from_text(cid) for cid in dict.fromkeys(_CID.findall(text))]
    keys: list[str] = []
    # The database may fail to say whose the damage is. The error about the damage matters more.
    with suppress(StorageError):
        keys = keys_of_blocks(context.db, bucket, cids, KEYS + 1)
    if not keys:
        return ""
    more = " and more" if len(keys) > KEYS else ""
    return f", object{'s' if len(keys) > 1 else ''} {', '.join(map(repr, keys[:KEYS]))}{more}"
