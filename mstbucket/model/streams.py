"""What bytes are read from: the one method of a file that is needed."""

from __future__ import annotations

from typing import Protocol


class Readable(Protocol):
    """Gives bytes until there are none: a file open for reading, or anything else with this method."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; b"" at the end, and only there."""
