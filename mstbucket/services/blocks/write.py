"""Packs on their way in, and the small blobs by which a store is found again without its database."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from mstbucket.blobs.base import BlobWriter
from mstbucket.blobs.names import Kind, framed, pack_name, ref_name, secret_ref_name
from mstbucket.core import car
from mstbucket.core.cid import CID_SIZE, raw_cid, to_text
from mstbucket.errors import BlobExists, Conflict, HashMismatch, OutcomeUnknown, StorageError, WrongKey
from mstbucket.packs.frames.write import FrameWriter
from mstbucket.packs.write import PackWriter
from mstbucket.pg import binary
from mstbucket.pg.queries import one_row
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.frame_index import insert_frames

#: The root that packs name: the empty block. A pack is written before it is known what it will hold ([PACK-2]).
PACK_ROOT: Final = raw_cid(b"")

#: `packs.encoding` of each kind.
ENCODINGS: Final = {Kind.PLAIN: None, Kind.ZSTD: "zstd", Kind.AES: "aes", Kind.ZSTD | Kind.AES: "zstd+aes"}

#: Seconds between two signs of life of a pack's writer: a small part of the age at which one without counts as dead.
BEAT: Final = 600.0

_RECORD: Final = 10_000  # rows of `blocks` per statement: 0.6 MB of arguments


class RegisteredPack:
    """A blob that is to become a pack, from its registration to the transaction that makes it one ([PUT-2] to [PUT-4]).

    Made: a pending row in the database, then a blob being written through `writer`. `seal` makes the blob durable,
    `ready` belongs in the caller's transaction, `keep` says that the transaction is through. Left without `keep`, the
    blob and its row are removed; what a crash leaves is a pending row by which it can be removed later. As long as the
    row is pending, no collection removes a block that was found or written since its registration ([PUT-11]).
    """

    def __init__(self, context: Context, cids: Sequence[bytes] = ()) -> None:
        """Register it; `found` are then the rows of `find_blocks` of *cids*, which takes no further round trip."""
        self._context = context
        self._kind = context.encoding.kind
        self._name = pack_name(self._kind)
        self._kept = False
        self._unsettled = False
        self.size = 0
        self._frames: FrameWriter | None = None
        self._writer: BlobWriter | None = None
        self._next_sign = time.monotonic() + BEAT
        self.id, self.found = _register(context, self._name, self._kind, cids)

    @property
    def writer(self) -> BlobWriter:
        """Of the blob, which begins with the first use: a pack that nothing is written to has none."""
        if self._writer is None:
            self._writer = _Beating(self._open(), self.sign)
        return self._writer

    @property
    def begun(self) -> bool:
        """Whether there may be a blob."""
        return self._writer is not None

    def _open(self) -> BlobWriter:
        blob = self._context.blobs.open_write(self._name)
        form = framed(self._name)
        if form is None:
            return blob
        self._frames = FrameWriter(blob, self._context.encoding.encoder(*form))
        return self._frames

    @property
    def name(self) -> str:
        """Of the blob."""
        return self._name

    def sign(self) -> None:
        """Say now and then that this writer lives ([STO-9])."""
        if time.monotonic() < self._next_sign:
            return
        self._next_sign = time.monotonic() + BEAT
        # A sign that does not arrive does no harm; the next one, or the transaction at the end, says what is wrong.
        with suppress(StorageError), self._context.db.connection() as connection:
            query = "UPDATE packs SET alive = now_ms() WHERE id = %s AND state = 'pending'"
            connection.execute(query, (self.id,))

    def seal(self) -> None:
        """Make the pack durable and complete; nothing can be added afterwards.

        Raises:
            StorageError: the pack is given up. Nothing refers to it, so that the caller's own outcome is known also where
                that of the writing is not.
        """
        try:
            self.size = self.writer.commit()
        except OutcomeUnknown as error:
            self._unsettled = True
            raise StorageError(f"a pack was not acknowledged and is given up; nothing was stored: {error}") from error

    def ready(self, connection: Any) -> None:
        """Inside the caller's transaction: this is a pack from now on."""
        query = "UPDATE packs SET state = 'ready', size = %s, plain = %s WHERE id = %s AND state = 'pending'"
        if connection.execute(query, (self.size, self._plain_size, self.id)).rowcount != 1:
            raise self._given_up()
        if self._frames is not None:
            insert_frames(connection, self.id, self._frames.entries)

    def leave(self, connection: Any) -> None:
        """Inside the caller's transaction: no row leads here, so this will be no pack ([PUT-12]).

        Raises:
            StorageError: it was given up meanwhile, and with it what the caller counts on.
        """
        if self.begun:
            query = "UPDATE packs SET state = 'doomed', alive = now_ms() WHERE id = %s AND state = 'pending'"
        else:
            query = "DELETE FROM packs WHERE id = %s AND state = 'pending'"
        if connection.execute(query, (self.id,)).rowcount != 1:
            raise self._given_up()

    def replace(self, connection: Any, pack: int, old: str) -> None:
        """Inside the caller's transaction: this blob is pack `pack` from now on, and the blob `old` is to go ([STO-2])."""
        if connection.execute("DELETE FROM packs WHERE id = %s AND state = 'pending'", (self.id,)).rowcount != 1:
            raise self._given_up()
        switch = """
            UPDATE packs SET name = %s, encoding = %s, size = %s, plain = %s, damaged = false
            WHERE id = %s AND name = %s AND state = 'ready'
        """
        new = (self._name, ENCODINGS[self._kind], self.size, self._plain_size)
        if connection.execute(switch, (*new, pack, old)).rowcount != 1:
            raise PackMoved(f"pack {old} was written again, or gathered, by somebody else meanwhile")
        connection.execute("DELETE FROM frames WHERE pack = %s", (pack,))
        if self._frames is not None:
            insert_frames(connection, pack, self._frames.entries)
        doom = "INSERT INTO packs (name, state, created, alive) VALUES (%s, 'doomed', now_ms(), now_ms())"
        connection.execute(doom, (old,))

    @property
    def _plain_size(self) -> int | None:
        return None if self._frames is None else self._frames.plain_size

    def _given_up(self) -> StorageError:
        return StorageError(f"pack {self._name} took so long that it was given up: repeat the call")

    def keep(self) -> None:
        """The transaction that made this pack ready has committed."""
        self._kept = True

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
        """Remove the blob, if there is one, and its row; while `error` is on its way out, what fails here is not told."""
        try:
            if not self.begun:
                with self._context.db.connection() as connection:
                    connection.execute("DELETE FROM packs WHERE id = %s AND state = 'pending'", (self.id,))
                return
            with self._context.db.connection() as connection:
                doom = "UPDATE packs SET state = 'doomed', alive = now_ms() WHERE id = %s AND state = 'pending'"
                if connection.execute(doom, (self.id,)).rowcount != 1:
                    # A commit whose answer was lost may have made the blob a pack, under this row or another: then the
                    # name says so, and it stays. Without a row it was given up before it became visible.
                    query = "SELECT FROM packs WHERE name = %s AND state = 'ready'"
                    if connection.execute(query, (self._name,)).fetchone() is not None:
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
    """The blob of a pack is another one by now. Nothing has happened."""


class _Beating(BlobWriter):
    """A writer that says that it lives, as long as it is written to."""

    def __init__(self, blob: BlobWriter, sign: Callable[[], None]) -> None:
        self._blob = blob
        self._sign = sign

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._blob.write(data)
        self._sign()

    def commit(self) -> int:
        return self._blob.commit()

    def abort(self) -> None:
        self._blob.abort()


def remove_doomed(context: Context, names: Sequence[str]) -> None:
    """Remove blobs that no row of `blocks` leads to any more, and then their rows. Repeating it is harmless ([STO-4])."""
    context.blobs.delete_many(names)
    with context.db.connection() as connection:
        query = "DELETE FROM packs WHERE name = ANY (%s) AND state = 'doomed'"
        connection.execute(query, (binary.text_array(names),))


def _register(context: Context, name: str, kind: Kind, cids: Sequence[bytes]) -> tuple[int, list[tuple[Any, ...]]]:
    """The row number of a new pending pack ([PUT-2]), and the rows of `find_blocks`."""
    key = context.encoding.key
    rule = (None if key is None else key.id, context.encoding.encrypts)
    with context.db.connection() as connection:
        if cids:
            query = "SELECT * FROM register_and_find(%s, %s, %s, %s, %s)"
            arguments = (name, ENCODINGS[kind], *rule, binary.cid_array(cids))
            first, *rows = connection.execute(query, arguments, binary=True).fetchall()
        else:
            first, *rows = [one_row(connection, "SELECT register_pack(%s, %s, %s, %s)", (name, ENCODINGS[kind], *rule))]
    if first[0] is None:  # [FRAME-18] [STO-1]
        raise WrongKey("the store was made an encrypted one since it was opened here, or a plain one again: open it again, "
                       "with its key")  # fmt: skip
    return int(first[0]), [row[1:] for row in rows]


class PackInProgress(RegisteredPack):
    """A pack that is filled block by block, and knows where it put each."""

    def __init__(self, context: Context, cids: Sequence[bytes] = ()) -> None:
        super().__init__(context, cids)
        self._pack: PackWriter | None = None
        self._offsets = array("q")
        self._lengths = array("i")
        self._order: list[bytes] = []
        self._root_at = self._live = 0
        self.cids: set[bytes] = set()

    def add(self, cid: bytes, block: bytes | memoryview) -> None:
        """Append a block, unless this pack holds it already."""
        if cid in self.cids:
            return
        if self._pack is None:
            self._pack = PackWriter(self.writer, PACK_ROOT)
            self._root_at = self._pack.add(PACK_ROOT, b"")  # [PACK-2]; it has a row only where somebody stores it
        self.cids.add(cid)
        self._order.append(cid)
        self._offsets.append(self._root_at if cid == PACK_ROOT else self._pack.add(cid, block))
        self._lengths.append(len(block))

    def seal(self) -> None:
        """Make the pack durable and complete; nothing can be added afterwards. Without a block there is nothing to do."""
        if self._pack is not None:
            self._pack.finish()
            super().seal()

    def record(self, connection: Any, epoch: int) -> None:
        """Inside the caller's transaction: its blocks are in this pack, unless they are in another, sound one already.

        Where all of them are, this becomes no pack, and goes.
        """
        live = 0
        order = sorted(range(len(self._order)), key=self._order.__getitem__)
        for start in range(0, len(order), _RECORD):
            part = order[start : start + _RECORD]
            arguments = (
                epoch,
                self.id,
                binary.cid_array([self._order[i] for i in part]),
                binary.bigint_array([self._offsets[i] for i in part]),
                binary.integer_array([self._lengths[i] for i in part]),
            )
            live += one_row(connection, "SELECT add_blocks(%s, %s, %s, %s, %s)", arguments)[0]
        if live:
            self.ready(connection)
        else:
            self.leave(connection)
        self._live = live

    def keep(self) -> None:
        """The transaction has committed."""
        if self._live:
            super().keep()

    def stow(self) -> bytes:
        """Where its blocks are, in 48 bytes each, and forget it: for those who seal many before they record them."""
        data = b"".join(self._order) + self._offsets.tobytes() + self._lengths.tobytes()
        self._order, self._offsets, self._lengths, self.cids = [], array("q"), array("i"), set()
        return data

    def unstow(self, data: bytes) -> None:
        """Know again what `stow` gave."""
        count = len(data) // (CID_SIZE + 12)
        offsets, lengths = count * CID_SIZE, count * (CID_SIZE + 8)
        self._order = [data[at : at + CID_SIZE] for at in range(0, offsets, CID_SIZE)]
        self._offsets.frombytes(data[offsets:lengths])
        self._lengths.frombytes(data[lengths:])

    def take_over(self, connection: Any, packs: Sequence[int]) -> None:
        """Inside the caller's transaction: those of its blocks that are in `packs` are in this one now, and `packs` are
        to go ([STO-6]).

        Not checked here: that it holds all blocks of `packs` that have a row. Nobody gives a row a pack that is ready
        already, so those it was filled with are all there can be.
        """
        order = sorted(range(len(self._order)), key=self._order.__getitem__)
        old = binary.bigint_array(packs)
        for start in range(0, len(order), _RECORD):
            part = order[start : start + _RECORD]
            cids = binary.cid_array([self._order[i] for i in part])
            # [PUT-9] rows are locked in the order of CIDs
            lock = "SELECT FROM blocks WHERE cid = ANY (%s) AND pack = ANY (%s) ORDER BY cid FOR UPDATE"
            connection.execute(lock, (cids, old))
            offsets = binary.bigint_array([self._offsets[i] for i in part])
            connection.execute(_TAKE_OVER, (self.id, cids, offsets, old))
        self._live = len(self._order)
        if self._live:
            self.ready(connection)
        else:
            self.leave(connection)
        doom = "UPDATE packs SET state = 'doomed', alive = now_ms() WHERE id = ANY (%s) AND state = 'ready'"
        if connection.execute(doom, (old,)).rowcount != len(packs):
            raise PackMoved("a pack was collected, or gathered by somebody else meanwhile")


_TAKE_OVER: Final = """
    UPDATE blocks b SET pack = %s, "offset" = t.o FROM unnest(%s, %s) AS t (c, o) WHERE b.cid = t.c AND b.pack = ANY (%s)
"""


def publish_refs(context: Context, bucket: str) -> None:
    """Write the refs/ blob of every commit of the bucket that has none yet; repeating it is harmless ([FLUSH-9]).

    The blob is a CAR of one block, the commit. With it the store alone, without the database, names its newest state.
    """
    waiting = """
        SELECT b.id, b.identity, c.seq, c.cid FROM buckets b JOIN commits c ON c.bucket = b.id
        WHERE b.name = %s AND NOT c.published ORDER BY c.seq
    """
    with context.db.connection() as connection:
        rows = connection.execute(waiting, (bucket,), binary=True).fetchall()
    for number, identity, seq, cid in rows:
        block = context.blocks.get(cid)
        name, data = ref_blob(context, identity, seq, cid, car.header(cid) + car.section(cid, block))
        try:
            context.blobs.put(name, data)
        except BlobExists as error:
            # [PACK-6] The name says what is in it. Commit and bucket are as they should be: only this blob is not.
            raise HashMismatch(f"blob {name} of bucket {bucket!r} does not read as commit {to_text(cid)}: check the medium; "
                               "if the blob is damaged, remove it and flush again") from error  # fmt: skip
        with context.db.connection() as connection:
            done = "UPDATE commits SET published = true WHERE bucket = %s AND seq = %s"
            connection.execute(done, (number, seq))


def ref_blob(context: Context, identity: str, seq: int, cid: bytes, data: bytes) -> tuple[str, bytes]:
    """Name and bytes of the blob that publishes a commit: the same ones every time, encrypted or not ([FRAME-14])."""
    key = context.encoding.key
    if key is None or not context.encoding.encrypts:
        return ref_name(identity, seq, to_text(cid)), data
    pseudonym = key.pseudonym(cid)
    encoder = context.encoding.encoder(Kind.AES, pseudonym)
    return secret_ref_name(identity, seq, pseudonym), encoder.encode(data) + encoder.trailer()
