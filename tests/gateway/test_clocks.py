"""Gateways whose own clocks are wrong: signatures, presigned URLs, forms and `Date` go by the database's ([GW-14])."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

DAY = 86_400
NEAR = timedelta(minutes=5)  # a slow machine; CLOCK_SKEW_SECONDS and a day are far above

# Read by every interpreter that finds it on its path: the one that watches, and those that answer.
OFF = """
import os, time, datetime
off = float(os.environ["CLOCK_OFF"])
real, real_ns = time.time, time.time_ns
time.time = lambda: real() + off
time.time_ns = lambda: real_ns() + int(off * 1e9)
class Off(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(real() + off, tz)
    @classmethod
    def utcnow(cls):
        return cls.now(datetime.timezone.utc).replace(tzinfo=None)
datetime.datetime = Off
"""


@pytest.fixture(scope="module", params=[-DAY, DAY], ids=["a day behind", "a day ahead"])
def wrong(request: pytest.FixtureRequest, serve: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A gateway whose clock is off."""
    place = tmp_path_factory.mktemp("clock")
    (place / "sitecustomize.py").write_text(OFF)
    return serve(PYTHONPATH=str(place), CLOCK_OFF=str(request.param))


@pytest.fixture
def bucket(wrong: Any) -> Iterator[Any]:
    """boto3's client, whose clock is right, and a bucket."""
    s3 = wrong.client(signature_version="s3v4")
    if not s3.list_buckets()["Buckets"]:
        s3.create_bucket(Bucket="things")
    yield s3
    s3.close()


def test_signatures_are_judged_by_the_databases_clock(bucket: Any) -> None:
    """[GW-14] [PG-26] And the answer says the time that the next signature is judged by."""
    bucket.put_object(Bucket="things", Key="k", Body=b"x")
    head = bucket.head_object(Bucket="things", Key="k")["ResponseMetadata"]["HTTPHeaders"]
    assert abs(parsedate_to_datetime(head["date"]) - datetime.now(UTC)) < NEAR
    assert abs(parsedate_to_datetime(head["last-modified"]) - datetime.now(UTC)) < NEAR
    with pytest.raises(ClientError) as refused:
        bucket.head_object(Bucket="things", Key="none")
    head = refused.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert abs(parsedate_to_datetime(head["date"]) - datetime.now(UTC)) < NEAR


def test_a_client_whose_clock_is_wrong_is_refused_whatever_the_gateways_says(wrong: Any, bucket: Any) -> None:
    """[GW-14]"""
    for off in (-DAY, DAY):
        status, answer = _fetch(_signed(wrong, S3SigV4Auth, off))
        assert (status, b"RequestTimeTooSkewed" in answer) == (403, True)
    assert _fetch(_signed(wrong, S3SigV4Auth, 0))[0] == 200


def test_a_presigned_url_counts_for_as_long_as_it_says(wrong: Any, bucket: Any) -> None:
    """[GW-14] [GW-15]"""
    for made, expires, status in ((0, 3600, 200), (-7200, 3600, 403), (-7200, 10_000, 200), (DAY, 3600, 403)):
        assert _fetch(_signed(wrong, S3SigV4QueryAuth, made, expires=expires))[0] == status


def test_a_form_counts_until_its_policy_ends(bucket: Any) -> None:
    """[GW-14] [GW-61]"""
    assert _post(bucket, timedelta(hours=1)) in (200, 204)
    assert _post(bucket, timedelta(hours=-1)) == 403


def _signed(gateway: Any, kind: Any, off: float, **more: Any) -> urllib.request.Request:
    """A listing of buckets, signed by a clock that is so many seconds off."""
    request = AWSRequest("GET", f"{gateway.endpoint}/")
    there = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=off)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", lambda: there)
        kind(Credentials(gateway.access_key, gateway.secret_key), "s3", "us-east-1", **more).add_auth(request)
    return urllib.request.Request(request.url, headers=dict(request.headers.items()))


def _fetch(url: str | urllib.request.Request) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def _post(s3: Any, left: timedelta) -> int:
    """Send a form whose policy ends after *left*."""
    made = s3.generate_presigned_post("things", "form", ExpiresIn=int(left.total_seconds()))
    until = json.loads(base64.b64decode(made["fields"]["policy"]))["expiration"]
    assert (datetime.fromisoformat(until) > datetime.now(UTC)) == (left > timedelta())
    boundary = "b0undary"
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
             for name, value in made["fields"].items()]  # fmt: skip
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--{boundary}--\r\n')
    head = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return _fetch(urllib.request.Request(made["url"], "".join(parts).encode(), head))[0]
