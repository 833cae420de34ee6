"""Blocks in packs that are known to be damaged: whoever promises that they can be read has to read them first ([PUT-20])."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mstbucket.index import blocks
from mstbucket.services.blocks.context import Context

_PAGE: Final = 4000  # blocks in one question
_READ: Final = 8  # read at a time: 8 MiB


def read_suspects(context: Context, cids: Sequence[bytes]) -> None:
    """Read those of these blocks that are in packs known to be damaged.

    Raises:
        CorruptionError: one of them is missing or damaged.
        StorageError: one of them cannot be read.
    """
    for start in range(0, len(cids), _PAGE):
        found = blocks.find(context.db, list(dict.fromkeys(cids[start : start + _PAGE])))
        suspect = [one.cid for one in found if one.damaged]
        for at in range(0, len(suspect), _READ):
            context.blocks.get_many(suspect[at : at + _READ])
