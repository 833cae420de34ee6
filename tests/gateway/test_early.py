"""An answer that begins before it is done: the application itself, whose handler takes its time."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from botocore.parsers import create_parser
from botocore.session import Session

from mstbucket.gateway import app
from mstbucket.gateway.app import Gateway
from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.s3.xml_out import document, element
from mstbucket.gateway.wire.answer import Answer, Headers
from mstbucket.gateway.work import Worker, failed


class Slow(Worker):
    """Answers a completion after `go_on`."""

    def __init__(self, error: Refused | None) -> None:
        self.go_on = threading.Event()
        self._error = error

    def answer(self, request: Any, arriving: Any, entry: Any, early: threading.Event | None = None) -> Answer:
        assert early is not None
        early.set()
        assert self.go_on.wait(60)
        if self._error is not None:
            return failed(request, self._error, entry, "/b/k")
        return Answer(200, [], document("CompleteMultipartUploadResult", element("ETag", '"x"')))

    def date(self) -> Headers:
        return [("Date", "Thu, 01 Jan 1970 00:00:00 GMT")]


@pytest.mark.parametrize("error", [None, Refused("InvalidArgument", "no")])
def test_a_completion_that_takes_long_begins_with_200_and_blanks(
    monkeypatch: pytest.MonkeyPatch, error: Refused | None
) -> None:
    """[GW-23] What comes then is the result, or an error, which boto3 finds in it."""
    monkeypatch.setattr(app, "EARLY_SECONDS", 0.05)
    worker = Slow(error)
    gateway = Gateway(lambda: worker, lambda: None)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) == 5:
            worker.go_on.set()

    async def run() -> None:
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def lifespan() -> Any:
            return next(messages)

        async def ignore(_message: Any) -> None:
            if _message["type"] == "lifespan.startup.complete":
                scope = {
                    "type": "http", "method": "POST", "raw_path": b"/b/k", "query_string": b"uploadId=x",
                    "headers": [(b"host", b"h")], "scheme": "http", "client": ("127.0.0.1", 1),
                }  # fmt: skip
                await gateway(scope, receive, send)

        await gateway({"type": "lifespan"}, lifespan, ignore)

    asyncio.run(run())
    assert sent[0]["status"] == 200
    assert (b"date", b"Thu, 01 Jan 1970 00:00:00 GMT") in sent[0]["headers"]  # [GW-14]
    body = b"".join(message["body"] for message in sent[1:])
    assert body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n  ')
    shape = Session().get_service_model("s3").operation_model("CompleteMultipartUpload").output_shape
    if error is None:
        parsed = create_parser("rest-xml").parse({"status_code": 200, "headers": {}, "body": body}, shape)
        assert parsed["ETag"] == '"x"'
    else:
        assert b"<Error><Code>InvalidArgument</Code>" in body
