"""Object keys, version keys, prefixes and bucket names: what may be stored, and in which order it sorts.

A key is text for callers and its exact UTF-8 bytes in the tree. Nothing is normalised, trimmed or folded: two texts
that differ in one code point are two keys. Byte order of UTF-8 is code point order, so a listing sorted by either is
the same.
`spec/format/01-keys.md` is normative.
"""

from __future__ import annotations

import re
from typing import Final

from mstbucket.errors import InvalidBucketName, InvalidInput, InvalidKey, KeyTooLong
from mstbucket.limits import BUCKET_NAME_MAX, BUCKET_NAME_MIN, KEY_MAX, SEQ_MAX, VERSION_KEY_MAX

# Above every key that starts with a given text and below every other key greater than it: the greatest character,
# as often as fits in a key. Unlike "the next text after this prefix" it exists for every prefix, U+10FFFF included.
TOP: Final = "\U0010ffff" * (KEY_MAX // 4)

_SEQ_DIGITS: Final = 16
_INVERT: Final = 2**64 - 1
_HEX: Final = re.compile(rb"[0-9a-f]{16}")


def encode_key(text: str) -> bytes:
    """Return the bytes under which *text* stands in the tree: its UTF-8, exactly.

    Raises:
        InvalidKey: empty, holds NUL, or holds a lone surrogate (which has no UTF-8). Choose another key.
        KeyTooLong: more than 1,024 bytes of UTF-8.
    """
    key = _utf8(text, "key")  # [KEY-4] and nothing else happens to it
    check_key(key)
    return key


def decode_key(key: bytes) -> str:
    """Return the text of a key's bytes; `encode_key` gives the same bytes back.

    Raises:
        InvalidKey, KeyTooLong: bytes that `encode_key` never returns (not strict UTF-8, empty, NUL, too long).
    """
    check_key(key)
    return key.decode("utf-8")


def check_key(key: bytes) -> None:
    """Raise `InvalidKey` or `KeyTooLong` unless *key* is what `encode_key` returns for some text."""
    if not key:
        raise InvalidKey("a key is empty; S3 keys have at least one character")  # [KEY-2] 1 to 1,024 bytes
    if len(key) > KEY_MAX:
        raise KeyTooLong(f"a key has {len(key)} bytes of UTF-8, more than {KEY_MAX}; shorten it")  # [KEY-2]
    if 0 in key:
        # [KEY-3] no NUL: it is what separates key and sequence in a version key
        raise InvalidKey(f"key {_shown(key)} holds a NUL character; remove it")
    try:
        key.decode("utf-8")
    except UnicodeDecodeError as error:  # [KEY-1] strict UTF-8: no surrogates, no overlong forms
        raise InvalidKey(f"key {_shown(key)} is not UTF-8 at byte {error.start}; store it under another key") from None


def version_key(key: bytes, seq: int) -> bytes:
    """Return the key of version *seq* of *key* in the versions tree: newest (highest *seq*) sorts first.

    The layout is ``key 0x00 16-hex-digits``, the digits being 2^64 - 1 - *seq*, lower case [KEY-5]. *key* is taken as
    valid (`encode_key` made it).

    Raises:
        InvalidKey: *seq* is not in 0 .. 2^63 - 1.
    """
    if not 0 <= seq <= SEQ_MAX:
        raise InvalidKey(f"version sequence {seq} of key {_shown(key)} is not in 0 .. 2^63 - 1")  # [KEY-6]
    return b"%b\0%016x" % (key, _INVERT - seq)


def split_version_key(stored: bytes) -> tuple[bytes, int]:
    """Return (key, seq) of a versions-tree key; `version_key` gives the same bytes back.

    Raises:
        InvalidKey, KeyTooLong: not of the form that `version_key` writes.
    """
    if len(stored) > VERSION_KEY_MAX:
        raise KeyTooLong(f"a version key has {len(stored)} bytes, more than {VERSION_KEY_MAX}")
    cut = len(stored) - _SEQ_DIGITS
    if cut < 1 or stored[cut - 1] != 0 or _HEX.fullmatch(stored, cut) is None:
        # [KEY-5] one NUL, then exactly sixteen lower-case hexadecimal digits
        raise InvalidKey(f"version key {_shown(stored)} does not end in NUL and 16 lower-case hexadecimal digits")
    seq = _INVERT - int(stored[cut:], 16)
    if not 0 <= seq <= SEQ_MAX:
        raise InvalidKey(f"version key {_shown(stored)} names sequence {seq}, above 2^63 - 1")  # [KEY-6]
    key = stored[: cut - 1]
    check_key(key)
    return key, seq


def prefix_end(prefix: str) -> str | None:
    """Return the least text above every text that starts with *prefix*, in UTF-8 byte order; None where nothing is.

    ``prefix <= k < prefix_end(prefix)`` holds for exactly the keys with that prefix, so a prefix is one range of the
    tree or of an index under a byte-order collation. The empty prefix, and one of U+10FFFF only, have no upper bound.

    Raises:
        InvalidKey: *prefix* holds a lone surrogate.
    """
    _utf8(prefix, "prefix")
    stem = prefix.rstrip("\U0010ffff")  # [KEY-7] the last code point has no successor: carry to the one on its left
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    if following == 0xD800:  # [KEY-7] the surrogates have no UTF-8: U+D7FF is followed by U+E000
        following = 0xE000
    return stem[:-1] + chr(following)


def check_text(name: str, text: str) -> None:
    """Refuse a text that no key and no part of one can be; `name` is the argument's."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{name} {text!r} is not encodable as UTF-8 (character {error.start})") from error
    if "\0" in text:
        raise InvalidInput(f"{name} {text!r} holds NUL, which no key can hold")


def _utf8(text: str, what: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:  # [KEY-1]
        raise InvalidKey(f"{what} {text[:60]!r} holds a lone surrogate at character {error.start}; remove it") from None


def _shown(key: bytes) -> str:
    return repr(key if len(key) <= 60 else key[:60] + b"...")


# --- bucket names ----------------------------------------------------------------------------------------------------

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_IPV4: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
# Amazon S3 User Guide, "General purpose bucket naming rules" (2026)
RESERVED_PREFIXES: Final = ("xn--", "sthree-", "amzn-s3-demo-")
RESERVED_SUFFIXES: Final = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def check_bucket_name(name: str) -> None:
    """Raise `InvalidBucketName`, saying which rule is broken, unless *name* is allowed by S3's rules [KEY-8]."""
    if not BUCKET_NAME_MIN <= len(name) <= BUCKET_NAME_MAX:
        raise InvalidBucketName(
            f"bucket name {name[:80]!r} has {len(name)} characters; {BUCKET_NAME_MIN} to {BUCKET_NAME_MAX} are allowed"
        )
    for label in name.split("."):
        if _LABEL.fullmatch(label) is None:
            raise InvalidBucketName(
                f"bucket name {name!r}: {label!r} is not made of a-z, 0-9 and '-', starting and ending with a letter"
                " or digit; between two dots there is at least one character"
            )
    if _IPV4.fullmatch(name) is not None:
        raise InvalidBucketName(f"bucket name {name!r} has the form of an IPv4 address; choose another")
    for prefix in RESERVED_PREFIXES:
        if name.startswith(prefix):
            raise InvalidBucketName(f"bucket name {name!r} starts with {prefix!r}, which S3 reserves; choose another")
    for suffix in RESERVED_SUFFIXES:
        if name.endswith(suffix):
            raise InvalidBucketName(f"bucket name {name!r} ends with {suffix!r}, which S3 reserves; choose another")
