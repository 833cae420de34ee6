"""The rows of blocks: where each block is."""

from __future__ import annotations

from typing import Final, NamedTuple

#: Columns of `blocks b LEFT JOIN packs p` that say where a block is: the fields of `Place`, in their order.
LOCATION_COLUMNS: Final = 'p.name, b."offset", b.length, b.body'


class Place(NamedTuple):
    """Where a block is: in a pack, or in the row itself (then `body`). Without either there is no such row."""

    pack: str | None
    offset: int | None
    length: int | None
    body: bytes | None
