"""Every way in which a service fails has its own clear message, and none tells a secret: [S3B-2], [S3B-5], [S3B-11]."""

from __future__ import annotations

import logging
import os
import socket
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mstbucket.blobs.media.s3 import S3Blobs
from mstbucket.errors import InvalidInput, NoSuchKey, OutcomeUnknown, PreconditionFailed, StorageError, Unsupported
from mstbucket.remote import S3Bucket, parse_place
from mstbucket.remote import attempts as attempts_module
from mstbucket.remote import client as client_module
from mstbucket.remote.failures import understand

BODY = b"the bytes of an object"


def answered(code: str, status: int, **told: str) -> Exception:
    """The exception that botocore raises for an answer of the service."""
    from botocore.exceptions import ClientError

    error = {"Code": code, "Message": "what the service says", **told}
    headers = {"date": "Sat, 21 Nov 2026 09:00:00 GMT"}
    return ClientError({"Error": error, "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers}}, "PutObject")


ANSWERS = {
    # code, status: kind, again, unsure, words
    ("NoSuchBucket", 404): (StorageError, False, False, "no such bucket"),
    ("NoSuchKey", 404): (NoSuchKey, False, False, "no such object"),
    ("404", 404): (NoSuchKey, False, False, "no such object"),
    ("PreconditionFailed", 412): (PreconditionFailed, False, False, "there is an object"),
    ("412", 412): (PreconditionFailed, False, False, "there is an object"),
    ("ConditionalRequestConflict", 409): (StorageError, True, False, "try again later"),
    ("OperationAborted", 409): (StorageError, True, False, "try again later"),
    ("BucketAlreadyExists", 409): (StorageError, False, False, "refused"),
    ("NotImplemented", 501): (Unsupported, False, False, "does not offer"),
    ("AccessDenied", 403): (StorageError, False, False, "do not allow it"),
    ("403", 403): (StorageError, False, False, "not allowed"),
    ("InvalidAccessKeyId", 403): (StorageError, False, False, "AWS_ACCESS_KEY_ID"),
    ("SignatureDoesNotMatch", 403): (StorageError, False, False, "AWS_SECRET_ACCESS_KEY"),
    ("InvalidToken", 400): (StorageError, False, False, "credentials are wrong"),
    ("ExpiredToken", 400): (StorageError, False, False, "expired: renew them"),
    ("RequestTimeTooSkewed", 403): (StorageError, False, False, "set the clock of this machine, which is"),
    ("PermanentRedirect", 301): (StorageError, False, False, "another region"),
    ("AuthorizationHeaderMalformed", 400): (StorageError, False, False, "another region"),
    ("QuotaExceeded", 403): (StorageError, False, False, "quota"),
    ("XMinioStorageFull", 507): (StorageError, True, True, "disk of the service is full"),
    ("InvalidRange", 416): (StorageError, False, False, "ends before"),
    ("SlowDown", 503): (StorageError, True, False, "throttling"),
    ("ServiceUnavailable", 503): (StorageError, True, False, "try again later"),
    ("TooManyRequests", 429): (StorageError, True, False, "try again later"),
    ("InternalError", 500): (StorageError, True, True, "try again later"),
    ("502", 502): (StorageError, True, True, "try again later"),
    ("504", 504): (StorageError, True, True, "try again later"),
    ("RequestTimeout", 400): (StorageError, True, True, "try again later"),
    ("BadDigest", 400): (StorageError, True, False, "try again later"),
    ("NoSuchUpload", 404): (StorageError, False, False, "was aborted"),
    ("SomethingNew", 400): (StorageError, False, False, "refused"),
}


@pytest.mark.parametrize(("answer", "expected"), ANSWERS.items(), ids=[f"{code} {status}" for code, status in ANSWERS])
def test_an_answer_is_understood(answer: tuple[str, int], expected: tuple[type, bool, bool, str]) -> None:
    """[S3B-5] [S3B-11]"""
    failure = understand(answered(*answer), "an object cannot be written", "s3://bucket/key")
    assert failure is not None
    assert (type(failure.error), failure.again, failure.unsure) == expected[:3]
    assert expected[3] in str(failure.error)
    assert "s3://bucket/key" in str(failure.error)


def test_the_region_that_the_service_names_is_told() -> None:
    """[S3B-11]"""
    failure = understand(answered("AuthorizationHeaderMalformed", 400, Region="eu-west-3"), "what", "where")
    assert failure is not None
    assert "region=eu-west-3" in str(failure.error)


def library_errors() -> dict[str, tuple[Exception, type, bool, bool, str]]:
    from botocore import exceptions as boto

    url = "http://127.0.0.1:1"
    return {
        "no credentials": (boto.NoCredentialsError(), StorageError, False, False, "no credentials"),
        "half": (boto.PartialCredentialsError(provider="env", cred_var="x"), StorageError, False, False, "no credentials"),
        "a profile": (boto.ProfileNotFound(profile="p"), StorageError, False, False, "correct the profile"),
        "single sign-on": (boto.UnauthorizedSSOTokenError(), StorageError, False, False, "expired: renew"),
        "nobody there": (boto.EndpointConnectionError(endpoint_url=url), StorageError, True, False, "did not answer"),
        "no way there": (boto.ConnectTimeoutError(endpoint_url=url), StorageError, True, False, "did not answer"),
        "too slow": (boto.ReadTimeoutError(endpoint_url=url), StorageError, True, True, "did not answer"),
        "broken": (boto.ConnectionClosedError(endpoint_url=url), StorageError, True, True, "did not answer"),
        "cut": (boto.ResponseStreamingError(error="cut"), StorageError, True, True, "did not answer"),
        "too short": (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), StorageError, True, True, "not answer"),
        "a certificate": (boto.SSLError(endpoint_url=url, error="self-signed"), StorageError, False, False, "certificate"),
        "a parameter": (boto.ParamValidationError(report="not ASCII"), InvalidInput, False, False, "not ASCII"),
        "anything else": (boto.UnknownRegionError(region_name="r", error_msg="m"), StorageError, False, False, "boto3"),
        "a socket": (ConnectionResetError("reset"), StorageError, True, True, "did not answer"),
    }


@pytest.mark.parametrize("name", library_errors())
def test_an_error_of_the_library_is_understood(name: str) -> None:
    """[S3B-5] [S3B-11]"""
    error, kind, again, unsure, words = library_errors()[name]
    failure = understand(error, "what", "where")
    assert failure is not None
    assert (type(failure.error), failure.again, failure.unsure) == (kind, again, unsure)
    assert words in str(failure.error)


@pytest.mark.parametrize("error", [StorageError("x"), NoSuchKey("x"), InvalidInput("x")])
def test_what_is_declared_already_is_left_alone(error: Exception) -> None:
    assert understand(error, "what", "where") is None


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), TypeError("x"), OverflowError("x")])
def test_an_answer_that_cannot_be_read_makes_no_sense(error: Exception) -> None:
    """[S3B-18]"""
    failure = understand(error, "what", "where")
    assert failure is not None
    assert (type(failure.error), failure.again, failure.unsure) == (StorageError, False, True)
    assert "makes no sense" in str(failure.error)


# --- on the real service ---

CALLS: dict[str, Callable[[S3Bucket], object]] = {
    "put": lambda bucket: bucket.put("a", BODY),
    "put if absent": lambda bucket: bucket.put_if_absent("a", BODY),
    "get": lambda bucket: bucket.get_range("a", 0, 1),
    "stream": lambda bucket: bucket.open_read("a"),
    "head": lambda bucket: bucket.head("a"),
    "list": lambda bucket: list(bucket.list()),
    "delete": lambda bucket: bucket.delete("a"),
    "delete many": lambda bucket: bucket.delete_many(["a"]),
    "old uploads": lambda bucket: bucket.abort_old_uploads("", timedelta(days=7)),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Does not wait long between attempts."""
    monkeypatch.setattr(attempts_module, "FIRST_WAIT", 0.001)


@pytest.mark.s3
@each_call
def test_a_missing_bucket_is_not_a_missing_object(s3_service: Any, call: Callable[[S3Bucket], object]) -> None:
    """[S3B-11]"""
    bucket = S3Bucket(parse_place(f"s3://no-such-bucket-here/?endpoint={s3_service.endpoint}"))
    with pytest.raises(StorageError, match=r"no-such-bucket-here.*no such bucket"):
        call(bucket)


@pytest.mark.s3
@each_call
def test_wrong_credentials_say_so_and_are_not_repeated(
    corner: Any, monkeypatch: pytest.MonkeyPatch, call: Callable[[S3Bucket], object], caplog: pytest.LogCaptureFixture
) -> None:
    """[S3B-2] [S3B-11]"""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-wrong-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "canary-session-token")
    with pytest.raises(StorageError, match=r"credentials") as caught:
        call(corner.bucket())
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
    assert "canary" not in told


@pytest.mark.s3
@each_call
def test_no_credentials_say_so(
    corner: Any, monkeypatch: pytest.MonkeyPatch, call: Callable[[S3Bucket], object]
) -> None:
    """[S3B-11]"""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    with pytest.raises(StorageError, match="no credentials"):
        call(corner.bucket())


@pytest.mark.usefixtures("hasty")
@each_call
def test_nobody_there_says_so(monkeypatch: pytest.MonkeyPatch, call: Callable[[S3Bucket], object]) -> None:
    """[S3B-11] and it is known that nothing happened"""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        bucket = S3Bucket(parse_place(f"s3://bucket/?endpoint=http://127.0.0.1:{taken.getsockname()[1]}"))
        with pytest.raises(StorageError, match="did not answer") as caught:
            call(bucket)
    assert type(caught.value) is StorageError
    assert "canary" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.s3
@pytest.mark.usefixtures("hasty")
def test_a_service_that_does_not_answer_in_time(corner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """[S3B-11]"""
    monkeypatch.setattr(client_module, "READ_SECONDS", 0.2)
    monkeypatch.setattr(attempts_module, "TRIES", 2)
    silent = socket.create_server(("127.0.0.1", 0))  # accepts, and says nothing
    try:
        bucket = corner.bucket(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(StorageError, match="did not answer") as read:
            bucket.get_range("a", 0, 1)
        with pytest.raises(OutcomeUnknown, match="look before repeating"):
            bucket.put("a", BODY)
    finally:
        silent.close()
    assert type(read.value) is StorageError


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.s3
@pytest.mark.usefixtures("hasty")
def test_a_failure_that_passes_is_waited_for(corner: Any, proxy: Any, faults: Any, status: int) -> None:
    """[S3B-5]"""
    for method, call in (("PUT", "put"), ("GET", "get"), ("HEAD", "head"), ("GET", "list"), ("POST", "delete many")):
        bucket = corner.bucket(proxy.endpoint)
        corner.bucket().put("a", BODY)
        proxy.seen.clear()
        proxy.rule = faults.once(method, "", faults.refusal(status, "InternalError"), times=3)
        CALLS[call](bucket)
        assert proxy.count(method) == 4, call


@pytest.mark.s3
@pytest.mark.usefixtures("hasty")
def test_a_failure_that_stays_ends_after_six_attempts(corner: Any, proxy: Any, faults: Any) -> None:
    """[S3B-5]"""
    bucket = corner.bucket(proxy.endpoint)
    proxy.rule = faults.once("PUT", "", faults.refusal(503, "SlowDown"), times=100)
    with pytest.raises(StorageError, match="throttling") as caught:
        bucket.put("a", BODY)
    assert proxy.count("PUT") == 6
    assert type(caught.value) is StorageError  # told "not now" each time: nothing has happened


@pytest.mark.parametrize(("code", "status"), [("AccessDenied", 403), ("InvalidArgument", 400), ("MethodNotAllowed", 405)])
@pytest.mark.s3
def test_a_refusal_is_not_repeated(corner: Any, proxy: Any, faults: Any, code: str, status: int) -> None:
    """[S3B-5]"""
    bucket = corner.bucket(proxy.endpoint)
    proxy.rule = faults.once("PUT", "", faults.refusal(status, code), times=100)
    with pytest.raises(StorageError, match=code):
        bucket.put("a", BODY)
    assert proxy.count("PUT") == 1


def test_the_environments_configuration_may_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """[S3B-11]"""
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile-here")
    with pytest.raises(StorageError, match="no-such-profile-here"):
        S3Bucket(parse_place("s3://bucket/"))
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "no endpoint")
    with pytest.raises(StorageError, match="AWS_ENDPOINT_URL"):
        S3Blobs("s3://bucket/")


def test_without_the_library_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(Unsupported, match=r"pip install '\.\[s3\]'"):
        S3Bucket(parse_place("s3://bucket/"))
