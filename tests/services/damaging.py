"""Tests damage files of a store."""

from __future__ import annotations

from pathlib import Path


def flip(path: Path, at: int) -> None:
    """Change one bit of the byte at a place in a file; a negative place counts from the end."""
    path.chmod(0o600)  # whole blobs are read-only
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
