"""The store's blocks: the index in Postgres says where each is, packs and inline bodies give the bytes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import BinaryIO, TypeVar

from mstbucket.core.cid import CID, to_text
from mstbucket.errors import CorruptionError, FormatError, MissingBlock, NoSuchBlob, StorageError
from mstbucket.index import blocks as rows
from mstbucket.index import packs
from mstbucket.packs.read import Location, PackScan, Ranges, checked, following, read_block, read_blocks
from mstbucket.packs.streams import read_pack
from mstbucket.pg.database import Database
from mstbucket.services.blocks.damaged import record_damage

_Made = TypeVar("_Made")


class StoreBlocks:
    """A `BlockSource` over one store; thread-safe. Every block it gives was hashed."""

    def __init__(self, db: Database, blobs: Ranges) -> None:
        self._db = db
        self._blobs = blobs

    def get(self, cid: CID) -> bytes:
        """The block of `cid`; `MissingBlock` if the index does not know it or its pack is gone."""
        return self.get_many((cid,))[cid]

    def get_many(self, cids: Collection[CID]) -> dict[CID, bytes]:
        """The blocks of `cids`, for one question to the index and few reads."""
        return following(lambda: self._locate(list(cids)), self._read, self._condemn)

    def at(self, cid: CID, place: tuple[str | None, int | None, int | None, bytes | None]) -> bytes:
        """The block of `cid`, whose `Place` a query has brought along already."""
        pack, offset, length, body = place
        if body is not None:
            return checked(cid, body, "in the database")
        if pack is None or offset is None or length is None:
            raise MissingBlock(f"block {to_text(cid)} is not in the index of this store")
        try:
            return read_block(self._blobs, cid, Location(pack, offset, length))
        except CorruptionError:  # [STO-3] damaged, or elsewhere since that query: the index knows
            return self.get(cid)

    def inline_bodies(self, cids: Collection[CID]) -> dict[CID, bytes]:
        """Those of `cids` that are held in the database still."""
        bodies = rows.inline_bodies(self._db, cids)
        return {cid: checked(cid, body, "in the database") for cid, body in bodies.items()}

    def scan(self) -> PackScan:
        """A source for one pass over a whole closure, which reads ahead; for one thread."""
        return PackScan(self._blobs, self._locate, self._condemn)

    def sound(self, places: Mapping[CID, Location]) -> set[CID]:
        """Those blocks that can be read at their places."""
        good = set()
        for cid, place in places.items():
            with suppress(CorruptionError, StorageError):
                read_block(self._blobs, cid, place)
                good.add(cid)
        return good

    def of_pack(self, name: str, work: Callable[[BinaryIO], _Made]) -> _Made | None:
        """What `work` makes of the CAR in pack `name`, whatever was done to that; None if there is no such pack any more.

        See `read_pack` for what `work` may do. A pack has another name when it was written again, and none when it was
        compacted.

        Raises:
            CorruptionError, FormatError, NoSuchBlob: the pack is damaged, or its blob is lost.
        """
        try:
            return read_pack(self._blobs, name, work)
        except (CorruptionError, FormatError, NoSuchBlob):
            with self._db.reading() as connection:
                if not packs.is_ready(connection, name):  # [STO-3]
                    return None
            self._mark(name)
            raise

    def _condemn(self, error: CorruptionError) -> None:
        """Hear the verdict that blocks of this store are lost or damaged: every one falls here, before it is raised.

        By then they were read a second time, past every cache ([PACK-10]), and the index has no other place for them.
        """
        if error.pack is not None:
            self._mark(error.pack)

    def _mark(self, pack: str) -> None:
        """Record that a pack is damaged ([PUT-13])."""
        # The damage is on its way to the caller, and matters more than a failure to record it.
        with suppress(CorruptionError, StorageError):
            record_damage(self._db, [pack])

    def _read(self, places: Mapping[CID, Location | bytes]) -> dict[CID, bytes]:
        found = {cid: place for cid, place in places.items() if isinstance(place, bytes)}
        wanted = [(cid, place) for cid, place in places.items() if not isinstance(place, bytes)]
        return found | read_blocks(self._blobs, wanted)

    def _locate(self, cids: Sequence[CID]) -> dict[CID, Location | bytes]:
        if not cids:
            return {}
        found: dict[CID, Location | bytes] = {}
        for cid, pack, offset, length, body in rows.locate(self._db, cids):
            found[cid] = Location(pack, offset, length) if body is None else checked(cid, body, "in the database")
        for cid in cids:
            if cid not in found:
                raise MissingBlock(f"block {to_text(cid)} is not in the index of this store")
        return found
