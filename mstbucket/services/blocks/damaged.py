"""Packs in which damage was found: recorded, so that nobody counts on their blocks without having read them ([PUT-13])."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import BinaryIO

from mstbucket.core.car import CarReader
from mstbucket.errors import CorruptionError, FormatError, NotFound, StorageError
from mstbucket.pg import binary
from mstbucket.pg.database import Database

log = logging.getLogger("mstbucket")


def record(db: Database, names: Collection[str]) -> None:
    """Packs of these names are damaged, for every process, until they are read whole or their blocks are elsewhere.

    The one place where that is recorded: call it when the last word is spoken. Names that are no pack's are passed over.
    """
    if not names:
        return
    query = "UPDATE packs SET damaged = true WHERE name = ANY (%s) AND state = 'ready' AND NOT damaged"
    with db.connection() as connection:
        if connection.execute(query, (binary.text_array(sorted(names)),)).rowcount:
            log.warning("damage was found in %s", ", ".join(sorted(names)))


def look_again(db: Database, of_pack: Callable[[str, Callable[[BinaryIO], bool]], bool | None]) -> None:
    """Read every pack that was recorded as damaged, and clear those that are whole: somebody has restored them."""
    with db.reading() as connection:
        rows = connection.execute("SELECT name FROM packs WHERE damaged AND state = 'ready' ORDER BY id").fetchall()
    for (name,) in rows:
        try:
            of_pack(name, _read_whole)
        except (CorruptionError, FormatError, NotFound, StorageError):
            continue
        with db.connection() as connection:
            connection.execute("UPDATE packs SET damaged = false WHERE name = %s AND state = 'ready'", (name,))


def _read_whole(stream: BinaryIO) -> bool:
    for _ in CarReader(stream):
        pass  # it hashes every block
    return True


def doom_healed(db: Database) -> list[str]:
    """Doom the damaged packs to which no row leads any more, since good bytes came for all of them; their names.

    [STO-6] The rows that lead to a pack only become fewer. Every row of `blocks` is looked at, once, and only if there
    are damaged packs.
    """
    there = "SELECT EXISTS (SELECT FROM packs WHERE damaged AND state = 'ready')"
    doom = """
        UPDATE packs p SET state = 'doomed', alive = now_ms() WHERE p.damaged AND p.state = 'ready'
        AND p.id NOT IN (SELECT b.pack FROM blocks b WHERE b.pack IS NOT NULL) RETURNING p.name
    """
    with db.connection() as connection:
        row = connection.execute(there).fetchone()
        if row is None or not row[0]:
            return []
        return [str(name) for (name,) in connection.execute(doom)]
