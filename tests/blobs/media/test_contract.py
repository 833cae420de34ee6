"""The contract on every backend: [BLOB-1], [BLOB-2], [BLOB-4], [BLOB-5], [BLOB-7], [BLOB-8], [BLOB-9]."""

from __future__ import annotations

from pathlib import Path

import pytest

from mstbucket.blobs.base import BlobStore
from mstbucket.blobs.media.local import LocalBlobs
from mstbucket.blobs.media.memory import MemoryBlobs
from mstbucket.testing import BlobMedium, BlobStoreContract


class Directory:
    """A directory of files, as the operating system sees it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> BlobStore:
        return LocalBlobs(self.path)

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_bytes(data)

    def remove(self, name: str) -> None:
        (self.path / name).unlink()


class Dictionary:
    """The dictionary inside a `MemoryBlobs`."""

    def __init__(self) -> None:
        self.store = MemoryBlobs()

    def open(self) -> BlobStore:
        return self.store

    def read(self, name: str) -> bytes:
        return self.store.blobs[name]

    def write(self, name: str, data: bytes) -> None:
        self.store.blobs[name] = data

    def remove(self, name: str) -> None:
        del self.store.blobs[name]


class TestLocal(BlobStoreContract):
    @pytest.fixture
    def medium(self, tmp_path: Path) -> BlobMedium:
        return Directory(tmp_path / "blobs")


class TestMemory(BlobStoreContract):
    @pytest.fixture
    def medium(self) -> BlobMedium:
        return Dictionary()
