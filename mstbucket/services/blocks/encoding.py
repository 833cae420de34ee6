"""What a store does to its packs: recorded in its database, so that every process that opens it does the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from mstbucket.blobs.base import BlobStore
from mstbucket.errors import InvalidInput, WrongKey
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
from mstbucket.pg.queries import one_row

_READ: Final = "SELECT compression, key_id, wrapped_key, encrypts FROM encoding"


def settle(db: Database, blobs: BlobStore, compression: str | None, encryption: KeySource | None) -> Encoding:
    """The store's encoding after what the caller of `mstbucket.open` wants was recorded; see there for the errors."""
    wanted = None if compression is None else parse_compression(compression)
    with db.reading() as connection:
        level, key_id, wrapped, encrypts = one_row(connection, _READ)
    if compression is not None and wanted != level:
        if wanted is not None:
            Compressor(wanted)  # what cannot be done here must not be recorded: nothing would open any more
        with db.connection() as connection:
            connection.execute("UPDATE encoding SET compression = %s", (wanted,))
        level = wanted
    if level is not None:
        Compressor(level)  # whether the library is there is better known now than at the first flush
    encoding = Encoding(level, encrypts=encrypts)
    if key_id is not None:
        return replace(encoding, key=_open(encryption, wrapped, key_id))
    return encoding if encryption is None else replace(encoding, key=_encrypt(db, blobs, key_wrapper(encryption)))


def _open(encryption: KeySource | None, wrapped: bytes, key_id: bytes) -> DataKey:
    """[FRAME-15]"""
    wrapper = key_wrapper_of_environment() if encryption is None else key_wrapper(encryption)
    if wrapper is None:
        raise WrongKey(f"the store is encrypted: open it with encryption=…, or set {VARIABLE} or {FILE_VARIABLE}")
    return unwrapped(wrapper, wrapped, key_id)


def _encrypt(db: Database, blobs: BlobStore, wrapper: KeyWrapper) -> DataKey:
    """Make the store an encrypted one from here on. Of all who try at once one's key becomes the store's."""
    found = find_key(blobs, wrapper)
    if found is None:
        key = DataKey.new()
        name, wrapped = put_key(blobs, wrapper, key)  # durable before anything is encrypted with it
    else:  # the database is new, the blob store is not: what is in it was encrypted with this key
        name, wrapped, key = found
    with db.connection() as connection:
        query = "UPDATE encoding SET key_id = %s, wrapped_key = %s, key_blob = %s WHERE key_id IS NULL"
        if connection.execute(query, (key.id, wrapped, name)).rowcount == 1:
            return key
        key_id, wrapped, recorded = one_row(connection, "SELECT key_id, wrapped_key, key_blob FROM encoding")
    if found is None and name != recorded:  # somebody may have found our blob, and been faster with it than we were
        blobs.delete(name)
    return unwrapped(wrapper, wrapped, key_id)


def rotate(db: Database, blobs: BlobStore, key: DataKey | None, encryption: KeySource) -> None:
    """Wrap the store's data key anew; see `Store.rotate_key` ([FRAME-16])."""
    if key is None:
        raise InvalidInput("the store is not encrypted: there is no key to wrap anew")
    name, wrapped = put_key(blobs, key_wrapper(encryption), key)

    def record(connection: Any) -> str:
        row = one_row(connection, "SELECT key_id, key_blob FROM encoding FOR UPDATE")
        if bytes(row[0]) != key.id:
            raise WrongKey("the store has another data key now: open it again")
        connection.execute("UPDATE encoding SET wrapped_key = %s, key_blob = %s", (wrapped, name))
        return str(row[1])

    old = db.run(record)
    if old != name:
        blobs.delete(old)  # a crash before this leaves a wrapped key that nobody needs; the old wrapping key opens it


def stop_encryption(db: Database) -> None:
    """From here on new packs are plain; the key stays for those there are, until `forget_key` ([STO-1])."""
    with db.connection() as connection:
        connection.execute("UPDATE encoding SET encrypts = false WHERE key_id IS NOT NULL")


def forget_key(db: Database, blobs: BlobStore) -> bool:
    """Remove the key of a store that is being decrypted, if no pack needs it any more; return whether it is gone.

    Not checked here: the refs, which the caller has published anew before.
    """

    def forget(connection: Any) -> str | None:
        _, key_id, _, encrypts = one_row(connection, f"{_READ} FOR UPDATE")
        if key_id is None or encrypts:
            return None
        name: str = one_row(connection, "SELECT key_blob FROM encoding")[0]
        # A pack that is being written has a row too; none that is encrypted can be begun since `stop_encryption`.
        if one_row(connection, "SELECT count(*) FROM packs WHERE encoding LIKE '%%aes'")[0]:
            return None
        reset = "UPDATE encoding SET key_id = NULL, wrapped_key = NULL, key_blob = NULL, encrypts = true"
        connection.execute(reset)
        return name

    name = db.run(forget)
    if name is not None:
        blobs.delete(name)
    return name is not None
