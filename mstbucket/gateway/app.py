"""The gateway as an ASGI application: bytes go through the event loop, everything else is done on threads.

A request holds a thread of a bounded pool from its head to its answer. A request above the bound is told to slow down.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from traceback import format_exception
from typing import Any, Final

from mstbucket.errors import MstBucketError
from mstbucket.gateway import log
from mstbucket.gateway.log import Entry
from mstbucket.gateway.metrics import observe
from mstbucket.gateway.refusals import Refused, refusal
from mstbucket.gateway.s3.xml_out import HEAD
from mstbucket.gateway.wire.answer import Answer, Headers, Stream, raw_headers
from mstbucket.gateway.wire.body import ArrivingBody, ClientGone, Receive
from mstbucket.gateway.wire.request import Request, parse_headers, parse_query
from mstbucket.gateway.work import Worker, failed
from mstbucket.limits import BODY_SECONDS, MIB, REQUESTS_IN_FLIGHT_MAX

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Scope = MutableMapping[str, Any]

EARLY_SECONDS: Final = 10.0  # then an answer begins that may begin early; most clients wait for 60
_LEFT_MAX: Final = MIB  # bytes; a shorter body that nobody read is dropped, and the connection lives on


class Gateway:
    """The application.

    Args:
        open_worker: opens the store; called when the process starts to serve.
        close: closes it again.
    """

    def __init__(self, open_worker: Callable[[], Worker], close: Callable[[], None]) -> None:
        self._open_worker = open_worker
        self._close = close
        self._worker: Worker | None = None
        self._in_flight = 0
        self._pool = ThreadPoolExecutor(REQUESTS_IN_FLIGHT_MAX, thread_name_prefix="request")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's request, or the beginning and end of the process."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        started = time.perf_counter()
        request_id = secrets.token_hex(8).upper()
        client = scope["client"][0] if scope.get("client") else ""
        entry = Entry(request_id, client, scope["method"])
        self._in_flight += 1
        try:
            await self._serve(scope, receive, send, entry)
        except ClientGone:
            entry.status = entry.status or 499
            entry.error = "ClientGone"
        except Exception as error:  # an answer that has begun is cut off, so that nobody takes it for whole
            _, entry.error, _, _ = refusal(error)
            entry.detail = "".join(format_exception(error))
        finally:
            self._in_flight -= 1
            entry.seconds = time.perf_counter() - started
            observe(entry)
            log.write(entry)

    async def _live(self, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    self._worker = await loop.run_in_executor(self._pool, self._open_worker)
                except MstBucketError as error:
                    await send({"type": "lifespan.startup.failed", "message": f"{error} [{error.code}]"})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                await loop.run_in_executor(self._pool, self._close)
                self._pool.shutdown(wait=False)
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _serve(self, scope: Scope, receive: Receive, send: Send, entry: Entry) -> None:
        loop = asyncio.get_running_loop()
        request, error = _request(scope, entry)
        said = request.headers.get("content-length")
        length = int(said) if said is not None else None if "transfer-encoding" in request.headers else 0
        awaited = request.headers.get("expect", "").lower() == "100-continue"
        arriving = ArrivingBody(loop, receive, length, awaited)
        resource = request.path.decode("latin-1")
        if error is None and self._in_flight > REQUESTS_IN_FLIGHT_MAX:  # [GW-26]
            error = Refused("SlowDown", "Please reduce your request rate.")
        if error is not None:
            await self._give(failed(request, error, entry, resource), request, arriving, send, entry)
            return
        await arriving.collect()
        assert self._worker is not None
        early = threading.Event() if request.method == "POST" and "uploadId" in request.query else None
        doing = loop.run_in_executor(self._pool, self._worker.answer, request, arriving, entry, early)
        if early is not None:
            await asyncio.wait([doing], timeout=EARLY_SECONDS)
            if not doing.done() and early.is_set():
                date = await loop.run_in_executor(self._pool, self._worker.date)
                await self._give_early(doing, request, date, send, entry)
                return
        await self._give(await doing, request, arriving, send, entry)

    # --- answers ---------------------------------------------------------------------------------------------------------

    async def _give(
        self, answer: Answer, request: Request, arriving: ArrivingBody, send: Send, entry: Entry
    ) -> None:
        """Send the whole answer."""
        entry.status = answer.status
        entry.received = arriving.length or 0
        headers = raw_headers([*_about(request), *answer.headers])
        if answer.status not in (204, 304) and not answer.unbounded:
            headers.append((b"content-length", str(answer.size).encode()))
        if answer.close or _is_left_over(arriving):
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if isinstance(answer.body, bytes) or request.method == "HEAD":
            body = b"" if request.method == "HEAD" or not isinstance(answer.body, bytes) else answer.body
            entry.sent = len(body)
            await send({"type": "http.response.body", "body": body})
        else:
            await self._stream(answer.body, answer.size, arriving, send, entry)

    async def _stream(self, body: Stream, size: int, arriving: ArrivingBody, send: Send, entry: Entry) -> None:
        """Send a body as it is read: one chunk is read while the one before is sent ([GW-6])."""
        loop = asyncio.get_running_loop()
        chunks = iter(body)
        gone = asyncio.ensure_future(arriving.gone()) if size > MIB or size == 0 else None
        try:
            reading = loop.run_in_executor(self._pool, _next, chunks)
            while (chunk := await reading) is not None:
                if gone is not None and gone.done():
                    raise ClientGone
                reading = loop.run_in_executor(self._pool, _next, chunks)
                entry.sent += len(chunk)
                async with asyncio.timeout(BODY_SECONDS):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            raise ClientGone from None
        finally:
            if gone is not None:
                gone.cancel()
            with suppress(Exception):
                await reading
            body.close()

    async def _give_early(
        self, doing: asyncio.Future[Answer], request: Request, date: Headers, send: Send, entry: Entry
    ) -> None:
        """Send 200 and blanks until the answer is there. It may still be an error ([GW-23])."""
        headers = raw_headers([*_about(request), *date, ("Content-Type", "application/xml")])
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        entry.status = 200
        await send({"type": "http.response.body", "body": HEAD, "more_body": True})
        while not doing.done():
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await asyncio.wait([doing], timeout=EARLY_SECONDS)
        answer = doing.result()
        assert isinstance(answer.body, bytes)
        entry.sent = len(answer.body)
        await send({"type": "http.response.body", "body": answer.body.removeprefix(HEAD)})


def _next(chunks: Iterator[bytes]) -> bytes | None:
    return next(chunks, None)


def _about(request: Request) -> list[tuple[str, str]]:
    return [("x-amz-request-id", request.id), ("x-amz-id-2", request.id), ("Server", "mstbucket")]


def _is_left_over(arriving: ArrivingBody) -> bool:
    """Whether the connection has to end: nobody reads the body on its way, or nobody knows whether one comes."""
    if arriving.ended:
        return False
    return (arriving.awaited and not arriving.begun) or arriving.length is None or arriving.length > _LEFT_MAX


def _request(scope: Scope, entry: Entry) -> tuple[Request, Refused | None]:
    """The head of a request as far as it could be read, and what is wrong with it."""
    raw, query, headers, error = scope["raw_path"], {}, {}, None
    try:
        headers = parse_headers(scope["headers"])
        query = parse_query(scope["query_string"])
    except Refused as refused:
        error = refused
    tls = scope["scheme"] == "https"
    secure = tls or is_loopback(entry.client)
    return Request(entry.request, scope["method"], raw, query, headers, secure, entry.client, tls), error


def is_loopback(client: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False
