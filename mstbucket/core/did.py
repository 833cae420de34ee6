"""Public keys as text: `did:key:z6Mk…`, the form that the DID and atproto worlds share for an ed25519 key."""

from __future__ import annotations

from typing import Final

from mstbucket.errors import InvalidInput

KEY_SIZE: Final = 32  # bytes of an ed25519 public key
_PREFIX: Final = "did:key:"
_ED25519: Final = b"\xed\x01"  # its number in the table of multicodecs, as a varint
_TEXT_MAX: Final = 128  # characters; the right ones have 56, and decoding base58 takes time by the square of them


def key_text(key: bytes) -> str:
    """The text of an ed25519 public key of 32 bytes."""
    from multiformats import multibase  # costs 50 ms to import, and most processes never need it

    return _PREFIX + multibase.encode(_ED25519 + key, "base58btc")


def parse_key(text: str) -> bytes:
    """The 32 bytes of a public key that is written as `key_text` writes it.

    Raises:
        InvalidInput: it is not.
    """
    from multiformats import multibase

    if not text.startswith(_PREFIX) or len(text) > _TEXT_MAX:
        raise InvalidInput(f"{text[:80]!r} is no public key: give one of the form did:key:z6Mk…")
    try:
        data = multibase.decode(text.removeprefix(_PREFIX))
    except Exception as error:  # whatever the library makes of hostile text
        raise InvalidInput(f"{text!r} is no public key: {error}") from error
    if data[:2] != _ED25519 or len(data) != 2 + KEY_SIZE or key_text(data[2:]) != text:
        raise InvalidInput(f"{text!r} is no ed25519 key in its usual form: give one of the form did:key:z6Mk…")
    return data[2:]
