"""The blocks of a store: the index says where each block is, a pack or the index itself gives its bytes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import BinaryIO, TypeVar

from mstbucket.core.cid import CID, to_text
from mstbucket.errors import BrokenFrame, CorruptionError, FormatError, MissingBlock, NoSuchBlob, StorageError
from mstbucket.index import blocks as rows
from mstbucket.index import packs
from mstbucket.packs.fetch import Ranges, checked
from mstbucket.packs.plan import Location
from mstbucket.packs.read import PackScan, following, read_block, read_blocks
from mstbucket.packs.streams import read_pack
from mstbucket.pg.database import Database
from mstbucket.services.blocks.damage import record_damage

_Made = TypeVar("_Made")


class StoreBlocks:
    """A `BlockSource` over one store; thread-safe. Every block it gives was hashed."""

    def __init__(self, db: Database, blobs: Ranges) -> None:
        self._db = db
        self._blobs = blobs

    def get(self, cid: CID) -> bytes:
        """The block of `cid`. Raises `MissingBlock` if the index does not know it, or its pack is gone."""
        return self.get_many((cid,))[cid]

    def get_many(self, cids: Collection[CID]) -> dict[CID, bytes]:
        """The blocks of `cids`. It costs one question to the index and few reads."""
        return following(lambda: self._locate(list(cids)), self._read, self._condemn)

    def at(self, cid: CID, place: tuple[str | None, int | None, int | None, bytes | None]) -> bytes:
        """The block of `cid`. The caller has asked for its `Place` already."""
        pack, offset, length, body = place
        if body is not None:
            return checked(cid, body, "in the database")
        if pack is None or offset is None or length is None:
            raise MissingBlock(f"block {to_text(cid)} is not in the index of this store").about(cid=cid)
        try:
            return read_block(self._blobs, cid, Location(pack, offset, length))
        except CorruptionError:  # [STO-3] It is damaged, or has moved since the caller asked. The index knows which.
            return self.get(cid)
        except StorageError as error:
            if error.pack is None:
                raise
            return self.get(cid)  # [PUT-13] which records the pack

    def inline_bodies(self, cids: Collection[CID]) -> dict[CID, bytes]:
        """The blocks of those of `cids` that the database itself holds."""
        bodies = rows.inline_bodies(self._db, cids)
        return {cid: checked(cid, body, "in the database") for cid, body in bodies.items()}

    def scan(self) -> PackScan:
        """A source that reads ahead, for one pass over a whole closure. For one thread."""
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
        """What `work` makes of the plain CAR in pack `name`, or None if the store has no pack of that name any more.

        See `read_pack` for what `work` may do. A pack gets another name when it is written again. It goes when it is
        compacted.

        Raises:
            CorruptionError, FormatError, NoSuchBlob: the pack is damaged, or its blob is lost.
        """
        with self._db.reading() as connection:
            size = packs.plain_size(connection, name)
        if size is None:  # [STO-3]
            return None

        def whole(stream: BinaryIO) -> _Made:
            there = self._blobs.head(name).size
            if there != size:  # [STO-7] One that ends with a block, but not with its last, looks whole.
                raise BrokenFrame(f"pack {name} has {there} bytes, and had {size} when it was written: restore it")
            return work(stream)

        try:
            return read_pack(self._blobs, name, whole)
        except (CorruptionError, FormatError, NoSuchBlob):
            with self._db.reading() as connection:
                if not packs.is_ready(connection, name):
                    return None
            self._mark(name)
            raise
        except StorageError as error:
            if error.pack is not None:
                self._mark(name)
            raise

    def _condemn(self, error: CorruptionError | StorageError) -> None:
        """Record the pack in which blocks are lost or damaged, before the error is raised.

        The blocks were read a second time, past every cache ([PACK-10]). The index has no other place for them.
        """
        if error.pack is not None:
            self._mark(error.pack)

    def _mark(self, pack: str) -> None:
        """Record that a pack is damaged ([PUT-13])."""
        # The caller gets the error about the damage. It matters more than a failure to record the pack.
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
            if body is not None:
                found[cid] = checked(cid, body, "in the database")
            elif pack is not None:  # else the row leads to a pack that has no row: the database is damaged
                found[cid] = Location(pack, offset, length)
        for cid in cids:
            if cid not in found:
                raise MissingBlock(f"block {to_text(cid)} is not in the index of this store").about(cid=cid)
        return found
