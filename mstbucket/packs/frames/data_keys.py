"""The data key of a store: where its wrapping key comes from, and the blob that holds it wrapped."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from mstbucket.blobs.base import BlobStore, read_sure
from mstbucket.blobs.names import KEYS, is_key, key_name
from mstbucket.core.checksums import checksum
from mstbucket.errors import BrokenFrame, FormatError, InvalidInput, StorageError, WrongKey
from mstbucket.limits import WRAPPED_KEY_MAX
from mstbucket.packs.frames.crypto import KEY_SIZE, DataKey, unwrap
from mstbucket.packs.frames.format import KEY_ID_SIZE

VARIABLE: Final = "MSTBUCKET_KEY"  # 64 hexadecimal digits
FILE_VARIABLE: Final = "MSTBUCKET_KEY_FILE"  # the path of a file of them

_MAGIC: Final = b"mstbkey\x01"
_CRC_SIZE: Final = 8


@runtime_checkable
class KeyWrapper(Protocol):
    """What wraps a store's data key: a key management service, a hardware module. Asked once per opening of a store."""

    def wrap(self, key: bytes) -> bytes:
        """Return the 32 bytes of `key` in a form that is worth nothing without the service: at most WRAPPED_KEY_MAX."""

    def unwrap(self, wrapped: bytes) -> bytes:
        """Return what was wrapped; raise `WrongKey` if that was not done with this service's key."""


#: What `mstbucket.open` takes: the path of a key file, `env:NAME` for a variable, or a wrapper.
KeySource = str | os.PathLike[str] | KeyWrapper


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A `KeyWrapper` with a key of 32 bytes in memory."""

    secret: bytes = field(repr=False)

    def wrap(self, key: bytes) -> bytes:
        """See `KeyWrapper`."""
        return DataKey(key).wrapped(self.secret)

    def unwrap(self, wrapped: bytes) -> bytes:
        """See `KeyWrapper`."""
        return unwrap(self.secret, wrapped)


def key_wrapper(source: KeySource) -> KeyWrapper:
    """What `mstbucket.open(encryption=…)` was given, ready for use.

    Raises:
        InvalidInput: the variable is not set, or what it or the file holds is not 64 hexadecimal digits.
        StorageError: the file cannot be read.
    """
    if isinstance(source, str) and source.startswith("env:"):
        name = source.removeprefix("env:")
        text = os.environ.get(name)
        if text is None:
            raise InvalidInput(f"encryption={source!r}: the environment has no variable {name}")
        return HeldKey(_parse(text, f"the variable {name}"))
    if isinstance(source, (str, os.PathLike)):
        return HeldKey(_read(Path(source)))
    if not isinstance(source, KeyWrapper):
        raise InvalidInput("encryption= takes the path of a key file, 'env:NAME', or an object with wrap and unwrap")
    return source


def key_wrapper_of_environment() -> KeyWrapper | None:
    """The key that VARIABLE holds or FILE_VARIABLE points to, if either is set."""
    if VARIABLE in os.environ:
        return key_wrapper(f"env:{VARIABLE}")
    path = os.environ.get(FILE_VARIABLE)
    return None if path is None else key_wrapper(Path(path))


def put_key(blobs: BlobStore, wrapper: KeyWrapper, key: DataKey) -> tuple[str, bytes]:
    """Wrap a data key and put it into the blob store, durably; return the blob's name and the wrapped key.

    Raises:
        WrongKey: what the wrapper made, it does not give back.
    """
    wrapped = wrapper.wrap(key.exposed())
    if not 0 < len(wrapped) <= WRAPPED_KEY_MAX:
        raise InvalidInput(f"the key wrapper made {len(wrapped)} bytes of a key; at most {WRAPPED_KEY_MAX} are kept")
    unwrapped(wrapper, wrapped, key.id)  # before anything depends on it
    name = key_name()
    data = _MAGIC + key.id + wrapped
    blobs.put(name, data + checksum(data).to_bytes(_CRC_SIZE, "little"))  # [FRAME-10]
    return name, wrapped


def unwrapped(wrapper: KeyWrapper, wrapped: bytes, key_id: bytes) -> DataKey:
    """The data key of that id; `WrongKey` if the wrapper gives another one or none."""
    secret = wrapper.unwrap(wrapped)
    if len(secret) != KEY_SIZE or DataKey(secret).id != key_id:
        raise WrongKey(f"the key wrapper did not give back the data key {key_id.hex()} of this store")
    return DataKey(secret)


def read_key(blobs: BlobStore, name: str) -> tuple[bytes, bytes]:
    """(id, wrapped key) of a `keys/` blob.

    Raises:
        FormatError, BrokenFrame: it is none, or damaged.
    """
    return read_sure(blobs, name, lambda: _read_key(blobs, name))  # [PACK-10]


def _read_key(blobs: BlobStore, name: str) -> tuple[bytes, bytes]:
    size = blobs.head(name).size
    if not len(_MAGIC) + KEY_ID_SIZE + _CRC_SIZE < size <= len(_MAGIC) + KEY_ID_SIZE + WRAPPED_KEY_MAX + _CRC_SIZE:
        raise FormatError(f"{name} has {size} bytes: that is no wrapped key")
    data = blobs.get_range(name, 0, size)
    if not data.startswith(_MAGIC):
        raise FormatError(f"{name} is no wrapped key, or one of a newer version")
    if checksum(data[:-_CRC_SIZE]).to_bytes(_CRC_SIZE, "little") != data[-_CRC_SIZE:]:
        raise BrokenFrame(f"{name}: the wrapped key is damaged: restore this blob")
    at = len(_MAGIC) + KEY_ID_SIZE
    return data[len(_MAGIC) : at], data[at:-_CRC_SIZE]


def find_key(blobs: BlobStore, wrapper: KeyWrapper) -> tuple[str, bytes, DataKey] | None:
    """(name, wrapped key, key) of the data key that the blob store holds; None where it holds none ([FRAME-10]).

    Raises:
        WrongKey: it holds some, and the wrapper opens none of them.
    """
    refused: WrongKey | None = None
    for info in blobs.list(KEYS):
        if is_key(info.name):
            key_id, wrapped = read_key(blobs, info.name)
            try:
                return info.name, wrapped, unwrapped(wrapper, wrapped, key_id)
            except WrongKey as error:
                refused = error
    if refused is not None:
        raise WrongKey("the blob store has the key of an encrypted store, and it is not wrapped with this one") from refused
    return None


def _read(path: Path) -> bytes:
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except ValueError as error:
        raise InvalidInput(f"encryption={str(path)!r} is no path: {error}") from error
    except OSError as error:
        raise StorageError(f"the key file {path} cannot be read: {error.strerror}") from error
    return _parse(text, f"the file {path}")


def _parse(text: str, where: str) -> bytes:
    """A key as people write it. What is wrong with it is told, it is not."""
    digits = text.strip()
    try:
        secret = bytes.fromhex(digits) if len(digits) == 2 * KEY_SIZE else b""
    except ValueError:
        secret = b""
    if len(secret) != KEY_SIZE:
        raise InvalidInput(f"{where} does not hold a key: 64 hexadecimal digits, as `openssl rand -hex 32` prints")
    return secret
