"""A bounded local copy of what was read from a remote blob store: pages of packs in a directory, the least used go first."""

from __future__ import annotations

import os
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from mstbucket.blobs.base import BlobInfo, BlobStore, BlobWriter, whole
from mstbucket.blobs.names import is_pack
from mstbucket.core.checksums import checksum
from mstbucket.errors import InvalidInput, StorageError
from mstbucket.limits import MIB

PAGE: Final = MIB  # bytes of a page, the last one of a blob excepted
_PAGE_NAME: Final = re.compile(r"([0-9a-f]{32})-([0-9]{1,9})")
_NEW_NAME: Final = re.compile(r"[0-9a-f]{16}\.new")
_RUN_MAX: Final = 8  # missing neighbours fetched at once
_CRC_SIZE: Final = 8
_SIZES: Final = 4096  # packs whose size is remembered

_Key = tuple[str, int]  # file name of the blob's pages, number of the page


class CachedBlobs(BlobStore):
    """A `BlobStore` in front of another that keeps pages of what was read in a directory, at most `limit` bytes.

    Each read first asks the store behind whether the blob is still there ([BLOB-5]), which costs a small request and no
    transfer; but for packs, of which that is asked once ([STO-15]): whoever reads one was told by the index that it is
    there, hashes what it gets, and a request is what a cache is to save. So the contract holds in full but for the bytes
    and the size of a pack that somebody else deleted. Names are never used again ([BLOB-3]), so a page never gets old; it
    has a checksum of its bytes and of whose they are, and one that is damaged, cut, gone or another's is fetched again.
    Thread-safe. Processes may share the
    directory; each counts what it has seen of it, so together they may exceed `limit` until the next of them opens it.
    What is encrypted in the store is encrypted in the directory too.

    Args:
        blobs: the store behind.
        directory: for the pages; made if it is not there. Other files in it are left alone.
        limit: bytes of pages kept.

    Raises:
        InvalidInput: the limit is below one page.
        StorageError: the directory cannot be used.
    """

    def __init__(self, blobs: BlobStore, directory: str | os.PathLike[str], limit: int) -> None:
        if limit < PAGE + _CRC_SIZE:
            raise InvalidInput(f"a cache of {limit} bytes holds no page of {PAGE}: give it more")
        self.reading = blobs.reading
        self._blobs = blobs
        self._directory = Path(directory)
        self._limit = limit
        self._lock = threading.Lock()  # over the two below, never while something is fetched
        self._pages: OrderedDict[_Key, int] = OrderedDict()  # their sizes on the disk, the least used first
        self._held = 0
        self._sizes: OrderedDict[str, int] = OrderedDict()  # of packs, under the same lock
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._count()
        except OSError as error:
            raise StorageError(f"the cache directory {self._directory} cannot be used: {error.strerror}") from error

    def open_write(self, name: str) -> BlobWriter:
        writer = self._blobs.open_write(name)
        self._forget(name)
        return writer

    def put_if_absent(self, name: str, data: bytes) -> None:
        self._blobs.put_if_absent(name, data)
        self._forget(name)

    def put(self, name: str, data: bytes) -> None:
        self._blobs.put(name, data)

    def head(self, name: str) -> BlobInfo:
        return BlobInfo(name, self._size(name))

    def list(self, prefix: str = "", after: str = "") -> Iterator[BlobInfo]:
        return self._blobs.list(prefix, after)

    def release(self) -> None:
        self._blobs.release()

    def delete(self, name: str) -> None:
        self._blobs.delete(name)
        self._forget(name)

    def delete_many(self, names: Iterable[str]) -> None:
        gone = tuple(names)
        self._blobs.delete_many(gone)
        for name in gone:
            self._forget(name)

    def distrust(self, name: str) -> None:
        self._blobs.distrust(name)
        self._forget(name)  # what came damaged was kept as it came

    def get_range(self, name: str, start: int, length: int) -> bytes:
        size = self._size(name)
        if start < 0 or length <= 0 or start + length > size:
            return self._blobs.get_range(name, start, length)  # which says what is wrong, or gives nothing
        first, last = start // PAGE, (start + length - 1) // PAGE
        blob = _blob(name)
        parts: list[bytes] = []
        missing: list[int] = []
        for number in range(first, last + 1):
            page = self._take((blob, number), min(PAGE, size - number * PAGE))
            if page is None:
                missing.append(number)
            if missing and (page is not None or number == last or len(missing) == _RUN_MAX):
                parts += self._fetch(name, blob, missing, size)
                missing = []
            if page is not None:
                parts.append(page)
        data = b"".join(parts) if len(parts) > 1 else parts[0]
        return data[start - first * PAGE : start - first * PAGE + length]

    def _size(self, name: str) -> int:
        """The size of a blob that is there, or raise `NoSuchBlob`."""
        with self._lock:
            known = self._sizes.get(name)
        if known is None:
            known = self._blobs.head(name).size
            if is_pack(name):
                with self._lock:
                    self._sizes[name] = known
                    if len(self._sizes) > _SIZES:
                        self._sizes.popitem(last=False)
        return known

    def _fetch(self, name: str, blob: str, numbers: Iterable[int], size: int) -> Iterable[bytes]:
        """Neighbouring pages from the store behind, which are kept."""
        numbers = tuple(numbers)
        start = numbers[0] * PAGE
        length = min(numbers[-1] * PAGE + PAGE, size) - start
        data = whole(self._blobs.get_range(name, start, length), name, start, length)
        pages = [data[at : at + PAGE] for at in range(0, len(data), PAGE)]
        for number, page in zip(numbers, pages, strict=True):
            self._keep((blob, number), page)
        return pages

    def _take(self, key: _Key, length: int) -> bytes | None:
        """A page of that length if it is kept, and is what was kept."""
        with self._lock:
            if key not in self._pages:
                return None
            self._pages.move_to_end(key)
        path = self._path(key)
        try:
            data = path.read_bytes()
            os.utime(path)  # the order outlives the process
        except OSError:
            data = b""  # somebody else made room
        page = data[_CRC_SIZE:]
        if len(page) == length and data[:_CRC_SIZE] == _seal(key, page):
            return page
        self._drop(key)
        return None

    def _keep(self, key: _Key, page: bytes) -> None:
        """Keep a page, if the directory lets us: a cache that is full or read-only is no reason to fail."""
        path = self._path(key)
        hidden = path.with_name(f"{secrets.token_hex(8)}.new")
        try:
            hidden.write_bytes(_seal(key, page) + page)
            hidden.replace(path)
        except OSError:
            _remove(hidden)
            return
        with self._lock:
            self._held += len(page) + _CRC_SIZE - self._pages.pop(key, 0)
            self._pages[key] = len(page) + _CRC_SIZE
        self._make_room()

    def _forget(self, name: str) -> None:
        """Drop the pages of a blob that goes, or that comes (where somebody else removed one of that name)."""
        blob = _blob(name)
        with self._lock:
            self._sizes.pop(name, None)
            pages = [key for key in self._pages if key[0] == blob]
        for key in pages:
            self._drop(key)

    def _make_room(self) -> None:
        while True:
            with self._lock:
                if self._held <= self._limit:
                    return
                key = next(iter(self._pages))
            self._drop(key)

    def _drop(self, key: _Key) -> None:
        with self._lock:
            self._held -= self._pages.pop(key, 0)
        _remove(self._path(key))

    def _count(self) -> None:
        """Take stock of what earlier processes left, and keep of it what fits."""
        found = []
        for path in self._directory.iterdir():
            page = _PAGE_NAME.fullmatch(path.name)
            if page is not None:
                with suppress(FileNotFoundError):  # another process makes room
                    status = path.stat()
                    found.append((status.st_mtime_ns, (page[1], int(page[2])), status.st_size))
            elif _NEW_NAME.fullmatch(path.name):
                _remove(path)  # of a process that was killed; one at work finds it gone, and keeps that page not
        for _, key, size in sorted(found):
            self._pages[key] = size
            self._held += size
        self._make_room()

    def _path(self, key: _Key) -> Path:
        return self._directory / f"{key[0]}-{key[1]}"


def _blob(name: str) -> str:
    """What stands for a blob in the names of files: as short for every name, and without folders."""
    return sha256(name.encode()).hexdigest()[:32]


def _seal(key: _Key, page: bytes) -> bytes:
    """What stands before a page in its file: a checksum of its bytes, and of whose they are ([STO-16])."""
    whose = sha256(b"%b-%d" % (key[0].encode(), key[1])).digest()
    return (checksum(page) ^ int.from_bytes(whose[:_CRC_SIZE])).to_bytes(_CRC_SIZE)


def _remove(path: Path) -> None:
    """Remove a file of the cache; what cannot be removed is in nobody's way, and counted at the next opening."""
    with suppress(OSError):
        path.unlink()
