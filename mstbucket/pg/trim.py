"""Write-ahead log that a stopped server has kept to write over, removed: it holds nothing.

While it runs, a server renames used segments for later instead of removing them. Without that (`wal_recycle=off`), puts and
flushes between frequent checkpoints had six tenths of the speed. But an idle store would keep hundreds of megabytes. The
supervisor calls this when its server has ended, so, like `supervisor.py`, it imports nothing but the standard library.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_RECORD: Final = 8192  # bytes, more than a checkpoint's record has with headers of pages: it may end in the next segment
_SHUT_DOWN: Final = 1  # the state in pg_control after a shutdown with a checkpoint, the same in all versions
# In pg_control, the same since PostgreSQL 11: the state; the place of the last checkpoint; its timeline.
_STATE: Final = slice(16, 20)
_CHECKPOINT: Final = slice(32, 40)
_TIMELINE: Final = slice(48, 52)
_HEX: Final = frozenset("0123456789ABCDEF")


def trim(data: str) -> int:
    """Remove the segments that lie wholly after the last checkpoint; return how many.

    Does nothing unless the cluster was shut down in order. The caller knows that no process works on it. [PG-28]
    """
    with open(os.path.join(data, "global", "pg_control"), "rb") as file:
        control = file.read(_TIMELINE.stop)
    if len(control) < _TIMELINE.stop or _number(control[_STATE]) != _SHUT_DOWN:
        return 0
    folder = os.path.join(data, "pg_wal")
    names = sorted(name for name in os.listdir(folder) if len(name) == 24 and _HEX.issuperset(name))
    if not names:
        return 0
    size = os.path.getsize(os.path.join(folder, names[0]))  # of every segment
    if size < 1 << 20 or size & (size - 1):
        return 0
    start, timeline = _number(control[_CHECKPOINT]), _number(control[_TIMELINE])
    if _name(timeline, start // size, size) not in names:
        return 0  # not what we think it is: leave it alone
    last = _name(timeline, (start + _RECORD) // size, size)
    extra = [name for name in names if name > last and name[:8] == last[:8]]
    for name in extra:
        os.unlink(os.path.join(folder, name))
    return len(extra)


def _number(raw: bytes) -> int:
    return int.from_bytes(raw, sys.byteorder)


def _name(timeline: int, segment: int, size: int) -> str:
    """As PostgreSQL names it: the timeline, then the number in units of 4 GiB and the rest."""
    each = (1 << 32) // size
    return f"{timeline:08X}{segment // each:08X}{segment % each:08X}"
