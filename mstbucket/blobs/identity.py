"""The blob that says which store the blobs are of ([STO-18]). It is plain in an encrypted store too."""

from __future__ import annotations

import re
import secrets
from typing import Final

from mstbucket.blobs.base import BlobStore, read_sure, whole
from mstbucket.blobs.names import KEYS, PACKS, REFS, STATE, STORE, is_ours
from mstbucket.core.checksums import checksum
from mstbucket.errors import FormatError, HashMismatch, NoSuchBlob, StorageError

# One line, for people too, and always as long, so that one request reads it.
_FORM: Final = "mstbucket store 1 {identity} {checksum:016x}\n"
_LINE: Final = re.compile(rb"(mstbucket store 1 ([0-9a-f]{32})) ([0-9a-f]{16})\n")
_SIZE: Final = len(_FORM.format(identity=32 * "0", checksum=0))


def new_identity() -> str:
    """An identity that no store has: 128 random bits in hexadecimal."""
    return secrets.token_hex(16)


def put_identity(blobs: BlobStore, identity: str) -> None:
    """Make a place of blobs that of a store, durably.

    Raises:
        BlobExists: it is that of a store already.
        StorageError, OutcomeUnknown: as of the blob store.
    """
    # [STO-19] of all who make a store there at once, one succeeds
    blobs.put_if_absent(STORE, identity_line(identity).encode())


def identity_line(identity: str) -> str:
    """What the blob of this identity holds: one line, with its end."""
    return _FORM.format(identity=identity, checksum=checksum(f"mstbucket store 1 {identity}".encode()))


def read_identity(blobs: BlobStore) -> str | None:
    """The identity of the store whose blobs these are; None where there is none.

    Raises:
        FormatError: the blob is none of this version.
        HashMismatch: it is damaged, or cut: write it again from the identity that the database has, or from a copy.
        StorageError: as of the blob store.
    """
    try:
        return read_sure(blobs, STORE, lambda: _read(blobs))  # [PACK-10]
    except NoSuchBlob:
        return None


def _read(blobs: BlobStore) -> str:
    try:
        data = whole(blobs.get_range(STORE, 0, _SIZE), STORE, 0, _SIZE)
    except StorageError:
        size = blobs.head(STORE).size
        if size >= _SIZE:
            raise
        raise HashMismatch(
            f"the blob {STORE}, which says which store this is, was cut to {size} bytes: restore it from a copy"
        ) from None
    size = blobs.head(STORE).size
    if size != _SIZE:
        raise HashMismatch(f"the blob {STORE}, which says which store this is, has {size} bytes, and {_SIZE} were written: "
                           "restore it from a copy")  # fmt: skip
    match = _LINE.fullmatch(data)
    if match is None:
        raise FormatError(f"the blob {STORE} is none that says which store this is, or one of a newer version: "
                          "use that version, or restore it from a copy")  # fmt: skip
    if int(match[3], 16) != checksum(match[1]):
        raise HashMismatch(f"the blob {STORE}, which says which store this is, is damaged: restore it from a copy")
    return match[2].decode()


def holds_blobs(blobs: BlobStore) -> bool:
    """Whether there is any pack, ref, key or state of a store."""
    return any(is_ours(info.name) for prefix in (PACKS, REFS, KEYS, STATE) for info in blobs.list(prefix))
