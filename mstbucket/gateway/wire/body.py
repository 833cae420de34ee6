"""The body of a request as it arrives: read by a thread, chunk by chunk, with back-pressure and a time-out ([GW-6]).

The event loop holds the protocol's buffer: 64 KiB, and what came in one piece with them. It reads on when asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, Final

from mstbucket.gateway.refusals import Refused
from mstbucket.limits import BODY_SECONDS, MIB

#: A body up to this is collected before a thread begins: such a body comes at once, and no thread waits for it.
COLLECTED_MAX: Final = MIB // 4
#: For so long. A slower body waits until the head is believed: else a client that sends nothing would hold a place.
_COLLECT_SECONDS: Final = 0.05

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGone(Exception):
    """The client closed the connection before its request was answered. Nobody is left to be told."""


class ArrivingBody:
    """The bytes of one request's body, as the transport frames them. One thread reads.

    Attributes:
        length: what Content-Length says; None where the body is chunked, or there is none.
        awaited: the client holds it back until it is told to go on ([GW-7]).
        begun: somebody has asked for it.
        ended: all of it has come.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Receive, length: int | None, awaited: bool) -> None:
        self._loop = loop
        self._receive = receive
        self._rest = b""
        self.length = length
        self.awaited = awaited
        self.begun = False
        self.ended = length == 0

    async def collect(self) -> None:
        """Collect a small body that is on its way; called on the loop, before a thread reads."""
        if self.length is None or self.length > COLLECTED_MAX or self.awaited:
            return
        pieces = []
        with suppress(TimeoutError):
            while not self.ended:
                pieces.append(await self._take(_COLLECT_SECONDS))
        self._rest = b"".join(pieces)

    async def _next(self) -> bytes:
        try:
            return await self._take(BODY_SECONDS)
        except TimeoutError:
            raise Refused("RequestTimeout", "Your socket connection to the server was not read from or written to within "
                          "the timeout period.") from None  # fmt: skip

    async def _take(self, seconds: float) -> bytes:
        self.begun = True
        async with asyncio.timeout(seconds):
            message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self.ended = not message.get("more_body", False)
        body: bytes = message.get("body", b"")
        return body

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; b"" at the end, and only there.

        Raises:
            ClientGone: the client went away.
            Refused: nothing came for BODY_SECONDS.
        """
        while not self._rest and not self.ended:
            self._rest = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    async def gone(self) -> None:
        """Wait until the client has gone. What comes of the body meanwhile is dropped: the answer has begun without it."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
