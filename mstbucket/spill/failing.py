"""The error of a temporary directory that fails: one form for all that spills."""

from __future__ import annotations

from mstbucket.errors import StorageError


def temporary_failed(doing: str, error: OSError, again: str = "the call") -> StorageError:
    """The declared error of a temporary directory that is full, or fails, while *doing*."""
    return StorageError(
        f"the temporary directory failed while {doing} ({error}): free space there, or set TMPDIR to another directory, "
        f"and repeat {again}"
    )
