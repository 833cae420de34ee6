"""Temporary files of a collection: what memory should not hold."""

from __future__ import annotations

from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import IO, cast


def spool(stack: ExitStack, memory: int) -> IO[bytes]:
    """A temporary file whose first *memory* bytes are held in memory; *stack* closes it."""
    file = SpooledTemporaryFile(memory, prefix="mstbucket-collect-")  # noqa: SIM115 - the stack's
    return cast("IO[bytes]", stack.enter_context(file))
