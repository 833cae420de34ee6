"""The content of a request: what its body means, once framing, length, hash and trailers were checked ([GW-6] to [GW-9])."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Final

from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.wire.body import ArrivingBody
from mstbucket.gateway.wire.chunked import ChunkedBody, ChunkSigner
from mstbucket.gateway.wire.gather import Gathered
from mstbucket.gateway.wire.request import Request
from mstbucket.limits import MIB
from mstbucket.model.streams import Readable

UNSIGNED: Final = "UNSIGNED-PAYLOAD"
SIGNED_CHUNKS: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_CHUNKS_TRAILER: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_CHUNKS_TRAILER: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
CHUNKED: Final = (SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER, UNSIGNED_CHUNKS_TRAILER)

HELD_MAX: Final = MIB  # a body up to this is held in one piece: it can be stored in one statement, and stored again
CHECKSUM: Final = "x-amz-checksum-"


class Content:
    """The bytes of a request's body, checked at their end. One thread reads.

    Attributes:
        length: how many bytes it has.
        awaited: the client holds it back until somebody reads.
    """

    def __init__(self, arriving: ArrivingBody, source: Readable, length: int, claimed: str | None) -> None:
        self._source = source
        self._hash = None if claimed is None else hashlib.sha256()
        self._claimed = claimed
        self._left = length
        self.length = length
        self.awaited = arriving.awaited

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; b"" at the end, if the whole body was what the request said.

        Raises:
            Refused: it was not, or it did not come.
            ClientGone: the client went away.
        """
        piece = self._source.read(size)
        self._left -= len(piece)
        if self._hash is not None:
            self._hash.update(piece)
        if not piece:
            self._check()
        return piece

    def _check(self) -> None:
        if self._left != 0:
            raise Refused("IncompleteBody", "The body does not have as many bytes as its length says.")
        if self._hash is not None and not hmac.compare_digest(self._hash.hexdigest(), self._claimed or ""):
            raise Refused("XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what "
                          "was computed.")  # fmt: skip

    def whole(self, most: int) -> bytes:
        """All of the body.

        Raises:
            Refused: it has more than `most` bytes.
        """
        if self.length > most:
            raise Refused("MaxMessageLengthExceeded", f"Your request was too big: at most {most} bytes are taken here.")
        return Gathered(self).read(most + 1)  # up to the end, where it is checked

    def stored(self) -> bytes | Readable:
        """What to store: the bytes if there are few, else a reader."""
        return self.whole(HELD_MAX) if self.length <= HELD_MAX else Gathered(self)

    def checksums_behind(self) -> Mapping[str, str]:
        """The checksums that stood behind the body, base64 by algorithm; once all of it was read."""
        trailers = self._source.trailers if isinstance(self._source, ChunkedBody) else {}
        return {name.removeprefix(CHECKSUM): value for name, value in trailers.items() if name.startswith(CHECKSUM)}


def trailer_names(request: Request) -> tuple[str, ...]:
    """The headers that the request announces behind its body."""
    said = request.headers.get("x-amz-trailer", "")
    return tuple(name.strip().lower() for name in said.split(",") if name.strip())


def is_chunked(request: Request, payload: str) -> bool:
    """Whether the body is `aws-chunked`. Some clients say so by the payload only. Some say so by the encoding only, if
    nothing is signed.

    Raises:
        Refused: the encoding says so, but the payload is the hash of a body.
    """
    if payload in CHUNKED:
        return True
    if "aws-chunked" not in request.headers.get("content-encoding", "").lower():
        return False
    if payload != UNSIGNED:
        raise Refused("InvalidRequest", "Content-Encoding is aws-chunked, and x-amz-content-sha256 is the hash of a body.")
    return True


def open_content(
    request: Request, arriving: ArrivingBody, payload: str | None, signer: Callable[[], ChunkSigner] | None
) -> Content:
    """The content of a request whose head was believed.

    Args:
        payload: what the signature says of the body: one of the constants above, or its SHA-256 in hex; None for anonymous.
        signer: gives what the chunks were signed with.

    Raises:
        Refused: its length is not known, or its framing is not supported.
    """
    payload = UNSIGNED if payload is None else payload
    if "transfer-encoding" in request.headers and not is_chunked(request, payload):
        raise Refused("NotImplemented", "A header you provided implies functionality that is not implemented: "
                      "Transfer-Encoding.")  # fmt: skip
    if not is_chunked(request, payload):
        claimed = payload if payload != UNSIGNED else None
        return Content(arriving, arriving, arriving.length or 0, claimed)
    said = request.headers.get("x-amz-decoded-content-length", "")
    if not said.isdecimal() or len(said) > 19:
        raise Refused("MissingContentLength", "You must provide the x-amz-decoded-content-length HTTP header.")
    signed = payload in (SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER)
    if signed and signer is None:
        raise Refused("AccessDenied", "Only a signed request can have signed chunks.")
    wanted = trailer_names(request) if payload != SIGNED_CHUNKS else ()
    chunks = ChunkedBody(arriving, signer() if signed and signer is not None else None, wanted, int(said))
    return Content(arriving, chunks, int(said), None)
