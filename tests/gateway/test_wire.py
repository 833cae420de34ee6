"""Bytes on the wire: limits, framing, chunks, `Expect`, clients that go away; with a real gateway."""

from __future__ import annotations

import importlib.util
import os
import time
import zlib
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mstbucket.limits import HEADERS_MAX, HEADERS_SIZE_MAX, REQUEST_LINE_MAX, REQUESTS_IN_FLIGHT_MAX, XML_MAX
from tests.waiting import until

# `wire.py` beside this file, which is no package.
_found = importlib.util.spec_from_file_location("gateway_wire", Path(__file__).with_name("wire.py"))
assert _found is not None
assert _found.loader is not None
_wire = importlib.util.module_from_spec(_found)
_found.loader.exec_module(_wire)
Wire, head, sign, Chunks = _wire.Wire, _wire.head, _wire.sign, _wire.Chunks

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def crc32(data: bytes) -> str:
    return b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def exchange(gateway: Any, data: bytes, method: str = "PUT") -> tuple[int, dict[str, str], bytes]:
    """Send bytes on a connection of their own; the first answer."""
    with Wire(gateway.port) as connection:
        connection.send(data)
        answer: tuple[int, dict[str, str], bytes] = connection.answer(method)
        return answer


# --- heads that are refused -------------------------------------------------------------------------------------------

PUT = b"PUT /b/k HTTP/1.1\r\nHost: h\r\n"
BAD_HEADS: dict[str, bytes] = {
    "a length and an encoding": PUT + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
    "an encoding and a length": PUT + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
    "two lengths": PUT + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "the same length twice": PUT + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a length with a sign": PUT + b"Content-Length: +3\r\n\r\nabc",
    "a length that is none": PUT + b"Content-Length: x\r\n\r\nabc",
    "a length beyond all numbers": PUT + b"Content-Length: " + b"9" * 30 + b"\r\n\r\nabc",
    "a folded header": b"GET /b/k HTTP/1.1\r\nHost: h\r\nX-A: b\r\n c\r\n\r\n",
    "bare line feeds": b"GET /b/k HTTP/1.1\nHost: h\n\n",
    "a bare line feed behind a header": b"GET /b/k HTTP/1.1\r\nHost: h\nX-A: b\r\n\r\n",
    "a space before a colon": b"GET /b/k HTTP/1.1\r\nHost : h\r\n\r\n",
    "an encoding that is not chunked": PUT + b"Transfer-Encoding: gzip, x\r\n\r\nabc",
    "a NUL in a header": b"GET /b/k HTTP/1.1\r\nHost: h\r\nX-A: \0\r\n\r\n",
    "no method": b" /b/k HTTP/1.1\r\nHost: h\r\n\r\n",
    "another protocol": b"GET /b/k SMTP/1.1\r\nHost: h\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50),
    "a request line that is too long": b"GET /" + b"k" * REQUEST_LINE_MAX + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    "too many headers": b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(HEADERS_MAX + 1)) + b"\r\n",
    "headers that are too large": b"GET / HTTP/1.1\r\n" + b"".join(
        b"X-%d: %b\r\n" % (n, b"y" * 8000) for n in range(HEADERS_SIZE_MAX // 8000 + 1)) + b"\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_HEADS)
def test_a_head_that_is_none_is_400_and_the_connection_ends(gateway: Any, name: str) -> None:
    """[GW-25] Nobody knows where the next request would begin."""
    with Wire(gateway.port) as connection:
        connection.send(BAD_HEADS[name] + b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
        status, headers, body = connection.answer()
        assert status == 400
        assert headers["connection"] == "close"
        assert b"<Code>BadRequest</Code>" in body
        assert headers["x-amz-request-id"]
        assert connection.is_closed()


def test_a_header_without_an_end_is_cut_off(gateway: Any) -> None:
    """[GW-25] The parser holds it back, and not more than a head may have."""
    with Wire(gateway.port) as connection:
        connection.send(b"GET / HTTP/1.1\r\nX-A: ")
        with pytest.raises((ConnectionError, BrokenPipeError)):  # noqa: PT012
            for _ in range(100):
                connection.send(b"a" * 65_536)
                time.sleep(0.01)


def test_at_the_limits_a_request_is_taken(gateway: Any) -> None:
    """[GW-25]"""
    filler = {f"x-{n}": "y" * 600 for n in range(HEADERS_MAX - 2)}
    status, _, _ = exchange(gateway, head("GET", "/b/" + "k" * 1024, {"host": "h", **filler}), "GET")
    assert status == 403


def test_two_requests_in_one_piece_are_two(gateway: Any) -> None:
    """[GW-25] Each is answered, in order; what is in a body is no request."""
    with Wire(gateway.port) as connection:
        inner = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
        first = head("PUT", "/b/k", {"host": "h", "content-length": str(len(inner))}) + inner
        connection.send(first + head("GET", "/b/second", {"host": "h"}))
        for resource in (b"/b/k", b"/b/second"):
            status, _, body = connection.answer()
            assert status == 403
            assert b"<Resource>" + resource + b"</Resource>" in body
        connection.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.file.read(1)


def test_a_request_without_a_host_or_with_two_is_refused(gateway: Any) -> None:
    assert exchange(gateway, b"GET / HTTP/1.1\r\n\r\n", "GET")[0] == 400
    assert exchange(gateway, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET")[0] == 400


def test_a_path_that_is_not_utf_8_is_refused(gateway: Any) -> None:
    status, _, body = exchange(gateway, b"GET /b/%FF HTTP/1.1\r\nHost: h\r\n\r\n", "GET")
    assert (status, b"<Code>InvalidURI</Code>" in body) == (400, True)


# --- expect -----------------------------------------------------------------------------------------------------------


def test_expect_is_answered_after_every_check_that_needs_no_body(gateway: Any, bucket_name: str) -> None:
    """[GW-7] Who may not, or names nothing that is, never sends the body."""
    body = b"x" * 100_000
    expect = {"content-length": str(len(body)), "expect": "100-continue"}
    unsigned = head("PUT", f"/{bucket_name}/k", {"host": "h", **expect})
    nowhere = head("PUT", "/no-such-bucket/k", {**sign(gateway, "PUT", "/no-such-bucket/k", body=body), **expect})
    odd = {"x-amz-storage-class": "GLACIER"}
    not_offered = head("PUT", f"/{bucket_name}/k", {**sign(gateway, "PUT", f"/{bucket_name}/k", odd, body=body), **expect})
    unsigned_body = sign(gateway, "PUT", f"/{bucket_name}/k", payload="UNSIGNED-PAYLOAD")
    huge = {**unsigned_body, **expect, "content-length": str(1 << 50)}
    too_large = head("PUT", f"/{bucket_name}/k", huge)
    for data, status in ((unsigned, 403), (nowhere, 404), (not_offered, 501), (too_large, 400)):
        with Wire(gateway.port) as connection:
            connection.send(data)
            got, headers, _ = connection.answer()
            assert (got, headers["connection"]) == (status, "close")
    with Wire(gateway.port) as connection:
        connection.send(head("PUT", f"/{bucket_name}/k", {**sign(gateway, "PUT", f"/{bucket_name}/k", body=body), **expect}))
        assert connection.line() == b"HTTP/1.1 100 Continue\r\n"
        assert connection.line() == b"\r\n"
        connection.send(body)
        assert connection.answer("PUT")[0] == 200


# --- bodies -----------------------------------------------------------------------------------------------------------


def put_chunked(
    gateway: Any, path: str, body: bytes, payload: str = SIGNED, size: int = 70_000, trailer: str | None = None,
    length: int | None = None, spoil: Callable[[bytes], bytes] | None = None, **extra: str,
) -> tuple[int, bytes]:  # fmt: skip
    """Put a body in chunks; `spoil` changes the bytes on their way."""
    said = {"x-amz-decoded-content-length": str(len(body) if length is None else length),
            "content-encoding": "aws-chunked", **extra}  # fmt: skip
    if trailer is not None:
        said["x-amz-trailer"] = "x-amz-checksum-crc32"
    headers = sign(gateway, "PUT", path, said, payload)
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    if payload == UNSIGNED_TRAILER:
        framed = b"".join(f"{len(p):x}\r\n".encode() + p + b"\r\n" for p in pieces) + b"0\r\n"
        framed += f"x-amz-checksum-crc32:{trailer}\r\n\r\n".encode() if trailer is not None else b"\r\n"
    else:
        chunks = Chunks(gateway, headers)
        framed = b"".join(chunks.chunk(p) for p in pieces) + chunks.chunk(b"")
        framed += chunks.trailer("x-amz-checksum-crc32", trailer) if trailer is not None else b"\r\n"
    framed = framed if spoil is None else spoil(framed)
    status, _, answer = exchange(gateway, head("PUT", path, {**headers, "content-length": str(len(framed))}) + framed)
    return status, answer


@pytest.mark.parametrize("size", [0, 1, 69_999, 70_000, 70_001, 3_000_000])
@pytest.mark.parametrize("payload", [SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER])
def test_a_body_in_chunks_is_what_is_in_the_chunks(
    gateway: Any, s3: Any, bucket_name: str, payload: str, size: int
) -> None:
    """[GW-8] The framing is no part of the object, nor is `aws-chunked` of its encoding."""
    body = os.urandom(size)
    trailer = None if payload == SIGNED else crc32(body)
    assert put_chunked(gateway, f"/{bucket_name}/k", body, payload, trailer=trailer)[0] == 200
    got = s3.get_object(Bucket=bucket_name, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == body
    assert "ContentEncoding" not in got
    assert got.get("ChecksumCRC32") == trailer


def test_another_encoding_beside_aws_chunked_is_kept(gateway: Any, s3: Any, bucket_name: str) -> None:
    extra = {"content-encoding": "aws-chunked,gzip"}
    assert put_chunked(gateway, f"/{bucket_name}/k", b"abc", **extra)[0] == 200
    assert s3.head_object(Bucket=bucket_name, Key="k")["ContentEncoding"] == "gzip"


SPOILED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "a byte of the body": ("SignatureDoesNotMatch", lambda b: b[:200] + bytes([b[200] ^ 1]) + b[201:]),
    "a signature": ("SignatureDoesNotMatch", lambda b: b.replace(b"signature=", b"signature=0", 1)[:90] + b[89:]),
    "the size of a chunk": ("IncompleteBody", lambda b: b"1" + b),
    "a chunk without a signature": ("IncompleteBody", lambda b: b[: b.index(b";")] + b[b.index(b"\r\n") :]),
    "the end": ("IncompleteBody", lambda b: b[:-2]),
    "more behind the end": ("IncompleteBody", lambda b: b + b"x"),
    "no last chunk": ("IncompleteBody", lambda b: b[: b.rindex(b"\r\n0;") + 2]),
    "a size that is none": ("IncompleteBody", lambda b: b"zz" + b),
    "a line without an end": ("IncompleteBody", lambda b: b.replace(b"\r\n", b"", 1)),
}


@pytest.mark.parametrize("name", SPOILED)
@pytest.mark.parametrize("size", [1000, 2_000_000])
def test_a_body_in_signed_chunks_that_was_changed_is_not_stored(
    gateway: Any, s3: Any, bucket_name: str, name: str, size: int
) -> None:
    """[GW-8] The key has what it had."""
    s3.put_object(Bucket=bucket_name, Key="k", Body=b"before")
    code, spoil = SPOILED[name]
    status, answer = put_chunked(gateway, f"/{bucket_name}/k", os.urandom(size), spoil=spoil)
    assert status in (400, 403), answer
    assert b"<Code>" in answer
    assert code.encode() in answer or name in ("a signature", "a line without an end", "the size of a chunk"), answer
    assert s3.get_object(Bucket=bucket_name, Key="k")["Body"].read() == b"before"


@pytest.mark.parametrize("size", [1000, 2_000_000])
@pytest.mark.parametrize("payload", [SIGNED_TRAILER, UNSIGNED_TRAILER])
def test_a_trailer_is_compared_with_what_came(gateway: Any, s3: Any, bucket_name: str, payload: str, size: int) -> None:
    """[GW-9] The object appears only after everything matched."""
    body = os.urandom(size)
    status, answer = put_chunked(gateway, f"/{bucket_name}/k", body, payload, trailer=crc32(b"another"))
    assert (status, b"<Code>BadDigest</Code>" in answer) == (400, True)
    status, answer = put_chunked(
        gateway, f"/{bucket_name}/k", body, payload, trailer=crc32(body), spoil=lambda b: b.replace(b"crc32:", b"crc32c:")
    )
    assert (status, b"<Code>MalformedTrailerError</Code>" in answer) == (400, True)
    status, _ = put_chunked(gateway, f"/{bucket_name}/k", body, payload, trailer=crc32(body), length=size + 1)
    assert status == 400
    status, _ = put_chunked(gateway, f"/{bucket_name}/k", body, payload, trailer=crc32(body), length=size - 1)
    assert status == 400
    assert s3.list_objects_v2(Bucket=bucket_name)["KeyCount"] == 0


def test_a_trailer_that_is_signed_wrongly_is_refused(gateway: Any, s3: Any, bucket_name: str) -> None:
    status, answer = put_chunked(
        gateway, f"/{bucket_name}/k", b"abc", SIGNED_TRAILER, trailer=crc32(b"abc"),
        spoil=lambda b: b[:-6] + (b"00" if b[-6:-4] != b"00" else b"11") + b[-4:],
    )  # fmt: skip
    assert (status, b"SignatureDoesNotMatch" in answer) == (403, True)
    assert s3.list_objects_v2(Bucket=bucket_name)["KeyCount"] == 0


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_a_body_is_what_its_signed_hash_says(gateway: Any, s3: Any, bucket_name: str, size: int) -> None:
    """[GW-9]"""
    path, body = f"/{bucket_name}/k", os.urandom(size)
    headers = {**sign(gateway, "PUT", path, body=body), "content-length": str(size)}
    status, _, answer = exchange(gateway, head("PUT", path, headers) + body[:-1] + bytes([body[-1] ^ 1]))
    assert (status, b"XAmzContentSHA256Mismatch" in answer) == (400, True)
    assert s3.list_objects_v2(Bucket=bucket_name)["KeyCount"] == 0
    assert exchange(gateway, head("PUT", path, headers) + body)[0] == 200


def test_a_body_without_a_length_is_refused(gateway: Any, bucket_name: str) -> None:
    path = f"/{bucket_name}/k"
    status, _, answer = exchange(gateway, head("PUT", path, sign(gateway, "PUT", path)))
    assert (status, b"MissingContentLength" in answer) == (411, True)
    headers = {**sign(gateway, "PUT", path, payload="UNSIGNED-PAYLOAD"), "transfer-encoding": "chunked"}
    status, _, answer = exchange(gateway, head("PUT", path, headers) + b"3\r\nabc\r\n0\r\n\r\n")
    assert (status, b"NotImplemented" in answer) == (501, True)


def test_xml_that_is_too_large_or_declares_things_is_refused(gateway: Any, bucket_name: str) -> None:
    """[GW-4]"""
    path = f"/{bucket_name}?delete="
    bomb = b'<!DOCTYPE a [<!ENTITY b "cccccccc">]><Delete><Object><Key>&b;</Key></Object></Delete>'
    outside = b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><Delete/>'
    large = b"<Delete>" + b" " * XML_MAX + b"</Delete>"
    for body, code in [(bomb, b"MalformedXML"), (outside, b"MalformedXML"), (large, b"MaxMessageLengthExceeded"),
                       (b"<Delete><Unknown/></Delete>", b"MalformedXML"), (b"no xml", b"MalformedXML"),
                       (b"<Delete></Delete>", b"MalformedXML"), (b"<Other/>", b"MalformedXML")]:  # fmt: skip
        said = {"x-amz-checksum-crc32": crc32(body)}
        headers = {**sign(gateway, "POST", path, said, body=body), "content-length": str(len(body))}
        status, _, answer = exchange(gateway, head("POST", path, headers) + body, "POST")
        assert (status, code in answer) == (400, True), (body[:50], answer)


# --- clients that go, and too many of them ----------------------------------------------------------------------------


def test_a_client_that_goes_away_ends_its_work_and_leaves_nothing(gateway: Any, s3: Any, bucket_name: str) -> None:
    """[GW-6] In the middle of an upload, and of a download."""
    path, body = f"/{bucket_name}/gone", os.urandom(4_000_000)
    headers = {**sign(gateway, "PUT", path, body=body), "content-length": str(len(body))}
    with Wire(gateway.port) as connection:
        connection.send(head("PUT", path, headers) + body[:3_000_000])
    until(lambda: any(e["key"] == "gone" and e.get("error") == "ClientGone" for e in gateway.entries()))
    assert s3.list_objects_v2(Bucket=bucket_name)["KeyCount"] == 0
    s3.put_object(Bucket=bucket_name, Key="large", Body=os.urandom(40_000_000))
    with Wire(gateway.port) as connection:
        connection.send(head("GET", f"/{bucket_name}/large", sign(gateway, "GET", f"/{bucket_name}/large")))
        assert connection.line() == b"HTTP/1.1 200 OK\r\n"
    until(lambda: any(e["key"] == "large" and e.get("error") == "ClientGone" for e in gateway.entries()))


@pytest.mark.parametrize("said", [{"expect": "100-continue", "content-length": "5"}, {"content-length": "500000"}])
def test_a_download_is_whole_though_nobody_reads_the_body_of_its_request(
    gateway: Any, s3: Any, bucket_name: str, said: dict[str, str]
) -> None:
    """[GW-6] That a body has not come does not mean that its client has gone."""
    body, path = os.urandom(5_000_000), f"/{bucket_name}/k"
    s3.put_object(Bucket=bucket_name, Key="k", Body=body)
    headers = {**sign(gateway, "GET", path, payload="UNSIGNED-PAYLOAD"), **said}
    status, _, answer = exchange(gateway, head("GET", path, headers), "GET")
    assert (status, answer) == (200, body)


def test_above_the_bound_of_requests_in_flight_one_is_told_to_slow_down(gateway: Any, bucket_name: str) -> None:
    """[GW-26] At once, and no queue grows; afterwards everything goes on."""
    path = f"/{bucket_name}/slow"
    held = []
    try:
        for _ in range(REQUESTS_IN_FLIGHT_MAX):
            connection = Wire(gateway.port)
            held.append(connection)
            headers = {**sign(gateway, "PUT", path, body=b"x" * 1_000_000), "content-length": "1000000"}
            connection.send(head("PUT", path, headers) + b"x")
        answers = []

        def refused() -> bool:
            answers.append(exchange(gateway, head("GET", path, sign(gateway, "GET", path)), "GET"))
            return answers[-1][0] == 503

        until(refused)
        status, headers, body = answers[-1]
        assert (status, b"<Code>SlowDown</Code>" in body, headers["retry-after"]) == (503, True, "1")
    finally:
        for connection in held:
            connection.close()
    until(lambda: exchange(gateway, head("GET", path, sign(gateway, "GET", path)), "GET")[0] == 404)


def test_who_is_not_believed_holds_no_place(gateway: Any) -> None:
    """[GW-26] The answer comes before the body."""
    with Wire(gateway.port) as connection:
        connection.send(head("PUT", "/b/k", {"host": "h", "content-length": "1000"}) + b"x")
        assert connection.answer("PUT")[0] == 403


def test_the_log_has_every_request_and_no_secret(gateway: Any, s3: Any, bucket_name: str) -> None:
    """[GW-29]"""
    answer = s3.list_objects_v2(Bucket=bucket_name, Prefix="some-prefix")
    request = answer["ResponseMetadata"]["RequestId"]
    until(lambda: any(entry["request"] == request for entry in gateway.entries()))
    [entry] = [entry for entry in gateway.entries() if entry["request"] == request]
    assert (entry["operation"], entry["bucket"], entry["status"]) == ("ListObjectsV2", bucket_name, 200)
    assert entry["access_key"] == gateway.access_key
    text = gateway.log.read_text()
    assert gateway.secret_key not in text
    assert "Signature=" not in text
