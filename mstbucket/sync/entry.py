"""What both sides of a sync are made of, and what is to be done: frozen values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Entry:
    """One object or file, as the listing of its side tells without reading it.

    Attributes:
        key: below the root of the side.
        size: bytes.
        modified: milliseconds since 1970.
        etag: without quotes; None for files.
        content: CID of the body, where the side knows it without reading.
        touched: of a file, when its bytes or its name may have changed last, whatever its time of modification says.
        path: of a file.
    """

    key: str
    size: int
    modified: int
    etag: str | None = None
    content: bytes | None = None
    touched: int | None = None
    path: bytes | None = None


#: Why something is copied: it is not there, or has another size, or other bytes, or is or may be older.
Why = Literal["new", "size", "content", "time"]


@dataclass(frozen=True, slots=True)
class Copy:
    """The source has to be copied over the target, where there is one."""

    source: Entry
    target: Entry | None
    why: Why


@dataclass(frozen=True, slots=True)
class Compare:
    """Only the bytes can tell; where they differ, the source has to be copied."""

    source: Entry
    target: Entry


@dataclass(frozen=True, slots=True)
class Delete:
    """The source lacks it."""

    target: Entry


@dataclass(frozen=True, slots=True)
class Same:
    """Nothing is to be done."""

    target: Entry


@dataclass(frozen=True, slots=True)
class Clash:
    """Several files of one side stand for one key, so nobody can say which is meant: nothing is done with any."""

    entries: tuple[Entry, ...]


Step = Copy | Compare | Delete | Same | Clash
