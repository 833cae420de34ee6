"""Packs on their way in, and the small blobs by which a store is found again without its database."""

from __future__ import annotations

from array import array
from types import TracebackType
from typing import Any, Final, Self

from mstbucket.blobs.base import BlobWriter
from mstbucket.blobs.framing import FrameWriter
from mstbucket.blobs.names import Kind, framed, pack_name, ref_name, secret_ref_name
from mstbucket.blobs.pack import PackWriter
from mstbucket.core import car
from mstbucket.core.cid import raw_cid, to_text
from mstbucket.errors import BlobExists, HashMismatch, OutcomeUnknown, StorageError, WrongKey
from mstbucket.pg import binary
from mstbucket.services.buckets import now_ms
from mstbucket.services.context import Context
from mstbucket.services.frames import insert_frames

#: The root that packs name: the empty block. A pack is written before it is known what it will hold ([PACK-2]).
PACK_ROOT: Final = raw_cid(b"")

#: `packs.encoding` of each kind.
ENCODINGS: Final = {Kind.PLAIN: None, Kind.ZSTD: "zstd", Kind.AES: "aes", Kind.ZSTD | Kind.AES: "zstd+aes"}

_RECORD: Final = 10_000  # rows of `blocks` per statement: 0.6 MB of arguments


class RegisteredPack:
    """A blob that is to become a pack, from its registration to the transaction that makes it one ([PUT-2] to [PUT-4]).

    Made: a pending row in the database, then a blob being written through `writer`. `seal` makes the blob durable,
    `ready` belongs in the caller's transaction, `keep` says that the transaction is through. Left without `keep`, the
    blob and its row are removed; what a crash leaves is a pending row by which it can be removed later.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._kind = context.encoding.kind
        self._name = pack_name(self._kind)
        self._kept = False
        self._unsettled = False
        self.size = 0
        self._frames: FrameWriter | None = None
        self.id = _register(context, self._name, self._kind)
        try:
            self.writer = self._open()
        except BaseException as error:
            self._give_up(error)
            raise

    def _open(self) -> BlobWriter:
        blob = self._context.blobs.open_write(self._name)
        form = framed(self._name)
        if form is None:
            return blob
        self._frames = FrameWriter(blob, self._context.encoding.encoder(*form))
        return self._frames

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
        plain = None if self._frames is None else self._frames.plain_size
        query = "UPDATE packs SET state = 'ready', size = %s, plain = %s WHERE id = %s AND state = 'pending'"
        if connection.execute(query, (self.size, plain, self.id)).rowcount != 1:
            raise StorageError(f"pack {self._name} took so long that it was given up: repeat the call")
        if self._frames is not None:
            insert_frames(connection, self.id, self._frames.entries)

    def keep(self) -> None:
        """The transaction that made this pack ready has committed."""
        self._kept = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.abort()
        if not self._kept:
            self._give_up(error)

    def _give_up(self, error: BaseException | None) -> None:
        """Remove the blob, if there is one, and its row; while `error` is on its way out, what fails here is not told."""
        try:
            # A commit whose answer was lost may have made the pack ready: then the row says so, and the pack stays.
            with self._context.db.connection() as connection:
                doom = "UPDATE packs SET state = 'doomed' WHERE id = %s AND state = 'pending'"
                if connection.execute(doom, (self.id,)).rowcount != 1:
                    return
            self._context.blobs.delete(self._name)
            if self._unsettled:
                return  # [PUT-4] the blob may come yet, behind this delete: its row stays, by which it can be deleted again
            with self._context.db.connection() as connection:
                connection.execute("DELETE FROM packs WHERE id = %s AND state = 'doomed'", (self.id,))
        except StorageError:
            if error is None:
                raise
            # The error on its way out matters more; the row still says that the pack is to go.


def _register(context: Context, name: str, kind: Kind) -> int:
    """The row number of a new pending pack ([PUT-2])."""
    key = context.encoding.key
    query = """
        INSERT INTO packs (name, state, created, encoding) SELECT %s, 'pending', %s, %s
        WHERE (SELECT e.key_id FROM encoding e) IS NOT DISTINCT FROM %s RETURNING id
    """
    with context.db.connection() as connection:
        row = connection.execute(query, (name, now_ms(), ENCODINGS[kind], None if key is None else key.id)).fetchone()
    if row is None:  # [FRAME-18]
        raise WrongKey("the store was made an encrypted one since it was opened here: open it again, with its key")
    return int(row[0])


class PackInProgress(RegisteredPack):
    """A pack that is filled block by block, and knows where it put each."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._pack = PackWriter(self.writer, PACK_ROOT)
        self._offsets = array("q")
        self._lengths = array("i")
        self._order: list[bytes] = []
        self.cids: set[bytes] = set()
        self.add(PACK_ROOT, b"")

    def add(self, cid: bytes, block: bytes | memoryview) -> None:
        """Append a block, unless this pack holds it already."""
        if cid in self.cids:
            return
        self.cids.add(cid)
        self._order.append(cid)
        self._offsets.append(self._pack.add(cid, block))
        self._lengths.append(len(block))

    def seal(self) -> None:
        """Make the pack durable and complete; nothing can be added afterwards."""
        self._pack.finish()
        super().seal()

    def record(self, connection: Any, epoch: int) -> None:
        """Inside the caller's transaction: its blocks are in this pack, unless they are in another one already."""
        order = sorted(range(len(self._order)), key=self._order.__getitem__)
        for start in range(0, len(order), _RECORD):
            part = order[start : start + _RECORD]
            connection.execute(
                "SELECT add_blocks(%s, %s, %s, %s, %s)",
                (
                    epoch,
                    self.id,
                    binary.bytea_array([self._order[i] for i in part]),
                    binary.bigint_array([self._offsets[i] for i in part]),
                    binary.integer_array([self._lengths[i] for i in part]),
                ),
            )
        self.ready(connection)


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
        name, data = _ref(context, identity, seq, cid, car.header(cid) + car.section(cid, block))
        try:
            context.blobs.put(name, data)
        except BlobExists as error:
            # [PACK-6] The name says what is in it. Commit and bucket are as they should be: only this blob is not.
            raise HashMismatch(f"blob {name} of bucket {bucket!r} does not read as commit {to_text(cid)}: check the medium; "
                               "if the blob is damaged, remove it and flush again") from error  # fmt: skip
        with context.db.connection() as connection:
            done = "UPDATE commits SET published = true WHERE bucket = %s AND seq = %s"
            connection.execute(done, (number, seq))


def _ref(context: Context, identity: str, seq: int, cid: bytes, data: bytes) -> tuple[str, bytes]:
    """Name and bytes of the blob that publishes a commit: the same ones every time, encrypted or not ([FRAME-14])."""
    key = context.encoding.key
    if key is None:
        return ref_name(identity, seq, to_text(cid)), data
    pseudonym = key.pseudonym(cid)
    encoder = context.encoding.encoder(Kind.AES, pseudonym)
    return secret_ref_name(identity, seq, pseudonym), encoder.encode(data) + encoder.trailer()
