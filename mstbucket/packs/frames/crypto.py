"""AES-256-GCM for frames, and the keys it is done with; the only place that knows `cryptography`.

    key of the wrapper ── wraps ──> data key of the store ── HKDF, blob ──> key of one blob ── frame number ──> nonce

Every blob has a key of its own, made from the data key and the blob's 128 random bits. So a nonce has to be new within one
blob only. It is the frame's number: a count, never a draw. `spec/store/20-frames.md` says why that is safe.
"""

from __future__ import annotations

import hmac
import secrets
import struct
from hashlib import sha256
from typing import Any, Final

from mstbucket.blobs.names import Kind
from mstbucket.errors import BrokenFrame, Unsupported, WrongKey
from mstbucket.packs.frames.format import ID_SIZE, KEY_ID_SIZE, TAG_SIZE, Trailer

KEY_SIZE: Final = 32

_NONCE_SIZE: Final = 12
_BOUND: Final = struct.Struct("<8sBB8s16sIQI")
_LABEL: Final = b"mstbpack"
_VERSION: Final = 1
_WRAP: Final = b"mstbucket key v1"


class DataKey:
    """The key of a store. Its repr, and whatever prints it, shows the public number only."""

    __slots__ = ("_secret", "id")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_SIZE:
            raise WrongKey(f"a data key has {KEY_SIZE} bytes, this one {len(secret)}")
        self._secret = secret
        self.id = _derive(secret, b"", b"mstbucket key id v1")[:KEY_ID_SIZE]

    @classmethod
    def new(cls) -> DataKey:
        """A random one."""
        return cls(secrets.token_bytes(KEY_SIZE))

    def __repr__(self) -> str:
        return f"DataKey({self.id.hex()})"

    def __reduce__(self) -> Any:
        raise Unsupported("a data key is not pickled: keep it wrapped")

    def pseudonym(self, cid: bytes) -> bytes:
        """What stands for a CID in a blob's name: tells nothing without the key, and is the same every time."""
        key = _derive(self._secret, b"", b"mstbucket names v1")
        return hmac.digest(key, cid, sha256)[:ID_SIZE]  # [FRAME-14]

    def cipher(self, kind: Kind, blob: bytes) -> BlobCipher:
        """What seals and opens the frames of the blob with that identity."""
        return BlobCipher(_derive(self._secret, blob, b"mstbucket blob v1"), self.id, kind, blob)

    def wrapped(self, wrapping: bytes) -> bytes:
        """This key under a key of 32 bytes, with a random nonce: 60 bytes."""
        nonce = secrets.token_bytes(_NONCE_SIZE)
        return nonce + _aes(wrapping).encrypt(nonce, self._secret, _WRAP)  # type: ignore[no-any-return]

    def seal_secret(self, about: bytes, secret: bytes) -> bytes:
        """A short secret under this key, with a random nonce, bound to what it is about."""
        fresh = secrets.token_bytes(_NONCE_SIZE)
        return fresh + self._for_secrets().encrypt(fresh, secret, about)  # type: ignore[no-any-return]

    def open_secret(self, about: bytes, sealed: bytes) -> bytes:
        """The reverse.

        Raises:
            WrongKey: it was changed, or is about something else.
        """
        try:
            return self._for_secrets().decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], about)  # type: ignore[no-any-return]
        except (_invalid_tag(), ValueError) as error:
            raise WrongKey("a secret does not decrypt: it was changed, or moved from another place") from error

    def _for_secrets(self) -> Any:
        return _aes(_derive(self._secret, b"", b"mstbucket secrets v1"))

    def exposed(self) -> bytes:
        """The key itself, for a `KeyWrapper` to wrap."""
        return self._secret


def unwrap(wrapping: bytes, wrapped: bytes) -> bytes:
    """The data key out of what `DataKey.wrapped` made.

    Raises:
        WrongKey: it was wrapped with another key, or changed since.
    """
    aes = _aes(wrapping)
    try:
        return aes.decrypt(wrapped[:_NONCE_SIZE], wrapped[_NONCE_SIZE:], _WRAP)  # type: ignore[no-any-return]
    except (_invalid_tag(), ValueError) as error:
        raise WrongKey("the key given is not the one that this store's data key is wrapped with") from error


def nonce(number: int) -> bytes:
    """The nonce of frame `number`, which is never the one of another frame of the blob ([FRAME-11])."""
    return number.to_bytes(_NONCE_SIZE)


class BlobCipher:
    """AES-256-GCM over the frames of one blob. Opening is thread-safe; sealing is one writer's (`encoding.Encoder`)."""

    __slots__ = ("_aes", "_blob", "_key_id", "_kind")

    def __init__(self, key: bytes, key_id: bytes, kind: Kind, blob: bytes) -> None:
        self._aes = _aes(key)
        self._key_id = key_id
        self._kind = int(kind)
        self._blob = blob

    def seal(self, number: int, start: int, length: int, data: bytes) -> bytes:
        """Encrypt what frame `number` holds: `length` plain bytes from `start`, compressed to `data` or not."""
        sealed: bytes = self._aes.encrypt(nonce(number), data, self._bound(number, start, length))
        return sealed

    def open(self, number: int, start: int, length: int, data: bytes | memoryview) -> bytes:
        """The reverse.

        Raises:
            BrokenFrame: not one bit of it is as it was sealed: in this store, in this blob, in this place, of this kind.
        """
        try:
            # [FRAME-12]
            return self._aes.decrypt(nonce(number), data, self._bound(number, start, length))  # type: ignore[no-any-return]
        except (_invalid_tag(), ValueError) as error:
            raise BrokenFrame("it does not decrypt: it was changed, or is from another place or store") from error

    def sign(self, trailer: Trailer) -> Trailer:
        """The trailer with its tag: an encryption of nothing, under the number behind the last frame's."""
        return trailer.with_tag(self._aes.encrypt(nonce(len(trailer.entries)), b"", trailer.signed()))

    def check(self, trailer: Trailer, name: str) -> None:
        """Raise `BrokenFrame` unless the trailer is the one that was signed ([FRAME-9])."""
        try:
            self._aes.decrypt(nonce(len(trailer.entries)), trailer.tag, trailer.signed())
        except _invalid_tag() as error:
            raise BrokenFrame(f"{name}: the trailer is not the one that was written: somebody changed it") from error

    def _bound(self, number: int, start: int, length: int) -> bytes:
        """The associated data: store (by its key), blob, position, kind."""
        return _BOUND.pack(_LABEL, _VERSION, self._kind, self._key_id, self._blob, number, start, length)


def _derive(secret: bytes, salt: bytes, label: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869) for one block of output, which is all that is needed here."""
    extracted = hmac.digest(salt or bytes(sha256().digest_size), secret, sha256)
    return hmac.digest(extracted, label + b"\x01", sha256)


def _aes(key: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise Unsupported("encrypted stores need a library: in your clone, run pip install '.[crypto]'") from error
    return AESGCM(key)


def _invalid_tag() -> type[Exception]:
    from cryptography.exceptions import InvalidTag

    return InvalidTag


assert _BOUND.size == 8 + 1 + 1 + KEY_ID_SIZE + ID_SIZE + 4 + 8 + 4
assert TAG_SIZE == 16
