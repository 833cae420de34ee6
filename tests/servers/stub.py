"""A service that answers what a test tells it to, byte for byte: for answers that no real one gives on demand.

It knows objects as raw header lines and a body, keeps what is put as it came, and lists in key order.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

DATE = "Sat, 21 Nov 2026 09:00:00 GMT"
Headers = list[tuple[str, bytes]]


class Stub:
    """One bucket.

    Attributes:
        endpoint: its URL.
        objects: by key: the headers to answer with, and the body. `Content-Length`, `ETag` and `Last-Modified` are added
            unless they are among the headers; one whose value is b"-" is left out.
        sent: by key: the headers of every request that put one, as they came.
        requests: how many there were.
        answers: by method and first word of the query ("GET list-type"): whole bodies to give in place of the answer.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.forget()

    def forget(self) -> None:
        """Be as new."""
        self.objects: dict[str, tuple[Headers, bytes]] = {}
        self.sent: dict[str, dict[str, str]] = {}
        self.requests = 0
        self.answers: dict[str, tuple[int, bytes]] = {}

    def listing(self) -> bytes:
        items = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-11-21T09:00:00.000Z</LastModified>"
            f"<ETag>&quot;{hashlib.md5(body).hexdigest()}&quot;</ETag><Size>{len(body)}</Size></Contents>"
            for key, (_, body) in sorted(self.objects.items())
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{items}</ListBucketResult>".encode()


@contextmanager
def stub() -> Iterator[Stub]:
    """A running one, on a free port of this machine's own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._answer()

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

        def _answer(self) -> None:
            service.requests += 1
            parts = urlsplit(self.path)
            _, _, key = unquote(parts.path)[1:].partition("/")
            word = next(iter(parse_qs(parts.query, keep_blank_values=True)), "")
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if f"{self.command} {word}".strip() in service.answers:
                self._say(*service.answers[f"{self.command} {word}".strip()])
            elif self.command == "PUT":
                service.sent[key] = {name.lower(): value for name, value in self.headers.items()}
                service.objects[key] = ([], body)
                self._say(200, b"", [("ETag", f'"{hashlib.md5(body).hexdigest()}"'.encode())])
            elif key == "":
                self._say(200, service.listing())
            elif key in service.objects:
                headers, body = service.objects[key]
                self._say(200, body, headers)
            else:
                self._say(404, b"<Error><Code>NoSuchKey</Code></Error>")

        def _say(self, status: int, body: bytes, headers: Headers = []) -> None:  # noqa: B006 - never changed
            added = {
                "ETag": f'"{hashlib.md5(body).hexdigest()}"'.encode(), "Last-Modified": DATE.encode(), "Date": DATE.encode(),
                "Content-Length": b"%d" % len(body), "Connection": b"close",
            }  # fmt: skip
            given = {name.lower() for name, _ in headers}
            lines = [*headers, *((name, value) for name, value in added.items() if name.lower() not in given)]
            head = b"".join(name.encode() + b": " + value + b"\r\n" for name, value in lines if value != b"-")
            self.wfile.write(b"HTTP/1.1 %d Odd\r\n" % status + head + b"\r\n")
            if self.command != "HEAD":
                self.wfile.write(body)
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service = Stub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.005,))
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
