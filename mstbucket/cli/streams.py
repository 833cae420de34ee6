"""Standard input as bytes."""

from __future__ import annotations

import sys
from typing import BinaryIO


def standard_input() -> BinaryIO:
    """Standard input, one system call per `read`, which may give less than it was asked for.

    There is no buffer: a signal that arrives while a buffer is being filled goes unnoticed until the buffer is full. A
    command that waits for the rest of its input could not be interrupted.
    """
    raw: BinaryIO = sys.stdin.buffer.raw  # type: ignore[union-attr]
    return raw
