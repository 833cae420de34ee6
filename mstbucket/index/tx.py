"""A transaction behind the barrier, inside one bucket: what every write of rows starts with ([PUT-5]).

The writers of a bucket are inside it together. Who deletes it, or changes its versioning, waits for them to leave.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from mstbucket.core.s3rules.conditions import Expected
from mstbucket.pg import binary
from mstbucket.pg.queries import one_row

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class StoreTx:
    """One open transaction behind the barrier. It ends, with all that it holds, when the database's transaction does.

    Attributes:
        connection: for the modules of this room; others hand the transaction on.
        epoch: of the collection that may take what was last touched before it.
    """

    connection: Connection
    epoch: int


@dataclass(frozen=True, slots=True)
class Tx(StoreTx):
    """One inside one bucket.

    Attributes:
        bucket: the row number of the bucket.
        versioning: the state of the bucket: Enabled, Suspended, or None where it was never set.
        seq: the number of its newest commit when the transaction came in; None if `blocks.born` has no room for that.
    """

    bucket: int
    versioning: str | None
    seq: int | None

    def now(self) -> int:
        """The time of the database's clock, in ms since 1970."""
        return int(one_row(self.connection, "SELECT now_ms()")[0])

    def hold(self, key: str) -> bool:
        """Hold a key until the end: nobody else writes it meanwhile. Whether it has a current object."""
        return bool(one_row(self.connection, "SELECT hold(%s, %s)", (self.bucket, key))[0])

    def expect(self, key: str, expected: Expected) -> None:
        """Hold a key, and raise unless it is as expected; nothing is held where everything will do.

        Raises:
            PreconditionFailed, NoSuchKey: it is not. The transaction can do nothing more.
        """
        if not expected.anything:
            self.connection.execute("SELECT expect(%s, %s, %s, %s)", (self.bucket, key, *expectation(expected)))

    def touch(self, cids: Collection[bytes]) -> int:
        """Keep the rows of these blocks from the next cycle, and from all sweeps ([PUT-6], [GC-21]); how many there are."""
        asked = binary.bytea_array(sorted(cids))
        return int(one_row(self.connection, "SELECT touch_and_count(%s, %s)", (self.epoch, asked))[0])


def enter(connection: Connection, bucket: str) -> Tx:
    """Take the barrier, and go inside the bucket of that name.

    Raises:
        NoSuchBucket: there is none, by now.
    """
    number, epoch, versioning, seq = one_row(connection, "SELECT * FROM enter(%s)", (bucket,))
    return Tx(connection, epoch, number, versioning, seq)


def enter_alone(connection: Connection, bucket: str) -> Tx:
    """As `enter`, but nobody else is inside the bucket until the transaction ends.

    Raises:
        NoSuchBucket: there is none, by now.
    """
    number, epoch, versioning, seq = one_row(connection, "SELECT * FROM enter_alone(%s)", (bucket,))
    return Tx(connection, epoch, number, versioning, seq)


def enter_store(connection: Connection) -> StoreTx:
    """Take the barrier without going inside a bucket ([PUT-5])."""
    return StoreTx(connection, int(one_row(connection, "SELECT enter_store()")[0]))


def inside(db: Database, bucket: str, work: Callable[[Tx], _T]) -> _T:
    """Call *work* in a transaction inside the bucket, and return what it returns; see `Database.run` for repetition.

    Raises:
        NoSuchBucket: there is no such bucket.
        As `Database.run`, and what *work* raises; then nothing was done.
    """
    return db.run(lambda connection: work(enter(connection, bucket)))


def expectation(expected: Expected) -> tuple[Any, Any]:
    """What a write expects, as the last two arguments of SQL's `expect`."""
    return (
        None if expected.match is None else binary.text_array(expected.match),
        None if expected.none_match is None else binary.text_array(expected.none_match),
    )


