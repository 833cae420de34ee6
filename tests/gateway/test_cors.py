"""CORS: rules of buckets, by boto3, and what browsers ask and are told, by hand."""

from __future__ import annotations

import http.client
from typing import Any

import pytest
from botocore.exceptions import ClientError

RULES = [
    {"AllowedMethods": ["GET", "PUT"], "AllowedOrigins": ["https://*.example.com", "http://one"], "ID": "first",
     "AllowedHeaders": ["x-amz-*", "Content-Type"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 60},
    {"AllowedMethods": ["HEAD"], "AllowedOrigins": ["*"]},
]  # fmt: skip


def ask(gateway: Any, method: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_rules_are_put_read_and_removed(s3: Any, bucket_name: str) -> None:
    """[GW-50]"""
    of = {"Bucket": bucket_name}
    with pytest.raises(ClientError, match="NoSuchCORSConfiguration"):
        s3.get_bucket_cors(**of)
    s3.put_bucket_cors(**of, CORSConfiguration={"CORSRules": RULES})
    assert s3.get_bucket_cors(**of)["CORSRules"] == RULES
    for wrong in (
        {"AllowedMethods": ["PATCH"], "AllowedOrigins": ["*"]}, {"AllowedMethods": ["GET"], "AllowedOrigins": ["*.*"]},
        {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "ExposeHeaders": ["*"]},
        {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "AllowedHeaders": ["x-*-*"]},
        {"AllowedMethods": ["GET"], "AllowedOrigins": ["a\r\nb: c"]},
    ):  # fmt: skip
        with pytest.raises(ClientError, match="InvalidRequest"):
            s3.put_bucket_cors(**of, CORSConfiguration={"CORSRules": [wrong]})
    with pytest.raises(ClientError, match="InvalidArgument"):
        s3.put_bucket_cors(**of, CORSConfiguration={"CORSRules": [RULES[1]] * 101})
    assert s3.get_bucket_cors(**of)["CORSRules"] == RULES
    s3.delete_bucket_cors(**of)
    with pytest.raises(ClientError, match="NoSuchCORSConfiguration"):
        s3.get_bucket_cors(**of)


@pytest.mark.parametrize(
    ("origin", "method", "headers", "status"),
    [
        ("https://a.example.com", "PUT", "X-Amz-Date, content-type", 200),
        ("http://one", "GET", "", 200),
        ("https://example.com", "PUT", "", 403),
        ("https://a.example.com.evil", "PUT", "", 403),
        ("https://a.example.com", "DELETE", "", 403),
        ("https://a.example.com", "PUT", "x-other", 403),
        ("http://anywhere", "HEAD", "", 200),
        ("http://anywhere", "HEAD", "x-amz-date", 403),
    ],
)
def test_a_browser_is_told_beforehand_whether_a_page_may(
    gateway: Any, s3: Any, bucket_name: str, origin: str, method: str, headers: str, status: int
) -> None:
    """[GW-50] Without a signature, and without a right being given."""
    path = f"/{bucket_name}/k"
    said = {"Origin": origin, "Access_Control_Request_Method": method, "Access_Control_Request_Headers": headers}
    assert ask(gateway, "OPTIONS", path, **said)[0] == 403
    s3.put_bucket_cors(Bucket=bucket_name, CORSConfiguration={"CORSRules": RULES})
    got, told, body = ask(gateway, "OPTIONS", path, **said)
    assert got == status, body
    if status == 200:
        assert told["access-control-allow-origin"] == ("*" if method == "HEAD" else origin)
        assert method in told["access-control-allow-methods"]
        assert told.get("access-control-allow-headers", "") == headers.lower()
        assert "Origin" in told["vary"]
    else:
        assert "access-control-allow-origin" not in told
        assert b"<Code>AccessForbidden</Code>" in body
    assert ask(gateway, "OPTIONS", path, Access_Control_Request_Method="GET")[0] == 400
    assert ask(gateway, "OPTIONS", path, Origin=origin)[0] == 400


def test_an_answer_to_a_page_says_so_also_an_error(gateway: Any, s3: Any, bucket_name: str) -> None:
    """[GW-50]"""
    s3.put_object(Bucket=bucket_name, Key="k", Body=b"k")
    s3.put_bucket_cors(Bucket=bucket_name, CORSConfiguration={"CORSRules": RULES})
    client = gateway.client(signature_version="s3v4")
    url = client.generate_presigned_url("get_object", Params={"Bucket": bucket_name, "Key": "k"})
    client.close()
    path = url.removeprefix(gateway.endpoint)
    host = gateway.endpoint.partition("//")[2]
    for target, wanted in ((path, 200), (f"/{bucket_name}/k", 403)):
        status, told, _ = ask(gateway, "GET", target, Host=host, Origin="http://one")
        assert status == wanted
        assert told["access-control-allow-origin"] == "http://one"
        assert told["access-control-expose-headers"] == "ETag"
        assert told["access-control-allow-credentials"] == "true"
    assert "access-control-allow-origin" not in ask(gateway, "GET", path, Host=host, Origin="http://two")[1]
    assert "access-control-allow-origin" not in ask(gateway, "GET", path, Host=host)[1]
