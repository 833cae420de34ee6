"""Damaged packs are recorded, and nobody counts on their blocks without reading them ([PUT-13])."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import BinaryIO

from mstbucket.core.car_reader import CarReader
from mstbucket.errors import CorruptionError, FormatError, NotFound, StorageError
from mstbucket.index import damage
from mstbucket.pg.database import Database

log = logging.getLogger("mstbucket")


def record_damage(db: Database, names: Collection[str]) -> None:
    """Record, for every process, that the packs of these names are damaged; names of no pack are passed over.

    A pack counts as damaged until `clear_restored` reads it whole, or until its blocks are in other packs. Call this after
    the last attempt to read a block has failed. Damage is recorded nowhere else.
    """
    if names and damage.mark_damaged(db, names):
        log.warning("damage was found in %s", ", ".join(sorted(names)))


def clear_restored(db: Database, of_pack: Callable[[str, Callable[[BinaryIO], bool]], bool | None]) -> None:
    """Read every damaged pack again. One that is whole counts as sound: somebody has restored it."""
    for name in damage.damaged_names(db):
        try:
            of_pack(name, _read_whole)
        except (CorruptionError, FormatError, NotFound, StorageError):
            continue
        damage.clear_damaged(db, name)


def _read_whole(stream: BinaryIO) -> bool:
    for _ in CarReader(stream):
        pass  # the reader hashes every block
    return True
