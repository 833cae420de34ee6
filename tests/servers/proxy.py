"""A proxy in front of a real HTTP service that loses answers, or gives some of its own, and counts what passes."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

PASS: Final = "pass"
LOSE_ANSWER: Final = "lose the answer"  # the service has done it; whoever asked does not learn of it
LOSE_REQUEST: Final = "lose the request"  # the connection ends before the service hears of it
CUT_ANSWER: Final = "cut the answer"  # in the middle of its body

#: What to do with a request, by its method, its path with the query, and its headers: one of the above, or an answer
#: (status, body) in place of the service's.
Rule = Callable[[str, str, Any], str | tuple[int, bytes]]
Answer = tuple[int, list[tuple[str, str]], bytes]
Amend = Callable[[str, str, Answer], Answer]


class Proxy:
    """Passes requests on to `endpoint`, as `rule` says. Thread-safe.

    Attributes:
        endpoint: where it listens.
        rule: what decides; may be replaced at any time.
        amend: changes what the service answered, by method, path with the query, and (status, headers, body).
        seen: (method, path with the query) of each request, also of those it lost.
    """

    def __init__(self, endpoint: str) -> None:
        self.seen: list[tuple[str, str]] = []
        self.rule: Rule = lambda *_: PASS
        self.amend: Amend = lambda _method, _path, answer: answer
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, urlsplit(endpoint).netloc))
        server.daemon_threads = True
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        self.endpoint = f"http://127.0.0.1:{server.server_address[1]}"

    def count(self, method: str, part: str = "") -> int:
        """How many requests of that method had `part` in their path or query."""
        return sum(seen == method and part in path for seen, path in self.seen)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def once(method: str, part: str, what: str | tuple[int, bytes], times: int = 1) -> Rule:
    """A rule for the first so many requests of a method with `part` in the path or query; others pass."""
    lock, left = threading.Lock(), [times]

    def rule(seen: str, path: str, _headers: Any) -> str | tuple[int, bytes]:
        with lock:
            if left[0] and seen == method and part in path:
                left[0] -= 1
                return what
        return PASS

    return rule


def refusal(status: int, code: str, **told: str) -> tuple[int, bytes]:
    """An answer in S3's own form."""
    more = "".join(f"<{name}>{value}</{name}>" for name, value in told.items())
    text = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>told by the proxy</Message>{more}</Error>'
    return status, text.encode()


def _handler(proxy: Proxy, target: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else every answer takes 40 ms

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (ConnectionError, TimeoutError):  # whoever asked has gone
                self.close_connection = True

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            proxy.seen.append((self.command, self.path))
            what = proxy.rule(self.command, self.path, self.headers)
            if what == LOSE_REQUEST:
                self.close_connection = True
                return
            if isinstance(what, tuple):
                self.reply(what[0], [("Content-Type", "application/xml")], what[1], len(what[1]))
                return
            status, headers, data = proxy.amend(self.command, self.path, self.forward(body))
            if what == LOSE_ANSWER:
                self.close_connection = True
                return
            length = int(dict(headers).get("Content-Length", len(data))) if self.command == "HEAD" else len(data)
            if what == CUT_ANSWER:
                data = data[: len(data) // 2]
                self.close_connection = True
            self.reply(status, headers, data, length)

        def forward(self, body: bytes) -> Answer:
            upstream = http.client.HTTPConnection(target, timeout=60)
            try:
                upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in ("connection", "expect"):
                        upstream.putheader(name, value)
                upstream.endheaders(body)
                answer = upstream.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            finally:
                upstream.close()

        def reply(self, status: int, headers: list[tuple[str, str]], data: bytes, length: int) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("content-length", "connection", "transfer-encoding", "keep-alive"):
                    self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

        def log_message(self, *_: object) -> None:
            return

    return Handler
