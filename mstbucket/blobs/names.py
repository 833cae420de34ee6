"""Names of blobs: one grammar, checked in both directions, and names that are never given twice for other bytes.

    packs/<2 hex>/<32 hex>.car             a pack; 128 random bits, the first 8 of them also the folder
    packs/…/<32 hex>.car.zst               the same in zstd frames; `.car.aes` encrypted, `.car.zst.aes` both
    refs/<identity>/<16 hex>-<cid>.car     a commit: its sequence number, so that the newest is listed last, and its CID
    refs/<identity>/<16 hex>-<32 hex>.car.aes   the same in an encrypted store: a pseudonym in the place of the CID
    keys/<32 hex>.key                      the data key of an encrypted store, wrapped
    state/<32 hex>/<32 hex>.car            service state of one bucket: the bucket's digits, then 128 random bits
    state/<32 hex>/<32 hex>.car.aes        the same in an encrypted store
    store.id                               which store this is

The random part means that a late delete, or one repeated by a machine that was thought dead, can never hit new data. A
ref has the CID of what it holds instead: publishing it again gives the same blob.
"""

from __future__ import annotations

import re
import secrets
from enum import IntFlag
from typing import Final

from mstbucket.errors import InvalidInput
from mstbucket.limits import BLOB_NAME_MAX, SEQ_MAX

PACKS: Final = "packs/"
REFS: Final = "refs/"
KEYS: Final = "keys/"
STATE: Final = "state/"
STORE: Final = "store.id"

_NAME: Final = re.compile(r"(?!.*(?:^|/)\.)[a-z0-9._-]+(?:/[a-z0-9._-]+)*")
_PACK: Final = re.compile(r"packs/([0-9a-f]{2})/(\1[0-9a-f]{30})(\.car(?:\.zst)?(?:\.aes)?)")
_REF: Final = re.compile(r"refs/([a-z2-7]{26})/([0-9a-f]{16})-(b[a-z2-7]{58})\.car")
_SECRET_REF: Final = re.compile(r"refs/([a-z2-7]{26})/([0-9a-f]{16})-([0-9a-f]{32})(\.car\.aes)")
_STATE: Final = re.compile(r"state/([0-9a-f]{32})/([0-9a-f]{32})(\.car(?:\.aes)?)")
_KEY: Final = re.compile(r"keys/[0-9a-f]{32}\.key")


class Kind(IntFlag):
    """What was done to a CAR that is in a blob: compressed, encrypted, both (compressed first), or nothing."""

    PLAIN = 0
    ZSTD = 1
    AES = 2


_SUFFIXES: Final = {Kind.PLAIN: ".car", Kind.ZSTD: ".car.zst", Kind.AES: ".car.aes", Kind.ZSTD | Kind.AES: ".car.zst.aes"}
_KINDS: Final = {suffix: kind for kind, suffix in _SUFFIXES.items()}


def is_name(name: str) -> bool:
    """Whether `name` is a blob's name: segments of a-z, 0-9, '.', '_', '-' joined by '/', none starting with '.'."""
    return len(name) <= BLOB_NAME_MAX and _NAME.fullmatch(name) is not None


def check_name(name: str) -> str:
    """Return `name`, or raise `InvalidInput` if no blob can be called so."""
    # [BLOB-1] the grammar keeps '..', absolute paths and hidden files out of every medium
    if not is_name(name):
        shown = name if len(name) <= BLOB_NAME_MAX else name[:BLOB_NAME_MAX] + "…"
        raise InvalidInput(
            f"{shown!r} is no blob name: use at most {BLOB_NAME_MAX} characters, in segments of a-z, 0-9, '.', '_' "
            "and '-' joined by '/', none starting with '.'"
        )
    return name


def pack_name(kind: Kind = Kind.PLAIN) -> str:
    """A name for a new pack that nobody has had before."""
    digits = secrets.token_hex(16)  # [BLOB-3]
    return f"{PACKS}{digits[:2]}/{digits}{_SUFFIXES[kind]}"


def is_pack(name: str) -> bool:
    """Whether `name` is one that `pack_name` gives."""
    return _PACK.fullmatch(name) is not None


def framed(name: str) -> tuple[Kind, bytes] | None:
    """What was done to the CAR in the blob `name`, and the blob's 16 bytes of identity; None for a plain CAR ([FRAME-3]).

    None too for what is neither a pack, a ref nor state.
    """
    match = _PACK.fullmatch(name)
    digits, suffix = ("", ".car") if match is None else (match[2], match[3])
    if match is None and (ref := _SECRET_REF.fullmatch(name)) is not None:
        digits, suffix = ref[3], ref[4]
    elif match is None and (state := _STATE.fullmatch(name)) is not None:
        digits, suffix = state[2], state[3]
    return None if suffix == ".car" else (_KINDS[suffix], bytes.fromhex(digits))


def key_name() -> str:
    """A name for a wrapped key that nobody has had before."""
    return f"{KEYS}{secrets.token_hex(16)}.key"


def is_key(name: str) -> bool:
    """Whether `name` is one that `key_name` gives."""
    return _KEY.fullmatch(name) is not None


def is_ours(name: str) -> bool:
    """Whether `name` is that of a pack, a ref, a key or state; not of STORE, of which there is one for all of them."""
    refs = parse_ref(name), parse_secret_ref(name)
    return is_pack(name) or is_key(name) or refs != (None, None) or parse_state(name) is not None


def state_name(bucket: str, kind: Kind) -> str:
    """A name for a new blob of service state of the bucket with these 32 digits, which nobody has had before.

    Raises:
        InvalidInput: these are no such digits.
    """
    name = f"{STATE}{bucket}/{secrets.token_hex(16)}{_SUFFIXES[kind & Kind.AES]}"  # [BLOB-3]
    if parse_state(name) != bucket:
        raise InvalidInput(f"{bucket!r} is not the number of a bucket's state")
    return name


def parse_state(name: str) -> str | None:
    """The digits of the bucket that a blob of service state is about, or None where it is no such name."""
    match = _STATE.fullmatch(name)
    return None if match is None else match[1]


def ref_name(identity: str, seq: int, commit: str) -> str:
    """The name of the blob that publishes the commit with the CID text `commit` of the bucket `identity`.

    Raises:
        InvalidInput: these are not an identity, a sequence number and a CID.
    """
    name = f"{REFS}{identity}/{seq:016x}-{commit}.car"
    if parse_ref(name) != (identity, seq, commit):
        raise InvalidInput(f"{identity!r}, {seq} and {commit!r} are not the identity, number and CID of a commit")
    return name


def parse_ref(name: str) -> tuple[str, int, str] | None:
    """(identity, seq, commit CID) of a ref's name, or None where it is no such name."""
    match = _REF.fullmatch(name)
    if match is None or int(match[2], 16) > SEQ_MAX:
        return None
    return match[1], int(match[2], 16), match[3]


def secret_ref_name(identity: str, seq: int, pseudonym: bytes) -> str:
    """The name of the blob that publishes a commit of an encrypted store; `pseudonym` has 16 bytes ([FRAME-14]).

    Raises:
        InvalidInput: these are not an identity, a sequence number and 16 bytes.
    """
    name = f"{REFS}{identity}/{seq:016x}-{pseudonym.hex()}.car.aes"
    if parse_secret_ref(name) != (identity, seq, pseudonym):
        raise InvalidInput(f"{identity!r}, {seq} and {len(pseudonym)} bytes are not those of an encrypted ref")
    return name


def parse_secret_ref(name: str) -> tuple[str, int, bytes] | None:
    """(identity, seq, pseudonym) of the name of an encrypted ref, or None where it is no such name."""
    match = _SECRET_REF.fullmatch(name)
    if match is None or int(match[2], 16) > SEQ_MAX:
        return None
    return match[1], int(match[2], 16), bytes.fromhex(match[3])
