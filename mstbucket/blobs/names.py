"""Names of blobs: one grammar, checked in both directions, and names that are never given twice for other bytes.

    packs/<2 hex>/<32 hex>.car         a pack; 128 random bits, the first 8 of them also the folder
    refs/<identity>/<16 hex>-<cid>.car a commit: its sequence number, so that the newest is listed last, and its CID

The random part means that a late delete, or one repeated by a machine that was thought dead, can never hit new data. A
ref has the CID of what it holds instead: publishing it again gives the same blob.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

from mstbucket.errors import InvalidInput
from mstbucket.limits import BLOB_NAME_MAX, SEQ_MAX

PACKS: Final = "packs/"
REFS: Final = "refs/"

_NAME: Final = re.compile(r"(?!.*(?:^|/)\.)[a-z0-9._-]+(?:/[a-z0-9._-]+)*")
_PACK: Final = re.compile(r"packs/([0-9a-f]{2})/\1[0-9a-f]{30}\.car")
_REF: Final = re.compile(r"refs/([a-z2-7]{26})/([0-9a-f]{16})-(b[a-z2-7]{58})\.car")


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


def pack_name() -> str:
    """A name for a new pack that nobody has had before."""
    digits = secrets.token_hex(16)  # [BLOB-3]
    return f"{PACKS}{digits[:2]}/{digits}.car"


def is_pack(name: str) -> bool:
    """Whether `name` is one that `pack_name` gives."""
    return _PACK.fullmatch(name) is not None


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
