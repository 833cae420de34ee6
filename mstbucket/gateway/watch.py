"""A second address, for monitors of the gateway: `/-/live`, `/-/ready`, `/-/metrics` ([GW-27])."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mstbucket import Store
from mstbucket.errors import MstBucketError
from mstbucket.gateway import metrics

Page = tuple[int, str, bytes]
_TEXT = "text/plain; charset=utf-8"


def start(host: str, port: int, store: Store, directory: str) -> ThreadingHTTPServer:
    """Begin to answer, on threads that end with the process."""
    pages: dict[str, Callable[[], Page]] = {
        "/-/live": lambda: (200, _TEXT, b"alive\n"),
        "/-/ready": lambda: _ready(store),
        "/-/metrics": lambda: (200, "text/plain; version=0.0.4; charset=utf-8", metrics.page(store, directory)),
    }

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            page = pages.get(self.path)
            try:
                status, kind, body = (404, _TEXT, b"not found\n") if page is None else page()
            except MstBucketError as error:
                status, kind, body = 503, _TEXT, f"{error.code}\n".encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Write nothing: monitors ask often."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="watch", daemon=True).start()
    return server


def _ready(store: Store) -> Page:
    """Ask both the database and the blobs."""
    store.ping()
    return 200, _TEXT, b"ready\n"
