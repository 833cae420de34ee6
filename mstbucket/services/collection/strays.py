"""Blobs under `packs/` that no row names ([GC-14]).

A pack has a row before its first byte, and its blob goes before the row. So such a blob came behind its own deletion, or the
database is an older one, or another store's. The first is harmless; for the others' sake it is left alone for days.
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
    """Blobs that no row names, the first 1,000 of them; and those of all that have been so for days, which are to go."""
    names = (info.name for info in context.blobs.list(PACKS) if is_pack(info.name))
    strays: list[str] = []
    # The question comes after the listing: a blob that is there has its row before.
    while len(strays) < STRAYS_MAX and (page := list(islice(names, _PAGE))):
        strays += collection.unknown(context.db, page)
    old = collection.note_strays(context.db, strays, STRAY_DAYS * _DAY_MS)
    return tuple(strays[:NAMED]), old
