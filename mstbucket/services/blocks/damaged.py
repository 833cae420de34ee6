"""Packs in which damage was found: recorded, so that nobody counts on their blocks without having read them ([PUT-13])."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import BinaryIO

from mstbucket.core.car import CarReader
from mstbucket.errors import CorruptionError, FormatError, NotFound, StorageError
from mstbucket.index import packs
from mstbucket.pg.database import Database

log = logging.getLogger("mstbucket")


def record_damage(db: Database, names: Collection[str]) -> None:
    """Packs of these names are damaged, for every process, until they are read whole or their blocks are elsewhere.

    The one place where that is recorded: call it when the last word is spoken. Names that are no pack's are passed over.
    """
    if not names:
        return
    if packs.mark_damaged(db, names):
        log.warning("damage was found in %s", ", ".join(sorted(names)))


def clear_restored(db: Database, of_pack: Callable[[str, Callable[[BinaryIO], bool]], bool | None]) -> None:
    """Read every pack that was recorded as damaged, and clear those that are whole: somebody has restored them."""
    for name in packs.damaged_names(db):
        try:
            of_pack(name, _read_whole)
        except (CorruptionError, FormatError, NotFound, StorageError):
            continue
        packs.clear_damaged(db, name)


def _read_whole(stream: BinaryIO) -> bool:
    for _ in CarReader(stream):
        pass  # it hashes every block
    return True
