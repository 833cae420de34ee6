"""CARv2: a CARv1 between a header and an index, in the form that go-car writes and reads ([CAR-20] to [CAR-22])."""

from __future__ import annotations

import struct
from typing import Final

from mstbucket.core import varint
from mstbucket.core.cid import CID

_PRAGMA: Final = b"\x0a\xa1\x67version\x02"  # a header of CARv1's form that says 2
_PLACES: Final = struct.Struct("<16xQQQ")  # 128 characteristics, none set; offset and size of the payload; of the index
HEADER_SIZE: Final = len(_PRAGMA) + _PLACES.size
_SORTED_BY_HASH: Final = varint.encode(0x0401)  # car-multihash-index-sorted
_SHA2_256: Final = 0x12
_DIGEST: Final = 32
ENTRY_SIZE: Final = _DIGEST + 8


def header(payload: int) -> bytes:
    """Return what stands before a CARv1 of *payload* bytes; the index follows the CARv1 at once."""
    return _PRAGMA + _PLACES.pack(HEADER_SIZE, payload, HEADER_SIZE + payload)  # [CAR-20]


def index_head(count: int) -> bytes:
    """Return what stands before the *count* entries of an index."""
    # [CAR-21] one hash function; of it one width of entries; then their bytes
    return _SORTED_BY_HASH + struct.pack("<iQiIQ", 1, _SHA2_256, 1, ENTRY_SIZE, count * ENTRY_SIZE)


def index_entry(cid: CID, offset: int) -> bytes:
    """Return the entry of a block whose section starts at *offset* of the CARv1. Entries stand sorted ([CAR-22])."""
    return cid[-_DIGEST:] + struct.pack("<Q", offset)
