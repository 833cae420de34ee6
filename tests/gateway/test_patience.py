"""Time-outs: of a head that does not come to its end, of a body that stands still, of a client that does not read."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import uvicorn

from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.wire import body, protocol
from mstbucket.gateway.wire.body import ArrivingBody


def test_a_body_that_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """[GW-6]"""
    monkeypatch.setattr(body, "BODY_SECONDS", 0.05)

    async def never() -> Any:
        await asyncio.sleep(60)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        arriving = ArrivingBody(loop, never, 10, awaited=False)
        await arriving.collect()  # does not wait for it, and does not raise
        with pytest.raises(Refused) as caught:
            await loop.run_in_executor(None, arriving.read, 10)
        assert caught.value.code == "RequestTimeout"

    asyncio.run(run())


def test_a_head_that_does_not_come_to_its_end_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """[GW-25] Whether nothing was sent, or a part, or a part of a second request."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def run() -> None:
        config = uvicorn.Config(app, port=0, http=protocol.Protocol, lifespan="off", log_config=None, ws="none")
        server = uvicorn.Server(config)
        server.config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        port = server.servers[0].sockets[0].getsockname()[1]
        whole = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
        for data, answers in ((b"", 0), (b"GET / HT", 0), (whole, 1), (whole + b"GET /", 1)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            if data == whole:
                assert b"204" in await reader.readline()
                writer.close()
                continue
            assert (await asyncio.wait_for(reader.read(), 30)).count(b"204") == answers
            writer.close()
        await server.shutdown()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
