"""Import: one pass through the CAR verifies it whole and stages it in the store, then a short switch makes it a bucket.

    1. What the store lacks of the blocks goes to pending packs; the rows are prepared in temporary files, in the form in
       which the database takes them. The store is not held, however long the file takes to come.
    2. When the file is verified, a transaction takes the rows of the bucket, under a number that no bucket has yet, and
       judges them together. It holds nothing that anybody else waits for.
    3. The blocks are recorded, a pack at a time, each in a short transaction of its own.
    4. The transaction of 2 goes behind the barrier, makes the bucket, and commits ([IMP-3], [IMP-5]).

Until then nothing is visible. What an interrupted import leaves is pending packs, or, between 3 and 4, blocks that
nothing leads to: another import of the file counts on them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, Final, Self, cast

from mstbucket.core.commit import Commit
from mstbucket.core.dagcbor import decode_fast
from mstbucket.core.keys import check_bucket_name, split_version_key
from mstbucket.errors import BucketAlreadyExists, CorruptionError, OutcomeUnknown, StorageError
from mstbucket.files.whole import Reading, failed, reading
from mstbucket.index.buckets import exists, insert_commit
from mstbucket.index.rows import MANIFEST_COLUMNS, json_of
from mstbucket.limits import MIB
from mstbucket.pg import binary
from mstbucket.pg.queries import one_row
from mstbucket.services.blocks.context import Context
from mstbucket.services.tree.publish import publish_refs
from mstbucket.services.tree.staging import Staged
from mstbucket.verify.replay import Kind, Replay

_SPOOL: Final = 16 * MIB  # of prepared rows held in memory, for each of three tables; then on disk
_GATHERED: Final = 1024  # rows joined before they are written there
_PIECE: Final = MIB  # sent to the database at a time
_EVERY: Final = 4096  # events between two calls of `progress`


def import_car(
    context: Context,
    source: str | os.PathLike[str] | BinaryIO,
    name: str | None,
    progress: Callable[[int], object] | None,
) -> str:
    """Make a bucket of a CAR and return its name; see `Store.import_car`."""
    if name is not None:
        _check_name(context, name)  # before anything is read or written
    with ExitStack() as stack:
        stream = stack.enter_context(reading(source)) if isinstance(source, (str, os.PathLike)) else source
        replay = stack.enter_context(Replay(cast("BinaryIO", Reading(stream))))
        name = replay.commit.name if name is None else name
        _check_name(context, name)
        rows = stack.enter_context(_Rows(_reserve(context)))
        blocks = stack.enter_context(Staged(context))
        for number, (kind, cid, block, _, key) in enumerate(replay):
            if block is not None:
                blocks.add(cid, block)
            if kind is Kind.OBJECT:
                assert key is not None
                rows.add_object(key, cid, block)
            elif kind is Kind.VERSION:
                assert key is not None
                rows.add_version(key, cid, block)
            if number % _EVERY == 0:
                blocks.say_alive()
                if progress is not None:
                    progress(replay.offset)
        blocks.seal()
        _record(context, blocks, replay.root, replay.commit, name, rows)
    try:
        publish_refs(context, name)
    except (StorageError, CorruptionError) as error:
        # [IMP-4] it must not look as if nothing had happened
        raise OutcomeUnknown(f"bucket {name!r} is imported, whole and durable, but its commit could not be published in the "
                             f"blob store: flush the bucket, which repeats that ({error})") from error  # fmt: skip
    return name


def _reserve(context: Context) -> int:
    """A row number for the bucket, so that the rows can be written before it exists."""
    with context.db.connection() as connection:
        query = "SELECT nextval(pg_get_serial_sequence('mstbucket.buckets', 'id'))"
        return int(one_row(connection, query)[0])


class _Spool:
    """Rows in the database's binary form on their way there; past _SPOOL bytes in a temporary file."""

    def __init__(self) -> None:
        self.file = SpooledTemporaryFile(_SPOOL, prefix="mstbucket-import-")  # noqa: SIM115 - closed by `_Rows`
        self._held = [binary.START]

    def add(self, row: bytes) -> None:
        self._held.append(row)
        if len(self._held) >= _GATHERED:
            self._flush()

    def pieces(self) -> Iterator[bytes]:
        """All of it from the start, with what ends a COPY."""
        self._held.append(binary.END)
        self._flush()
        self.file.seek(0)
        while piece := self.file.read(_PIECE):
            yield piece

    def _flush(self) -> None:
        try:
            self.file.write(b"".join(self._held))
        except OSError as error:
            raise failed("the temporary directory cannot hold the rows of the import", error) from error
        self._held.clear()


class _Rows:
    """The rows of an import: objects, versions, and places whose manifest came before in another place."""

    def __init__(self, bucket: int) -> None:
        self.bucket = bucket
        self._number = binary.int8(bucket)
        self.objects, self.versions, self.repeats = _Spool(), _Spool(), _Spool()

    def add_object(self, key: bytes, cid: bytes, block: bytes | None) -> None:
        """A key and its manifest; without a block, the manifest came before under another key."""
        if block is None:
            self.repeats.add(binary.row(binary.data(key), binary.NULL, binary.data(cid)))
        else:
            # The replay has judged the manifest strictly: its fields can be taken as they are.
            self.objects.add(binary.row(self._number, binary.data(key), *_manifest_columns(cid, decode_fast(block).get)))

    def add_version(self, stored: bytes, cid: bytes, block: bytes | None) -> None:
        """As `add_object`, of a noncurrent version or a delete marker; the replay has judged its key."""
        key, seq = split_version_key(stored)
        place = (binary.data(key), binary.int8(seq))
        if block is None:
            self.repeats.add(binary.row(*place, binary.data(cid)))
        else:
            self.versions.add(binary.row(self._number, *place, *_manifest_columns(cid, decode_fast(block).get)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for spool in (self.objects, self.versions, self.repeats):
            spool.file.close()


def _manifest_columns(cid: bytes, field: Callable[[str], Any]) -> tuple[bytes, ...]:
    """The columns of a row of `objects` or `versions` that a manifest makes, in their order."""
    size = field("size")
    return (
        binary.data(cid),
        binary.data(field("content")),
        binary.NULL if size is None else binary.int8(size),
        binary.text(field("etag")),
        binary.text(field("content_type")),
        binary.int8(field("created")),
        binary.int8(field("modified")),
        binary.data(field("sha256")),
        _map(field("checksums")),
        _map(field("headers")),
        _map(field("metadata")),
        _map(field("tags")),
        binary.int8_array(field("parts") or ()),
        binary.text(field("version_id")),
    )


def _map(value: dict[str, str] | None) -> bytes:
    return binary.NULL if value is None else binary.jsonb(json_of(value))


def _record(context: Context, blocks: Staged, root: bytes, commit: Commit, name: str, rows: _Rows) -> None:
    """The transaction of [IMP-3], and within it, by others, the recording of the blocks."""
    with context.db.transaction() as connection:
        columns = f"bucket, key, manifest, {MANIFEST_COLUMNS}"
        _copy(connection, f"COPY objects ({columns}) FROM STDIN (FORMAT binary)", rows.objects)
        connection.execute("CREATE TEMPORARY TABLE repeats (key text, seq bigint, manifest bytea) ON COMMIT DROP")
        _copy(connection, "COPY repeats FROM STDIN (FORMAT binary)", rows.repeats)
        connection.execute(_ADD_REPEATED_OBJECTS, {"bucket": rows.bucket})
        if commit.versions is not None:
            _add_versions(connection, rows)
        _check_name(context, name)  # it may have been taken while the file came
        blocks.record()
        # [IMP-5] The barrier is taken here and not before. The rows above are nobody else's, so that nobody waits for them.
        bucket = (rows.bucket, name, commit.bucket, root, commit.seq)
        connection.execute("SELECT import_bucket(%s, %s, %s, now_ms(), %s, %s)", bucket)
        insert_commit(connection, rows.bucket, root, commit, whole=True)
        if commit.tags:  # [TAG-8]
            tags = "UPDATE buckets SET tags = %s WHERE id = %s"
            connection.execute(tags, (json_of(commit.tags), rows.bucket))
        if commit.versioning is not None:  # [VSN-9]
            versioning = "UPDATE buckets SET versioning = %s WHERE id = %s"
            connection.execute(versioning, (commit.versioning, rows.bucket))
        blocks.settle(connection)


def _add_versions(connection: Any, rows: _Rows) -> None:
    """The noncurrent versions and markers; the replay has refused what no bucket of a store can hold ([VSN-9])."""
    connection.execute("CREATE TEMPORARY TABLE past (LIKE versions) ON COMMIT DROP")
    _copy(connection, "COPY past FROM STDIN (FORMAT binary)", rows.versions)
    connection.execute(_ADD_REPEATED_VERSIONS, {"bucket": rows.bucket})
    connection.execute("INSERT INTO versions SELECT * FROM past")
    connection.execute(_PLACE_OBJECTS, {"bucket": rows.bucket})


_REPEATED: Final = ", ".join(f"m.{column}" for column in ("manifest", *MANIFEST_COLUMNS.split(", ")))
_ADD_REPEATED_OBJECTS: Final = f"""
    INSERT INTO objects (bucket, key, manifest, {MANIFEST_COLUMNS})
    SELECT m.bucket, r.key, {_REPEATED} FROM repeats r JOIN (
        SELECT DISTINCT ON (manifest) * FROM objects
        WHERE bucket = %(bucket)s AND manifest IN (SELECT manifest FROM repeats)) m ON m.manifest = r.manifest
    WHERE r.seq IS NULL
"""
_ADD_REPEATED_VERSIONS: Final = f"""
    INSERT INTO past
    SELECT %(bucket)s, r.key, r.seq, {_REPEATED} FROM repeats r JOIN (
        SELECT DISTINCT ON (m.manifest) {_REPEATED} FROM (
            SELECT {_REPEATED} FROM objects m WHERE m.bucket = %(bucket)s UNION ALL SELECT {_REPEATED} FROM past m) m
        WHERE m.manifest IN (SELECT manifest FROM repeats WHERE seq IS NOT NULL)) m ON m.manifest = r.manifest
    WHERE r.seq IS NOT NULL
"""
_PLACE_OBJECTS: Final = """
    UPDATE objects o SET seq = v.newest + 1
    FROM (SELECT key, max(seq) AS newest FROM past GROUP BY key) v WHERE o.bucket = %(bucket)s AND o.key = v.key
"""


def _copy(connection: Any, statement: str, rows: _Spool) -> None:
    with connection.cursor().copy(statement) as copy:
        for piece in rows.pieces():
            copy.write(piece)


def _check_name(context: Context, name: str) -> None:
    """Refuse a name early; whether it is free is decided by the transaction."""
    check_bucket_name(name)
    if exists(context.db, name):
        raise BucketAlreadyExists(f"a bucket named {name!r} exists already: import under another name")
