"""Requests by hand, byte by byte: what no client sends."""

from __future__ import annotations

import hashlib
import hmac
import socket
from http.client import HTTPResponse
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

SECONDS = 30.0


class _Same:
    """A socket of which `HTTPResponse` makes the file that there is: a new one might hold bytes of the next answer."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.close = lambda: None

    def makefile(self, _mode: str) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Wire:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """The next answer on this connection."""
        response: Any = HTTPResponse(_Same(self.file), method=method)  # type: ignore[arg-type]
        response.begin()
        body = response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, body

    def line(self) -> bytes:
        """The next line."""
        return self.file.readline()

    def is_closed(self) -> bool:
        """Whether the other side has ended the connection."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def sign(gateway: Any, method: str, path: str, headers: dict[str, str] | None = None, payload: str | None = None,
         body: bytes = b"") -> dict[str, str]:  # fmt: skip
    """The headers of a request, with its signature."""
    host = gateway.endpoint.partition("//")[2]
    given = dict(headers or {})
    given["X-Amz-Content-SHA256"] = payload or hashlib.sha256(body).hexdigest()
    aws = AWSRequest(method=method, url=gateway.endpoint + path, headers=given, data=body)
    signer = S3SigV4Auth(Credentials(gateway.access_key, gateway.secret_key), "s3", "us-east-1")
    signer.payload = lambda _request: given["X-Amz-Content-SHA256"]
    signer.add_auth(aws)
    del aws.headers["X-Amz-Content-SHA256"]
    return {"host": host, "x-amz-content-sha256": given["X-Amz-Content-SHA256"], **dict(aws.headers.items())}


def head(method: str, path: str, headers: dict[str, str]) -> bytes:
    """The head of a request."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Chunks:
    """Signs the chunks of a body, as a client would; written from AWS's documentation."""

    def __init__(self, gateway: Any, headers: dict[str, str]) -> None:
        self._stamp = headers["X-Amz-Date"]
        day = self._stamp[:8]
        self._scope = f"{day}/us-east-1/s3/aws4_request"
        key = ("AWS4" + gateway.secret_key).encode()
        for part in (day, "us-east-1", "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        self._key = key
        self._before = headers["Authorization"].rpartition("Signature=")[2]

    def _sign(self, *lines: str) -> str:
        text = "\n".join(lines)
        self._before = hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
        return self._before

    def chunk(self, data: bytes) -> bytes:
        """One chunk; an empty one is the last."""
        empty, digest = hashlib.sha256(b"").hexdigest(), hashlib.sha256(data).hexdigest()
        mark = self._sign("AWS4-HMAC-SHA256-PAYLOAD", self._stamp, self._scope, self._before, empty, digest)
        framed = f"{len(data):x};chunk-signature={mark}\r\n".encode() + data
        return framed + b"\r\n" if data else framed

    def trailer(self, name: str, value: str) -> bytes:
        """What stands behind the last chunk."""
        digest = hashlib.sha256(f"{name}:{value}\n".encode()).hexdigest()
        mark = self._sign("AWS4-HMAC-SHA256-TRAILER", self._stamp, self._scope, self._before, digest)
        return f"{name}:{value}\r\nx-amz-trailer-signature:{mark}\r\n\r\n".encode()
