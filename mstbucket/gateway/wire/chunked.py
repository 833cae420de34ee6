"""`aws-chunked`: a body in chunks inside the body, signed or not, with headers behind it ([GW-8]).

    SIZE[;chunk-signature=HEX]CRLF DATA CRLF … 0[;chunk-signature=HEX]CRLF [NAME:VALUE CRLF …] CRLF
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final, Protocol

from mstbucket.gateway.refusals import Refused
from mstbucket.limits import KIB
from mstbucket.model.streams import Readable

_LINE_MAX: Final = KIB  # bytes of a line between chunks; the longest signed one has 100
_TRAILERS_MAX: Final = 16  # lines behind the last chunk; S3 knows five checksums and a signature
_PIECE: Final = 64 * KIB  # bytes asked for at a time
_HEAD: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?")
TRAILER_SIGNATURE: Final = "x-amz-trailer-signature"


class ChunkSigner(Protocol):
    """Checks a chain of chunks. Each one is signed together with the signature before it."""

    def check_chunk(self, digest: str, signature: str) -> None:
        """Compare the signature of a chunk with its SHA-256 `digest`, in hex; or raise `Refused`."""

    def check_trailer(self, text: bytes, signature: str) -> None:
        """Compare the signature of the lines behind the last chunk; or raise `Refused`."""


class ChunkedBody:
    """The bytes inside the chunks. They are given out before their signature is checked: a reader must not believe any of
    them before the end.

    Attributes:
        trailers: headers that stood behind the body, once all of it was read.
    """

    def __init__(self, source: Readable, signer: ChunkSigner | None, wanted: tuple[str, ...], length: int) -> None:
        """Args:
        source: the body as it arrives.
        signer: None for chunks without signatures.
        wanted: names of the headers that the request announced behind its body.
        length: how many bytes the chunks have together.
        """
        self._source = source
        self._signer = signer
        self._wanted = wanted
        self._expected = length
        self._buffer = bytearray()
        self._left = 0  # bytes of the current chunk that have not come
        self._hash = hashlib.sha256()
        self._signature = ""
        self._open = False
        self._done = False
        self.trailers: Mapping[str, str] = {}

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; b"" at the end, if the whole body was as signed and announced.

        Raises:
            Refused: it was not.
        """
        while not self._done and self._left == 0:
            self._begin_chunk()
        if self._done:
            return b""
        if not self._buffer:
            self._fill()
        piece = bytes(self._buffer[: min(size, self._left)])
        del self._buffer[: len(piece)]
        self._left -= len(piece)
        if self._signer is not None:
            self._hash.update(piece)
        if self._left == 0:
            self._end_chunk()
        return piece

    def _begin_chunk(self) -> None:
        found = _HEAD.fullmatch(self._line())
        if found is None or (self._signer is not None) != (found[2] is not None):
            raise _incomplete()
        self._left = int(found[1], 16)
        self._expected -= self._left
        if self._expected < 0:
            raise _incomplete()
        self._signature = "" if found[2] is None else found[2].decode("ascii")
        self._hash = hashlib.sha256()
        if self._left == 0:
            self._check()
            self._end()

    def _end_chunk(self) -> None:
        if self._line():
            raise _incomplete()
        self._check()

    def _check(self) -> None:
        if self._signer is not None:
            self._signer.check_chunk(self._hash.hexdigest(), self._signature)

    def _end(self) -> None:
        """Behind the last chunk: the announced headers, their signature, and nothing more."""
        trailers: dict[str, str] = {}
        while line := self._line():
            name, colon, value = line.decode("latin-1").partition(":")
            name = name.strip().lower()
            if not colon or name in trailers or len(trailers) >= _TRAILERS_MAX:
                raise Refused("MalformedTrailerError", "The request contained trailing data that was not well-formed.")
            trailers[name] = value.strip()
        signature = trailers.pop(TRAILER_SIGNATURE, None)
        if sorted(trailers) != sorted(self._wanted):
            raise Refused("MalformedTrailerError", "The trailing headers are not those that x-amz-trailer announced.")
        if self._signer is not None and self._wanted:
            text = "".join(f"{name}:{value}\n" for name, value in trailers.items()).encode("latin-1")
            self._signer.check_trailer(text, signature or "")
        if self._expected != 0 or self._buffer or self._source.read(1):
            raise _incomplete()
        self.trailers = trailers
        self._done = True

    def _line(self) -> bytes:
        """Take the bytes up to the next CRLF, and the CRLF."""
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _LINE_MAX:
                raise _incomplete()
            self._fill()
        if end > _LINE_MAX:
            raise _incomplete()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _fill(self) -> None:
        piece = self._source.read(_PIECE)
        if not piece:
            raise _incomplete()
        self._buffer += piece


def _incomplete() -> Refused:
    return Refused("IncompleteBody", "The request body terminated unexpectedly, or is not in the form that was announced.")
