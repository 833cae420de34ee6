"""Import: one pass through the CAR verifies it whole and copies it into the store, one transaction makes it a bucket.

The file itself becomes a pack, byte for byte, so its offsets are the index. Rows are prepared during the pass in
temporary files, in the form in which the database takes them. Until the last statement commits nothing is visible; what
an interrupted import leaves is a pending pack ([IMP-3]).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, Final, Self, cast

from mstbucket.blobs.base import BlobWriter
from mstbucket.core.commit import Commit
from mstbucket.core.dagcbor import decode_fast
from mstbucket.core.keys import check_bucket_name, split_version_key
from mstbucket.errors import BucketAlreadyExists, CorruptionError, OutcomeUnknown, StorageError, Unsupported, Untrue
from mstbucket.limits import BUCKET_TAGS_SIZE_MAX, MIB, SEQ_MAX
from mstbucket.pg import binary
from mstbucket.pg.queries import one_row
from mstbucket.services.attributes import tags_size
from mstbucket.services.buckets import exists, insert_commit
from mstbucket.services.context import Context
from mstbucket.services.files import failed, reading
from mstbucket.services.packing import RegisteredPack, publish_refs
from mstbucket.services.rows import MANIFEST_COLUMNS, NULL_VERSION, json_of
from mstbucket.services.versions import check_history
from mstbucket.verify.replay import Kind, Replay

_SPOOL: Final = 16 * MIB  # of prepared rows held in memory, for each of four tables; then on disk
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
    with ExitStack() as stack:
        stream = stack.enter_context(reading(source)) if isinstance(source, (str, os.PathLike)) else source
        pack = stack.enter_context(RegisteredPack(context))
        replay = stack.enter_context(Replay(cast("BinaryIO", _Copying(stream, pack.writer))))
        name = replay.commit.name if name is None else name
        _check_name(context, name)
        _check_tags(replay.commit)
        rows = stack.enter_context(_Rows(_reserve(context)))
        for number, (kind, cid, block, offset, key) in enumerate(replay):
            if block is not None:
                rows.add_block(cid, offset, len(block))
            if kind is Kind.OBJECT:
                assert key is not None
                rows.add_object(key, cid, block)
            elif kind is Kind.VERSION:
                assert key is not None
                rows.add_version(key, cid, block)
            if progress is not None and number % _EVERY == 0:
                progress(replay.offset)
        pack.seal()
        _record(context, pack, replay.root, replay.commit, name, rows)
        pack.keep()
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


class _Copying:
    """A stream whose every byte also goes into a blob."""

    def __init__(self, stream: BinaryIO, writer: BlobWriter) -> None:
        self._stream = stream
        self._writer = writer

    def read(self, size: int) -> bytes:
        try:
            data = self._stream.read(size)
        except OSError as error:
            raise failed("the CAR cannot be read", error) from error
        self._writer.write(data)
        return data


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
    """The rows of an import: blocks, objects, versions, and places whose manifest came before in another place."""

    def __init__(self, bucket: int) -> None:
        self.bucket = bucket
        self._number = binary.int8(bucket)
        self.blocks, self.objects, self.versions, self.repeats = _Spool(), _Spool(), _Spool(), _Spool()

    def add_block(self, cid: bytes, offset: int, length: int) -> None:
        self.blocks.add(binary.BLOCK_ROW(3, 36, cid, 8, offset, 4, length))

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
        for spool in (self.blocks, self.objects, self.versions, self.repeats):
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


def _record(context: Context, pack: RegisteredPack, root: bytes, commit: Commit, name: str, rows: _Rows) -> None:
    """The one transaction of [IMP-3]."""
    with context.db.transaction() as connection:
        bucket = (rows.bucket, name, commit.bucket, root, commit.seq)
        epoch = one_row(connection, "SELECT import_bucket(%s, %s, %s, now_ms(), %s, %s)", bucket)[0]
        insert_commit(connection, rows.bucket, root, commit, whole=True)
        if commit.tags:  # [TAG-8]
            tags = "UPDATE buckets SET tags = %s WHERE id = %s"
            connection.execute(tags, (json_of(commit.tags), rows.bucket))
        if commit.versioning is not None:  # [VSN-9]
            versioning = "UPDATE buckets SET versioning = %s WHERE id = %s"
            connection.execute(versioning, (commit.versioning, rows.bucket))
        connection.execute("CREATE TEMPORARY TABLE incoming (cid bytea, at bigint, length integer) ON COMMIT DROP")
        _copy(connection, "COPY incoming FROM STDIN (FORMAT binary)", rows.blocks)
        connection.execute(_ADD_INCOMING, (pack.id, epoch))
        columns = f"bucket, key, manifest, {MANIFEST_COLUMNS}"
        _copy(connection, f"COPY objects ({columns}) FROM STDIN (FORMAT binary)", rows.objects)
        connection.execute("CREATE TEMPORARY TABLE repeats (key text, seq bigint, manifest bytea) ON COMMIT DROP")
        _copy(connection, "COPY repeats FROM STDIN (FORMAT binary)", rows.repeats)
        connection.execute(_ADD_REPEATED_OBJECTS, {"bucket": rows.bucket})
        if commit.versions is not None:
            _add_versions(connection, commit, rows)
        pack.ready(connection)


def _add_versions(connection: Any, commit: Commit, rows: _Rows) -> None:
    """The noncurrent versions and markers; what no bucket of a store can hold is refused ([VSN-9])."""
    if commit.versioning is None:
        raise Untrue("the commit has versions, and says that its bucket's versioning was never set")
    connection.execute("CREATE TEMPORARY TABLE past (LIKE versions) ON COMMIT DROP")
    _copy(connection, "COPY past FROM STDIN (FORMAT binary)", rows.versions)
    connection.execute(_ADD_REPEATED_VERSIONS, {"bucket": rows.bucket})
    twice = connection.execute(_SAME_ID, {"bucket": rows.bucket}).fetchone()
    if twice is not None:
        raise Untrue(f"key {twice[0]!r} has two versions with the id {twice[1] or NULL_VERSION!r}")
    last = connection.execute("SELECT key FROM past WHERE seq = %s LIMIT 1", (SEQ_MAX,)).fetchone()
    if last is not None:
        raise Unsupported(f"a version of key {last[0]!r} has the last sequence there is: nothing could follow it")
    connection.execute("INSERT INTO versions SELECT * FROM past")
    connection.execute(_PLACE_OBJECTS, {"bucket": rows.bucket})
    wrong = check_history(connection, rows.bucket)
    if wrong is not None:
        raise Untrue(wrong)


_ADD_INCOMING: Final = """
    INSERT INTO blocks AS b (cid, pack, "offset", length, epoch)
    SELECT i.cid, %s, i.at, i.length, %s FROM incoming i ORDER BY i.cid
    ON CONFLICT (cid) DO UPDATE SET
        pack = coalesce(b.pack, excluded.pack), "offset" = coalesce(b."offset", excluded."offset"), body = NULL,
        epoch = greatest(b.epoch, excluded.epoch)
    WHERE b.pack IS NULL OR b.epoch < excluded.epoch
"""
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
_SAME_ID: Final = """
    SELECT a.key, a.version_id FROM (
        SELECT p.key, p.version_id FROM past p
        UNION ALL
        SELECT o.key, o.version_id FROM objects o WHERE o.bucket = %(bucket)s AND o.key IN (SELECT key FROM past)) a
    GROUP BY a.key, a.version_id HAVING count(*) > 1 LIMIT 1
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


def _check_tags(commit: Commit) -> None:
    """[TAG-7] The next commit of the bucket holds these tags too, and more than this one beside them."""
    if tags_size(commit.tags) > BUCKET_TAGS_SIZE_MAX:
        raise Unsupported(
            f"the bucket in the CAR has {tags_size(commit.tags)} bytes of tags, more than {BUCKET_TAGS_SIZE_MAX}: remove "
            "some where it comes from, and export it again"
        )
