"""The rows of an import on their way to the database: in memory at first, then in temporary files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Self

from mstbucket.core.keys import split_version_key
from mstbucket.index import staging
from mstbucket.limits import MIB
from mstbucket.spill.scratch import Spooled

_SPOOL: Final = 16 * MIB  # of prepared rows held in memory, for each of three tables; then on disk
_JOINED: Final = 1024  # rows joined before they are written there
_PIECE: Final = MIB  # sent to the database at a time


class ImportRows:
    """The rows of an import: objects, versions, and places whose manifest came before in another place.

    Attributes:
        bucket: the row number that the bucket will have.
        objects, versions, repeats: as `index.staging` takes them.
    """

    def __init__(self, bucket: int) -> None:
        self.bucket = bucket
        self.objects, self.versions, self.repeats = Spool(), Spool(), Spool()

    def add_object(self, key: bytes, cid: bytes, block: bytes | None) -> None:
        """A key and its manifest, which the replay has judged; without a block, the manifest came before, elsewhere."""
        if block is None:
            self.repeats.add(staging.repeat_row(key, None, cid))
        else:
            self.objects.add(staging.object_row(self.bucket, key, cid, block))

    def add_version(self, stored: bytes, cid: bytes, block: bytes | None) -> None:
        """As `add_object`, of a noncurrent version or a delete marker; *stored* is its key in the tree."""
        key, seq = split_version_key(stored)
        if block is None:
            self.repeats.add(staging.repeat_row(key, seq, cid))
        else:
            self.versions.add(staging.version_row(self.bucket, key, seq, cid, block))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for spool in (self.objects, self.versions, self.repeats):
            spool.close()


class Spool:
    """Bytes that are written once and then read once; past _SPOOL of them in a temporary file."""

    def __init__(self) -> None:
        self._file = Spooled(_SPOOL, "the rows of an import were put aside")
        self._held: list[bytes] = []

    def add(self, row: bytes) -> None:
        """Take a row."""
        self._held.append(row)
        if len(self._held) >= _JOINED:
            self._flush()

    def pieces(self) -> Iterator[bytes]:
        """All of it from the start; nothing can be added afterwards.

        Raises:
            StorageError: the temporary directory is full.
        """
        self._flush()
        self._file.seek(0)
        while piece := self._file.read(_PIECE):
            yield piece

    def close(self) -> None:
        """Forget all of it."""
        self._file.close()

    def _flush(self) -> None:
        self._file.write(b"".join(self._held))
        self._held.clear()
