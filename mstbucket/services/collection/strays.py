"""Blobs under `packs/` that no row names ([GC-14]).

A pack has a row before its first byte, and its blob goes before the row. So there are three causes. The blob came after its
own deletion, the database is an older copy, or the blobs are another store's. Because of the last two it stays for days.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from mstbucket.blobs.names import PACKS, is_pack
from mstbucket.index import collection
from mstbucket.limits import STRAY_DAYS
from mstbucket.services.blocks.context import Context

NAMED: Final = 1000  # of a report
STRAYS_MAX: Final = 100_000  # looked at by one cycle; the next one goes on
_PAGE: Final = 1000
_DAY_MS: Final = 86_400_000


def find_strays(context: Context) -> tuple[tuple[str, ...], list[str]]:
    """The first 1,000 blobs that no row names; and of all such blobs those that are to go, after days without a row."""
    names = (info.name for info in context.blobs.list(PACKS) if is_pack(info.name))
    strays: list[str] = []
    # The question comes after the listing: a blob that is there has its row before.
    while len(strays) < STRAYS_MAX and (page := list(islice(names, _PAGE))):
        strays += collection.unknown(context.db, page)
    old = collection.note_strays(context.db, strays, STRAY_DAYS * _DAY_MS)
    return tuple(strays[:NAMED]), old
