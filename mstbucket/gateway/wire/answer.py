"""What a handler answers: status, headers, and a body as bytes or as a stream."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

Headers = list[tuple[str, str]]

_PLAIN: Final = re.compile(r"[\t\x20-\x7e]*")


class Stream(Protocol):
    """A body that is read chunk by chunk. Whoever reads it closes it, also before its end."""

    def __iter__(self) -> Iterator[bytes]:
        """The bytes, in chunks of at most 1 MiB."""

    def close(self) -> None:
        """Let go of what is held."""


@dataclass(slots=True)
class Answer:
    """An answer on its way.

    Attributes:
        body: bytes, or a stream that gives `length` bytes.
        length: what Content-Length says; None for that of `body`. The answer to a HEAD has one, and no body.
        close: the connection ends after it.
        unbounded: nobody knows the length of the stream before its end.
    """

    status: int = 200
    headers: Headers = field(default_factory=list)
    body: bytes | Stream = b""
    length: int | None = None
    close: bool = False
    unbounded: bool = False

    @property
    def size(self) -> int:
        """What Content-Length says."""
        if self.length is not None:
            return self.length
        return len(self.body) if isinstance(self.body, bytes) else 0


def raw_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Headers as bytes. As in S3, what no header can carry goes in the form of RFC 2047 ([GW-19])."""
    return [(name.lower().encode("ascii"), _value(value)) for name, value in headers]


def _value(value: str) -> bytes:
    if _PLAIN.fullmatch(value):
        return value.encode("ascii")
    from email.header import Header

    return Header(value, "utf-8", maxlinelen=10**6).encode(linesep="").encode("ascii")
