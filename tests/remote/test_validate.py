"""`mstbucket store validate`: passes on a real service, and finds what is wrong with one: [S3B-16]."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import mstbucket
from mstbucket.blobs.media.validate import quick_checks
from mstbucket.cli.main import main
from mstbucket.errors import InvalidInput

CHECKS = 11


def first_failure(url: str) -> str | None:
    """The name of the first check that fails; those after it are not run."""
    with closing(mstbucket.validate_blobs(url)) as checks:
        return next((check.name for check in checks if not check.passed), None)


@pytest.mark.s3
def test_a_good_service_passes_every_check_and_is_left_as_it_was(
    corner: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """[S3B-16]"""
    corner.write("before", b"data")
    assert main(["store", "validate", corner.url()]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line[:4] for line in out[:-1]] == ["ok  "] * CHECKS
    assert out[-1] == "a store can be kept there"
    assert corner.names() == ["before"]
    assert corner.uploads() == []


@pytest.mark.s3
def test_a_bucket_that_is_missing_ends_it(s3_service: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """[S3B-16]"""
    assert main(["store", "validate", f"s3://no-such-bucket-here?endpoint={s3_service.endpoint}"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2
    assert "no such bucket" in out[0]
    assert out[1].startswith("no store can be kept there")
    assert main(["--json", "store", "validate", f"s3://no-such-bucket-here?endpoint={s3_service.endpoint}"]) == 1
    (record,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]  # [CLI-8]
    assert record.keys() == {"name", "passed", "detail"}
    assert record["passed"] is False


def test_a_url_that_is_none_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """[S3B-1]"""
    assert main(["store", "validate", "s3://id:canary@bucket"]) == 2
    assert "canary" not in capsys.readouterr().err
    with pytest.raises(InvalidInput):
        next(mstbucket.validate_blobs("a directory"))


# --- services with something wrong: the real one, with its answers changed ---


def ignoring_conditions(method: str, _path: str, answer: Any) -> Any:
    return (200, [("ETag", '"0"')], b"") if method == "PUT" and answer[0] == 412 else answer


def ignoring_ranges(method: str, _path: str, answer: Any) -> Any:
    status, headers, body = answer
    if method != "GET" or status != 206:
        return answer
    return 200, [(name, value) for name, value in headers if name.lower() != "content-range"], body


def late(_method: str, _path: str, answer: Any) -> Any:
    date = (datetime.now(UTC) - timedelta(hours=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    status, headers, body = answer
    return status, [(name, date if name.lower() == "date" else value) for name, value in headers], body


def breaking_off(method: str, path: str, answer: Any) -> Any:
    status, headers, body = answer
    if method == "GET" and "max-keys=5" in path:
        body = body.replace(b"<IsTruncated>true", b"<IsTruncated>false")
    return status, headers, body


def inventing(method: str, _path: str, answer: Any) -> Any:
    return (200, [("Content-Length", "0"), ("ETag", '"0"'), ("Last-Modified", "Sat, 21 Nov 2026 09:00:00 GMT")], b"") if (
        method == "HEAD" and answer[0] == 404
    ) else answer  # fmt: skip


BROKEN = {
    "conditions are ignored": (ignoring_conditions, "conditional put: the second is refused"),
    "ranges are ignored": (ignoring_ranges, "ranges"),
    "the clock is an hour late": (late, "clock"),
    "a listing ends early": (breaking_off, "listing: pages, order, and going on after a key"),
    "what is not there has a size": (inventing, "read after write, and after delete"),
}


@pytest.mark.s3
@pytest.mark.parametrize(("amend", "name"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_wrong_with_a_service_is_found(corner: Any, proxy: Any, amend: Any, name: str) -> None:
    """[S3B-16]"""
    proxy.amend = amend
    assert first_failure(corner.url(proxy.endpoint)) == name
    assert corner.names() == []


@pytest.mark.s3
def test_a_service_that_checks_and_then_writes_loses_the_race(corner: Any, proxy: Any, faults: Any) -> None:
    """[S3B-16] it refuses the second in order, and lets several win at once"""

    def rule(method: str, path: str, headers: Any) -> Any:
        racing = method == "PUT" and "/race/" in path and headers["If-None-Match"] == "*"
        return (200, b"") if racing else faults.PASS

    proxy.rule = rule
    assert first_failure(corner.url(proxy.endpoint)) == "conditional put: of 8 at once one wins"


@pytest.mark.s3
def test_ended_early_it_leaves_nothing(corner: Any) -> None:
    """[S3B-16]"""
    checks = mstbucket.validate_blobs(corner.url())
    for _ in range(6):
        assert next(checks).passed
    assert corner.names() != []
    checks.close()
    assert corner.names() == []


@pytest.mark.s3
def test_the_quick_checks_of_the_doctor_pass_and_leave_nothing(corner: Any) -> None:
    """[CHECK-30]"""
    corner.write("before", b"data")
    checks = list(quick_checks(corner.url()))
    assert [check.passed for check in checks] == [True, True, True]
    assert corner.names() == ["before"]
