"""Names of blobs: one grammar, checked in both directions, and names that are never given twice.

    packs/<2 hex>/<32 hex>.car         a pack; 128 random bits, the first 8 of them also the folder
    refs/<identity>/<16 hex>-<cid>.car a commit: its sequence number, so that the newest is listed last, and its CID

A random part means that a late delete, or one repeated by a machine that was thought dead, can never hit new data.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

from mstbucket.errors import InvalidInput

NAME_MAX: Final = 200  # bytes; below every medium's limit with room for a prefix in front (S3: 1,024 in all)

_NAME: Final = re.compile(r"(?!.*(?:^|/)\.)[a-z0-9._-]+(?:/[a-z0-9._-]+)*")
_REF: Final = re.compile(r"refs/([a-z2-7]{26})/([0-9a-f]{16})-(b[a-z2-7]+)\.car")


def is_name(name: str) -> bool:
    """Whether `name` is a blob's name: segments of a-z, 0-9, '.', '_', '-' joined by '/', none starting with '.'."""
    return len(name) <= NAME_MAX and _NAME.fullmatch(name) is not None


def check_name(name: str) -> str:
    """Return `name`, or raise `InvalidInput` if no blob can be called so ([BLOB-1])."""
    if not is_name(name):
        raise InvalidInput(f"{name!r} is not a blob name: use segments of a-z, 0-9, '.', '_' and '-', joined by '/'")
    return name


def pack_name() -> str:
    """A name for a new pack that nobody has had before."""
    digits = secrets.token_hex(16)
    return f"packs/{digits[:2]}/{digits}.car"


def ref_name(identity: str, seq: int, commit: str) -> str:
    """The name of the blob that publishes a commit of the bucket `identity`."""
    return check_name(f"refs/{identity}/{seq:016x}-{commit}.car")


def parse_ref(name: str) -> tuple[str, int, str] | None:
    """(identity, seq, commit CID) of a ref's name, or None where it is no such name."""
    match = _REF.fullmatch(name)
    return None if match is None else (match[1], int(match[2], 16), match[3])
