"""A blob store in memory, for tests: the whole contract but for the loss of power."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from mstbucket.blobs.base import BlobInfo, BlobStore, BlobWriter
from mstbucket.blobs.names import check_name
from mstbucket.errors import BlobExists, InvalidInput, NoSuchBlob, StorageError


class MemoryBlobs(BlobStore):
    """Blobs in a dictionary, gone with the object."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def open_write(self, name: str) -> BlobWriter:
        return _Writer(self, check_name(name))

    def get_range(self, name: str, start: int, length: int) -> bytes:
        blob = self._blobs.get(check_name(name))
        if blob is None:
            raise NoSuchBlob(f"there is no blob {name}")
        if start < 0 or length < 0:
            raise InvalidInput(f"bytes {start} to {start + length} are no range of a blob")
        if start + length > len(blob):
            raise StorageError(f"blob {name} has {len(blob)} bytes; {length} from byte {start} were asked for")
        return blob[start : start + length]

    def head(self, name: str) -> BlobInfo:
        blob = self._blobs.get(check_name(name))
        if blob is None:
            raise NoSuchBlob(f"there is no blob {name}")
        return BlobInfo(name, len(blob))

    def list(self, prefix: str = "", after: str = "") -> Iterator[BlobInfo]:
        with self._lock:
            found = sorted((name, len(blob)) for name, blob in self._blobs.items() if name.startswith(prefix))
        return (BlobInfo(name, size) for name, size in found if name > after)

    def delete(self, name: str) -> None:
        with self._lock:
            self._blobs.pop(check_name(name), None)

    def _add(self, name: str, data: bytes) -> None:
        with self._lock:
            if name in self._blobs:
                raise BlobExists(f"blob {name} exists already; names are never reused")
            self._blobs[name] = data


class _Writer(BlobWriter):
    def __init__(self, store: MemoryBlobs, name: str) -> None:
        self._store = store
        self._name = name
        self._data: bytearray | None = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._data is None:
            raise InvalidInput(f"blob {self._name} was committed or aborted: nothing can be added")
        self._data += data

    def commit(self) -> int:
        if self._data is None:
            raise InvalidInput(f"blob {self._name} was committed or aborted already")
        data, self._data = bytes(self._data), None
        self._store._add(self._name, data)
        return len(data)

    def abort(self) -> None:
        self._data = None
