"""A blob store in memory, for tests: the whole contract but for the loss of power."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from mstbucket.blobs.base import BlobInfo, BlobStore, BlobWriter
from mstbucket.blobs.names import check_name, is_name
from mstbucket.errors import BlobExists, InvalidInput, NoSuchBlob, StorageError


class MemoryBlobs(BlobStore):
    """Blobs in a dictionary, gone with the object. `blobs` is that dictionary, for tests that look or damage."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def open_write(self, name: str) -> BlobWriter:
        return _Writer(self, check_name(name))

    def put_if_absent(self, name: str, data: bytes) -> None:
        check_name(name)
        with self._lock:
            if name in self.blobs:
                raise BlobExists(f"blob {name} exists already; names are never reused").about(pack=name)
            self.blobs[name] = bytes(data)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        blob = self._find(name)
        if start < 0 or length < 0:
            raise InvalidInput(f"{length} bytes from byte {start} are no range of a blob")
        if length and start + length > len(blob):
            raise StorageError(f"blob {name} ends at byte {len(blob)}; {length} bytes from {start} were asked for")
        return blob[start : start + length]

    def head(self, name: str) -> BlobInfo:
        return BlobInfo(name, len(self._find(name)))

    def list(self, prefix: str = "", after: str = "") -> Iterator[BlobInfo]:
        with self._lock:
            found = sorted((name, len(blob)) for name, blob in self.blobs.items() if name.startswith(prefix))
        return (BlobInfo(name, size) for name, size in found if name > after and is_name(name))

    def delete(self, name: str) -> None:
        with self._lock:
            self.blobs.pop(check_name(name), None)

    def _find(self, name: str) -> bytes:
        blob = self.blobs.get(check_name(name))
        if blob is None:
            raise NoSuchBlob(f"there is no blob {name}").about(pack=name)
        return blob


class _Writer(BlobWriter):
    def __init__(self, store: MemoryBlobs, name: str) -> None:
        self._store = store
        self._name = name
        self._data: bytearray | None = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._alive().extend(memoryview(data).cast("B"))

    def commit(self) -> int:
        data, self._data = bytes(self._alive()), None
        self._store.put_if_absent(self._name, data)
        return len(data)

    def abort(self) -> None:
        self._data = None

    def _alive(self) -> bytearray:
        if self._data is None:
            raise InvalidInput(f"the writing of blob {self._name} has ended: begin it again with open_write")
        return self._data
