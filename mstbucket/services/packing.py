"""Packs on their way in, and the small blobs by which a store is found again without its database."""

from __future__ import annotations

from array import array
from types import TracebackType
from typing import Any, Final, Self

from mstbucket.blobs.names import pack_name, ref_name
from mstbucket.blobs.pack import PackWriter
from mstbucket.core import car
from mstbucket.core.cid import raw_cid, to_text
from mstbucket.errors import StorageError
from mstbucket.pg import binary
from mstbucket.pg.queries import one_row
from mstbucket.services.buckets import now_ms
from mstbucket.services.context import Context

#: The root that packs name: the empty block. A pack is written before it is known what it will hold ([PACK-2]).
PACK_ROOT: Final = raw_cid(b"")

_RECORD: Final = 10_000  # rows of `blocks` per statement: 0.6 MB of arguments


class RegisteredPack:
    """A blob that is to become a pack, from its registration to the transaction that makes it one ([PUT-2] to [PUT-4]).

    Made: a pending row in the database, then a blob being written through `writer`. `seal` makes the blob durable,
    `ready` belongs in the caller's transaction, `keep` says that the transaction is through. Left without `keep`, the
    blob and its row are removed; what a crash leaves is a pending row by which it can be removed later.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._name = pack_name()
        self._kept = False
        self.size = 0
        with context.db.connection() as connection:
            query = "INSERT INTO packs (name, state, created) VALUES (%s, 'pending', %s) RETURNING id"
            self.id = int(one_row(connection, query, (self._name, now_ms()))[0])
        try:
            self.writer = context.blobs.open_write(self._name)
        except BaseException as error:
            self._give_up(error)
            raise

    def seal(self) -> None:
        """Make the pack durable and complete; nothing can be added afterwards."""
        self.size = self.writer.commit()

    def ready(self, connection: Any) -> None:
        """Inside the caller's transaction: this is a pack from now on."""
        query = "UPDATE packs SET state = 'ready', size = %s WHERE id = %s AND state = 'pending'"
        if connection.execute(query, (self.size, self.id)).rowcount != 1:
            raise StorageError(f"pack {self._name} took so long that it was given up: repeat the call")

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
            with self._context.db.connection() as connection:
                connection.execute("DELETE FROM packs WHERE id = %s AND state = 'doomed'", (self.id,))
        except StorageError:
            if error is None:
                raise
            # The error on its way out matters more; the row still says that the pack is to go.


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
        context.blobs.put(ref_name(identity, seq, to_text(cid)), car.header(cid) + car.section(cid, block))
        with context.db.connection() as connection:
            done = "UPDATE commits SET published = true WHERE bucket = %s AND seq = %s"
            connection.execute(done, (number, seq))
