"""Content identifiers: 36 raw bytes inside, base32 text at the edge.

Every CID of this project is `01 <codec> 12 20` and a sha2-256 digest; `spec/format/02-blocks.md` says why nothing else is
allowed. Functions that make CIDs trust their argument; `check_cid` and `from_text` are the gates for bytes and text
that came from elsewhere. This is the only module that knows the `multiformats` library.
"""

from __future__ import annotations

import struct
from base64 import b32encode
from hashlib import sha256
from typing import Final

from mstbucket.errors import HashMismatch, InvalidCid
from mstbucket.limits import CID_TEXT_MAX

CID = bytes

RAW: Final = 0x55
DAG_PB: Final = 0x70
DAG_CBOR: Final = 0x71

CID_SIZE: Final = 36
RAW_PREFIX: Final = b"\x01\x55\x12\x20"
DAG_PB_PREFIX: Final = b"\x01\x70\x12\x20"
DAG_CBOR_PREFIX: Final = b"\x01\x71\x12\x20"

_PREFIXES: Final = frozenset((RAW_PREFIX, DAG_PB_PREFIX, DAG_CBOR_PREFIX))

_DIGITS: Final = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS: Final = tuple(a + b for a in _DIGITS for b in _DIGITS)
_GROUPS: Final = struct.Struct(">" + "BI" * 7 + "B").unpack  # seven times 40 bits, and 8


def raw_cid(block: bytes) -> CID:
    """Return the CID of *block* as a body chunk (codec `raw`)."""
    return RAW_PREFIX + sha256(block).digest()


def dag_pb_cid(block: bytes) -> CID:
    """Return the CID of *block* as a UnixFS node (codec `dag-pb`). That it is one is not checked here."""
    return DAG_PB_PREFIX + sha256(block).digest()


def dag_cbor_cid(block: bytes) -> CID:
    """Return the CID of *block* as DAG-CBOR. That it is canonical is not checked here (`dagcbor.decode` does)."""
    return DAG_CBOR_PREFIX + sha256(block).digest()


def codec(cid: CID) -> int:
    """Return the codec number of a CID that passed `check_cid`: `RAW`, `DAG_PB` or `DAG_CBOR`."""
    return cid[1]


def check_cid(cid: bytes) -> CID:
    """Return *cid* if it has the one form this project uses.

    Raises:
        InvalidCid: it is not CIDv1 x {raw, dag-pb, dag-cbor} x sha2-256 x 32 bytes. Get another copy of the bytes it
            came from; if another tool made them, have it write CIDs of this form.
    """
    # [CID-1] [CID-2] [CID-3] version 1, one of three codecs, sha2-256 of 32 bytes, 36 bytes in all
    if len(cid) != CID_SIZE or cid[:4] not in _PREFIXES:
        raise InvalidCid(
            f"a CID of {len(cid)} bytes starting {bytes(cid[:8]).hex(' ') or '(nothing)'} is not CIDv1 with codec raw, "
            "dag-pb or dag-cbor and a 32-byte sha2-256: re-create the data with such CIDs"
        )
    return cid


def to_text(cid: CID) -> str:
    """Return the text form of *cid*: multibase `b`, base32 in lower case without padding (`bafy…`, `bafk…`)."""
    if len(cid) != CID_SIZE:
        return "b" + b32encode(cid).decode("ascii").rstrip("=").lower()
    # [CID-4] 36 bytes are 58 characters: ten bits at a time, in a third of the time that b32encode takes
    t = _PAIRS
    a, b, c, d, e, f, g, h, i, j, k, m, n, p, q = _GROUPS(cid)
    return (
        f"b{t[a << 2 | b >> 30]}{t[b >> 20 & 1023]}{t[b >> 10 & 1023]}{t[b & 1023]}"
        f"{t[c << 2 | d >> 30]}{t[d >> 20 & 1023]}{t[d >> 10 & 1023]}{t[d & 1023]}"
        f"{t[e << 2 | f >> 30]}{t[f >> 20 & 1023]}{t[f >> 10 & 1023]}{t[f & 1023]}"
        f"{t[g << 2 | h >> 30]}{t[h >> 20 & 1023]}{t[h >> 10 & 1023]}{t[h & 1023]}"
        f"{t[i << 2 | j >> 30]}{t[j >> 20 & 1023]}{t[j >> 10 & 1023]}{t[j & 1023]}"
        f"{t[k << 2 | m >> 30]}{t[m >> 20 & 1023]}{t[m >> 10 & 1023]}{t[m & 1023]}"
        f"{t[n << 2 | p >> 30]}{t[p >> 20 & 1023]}{t[p >> 10 & 1023]}{t[p & 1023]}{t[q << 2]}"
    )


def from_text(text: str) -> CID:
    """Return the 36 bytes of a CID written as text in any multibase.

    Base32, the form this project writes, has to be exactly what `to_text` writes. Other bases are accepted as other
    tools print them; where only the canonical text will do, compare with `to_text` of the result.

    Raises:
        InvalidCid: the text is no CID, or one of a form this project does not use. Correct the text.
    """
    # The library costs 50 ms to import, and most processes never read a CID from text.
    from multiformats import CID as Parsed

    if len(text) > CID_TEXT_MAX:
        raise InvalidCid(f"a text of {len(text)} characters is no CID: give one of the form {_EXAMPLE}")
    try:
        cid = bytes(Parsed.decode(text))
    except Exception as error:  # the library answers hostile text with KeyError, ValueError, IndexError and its own
        raise InvalidCid(f"{text!r} is not a CID: give one of the form {_EXAMPLE}") from error
    check_cid(cid)
    # [CID-4] upper case, padding and stray low bits in the last character are other texts for the same CID
    if text[0] in "bBcC" and text != to_text(cid):
        raise InvalidCid(f"{text!r} is not the canonical text of its CID: write {to_text(cid)}")
    return cid


def verify_block(cid: CID, block: bytes) -> None:
    """Return if *block* hashes to *cid*, whose form `check_cid` has seen; the block's contents are not looked at.

    Raises:
        HashMismatch: the bytes are not the ones named. Stop using them and get another copy.
    """
    # [CID-5] bytes are used only under the CID they hash to
    if sha256(block).digest() != cid[4:]:
        raise HashMismatch(
            f"{len(block)} bytes given as block {to_text(cid)} hash to {sha256(block).hexdigest()}: get another copy"
        ).about(cid=cid)


_EXAMPLE: Final = "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm"
