"""Service state in blobs: what would be lost with the database, and must not be ([REB-20] to [REB-26]).

The database comes first: a change and the note of it are one transaction. Then a blob with the change is made durable, the
note goes, and the call returns. What a crash leaves noted, the next flush writes, or the background work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from mstbucket.blobs.names import STATE, framed, parse_state, state_name
from mstbucket.core import dagcbor
from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import raw_cid
from mstbucket.errors import (
    BrokenFrame,
    CorruptionError,
    FormatError,
    InvalidBlock,
    NoSuchBlob,
    OutcomeUnknown,
    StorageError,
    Unsupported,
)
from mstbucket.index import state as rows
from mstbucket.index.state import Ahead, LockEntry
from mstbucket.limits import CHUNK_SIZE, KIB
from mstbucket.packs.frames.read import Packs, TrailerIndex
from mstbucket.packs.frames.write import FrameWriter
from mstbucket.packs.streams import read_pack
from mstbucket.packs.write import PackWriter
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.pack_in_progress import PACK_ROOT

VERSION: Final = 1  # of the form of these blobs
STATE_BLOBS: Final = 64  # of a bucket, from which on they are written again as few

_LOCKS: Final = 2000  # read at once
_SIZE: Final = 768 * KIB  # of keys and ids of locks in one blob, so that it stays one block
_ENTRY: Final = 64  # bytes that a lock takes beside its key and its version


@dataclass(slots=True)
class State:
    """What one blob says of a bucket.

    Attributes:
        id: which bucket it is; its identity may be that of others.
        config: all that is not locks; None where the blob says nothing of it.
        gone: it was deleted; `commit` is its last one then.
    """

    id: str
    identity: str
    config: dict[str, Any] | None = None
    locks: list[LockEntry] = field(default_factory=list)
    gone: bool = False
    commit: bytes | None = None


# --- writing ---------------------------------------------------------------------------------------------------------


def publish_state(context: Context, bucket: str) -> None:
    """Write to blobs what none has of the state of a bucket; repeating it is harmless ([REB-21]).

    Raises:
        OutcomeUnknown: a blob could not be written. What was changed holds in the database all the same.
    """
    try:
        while (what := _ahead(context, bucket)) is not None and (what.config is not None or what.locks):
            _write(context, State(what.id, what.identity, what.config, what.locks))
            rows.published(context.db, what)
            if what.blobs >= STATE_BLOBS:
                _trim(context, bucket)
    except StorageError as error:
        raise OutcomeUnknown(
            f"the change of bucket {bucket!r} holds, and is not yet written beside the blobs, from where it would come back "
            f"after a loss of the database: repeat the call, or flush ({error})"
        ) from error


def publish_gone(context: Context) -> None:
    """Write to blobs which buckets were deleted, and remove what else there is of their state ([REB-24])."""
    try:
        gone = rows.gone(context.db)
        for one in gone:
            old = _names(context, one.id)
            _write(context, State(one.id, one.identity, gone=True, commit=one.commit))
            context.blobs.delete_many(old)
        if gone:
            rows.gone_published(context.db, [one.id for one in gone])
    except StorageError as error:
        raise OutcomeUnknown(
            "the bucket is gone, and that is not yet written beside the blobs: the background does it, or the next deletion "
            f"of a bucket ({error})"
        ) from error


def publish_all(context: Context) -> None:
    """Write to blobs whatever a process has left that was killed between a change and its blob."""
    for name in rows.names_ahead(context.db):
        publish_state(context, name)
    publish_gone(context)


def _ahead(context: Context, bucket: str) -> Ahead | None:
    with context.db.reading() as connection:
        what = rows.ahead(connection, bucket, _LOCKS)
    return None if what is None else what._replace(locks=next(_pieces(what.locks), []))


def _pieces(locks: list[LockEntry]) -> Iterator[list[LockEntry]]:
    """The locks, as many at a time as one blob holds."""
    held: list[LockEntry] = []
    size = 0
    for lock in locks:
        size += len(lock.key.encode()) + len(lock.version.encode()) + _ENTRY
        if held and size > _SIZE:
            yield held
            held, size = [], 0
        held.append(lock)
    if held:
        yield held


def _trim(context: Context, bucket: str) -> None:
    """Write all of the state of a bucket again as few blobs, and remove those that were there before ([REB-23]).

    Every blob that is listed says only what was committed before the listing, and every row is read after it. So what is
    written is as new as what is removed, whoever writes meanwhile.
    """
    with context.db.reading() as connection:
        before = rows.everything(connection, bucket)
    if before is None:
        return
    old = _names(context, before.id)
    with context.db.reading() as connection:
        what = rows.everything(connection, bucket)
    if what is None or what.id != before.id:
        return
    _write(context, State(what.id, what.identity, what.config))
    key, version = "", ""
    while True:
        with context.db.reading() as connection:
            locks = rows.locks_behind(connection, what.bucket, key, version, _LOCKS)
        for some in _pieces(locks):
            _write(context, State(what.id, what.identity, locks=some))
        if len(locks) < _LOCKS:
            break
        key, version = locks[-1].key, locks[-1].version
    context.blobs.delete_many(old)
    rows.trimmed(context.db, before)


def _names(context: Context, id_: str) -> list[str]:
    return [info.name for info in context.blobs.list(f"{STATE}{id_}/")]


def _write(context: Context, state: State) -> None:
    """Make a blob of it, durable when this returns."""
    data = dagcbor.encode(_value(state))
    name = state_name(state.id, context.encoding.kind)
    blob = context.blobs.open_write(name)
    form = framed(name)
    with blob if form is None else FrameWriter(blob, context.encoding.encoder(*form)) as writer:
        pack = PackWriter(writer, PACK_ROOT)
        pack.add(PACK_ROOT, b"")
        for at in range(0, len(data), CHUNK_SIZE):
            chunk = data[at : at + CHUNK_SIZE]
            pack.add(raw_cid(chunk), chunk)
        pack.finish()
        writer.commit()


def _value(state: State) -> dict[str, Any]:
    value: dict[str, Any] = {"version": VERSION, "state": state.id, "bucket": state.identity}
    if state.config is not None:
        value["config"] = state.config
    if state.locks:
        value["locks"] = [list(lock) for lock in state.locks]
    if state.gone:
        value["gone"] = True if state.commit is None else state.commit
    return value


# --- reading ---------------------------------------------------------------------------------------------------------


def read_state(packs: Packs, name: str) -> State:
    """What a blob says.

    Raises:
        NoSuchBlob, StorageError: as of the blob store.
        FormatError, CorruptionError: it is damaged, or no such blob.
        Unsupported: it is one of a newer version.
    """
    data = read_pack(packs, name, lambda stream: b"".join(block for _, block, _ in CarReader(stream)))
    value = dagcbor.decode(data)
    if not isinstance(value, dict) or type(value.get("version")) is not int:
        raise InvalidBlock(f"{name} is no blob of service state")
    if value["version"] != VERSION:
        raise Unsupported(f"{name} is service state of version {value['version']}; this program reads {VERSION}")
    if value.get("state") != parse_state(name):
        raise BrokenFrame(f"{name} is about another bucket than its name tells")
    gone = value.get("gone")
    return State(
        id=value["state"],
        identity=value["bucket"],
        config=value.get("config"),
        locks=[LockEntry(*lock) for lock in value.get("locks", ())],
        gone=gone is not None,
        commit=gone if isinstance(gone, bytes) else None,
    )


def deleted_commits(context: Context, identity: str) -> Iterator[bytes]:
    """The last commits of the buckets with that identity that were deleted, as far as blobs that can be read say so."""
    key = context.encoding.key
    packs = Packs(context.blobs, TrailerIndex(context.blobs, key), key)
    for info in context.blobs.list(STATE):
        if parse_state(info.name) is None:
            continue
        with suppress(NoSuchBlob, CorruptionError, FormatError):
            state = read_state(packs, info.name)
            if state.gone and state.identity == identity and state.commit is not None:
                yield state.commit


def reencode_state(context: Context) -> dict[str, str]:
    """Write again every blob of state that is not of the kind of new ones ([STO-1]). Two with the same content do no harm.

    Returns:
        Why a blob could not be read, by its name. These are left as they are.
    """
    damaged: dict[str, str] = {}
    key = context.encoding.key
    packs = Packs(context.blobs, TrailerIndex(context.blobs, key), key)
    for info in context.blobs.list(STATE):
        id_ = parse_state(info.name)
        if id_ is None or (framed(info.name) is None) == (framed(state_name(id_, context.encoding.kind)) is None):
            continue
        try:
            state = read_state(packs, info.name)
        except NoSuchBlob:
            continue
        except (CorruptionError, FormatError) as error:
            damaged[info.name] = str(error)
            continue
        _write(context, state)
        context.blobs.delete(info.name)
    return damaged
