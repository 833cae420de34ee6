"""What a store does to its packs: recorded in its database, so that every process that opens it does the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mstbucket.blobs.base import BlobStore
from mstbucket.errors import InvalidInput, WrongKey
from mstbucket.index import encoding as row
from mstbucket.index import packs
from mstbucket.index.encoding import StoreKey
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
    from mstbucket.pg.pool import Connection


def apply_settings(db: Database, blobs: BlobStore, compression: str | None, encryption: KeySource | None) -> Encoding:
    """The store's encoding after what the caller of `mstbucket.open` wants was recorded; see there for the errors."""
    wanted = None if compression is None else parse_compression(compression)
    level, encrypts, recorded = row.read(db)
    if compression is not None and wanted != level:
        if wanted is not None:
            Compressor(wanted)  # what cannot be done here must not be recorded: nothing would open any more
        row.set_compression(db, wanted)
        level = wanted
    if level is not None:
        Compressor(level)  # whether the library is there is better known now than at the first flush
    encoding = Encoding(level, encrypts=encrypts)
    if recorded is not None:
        return replace(encoding, key=_open(encryption, recorded))
    return encoding if encryption is None else replace(encoding, key=_encrypt(db, blobs, key_wrapper(encryption)))


def _open(encryption: KeySource | None, recorded: StoreKey) -> DataKey:
    """[FRAME-15]"""
    wrapper = key_wrapper_of_environment() if encryption is None else key_wrapper(encryption)
    if wrapper is None:
        raise WrongKey(f"the store is encrypted: open it with encryption=…, or set {VARIABLE} or {FILE_VARIABLE}")
    return unwrapped(wrapper, recorded.wrapped, recorded.id)


def _encrypt(db: Database, blobs: BlobStore, wrapper: KeyWrapper) -> DataKey:
    """Make the store an encrypted one from here on. Of all who try at once one's key becomes the store's."""
    found = find_key(blobs, wrapper)
    if found is None:
        key = DataKey.new()
        name, wrapped = put_key(blobs, wrapper, key)  # durable before anything is encrypted with it
    else:  # the database is new, the blob store is not: what is in it was encrypted with this key
        name, wrapped, key = found
    ours = StoreKey(key.id, wrapped, name)
    recorded = row.set_first_key(db, ours)
    if recorded is ours:
        return key
    if found is None and name != recorded.blob:  # somebody may have found our blob, and been faster with it than we were
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
        blobs.delete(old)  # a crash before this leaves a wrapped key that nobody needs; the old wrapping key opens it


def stop_encryption(db: Database) -> None:
    """From here on new packs are plain; the key stays for those there are, until `forget_key` ([STO-1])."""
    row.stop_encryption(db)


def forget_key(db: Database, blobs: BlobStore) -> bool:
    """Remove the key of a store that is being decrypted, if no pack needs it any more; return whether it is gone.

    Not checked here: the refs, which the caller has published anew before.
    """

    def forget(connection: Connection) -> str | None:
        _, encrypts, recorded = row.read_for_update(connection)
        if recorded is None or encrypts:
            return None
        # A pack that is being written has a row too; none that is encrypted can be begun since `stop_encryption`.
        if packs.are_encrypted(connection):
            return None
        row.forget_key(connection)
        return recorded.blob

    name = db.run(forget)
    if name is not None:
        blobs.delete(name)
    return name is not None
