"""Signed blocks beside a commit: a signature that stands apart from it, and the succession of one key by another.

`spec/format/32-signatures.md` is normative. Whether a signature is right is checked by whoever has the library for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from mstbucket.core import dagcbor
from mstbucket.core.cid import CID, DAG_CBOR_PREFIX
from mstbucket.core.dagcbor import Link
from mstbucket.core.did import KEY_SIZE
from mstbucket.errors import InvalidBlock, InvalidInput, Unsupported
from mstbucket.limits import ENDORSEMENT_BLOCK_MAX

SIGNATURE_SIZE: Final = 64
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature of a commit that stands apart from it ([SIGN-3])."""

    commit: CID
    key: bytes
    sig: bytes


@dataclass(frozen=True, slots=True)
class Succession:
    """The word of a key that from now on another one signs for a bucket ([SIGN-5])."""

    bucket: str
    key: bytes
    successor: bytes
    sig: bytes


def encode(value: Signature | Succession) -> bytes:
    """Return the one block of it."""
    return dagcbor.encode({**_signed(value), "sig": value.sig})


def signing_bytes(value: Signature | Succession) -> bytes:
    """Return the bytes that its signature is over: the block without `sig`."""
    return dagcbor.encode(_signed(value))


def _signed(value: Signature | Succession) -> dict[str, Any]:
    if isinstance(value, Signature):
        return {"signature": VERSION, "commit": Link(value.commit), "key": value.key}
    return {"succession": VERSION, "bucket": value.bucket, "key": value.key, "successor": value.successor}


def decode(block: bytes) -> Signature | Succession:
    """Return what *block* is.

    Raises:
        Unsupported: a newer program wrote it.
        InvalidBlock: anything that `encode` does not write.
    """
    if len(block) > ENDORSEMENT_BLOCK_MAX:
        raise InvalidBlock(f"a signature of {len(block)} bytes, more than {ENDORSEMENT_BLOCK_MAX}")
    value = dagcbor.decode(block)
    if not isinstance(value, dict) or not ({"signature", "succession"} & value.keys()):
        raise InvalidBlock("the file is neither a signature nor a succession")
    kind = "signature" if "signature" in value else "succession"
    if type(value[kind]) is int and value[kind] != VERSION:
        raise Unsupported(f"the {kind} has version {value[kind]}; this program reads {VERSION}")
    try:
        made = _of(kind, value)
        again = encode(made)
    except (InvalidInput, LookupError, TypeError, AttributeError) as error:
        raise InvalidBlock(f"the {kind} has a field too few, or one of another type") from error
    if again != block:
        raise InvalidBlock(f"the {kind} is not written as its fields demand")
    return made


def _of(kind: str, value: dict[str, Any]) -> Signature | Succession:
    key, sig = _bytes(value["key"], KEY_SIZE), _bytes(value["sig"], SIGNATURE_SIZE)
    if kind == "signature":
        commit: CID = value["commit"].cid
        if commit[:4] != DAG_CBOR_PREFIX:
            raise InvalidInput("what is signed is no commit")
        return Signature(commit, key, sig)
    if not isinstance(value["bucket"], str):
        raise InvalidInput("the bucket is no text")
    return Succession(value["bucket"], key, _bytes(value["successor"], KEY_SIZE), sig)


def _bytes(value: Any, size: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != size:
        raise InvalidInput(f"{size} bytes are wanted")
    return value
