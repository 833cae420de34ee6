"""Requests by chance: signed ones that ask for odd things, and bytes that are nearly a request. Never 500, never a hang.

`MSTBUCKET_FUZZ=1000000 python -m pytest tests/gateway/test_fuzz.py --timeout 0` sends as many of both, over several
connections at once; with another `MSTBUCKET_FUZZ_SEED`, other ones. A signed request follows the one before on its
connection where that was answered without an end: what is left of a body would be seen as the next request.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import quote

import pytest

from mstbucket.gateway.s3.route import KNOWN_HEADERS
from mstbucket.gateway.s3.table import OPERATIONS

ROUNDS = int(os.environ.get("MSTBUCKET_FUZZ", "700"))
SEED = int(os.environ.get("MSTBUCKET_FUZZ_SEED", "1"))
SHARD: Final = 1000  # requests that one seed gives
CONNECTIONS: Final = 8  # shards at a time

NAMES = sorted({need.partition("=")[0] for one in OPERATIONS for need in (*one.needs, *one.takes)} | {"x-id", "unheard"})
HEADERS = sorted((KNOWN_HEADERS - {"x-amz-date", "x-amz-content-sha256", "x-amz-user-agent"}) | {
    "range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "content-type", "content-md5",
    "content-encoding", "expires", "cache-control", "x-amz-meta-a", "x-amz-new", "x-amz-grant-read", "x-amz-copy-source",
    "x-mst-commit",
})  # fmt: skip
VALUES = [
    "", "0", "1", "2", "-1", "99999999999999999999", "abc", "null", "true", "COPY", "REPLACE", "STANDARD", "CRC32", "crc32c",
    "SHA256", "COMPOSITE", "FULL_OBJECT", "url", "/", "fuzz/a", "/fuzz/a?versionId=null", "fuzz/%FF", "bytes=0-1",
    "bytes=9-1", "bytes=0-4294967296", '"x"', "*", "Thu, 01 Jan 1970 00:00:00 GMT", "2040-01-01T00:00:00Z",
    "2040-01-01", "GOVERNANCE",
    "COMPLIANCE", "ON", "a=b&c=d", "a=b&a=c", "AAAAAA==", "NSRBwg==", "ETag,Checksum,ObjectParts", "ä",
    "\x7f", "x" * 300, "private", "AES256", "x-amz-checksum-crc32", "\u20ac\U0001f600",
]  # fmt: skip
TEXTS = ["", "1", "a", "null", "Enabled", "Suspended", "GOVERNANCE", "2040-01-01T00:00:00Z", "true", "ON", "-1", "9" * 19]
ELEMENTS = [
    "Delete", "Object", "Key", "VersionId", "Quiet", "ETag", "Tagging", "TagSet", "Tag", "Value", "VersioningConfiguration",
    "Status", "MfaDelete", "LifecycleConfiguration", "Rule", "ID", "Filter", "Prefix", "And", "Expiration", "Days", "Date",
    "ObjectLockConfiguration", "ObjectLockEnabled", "DefaultRetention", "Mode", "Years", "Retention", "RetainUntilDate",
    "LegalHold", "CompleteMultipartUpload", "Part", "PartNumber", "CreateBucketConfiguration", "LocationConstraint",
]  # fmt: skip


METHODS = ["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS"]


def xml(chance: random.Random, depth: int = 0) -> str:
    """A document of elements that there are, in an order that there is not."""
    name = chance.choice(ELEMENTS)
    few = chance.randrange(4) if depth < 4 else 0
    inside = "".join(xml(chance, depth + 1) for _ in range(few)) or chance.choice(TEXTS)
    return f"<{name}>{inside}</{name}>"


def body_of(chance: random.Random) -> bytes:
    kind = chance.randrange(4)
    if kind == 0:
        return b""
    if kind == 1:
        return chance.randbytes(chance.choice([1, 100, 100_000]))
    return xml(chance).encode()


def sharded(work: Callable[[random.Random, int], None], first: int) -> None:
    """Does *work* for ROUNDS requests in shards, each with a source of chance of its own; what fails in one fails."""
    sizes = [min(SHARD, ROUNDS - start) for start in range(0, ROUNDS, SHARD)]
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        done = [threads.submit(work, random.Random(f"{SEED}-{first}-{at}"), size) for at, size in enumerate(sizes)]
        try:
            for one in done:
                one.result()
        finally:
            threads.shutdown(cancel_futures=True)


class Line:
    """A connection that lives as long as the gateway lets it."""

    def __init__(self, wire: Any, gateway: Any) -> None:
        self._wire, self._gateway = wire, gateway
        self._open: Any = None

    def exchange(self, data: bytes, method: str) -> tuple[int, bytes]:
        """The answer. On a connection that has ended meanwhile the request goes over a new one."""
        while True:
            fresh = self._open is None
            if fresh:
                self._open = self._wire.Wire(self._gateway.port)
            try:
                self._open.send(data)
                status, headers, answer = self._open.answer(method)
            except (OSError, HTTPException):
                self.close()
                if fresh:
                    raise
                continue
            if headers.get("connection", "").lower() == "close":
                self.close()
            return status, answer

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


def exchange(wire: Any, gateway: Any, data: bytes, method: str) -> tuple[int, bytes]:
    with wire.Wire(gateway.port) as connection:
        connection.send(data)
        status, _, answer = connection.answer(method)
        return status, answer


def test_a_signed_request_for_odd_things_is_answered_and_never_500(gateway: Any, s3: Any, wire: Any) -> None:
    """[GW-5] [GW-22]"""
    s3.create_bucket(Bucket="fuzz", ObjectLockEnabledForBucket=True)
    upload = s3.create_multipart_upload(Bucket="fuzz", Key="a")["UploadId"]
    version = s3.put_object(Bucket="fuzz", Key="a", Body=b"abc")["VersionId"]
    values = [*VALUES, upload, version]

    def send(chance: random.Random, rounds: int) -> None:
        line = Line(wire, gateway)
        for number in range(rounds):
            one = chance.choice(OPERATIONS)
            method = one.method if chance.random() < 0.9 else chance.choice(METHODS)
            key = chance.choice(["a", "b", "%2F", "%00", "%C3%A9", "a" * 1025])
            path = {"service": "/", "bucket": "/fuzz", "object": f"/fuzz/{key}"}
            query = {need.partition("=")[0]: need.partition("=")[2] or chance.choice(values) for need in one.needs}
            names = [*one.takes, *chance.sample(NAMES, 1)] if chance.random() < 0.3 else list(one.takes)
            query |= {name: chance.choice(values) for name in names if chance.random() < 0.3}
            headers = {name: chance.choice(values) for name in chance.sample(HEADERS, chance.choice([0, 1, 2, 4]))}
            headers = {name: value.encode().decode("latin-1") for name, value in headers.items() if value.isprintable()}
            if one.header is not None:
                headers[one.header] = chance.choice(["/fuzz/a", f"/fuzz/a?versionId={version}", chance.choice(values[:20])])
            body = body_of(chance)
            target = path[one.scope]
            if query:
                target += "?" + "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in query.items())
            ascii_only = {name: value for name, value in headers.items() if value.isascii() and value == value.strip()}
            signed = wire.sign(gateway, method, target, ascii_only, body=body)
            data = wire.head(method, target, {**signed, "content-length": str(len(body))}) + body
            status, answer = line.exchange(data, method)
            assert status not in (500, 503), (number, data[:3000], answer, gateway.entries()[-3:])
            assert status != 403 or b"SignatureDoesNotMatch" not in answer, (number, data[:3000], answer)
        line.close()

    sharded(send, 1)
    s3.head_bucket(Bucket="fuzz")


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Bytes with a few of them changed, doubled, dropped or moved."""
    bytes_ = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5])):
        at = chance.randrange(len(bytes_))
        kind = chance.randrange(5)
        if kind == 0:
            bytes_[at] = chance.randrange(256)
        elif kind == 1:
            bytes_[at:at] = chance.choice([b"\r\n", b"\n", b"\0", b" ", b":", b"%", b"\xff", b"Content-Length: 5\r\n",
                                           b"Transfer-Encoding: chunked\r\n"])  # fmt: skip
        elif kind == 2:
            del bytes_[at : at + chance.randrange(1, 20)]
        elif kind == 3:
            bytes_[at:at] = bytes_[at : at + chance.randrange(1, 60)]
        else:
            lines = bytes(bytes_).split(b"\r\n")
            chance.shuffle(lines)
            bytes_ = bytearray(b"\r\n".join(lines))
        if not bytes_:
            return b"\r\n"
    return bytes(bytes_)


def test_bytes_that_are_nearly_a_request_are_answered_or_cut_off(gateway: Any, wire: Any) -> None:
    """[GW-25] And the gateway lives on."""
    body = b"<Delete><Object><Key>a</Key></Object></Delete>"

    def send(chance: random.Random, rounds: int) -> None:
        for number in range(rounds):
            method, target, body_ = chance.choice([("GET", "/fuzz/a?versionId=null", b""), ("PUT", "/fuzz/a", b"abc"),
                                                   ("POST", "/fuzz?delete=", body)])  # fmt: skip
            signed = wire.sign(gateway, method, target, {"x-amz-meta-a": "1"}, body=body_)
            data = mutated(wire.head(method, target, {**signed, "content-length": str(len(body_))}) + body_, chance)
            with wire.Wire(gateway.port) as connection:
                connection.send(data)
                connection.socket.shutdown(socket.SHUT_WR)
                pieces = []
                try:
                    while piece := connection.socket.recv(65_536):
                        pieces.append(piece)
                except ConnectionResetError:
                    pass
            got = b"".join(pieces)
            assert b" 500 " not in got.partition(b"\r\n")[0], (number, data, got)

    sharded(send, 2)
    assert exchange(wire, gateway, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET")[0] == 403


@pytest.mark.parametrize("path", [b"*", b"http://h/b/k", b"//b/k", b"/%", b"/%zz", b"/?%", b"/b?a=%FF", b"/" + b"a" * 3000])
def test_odd_targets_are_answered(gateway: Any, wire: Any, path: bytes) -> None:
    status, _ = exchange(wire, gateway, b"GET " + path + b" HTTP/1.1\r\nHost: h\r\n\r\n", "GET")
    assert status in (400, 403, 404, 501)
