"""HTTP/1.1 on a connection: the parser's own rules, and bounds on a request's head ([GW-25]).

The parser (llhttp, strict) refuses Content-Length beside Transfer-Encoding, two lengths, folded headers and bare line feeds.
A request that is refused here is answered 400 and the connection is closed: nobody knows where the next one begins.
"""

from __future__ import annotations

import asyncio
import secrets

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mstbucket.gateway import log
from mstbucket.gateway.s3.xml_out import error_document
from mstbucket.limits import HEAD_SECONDS, HEADERS_MAX, HEADERS_SIZE_MAX, REQUEST_LINE_MAX

_UNFINISHED_MAX = 2 * (REQUEST_LINE_MAX + HEADERS_SIZE_MAX)  # bytes that came of an unfinished head


class TooLarge(Exception):
    """The head of a request is beyond a bound. The parser makes an error of its own of this one."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come: wait for its first head."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._size = 0
        self._in_head = False
        self._unfinished = 0
        self._patience: asyncio.TimerHandle | None = None
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._end_wait()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self._patience is None and (self.cycle is None or self.cycle.response_complete):
            self._wait_for_head()
        super().data_received(data)
        if self._in_head:  # the parser keeps an unfinished header: it may not keep more than a head can have
            self._unfinished += len(data)
            if self._unfinished > _UNFINISHED_MAX:
                self.send_400_response("")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._size = 0
        self._unfinished = 0
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        """A piece of the request line."""
        super().on_url(url)
        if len(self.url) > REQUEST_LINE_MAX:
            raise TooLarge

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        super().on_header(name, value)
        self._size += len(name) + len(value) + 4
        if len(self.headers) > HEADERS_MAX or self._size > HEADERS_SIZE_MAX:
            raise TooLarge

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head = False
        self._end_wait()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, in S3's words, and close."""
        request = secrets.token_hex(8).upper()
        body = error_document("BadRequest", "An error occurred when parsing the HTTP request.", "", request, {})
        head = (
            "HTTP/1.1 400 Bad Request\r\nContent-Type: application/xml\r\nConnection: close\r\n"
            f"x-amz-request-id: {request}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._end_wait()
        if not self.transport.is_closing():
            self.transport.write(head.encode() + body)
            self.transport.close()
            client = self.client[0] if self.client else ""
            log.write(log.Entry(request, client, "", status=400, error="BadRequest", sent=len(body)))

    def _wait_for_head(self) -> None:
        self._patience = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _end_wait(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        if not self.transport.is_closing():
            self.transport.close()
