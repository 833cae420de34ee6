"""How a store writes its packs. The database records it, and every process that opens the store does the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mstbucket.blobs.base import BlobStore
from mstbucket.blobs.names import KEYS, is_key
from mstbucket.errors import InvalidInput, WrongKey
from mstbucket.index import encoding as row
from mstbucket.index import packs
from mstbucket.index.encoding import StoreKey
from mstbucket.later import later
from mstbucket.packs.frames.codec import Encoding
from mstbucket.packs.frames.crypto import DataKey
from mstbucket.packs.frames.data_keys import (
    FILE_VARIABLE,
    VARIABLE,
    KeySource,
    KeyWrapper,
    find_key,
    key_wrapper,
    key_wrapper_of_environment,
    put_key,
    unwrapped,
)
from mstbucket.packs.frames.zstd import Compressor, parse_compression
from mstbucket.pg.database import Database

if TYPE_CHECKING:
    from mstbucket.index import access_keys
    from mstbucket.pg.pool import Connection
else:
    access_keys = later("mstbucket.index.access_keys")


def apply_settings(db: Database, blobs: BlobStore, compression: str | None, encryption: KeySource | None) -> Encoding:
    """Record the settings that the caller of `mstbucket.open` gave, and return the encoding; see there for the errors."""
    wanted = None if compression is None else parse_compression(compression)
    level, encrypts, recorded = row.read(db)
    if compression is not None and wanted != level:
        if wanted is not None:
            Compressor(wanted)  # raises if zstd is not there: once recorded, no process without it could open the store
        row.set_compression(db, wanted)
        level = wanted
    if level is not None:
        Compressor(level)  # raises if zstd is not there: better now than at the first flush
    encoding = Encoding(level, encrypts=encrypts)
    if recorded is not None:
        return replace(encoding, key=_open(encryption, recorded))
    return encoding if encryption is None else replace(encoding, key=_encrypt(db, blobs, key_wrapper(encryption)))


def recover_settings(db: Database, blobs: BlobStore, encryption: KeySource | None) -> Encoding:
    """The encoding of a store whose database is lost: encrypted where its blobs have a key, and that is recorded again.

    Raises:
        WrongKey: the blobs have a key, and what opens it was not given, or is another one.
    """
    level, encrypts, recorded = row.read(db)
    if recorded is None and not any(is_key(info.name) for info in blobs.list(KEYS)):
        return Encoding(level, encrypts=encrypts)
    wrapper = key_wrapper_of_environment() if encryption is None else key_wrapper(encryption)
    if wrapper is None:
        raise WrongKey(f"the store was encrypted: give its key by encryption=…, or by {VARIABLE} or {FILE_VARIABLE}")
    return Encoding(level, _encrypt(db, blobs, wrapper), encrypts)


def _open(encryption: KeySource | None, recorded: StoreKey) -> DataKey:
    """[FRAME-15]"""
    wrapper = key_wrapper_of_environment() if encryption is None else key_wrapper(encryption)
    if wrapper is None:
        raise WrongKey(f"the store is encrypted: open it with encryption=…, or set {VARIABLE} or {FILE_VARIABLE}")
    return unwrapped(wrapper, recorded.wrapped, recorded.id)


def _encrypt(db: Database, blobs: BlobStore, wrapper: KeyWrapper) -> DataKey:
    """Encrypt new packs from here on; return the key. Of all processes that try at once, one gives the store its key."""
    found = find_key(blobs, wrapper)
    if found is None:
        key = DataKey.new()
        name, wrapped = put_key(blobs, wrapper, key)  # durable before anything is encrypted with it
    else:  # the database is new, the blobs are not: they were encrypted with this key
        name, wrapped, key = found
    ours = StoreKey(key.id, wrapped, name)
    recorded = row.set_first_key(db, ours)
    if recorded is ours:
        return key
    if found is None and name != recorded.blob:  # another process may have found our blob, and recorded it before us
        blobs.delete(name)
    return unwrapped(wrapper, recorded.wrapped, recorded.id)


def rotate(db: Database, blobs: BlobStore, key: DataKey | None, encryption: KeySource) -> None:
    """Wrap the store's data key anew; see `Store.rotate_key` ([FRAME-16])."""
    if key is None:
        raise InvalidInput("the store is not encrypted: there is no key to wrap anew")
    name, wrapped = put_key(blobs, key_wrapper(encryption), key)

    def record(connection: Connection) -> str:
        recorded = row.read_for_update(connection).key
        if recorded is None or recorded.id != key.id:
            raise WrongKey("the store has another data key now: open it again")
        row.rewrap_key(connection, wrapped, name)
        return recorded.blob

    old = db.run(record)
    if old != name:
        blobs.delete(old)  # a crash before this leaves a blob that nobody needs; the old key opens it


def forget_key(db: Database, blobs: BlobStore) -> bool:
    """Remove the key of a store that writes plain packs, if no pack and no secret needs it. Return whether it is gone.

    Not checked here: that no ref needs it. The caller has published all refs again, in plain.
    """

    def forget(connection: Connection) -> str | None:
        _, encrypts, recorded = row.read_for_update(connection)
        if recorded is None or encrypts:
            return None
        # A pack that is being written has a row too. Since `stop_encryption` nobody can begin an encrypted one.
        if packs.are_encrypted(connection) or access_keys.are_sealed(connection):
            return None
        row.forget_key(connection)
        return recorded.blob

    name = db.run(forget)
    if name is not None:
        blobs.delete(name)
    return name is not None
