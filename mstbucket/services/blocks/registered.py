"""A pack from its registration to the transaction that makes it ready; and the removal of doomed packs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from mstbucket.blobs.base import BlobWriter
from mstbucket.blobs.names import framed, pack_name
from mstbucket.errors import Conflict, OutcomeUnknown, StorageError, WrongKey
from mstbucket.index import frames, packs
from mstbucket.packs.frames.write import FrameWriter
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

#: Seconds between two signs of life of a pack's writer. A writer that gives none for a day counts as dead ([STO-9]).
ALIVE_SECONDS: Final = 600.0


class RegisteredPack:
    """A blob that is to become a pack, from its registration to the transaction that makes it one ([PUT-2] to [PUT-4]).

    It begins as a pending row in the database. Then a blob is written through `writer`. `seal` makes the blob durable.
    `ready`, `withdraw` or `replace` belongs in the caller's transaction. `keep` says that the transaction has committed.

    Left without `keep`, the blob and its row are removed. A crash leaves a pending row, by which both are removed later.
    As long as the row is pending, no collection removes a block that was found or written since its registration
    ([PUT-11]).
    """

    def __init__(self, context: Context, cids: Sequence[bytes] = ()) -> None:
        """Register it, and find in the same round trip which of *cids* are in packs already: `found`."""
        self._context = context
        self._kind = context.encoding.kind
        self._name = pack_name(self._kind)
        self._kept = False
        self._unsettled = False
        self.size = 0
        self._frames: FrameWriter | None = None
        self._writer: BlobWriter | None = None
        self._next_sign = time.monotonic() + ALIVE_SECONDS
        key = context.encoding.key
        key_id = None if key is None else key.id
        registered = packs.register(context.db, self._name, self._kind, key_id, context.encoding.encrypts, cids)
        if registered is None:  # [FRAME-18] [STO-1]
            raise WrongKey("the store was made an encrypted one since it was opened here, or a plain one again: open it "
                           "again, with its key")  # fmt: skip
        self.id, self.found = registered

    def writer(self) -> BlobWriter:
        """Return the writer of the blob. The first use begins the blob: a pack that nobody writes to has none."""
        if self._writer is None:
            self._writer = _AliveWriter(self._open(), self.say_alive)
        return self._writer

    @property
    def begun(self) -> bool:
        """Whether there may be a blob."""
        return self._writer is not None

    @property
    def name(self) -> str:
        """The name of the blob."""
        return self._name

    def _open(self) -> BlobWriter:
        blob = self._context.blobs.open_write(self._name)
        form = framed(self._name)
        if form is None:
            return blob
        self._frames = FrameWriter(blob, self._context.encoding.encoder(*form))
        return self._frames

    def say_alive(self) -> None:
        """Note now and then that this writer lives ([STO-9])."""
        if time.monotonic() < self._next_sign:
            return
        self._next_sign = time.monotonic() + ALIVE_SECONDS
        # A lost sign does no harm. The next one, or the transaction at the end, says what is wrong.
        with suppress(StorageError):
            packs.say_alive(self._context.db, self.id)

    def seal(self) -> None:
        """Make the pack durable and complete; nothing can be added afterwards.

        Raises:
            StorageError: the pack is given up. Nothing refers to it, so the caller knows the outcome of its own call even
                where nobody knows that of the writing.
        """
        try:
            self.size = self.writer().commit()
        except OutcomeUnknown as error:
            self._unsettled = True
            raise StorageError(f"a pack was not acknowledged and is given up; nothing was stored: {error}") from error

    def ready(self, connection: Connection, rows: int) -> None:
        """Inside the caller's transaction: make this pack ready, to which so many rows lead, or fewer.

        Raises:
            StorageError: it was given up meanwhile.
        """
        if not packs.make_ready(connection, self.id, self._written, rows):
            raise self._given_up()
        self._insert_frames(connection, self.id)

    def withdraw(self, connection: Connection) -> None:
        """Inside the caller's transaction: make this no pack, since no row leads here ([PUT-12]).

        Raises:
            StorageError: it was given up meanwhile, and with it what the caller counts on.
        """
        remove = packs.doom_pending if self.begun else packs.delete_pending
        if not remove(connection, self.id):
            raise self._given_up()

    def replace(self, connection: Connection, pack: int, old: str) -> None:
        """Inside the caller's transaction: give pack `pack` this blob, and doom its blob `old` ([STO-2]).

        Raises:
            PackMoved: `old` is not the blob of that pack any more.
        """
        if not packs.delete_pending(connection, self.id):
            raise self._given_up()
        if not packs.switch(connection, pack, old, self._written):
            raise PackMoved(f"pack {old} was written again, or compacted, by somebody else meanwhile")
        frames.delete(connection, pack)
        self._insert_frames(connection, pack)
        packs.add_doomed(connection, old)

    def keep(self) -> None:
        """Keep the blob: the transaction that made this pack ready has committed."""
        self._kept = True

    @property
    def _written(self) -> packs.Written:
        return packs.Written(self._name, self._kind, self.size, None if self._frames is None else self._frames.plain_size)

    def _insert_frames(self, connection: Connection, pack: int) -> None:
        if self._frames is not None:
            frames.insert(connection, pack, self._frames.entries)

    def _given_up(self) -> StorageError:
        return StorageError(f"pack {self._name} took so long that it was given up: repeat the call")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.abort()
        if not self._kept:
            self._give_up(error)

    def _give_up(self, error: BaseException | None) -> None:
        """Remove the blob, if there is one, and its row. While `error` is on its way out, no failure here is raised."""
        try:
            if not self.begun:
                with self._context.db.connection() as connection:
                    packs.delete_pending(connection, self.id)
                return
            with self._context.db.connection() as connection:
                # A commit whose answer was lost may have made the blob a pack, under this row or another. Then the name
                # says so, and the blob stays. Without a row it was given up before it became visible.
                if not packs.doom_pending(connection, self.id) and packs.is_ready(connection, self._name):
                    return
            if self._unsettled:
                # [PUT-4] The blob may come yet, behind this delete: its row stays, by which it is deleted again ([STO-9]).
                self._context.blobs.delete(self._name)
                return
            remove_doomed(self._context, [self._name])
        except StorageError:
            if error is None:
                raise
            # The error on its way out matters more; the row still says that the pack is to go.


class PackMoved(Conflict):
    """The pack has another blob by now, or has gone. Nothing has happened."""


class _AliveWriter(BlobWriter):
    """A writer that notes now and then, while it writes, that it lives."""

    def __init__(self, blob: BlobWriter, say_alive: Callable[[], None]) -> None:
        self._blob = blob
        self._say_alive = say_alive

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._blob.write(data)
        self._say_alive()

    def commit(self) -> int:
        return self._blob.commit()

    def abort(self) -> None:
        self._blob.abort()


def remove_doomed(context: Context, names: Sequence[str]) -> None:
    """Remove the blobs of doomed packs, and then their rows. Repeating it is harmless ([STO-4])."""
    context.blobs.delete_many(names)
    packs.delete_doomed(context.db, names)
