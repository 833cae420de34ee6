"""What keeps commits: snapshots, and each bucket's rules for commits without a name; and how commits are given up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, fields
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.core.cid import to_text
from mstbucket.core.keep_rules import Rules
from mstbucket.core.times import moment
from mstbucket.index.buckets import bucket_id, no_such_bucket
from mstbucket.index.leases import Kept
from mstbucket.limits import SNAPSHOTS_MAX
from mstbucket.model.past import SnapshotInfo
from mstbucket.pg.binary import bigint_array
from mstbucket.pg.queries import one_row

if TYPE_CHECKING:
    from mstbucket.pg.database import Database
    from mstbucket.pg.pool import Connection

_PAGE: Final = 1000  # rows fetched at a time
_NAMES: Final = [field.name for field in fields(Rules)]  # of the columns, too
_RULES: Final = ", ".join(_NAMES)
_EXCLUDED: Final = ", ".join(f"excluded.{name}" for name in _NAMES)


class Judged(NamedTuple):
    """What a bucket's rules are about: its row number and identity, and the rules; None is the default."""

    bucket: int
    identity: str
    rules: Rules | None


# --- snapshots --------------------------------------------------------------------------------------------------------


def name_commit(connection: Connection, commit: Kept, name: str) -> bool | None:
    """Give a commit a name. False if another commit has it, None if the commit is gone."""
    made = connection.execute(
        """
        WITH held AS (SELECT bucket, seq FROM commits WHERE bucket = %s AND seq = %s FOR KEY SHARE)
        INSERT INTO snapshots (bucket, name, seq, created) SELECT bucket, %s, seq, now_ms() FROM held
        ON CONFLICT (bucket, name) DO NOTHING
        """,
        (commit.bucket, commit.seq, name),
    ).rowcount
    if made:
        return True
    row = connection.execute("SELECT seq FROM snapshots WHERE bucket = %s AND name = %s", (commit.bucket, name)).fetchone()
    return None if row is None else row == (commit.seq,)


def count_snapshots(connection: Connection, bucket: int) -> int:
    """How many names the commits of a bucket have."""
    return int(one_row(connection, "SELECT count(*) FROM snapshots WHERE bucket = %s", (bucket,))[0])


def remove_name(db: Database, bucket: str, name: str) -> bool:
    """Take the name of a snapshot away; whether there was one.

    Raises:
        NoSuchBucket: there is no such bucket.
    """

    def work(connection: Connection) -> bool:
        query = "DELETE FROM snapshots WHERE bucket = %s AND name = %s"
        return connection.execute(query, (bucket_id(connection, bucket), name)).rowcount == 1

    return db.run(work)


def snapshots_of(db: Database, bucket: str) -> list[SnapshotInfo]:
    """The snapshots of a bucket, the newest commit first, those of one commit by name.

    Raises:
        NoSuchBucket: there is no such bucket.
    """
    query = """
        SELECT s.name, s.seq, c.cid, s.created, c.time, c.objects, c.bytes
        FROM snapshots s JOIN commits c ON c.bucket = s.bucket AND c.seq = s.seq
        WHERE s.bucket = %s ORDER BY s.seq DESC, s.name LIMIT %s
    """
    with db.reading() as connection:
        number = bucket_id(connection, bucket)
        rows = connection.execute(query, (number, SNAPSHOTS_MAX), binary=True).fetchall()
    return [
        SnapshotInfo(name, seq, to_text(cid), moment(created), moment(time), objects, size)
        for name, seq, cid, created, time, objects, size in rows
    ]


# --- rules ------------------------------------------------------------------------------------------------------------


def rules_of(db: Database, bucket: str) -> Rules | None:
    """The rules of a bucket, None where nothing was said.

    Raises:
        NoSuchBucket: there is no such bucket.
    """
    query = f"SELECT r.bucket, {_RULES} FROM buckets b LEFT JOIN retention r ON r.bucket = b.id WHERE b.name = %s"
    with db.reading() as connection:
        row = connection.execute(query, (bucket,)).fetchone()
    if row is None:
        raise no_such_bucket(bucket)
    there, *rules = row
    return None if there is None else Rules(*rules)


def set_rules(db: Database, bucket: str, rules: Rules | None) -> None:
    """Replace the rules of a bucket, durably; None is the default.

    Raises:
        NoSuchBucket: there is no such bucket.
    """

    def work(connection: Connection) -> None:
        number = bucket_id(connection, bucket)
        if rules is None:
            connection.execute("DELETE FROM retention WHERE bucket = %s", (number,))
            return
        query = f"""
            INSERT INTO retention (bucket, {_RULES}) VALUES (%s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (bucket) DO UPDATE SET ({_RULES}) = ({_EXCLUDED})
        """
        connection.execute(query, (number, *astuple(rules)))

    db.run(work)


def all_rules(db: Database) -> list[Judged]:
    """Every bucket that has a commit to give up, with its rules."""
    query = f"""
        SELECT b.id, b.identity, r.bucket, {_RULES} FROM buckets b LEFT JOIN retention r ON r.bucket = b.id
        WHERE EXISTS (SELECT FROM commits c WHERE c.bucket = b.id AND c.seq < b.seq) ORDER BY b.id
    """
    with db.reading() as connection:
        rows = connection.execute(query).fetchall()
    return [Judged(number, identity, None if there is None else Rules(*rules)) for number, identity, there, *rules in rows]


# --- giving up --------------------------------------------------------------------------------------------------------


def times_of(db: Database, bucket: int) -> Iterator[tuple[int, int]]:
    """Number and time of every commit of a bucket that can be read, the newest first."""
    query = "SELECT seq, time FROM commits WHERE bucket = %s AND seq < %s ORDER BY seq DESC LIMIT %s"
    below = 2**63 - 1
    while True:
        with db.reading() as connection:
            rows = connection.execute(query, (bucket, below, _PAGE), binary=True).fetchall()
        yield from rows
        if len(rows) < _PAGE:
            return
        below = rows[-1][0]


def give_up(db: Database, bucket: int, seqs: Sequence[int]) -> int:
    """Give up those commits that nothing else keeps ([PAST-13]); how many."""
    query = "SELECT give_up_commits(%s, %s)"
    return db.run(lambda connection: int(one_row(connection, query, (bucket, bigint_array(seqs)))[0]))
