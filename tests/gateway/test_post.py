"""PostObject: forms as browsers send them, signed by boto3."""

from __future__ import annotations

import http.client
import json
import os
from typing import Any
from urllib.parse import urlencode

import pytest


def send(
    gateway: Any, bucket: str, fields: dict[str, str], body: bytes, filename: str = "a.bin", **headers: str
) -> tuple[int, Any, bytes]:
    mark = "----mark"
    parts = [f'--{mark}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode() for n, v in fields.items()]
    file = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\nContent-Type: x/y\r\n\r\n'
    whole = b"".join(parts) + file.encode() + body + f"\r\n--{mark}--\r\n".encode()
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    try:
        connection.request("POST", f"/{bucket}", whole,
                           {"Content-Type": f"multipart/form-data; boundary={mark}", **headers})  # fmt: skip
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@pytest.fixture
def form(gateway: Any, bucket_name: str) -> Any:
    """Makes the fields of a form that boto3 signed."""
    client = gateway.client(signature_version="s3v4")

    def make(key: str, fields: dict[str, str] | None = None, conditions: Any = ()) -> dict[str, str]:
        said = client.generate_presigned_post(bucket_name, key, Fields=dict(fields or {}), Conditions=list(conditions))
        return dict(said["fields"])

    yield make
    client.close()


@pytest.mark.parametrize("size", [0, 1, 65_535, 300_000, (1 << 20) + 7, 5_000_000])
def test_a_file_of_any_size_comes_by_a_form(gateway: Any, s3: Any, form: Any, bucket_name: str, size: int) -> None:
    """[GW-60]"""
    body = os.urandom(size) + b"\r\n----mar"
    given = {"Content-Type": "text/x", "x-amz-meta-a": "b", "success_action_status": "201"}
    conditions = [{"Content-Type": "text/x"}, ["starts-with", "$x-amz-meta-a", ""], {"success_action_status": "201"}]
    fields = form("dir/${filename}", given, conditions)
    status, headers, told = send(gateway, bucket_name, fields, body, "C:\\x\\n.bin")
    assert status == 201, told
    got = s3.get_object(Bucket=bucket_name, Key="dir/n.bin")
    assert got["Body"].read() == body
    assert (got["ContentType"], got["Metadata"], got["ETag"]) == ("text/x", {"a": "b"}, headers["etag"])


def test_a_form_is_refused_that_its_policy_does_not_cover(gateway: Any, s3: Any, form: Any, bucket_name: str) -> None:
    """[GW-61]"""
    good = form("k", conditions=[["content-length-range", 2, 5]])
    other = {**good, "policy": form("other")["policy"]}
    unsigned = {name: value for name, value in good.items() if name == "key"}
    no_mark = {name: value for name, value in good.items() if name != "x-amz-signature"}
    for fields, body, status, code in (
        (good, b"1", 400, b"EntityTooSmall"), (good, b"123456", 400, b"EntityTooLarge"),
        (good, b"1" * 2_000_000, 400, b"EntityTooLarge"),
        ({**good, "key": "other"}, b"123", 403, b"Condition failed"),
        ({**good, "x-amz-meta-a": "b"}, b"123", 403, b"Extra input fields: x-amz-meta-a"),
        (other, b"123", 403, b"SignatureDoesNotMatch"), (unsigned, b"123", 403, b"AccessDenied"),
        (no_mark, b"123", 400, b"x-amz-signature"),
        ({**good, "x-amz-credential": good["x-amz-credential"].replace("MST", "XXX")}, b"123", 403, b"InvalidAccessKeyId"),
        ({"x-ignore-a": "x" * 30_000, **good}, b"123", 400, b"MaxPostPreDataLengthExceeded"),
        ({"x-ignore-a": "x", **{n: v for n, v in good.items() if n != "key"}}, b"123", 400, b"named 'key'"),
    ):  # fmt: skip
        got, _, told = send(gateway, bucket_name, fields, body)
        assert (got, code in told) == (status, True), told
    assert s3.list_objects_v2(Bucket=bucket_name)["KeyCount"] == 0
    assert send(gateway, bucket_name, {"x-ignore-a": "x", **good}, b"123")[0] == 204


def test_a_form_is_never_a_conditional_put(gateway: Any, s3: Any, form: Any, bucket_name: str) -> None:
    """[GW-61] A header that it does not obey meets no condition of a policy."""
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket_name}/*",
            "Condition": {"Null": {"s3:if-none-match": "true"}}}  # fmt: skip
    s3.put_object(Bucket=bucket_name, Key="k", Body=b"before")
    s3.put_bucket_policy(Bucket=bucket_name, Policy=json.dumps({"Statement": deny}))
    assert send(gateway, bucket_name, form("k"), b"after", **{"If-None-Match": "*"})[0] == 403
    assert s3.get_object(Bucket=bucket_name, Key="k")["Body"].read() == b"before"


@pytest.mark.parametrize(
    ("field", "target", "joined"),
    [
        ("success_action_redirect", "https://a.example/done", "https://a.example/done?"),
        ("success_action_redirect", "https://a.example/done?x=1", "https://a.example/done?x=1&"),
        ("redirect", "http://a.example/", "http://a.example/?"),
        ("success_action_redirect", "javascript:alert(1)", ""),
        ("success_action_redirect", "//a.example/", ""),
        ("success_action_redirect", "", ""),
    ],
)
def test_a_browser_is_sent_where_the_form_says_or_told_nothing(
    gateway: Any, s3: Any, form: Any, bucket_name: str, field: str, target: str, joined: str
) -> None:
    """[GW-60] With bucket, key and ETag; never to what is no page."""
    given = {field: target, "success_action_status": "200"}
    fields = form("a b/\u00e9&=", given, [{name: value} for name, value in given.items()])
    status, headers, _ = send(gateway, bucket_name, fields, b"123")
    etag = s3.head_object(Bucket=bucket_name, Key="a b/\u00e9&=")["ETag"]
    if joined:
        query = urlencode({"bucket": bucket_name, "key": "a b/\u00e9&=", "etag": etag})
        assert (status, headers["location"]) == (303, joined + query)
    else:
        assert status == 200
        assert "example" not in headers["location"]


def test_a_form_sets_tags_or_is_refused(gateway: Any, s3: Any, form: Any, bucket_name: str) -> None:
    """[GW-60] [GW-43] As XML; what is no set of tags stores nothing, and so does a form that may not set any."""

    def tagged(tagging: str) -> tuple[int, bytes]:
        status, _, told = send(gateway, bucket_name, form("k", {"tagging": tagging}, [{"tagging": tagging}]), b"123")
        return status, told

    def tags(*pairs: tuple[str, str]) -> str:
        inside = "".join(f"<Tag><Key>{name}</Key><Value>{value}</Value></Tag>" for name, value in pairs)
        return f"<Tagging><TagSet>{inside}</TagSet></Tagging>"

    for wrong in ("a=b", "<Tagging>", tags(("a", "1"), ("a", "2")), tags(*((str(n), "x") for n in range(11))),
                  "<!DOCTYPE a><Tagging><TagSet/></Tagging>", tags(("k" * 129, "v"))):  # fmt: skip
        assert tagged(wrong)[0] == 400, wrong
    assert s3.list_objects_v2(Bucket=bucket_name)["KeyCount"] == 0
    assert tagged(tags(("a", "1 &amp; 2"), ("b", "")))[0] == 204
    found = s3.get_object_tagging(Bucket=bucket_name, Key="k")["TagSet"]
    assert found == [{"Key": "a", "Value": "1 & 2"}, {"Key": "b", "Value": ""}]
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObjectTagging", "Resource": f"arn:aws:s3:::{bucket_name}/*"}
    s3.put_bucket_policy(Bucket=bucket_name, Policy=json.dumps({"Statement": deny}))
    assert tagged(tags(("a", "3")))[0] == 403
    assert send(gateway, bucket_name, form("k"), b"1234")[0] == 204
