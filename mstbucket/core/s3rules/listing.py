"""Listings by S3's rules: the size of a page, the common prefix of a key, and the tokens that lead from page to page."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from mstbucket.core.keys import TOP
from mstbucket.core.s3rules.versions import NULL_VERSION, stored_id
from mstbucket.errors import InvalidInput, InvalidToken
from mstbucket.limits import LIST_KEYS_MAX, SEQ_MAX

_VERSION_MARKER: Final = re.compile(r"(.+)@([0-9a-f]{16})", re.DOTALL)
_SEAL: Final = 6  # bytes
_KINDS: Final = (b"k", b"p")  # of a last item: a key, a common prefix


def page_size(name: str, asked: int) -> int:
    """How many items a page may hold where the argument `name` asks for so many ([LIST-2]).

    Raises:
        InvalidInput: it is negative.
    """
    if asked < 0:
        raise InvalidInput(f"{name} is {asked}; it must be from 0 to {LIST_KEYS_MAX}")
    return min(asked, LIST_KEYS_MAX)


def common_prefix(key: str, prefix: str, delimiter: str | None) -> str | None:
    """The common prefix that stands for a key in a listing; None where the key stands for itself, or is not listed."""
    if not delimiter or not key.startswith(prefix):
        return None
    cut = key.find(delimiter, len(prefix))
    return None if cut < 0 else key[: cut + len(delimiter)]


# --- continuation tokens: the exact last item, with a seal against accidents; a forged token grants nothing ---------------


@dataclass(frozen=True, slots=True)
class LastItem:
    """The last item of a page, a key or a common prefix; the next page starts above it."""

    text: str
    is_prefix: bool

    @property
    def past(self) -> str:
        """What the keys of the next page are above: all that a common prefix stands for is behind it."""
        return self.text + TOP if self.is_prefix else self.text


def write_token(last: LastItem) -> str:
    """The continuation token of the page after this item."""
    payload = _KINDS[last.is_prefix] + last.text.encode()
    return base64.urlsafe_b64encode(_seal(payload) + payload).decode()


def read_token(token: str) -> LastItem:
    """The item that `write_token` was given.

    Raises:
        InvalidToken: no call of `write_token` returned it.
    """
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        seal, payload = raw[:_SEAL], raw[_SEAL:]
        kind, text = payload[:1], payload[1:].decode()
    except ValueError as error:
        raise InvalidToken("the continuation token is damaged: start the listing again without one") from error
    if seal != _seal(payload) or kind not in _KINDS:
        raise InvalidToken("the continuation token was not made by this store: start the listing again without one")
    return LastItem(text, kind == _KINDS[True])


def _seal(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_SEAL, person=b"mstbucket-list").digest()


# --- version id markers: the id and the place of a version, since the version may be gone when the next page is asked for -


def write_version_marker(version_id: str | None, seq: int) -> str:
    """The marker behind the version with this stored id and this place among the versions of its key ([VSN-11])."""
    return f"{version_id or NULL_VERSION}@{seq:016x}"


def read_version_marker(text: str) -> tuple[str | None, int] | None:
    """The stored id and the place that a marker names; None for a plain version id, which names no place.

    Raises:
        InvalidInput: no version can have that id.
    """
    found = _VERSION_MARKER.fullmatch(text)
    if found is None or int(found[2], 16) > SEQ_MAX:
        return None
    return stored_id(found[1]), int(found[2], 16)
