"""`x-mst-commit`: reads and listings of the state at a commit, over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from botocore.exceptions import ClientError

import mstbucket
from mstbucket.gateway.auth.decide import Caller
from mstbucket.gateway.auth.rights import Known, Rights
from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.views import VIEWS_MAX, Views

COMMIT = "x-mst-commit"
NS = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class At:
    """boto3, with the header on each request while a commit is named."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.commit: str | None = None
        client.meta.events.register("before-sign.s3", self._name)

    def _name(self, request: Any, **_: Any) -> None:
        if self.commit is not None:
            request.headers[COMMIT] = self.commit

    def __call__(self, commit: object) -> Any:
        self.commit = str(commit)
        return self.client


@pytest.fixture
def at(gateway: Any) -> Iterator[At]:
    client = gateway.client()
    yield At(client)
    client.close()


def ask(gateway: Any, wire: Any, method: str, path: str, commit: str | None = None, **more: str) -> Any:
    with wire.Wire(gateway.port) as connection:
        signed = wire.sign(gateway, method, path, {} if commit is None else {COMMIT: commit})
        connection.send(wire.head(method, path, {**signed, "content-length": "0", **more}))
        return connection.answer(method)


def flush(gateway: Any, wire: Any, bucket: str) -> dict[str, Any]:
    status, _, body = ask(gateway, wire, "POST", f"/{bucket}?mst-flush=")
    assert status == 200, body
    commit: dict[str, Any] = json.loads(body)
    return commit


@pytest.fixture
def past(gateway: Any, s3: Any, wire: Any, bucket_name: str) -> dict[str, Any]:
    """The first commit of a bucket that has changed in everything since."""
    s3.put_bucket_versioning(Bucket=bucket_name, VersioningConfiguration={"Status": "Enabled"})
    for key in ("a", "d/1", "d/2", "gone"):
        s3.put_object(Bucket=bucket_name, Key=key, Body=b"old " + key.encode(), Tagging="when=old")
    big = bytes(range(256)) * 12_000  # three chunks: it leaves as a stream
    s3.put_object(Bucket=bucket_name, Key="big", Body=big)
    commit = flush(gateway, wire, bucket_name)
    s3.put_object(Bucket=bucket_name, Key="a", Body=b"new")
    s3.put_object(Bucket=bucket_name, Key="later", Body=b"new")
    for key in ("gone", "d/1", "big"):
        s3.delete_object(Bucket=bucket_name, Key=key)
    return {**commit, "bucket": bucket_name, "big": big}


def test_reads_and_listings_show_what_the_library_shows_of_that_commit(
    gateway: Any, s3: Any, at: At, wire: Any, past: dict[str, Any]
) -> None:
    """[GW-34] By CID, number and time; each form of listing; ranges, versions, tags and attributes."""
    bucket = past["bucket"]
    flush(gateway, wire, bucket)
    for named in (past["cid"], past["seq"]):
        then = at(named)
        got = then.get_object(Bucket=bucket, Key="gone")
        assert got["Body"].read() == b"old gone"
        assert got["ResponseMetadata"]["HTTPHeaders"][COMMIT] == past["cid"]
        assert then.get_object(Bucket=bucket, Key="a", Range="bytes=0-2")["Body"].read() == b"old"
        assert then.get_object(Bucket=bucket, Key="big")["Body"].read() == past["big"]
        assert then.head_object(Bucket=bucket, Key="a")["ContentLength"] == 5
        assert then.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == [{"Key": "when", "Value": "old"}]
        attributes = then.get_object_attributes(Bucket=bucket, Key="a", ObjectAttributes=["ObjectSize"])
        assert attributes["ObjectSize"] == 5
        keys = ["a", "big", "d/1", "d/2", "gone"]
        for listing in (then.list_objects, then.list_objects_v2):
            assert [one["Key"] for one in listing(Bucket=bucket)["Contents"]] == keys
            page = listing(Bucket=bucket, Delimiter="/")
            assert ([one["Key"] for one in page["Contents"]], len(page["CommonPrefixes"])) == (["a", "big", "gone"], 1)
        walked = [
            one["Key"]
            for page in then.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
            for one in page["Contents"]
        ]
        assert walked == keys
        versions = then.list_object_versions(Bucket=bucket)
        assert [one["Key"] for one in versions["Versions"]] == keys
        assert "DeleteMarkers" not in versions
        old = versions["Versions"][0]["VersionId"]
        assert then.get_object(Bucket=bucket, Key="a", VersionId=old)["Body"].read() == b"old a"
        with pytest.raises(ClientError, match="NoSuchKey"):
            then.get_object(Bucket=bucket, Key="later")
        with pytest.raises(ClientError, match="304"):
            then.get_object(Bucket=bucket, Key="a", IfNoneMatch=versions["Versions"][0]["ETag"])
    now = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert now == ["a", "d/2", "later"]
    with pytest.raises(ClientError, match="404"):
        s3.head_object(Bucket=bucket, Key="gone")


def test_an_object_deleted_by_then_has_the_headers_of_a_delete_marker(
    gateway: Any, at: At, wire: Any, past: dict[str, Any]
) -> None:
    commit = flush(gateway, wire, past["bucket"])
    with pytest.raises(ClientError) as caught:
        at(commit["cid"]).get_object(Bucket=past["bucket"], Key="gone")
    assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"


def test_a_snapshot_and_a_time_name_a_commit_too(gateway: Any, at: At, past: dict[str, Any]) -> None:
    """[GW-34] A name that is given to another commit counts at once ([GW-35])."""
    with mstbucket.open(database=gateway.store["MSTBUCKET_DATABASE"], blobs=gateway.store["MSTBUCKET_BLOBS"]) as store:
        bucket = store.bucket(past["bucket"])
        bucket.create_snapshot("first", commit=past["cid"])
        assert at("first").get_object(Bucket=past["bucket"], Key="a")["Body"].read() == b"old a"
        assert at(past["time"]).get_object(Bucket=past["bucket"], Key="a")["Body"].read() == b"old a"
        bucket.delete_snapshot("first")
        bucket.flush()
        bucket.create_snapshot("first")
        assert at("first").get_object(Bucket=past["bucket"], Key="a")["Body"].read() == b"new"


@pytest.mark.parametrize(
    ("named", "status", "code"),
    [
        ("999", 404, "NoSuchCommit"),
        ("no-such-name", 404, "NoSuchCommit"),
        ("2001-01-01T00:00:00Z", 404, "NoSuchCommit"),
        ("b" + "a" * 58, 400, "InvalidArgument"),
        ("2030-01-01", 400, "InvalidArgument"),
        ("two words", 400, "InvalidArgument"),
        ("a/b", 400, "InvalidArgument"),
        ("", 400, "InvalidArgument"),
        ("9" * 100, 400, "InvalidArgument"),
    ],
)
def test_what_names_no_commit_is_refused_in_s3s_words(
    gateway: Any, wire: Any, past: dict[str, Any], named: str, status: int, code: str
) -> None:
    """[GW-34]"""
    for path in (f"/{past['bucket']}/a", f"/{past['bucket']}?list-type=2", f"/{past['bucket']}?versions="):
        answer = ask(gateway, wire, "GET", path, named)
        assert answer[0] == status, answer
        assert ET.fromstring(answer[2]).findtext("Code") == code
    assert ask(gateway, wire, "HEAD", f"/{past['bucket']}/a", named)[0] == status


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/{}/a"), ("DELETE", "/{}/a"), ("POST", "/{}/a?uploads="), ("PUT", "/{}/a?tagging="),
        ("POST", "/{}?delete="),
        ("GET", "/{}?uploads="), ("GET", "/{}?policy="), ("GET", "/{}?versioning="), ("HEAD", "/{}"), ("GET", "/"),
        ("POST", "/{}?mst-flush="), ("GET", "/{}/a?retention="), ("PUT", "/{}?tagging="),
    ],
)  # fmt: skip
def test_nothing_else_takes_the_header(gateway: Any, wire: Any, past: dict[str, Any], method: str, path: str) -> None:
    """[GW-34] Writes above all."""
    assert ask(gateway, wire, method, path.format(past["bucket"]), past["cid"])[0] == 400
    assert ask(gateway, wire, "GET", f"/{past['bucket']}/a")[2] == b"new"


def test_a_copy_does_not_read_from_the_past(gateway: Any, at: At, past: dict[str, Any]) -> None:
    """[GW-34]"""
    with pytest.raises(ClientError, match="InvalidRequest"):
        at(past["cid"]).copy_object(Bucket=past["bucket"], Key="x", CopySource=f"{past['bucket']}/gone")


def test_the_header_is_signed_or_refused(gateway: Any, s3: Any, wire: Any, past: dict[str, Any]) -> None:
    """[GW-10] In a header and in a presigned URL."""
    path = f"/{past['bucket']}/a"
    status, _, body = ask(gateway, wire, "GET", path, None, **{COMMIT: past["cid"]})
    assert (status, b"not signed" in body) == (403, True)
    url = gateway.client(signature_version="s3v4").generate_presigned_url(
        "get_object", Params={"Bucket": past["bucket"], "Key": "a"}
    )
    with wire.Wire(gateway.port) as connection:
        host = gateway.endpoint.partition("//")[2]
        connection.send(wire.head("GET", url.removeprefix(gateway.endpoint), {"host": host, COMMIT: past["cid"]}))
        assert connection.answer()[0] == 403


def test_a_commit_and_its_export_can_be_asked_for(
    gateway: Any, wire: Any, past: dict[str, Any], tmp_path: Any
) -> None:
    """[GW-33] [GW-34]"""
    bucket = past["bucket"]
    flush(gateway, wire, bucket)
    assert json.loads(ask(gateway, wire, "GET", f"/{bucket}?mst-commit=", past["cid"])[2])["seq"] == past["seq"]
    _, headers, car = ask(gateway, wire, "GET", f"/{bucket}?mst-export=", str(past["seq"]))
    (tmp_path / "x.car").write_bytes(car)
    assert mstbucket.verify_car(tmp_path / "x.car", expect=past["cid"]).commit.seq == past["seq"]
    assert headers[COMMIT] == past["cid"]


def _policy(bucket: str, *actions: str, **more: object) -> str:
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": list(actions), "Resource": resources, **more}
    ]})  # fmt: skip


def test_who_may_read_what_is_there_may_not_read_what_was(store: Any) -> None:
    """[GW-35] What was deleted from a public bucket is not public. Tags are those at the commit."""
    bucket = store.create_bucket("public")
    bucket.put_object("k", b"1", tags={"open": "no"})
    commit = bucket.flush()
    bucket.put_object_tagging("k", {"open": "yes"})
    views = Views()

    def may(policy: str, action: str, at: str | None) -> bool:
        bucket.put_bucket_policy(policy)
        return Rights(Known(store, views), Caller(None), {}, at).may(action, "public", "k")

    if_open = {"Condition": {"StringEquals": {"s3:ExistingObjectTag/open": "yes"}}}
    assert may(_policy("public", "s3:GetObject", **if_open), "s3:GetObject", None)
    assert not may(_policy("public", "s3:GetObject*", **if_open), "s3:GetObjectVersion", commit.cid)
    assert not may(_policy("public", "s3:GetObject*", **if_open), "s3:GetObjectVersion", "no-such-snapshot")
    views.close()


def test_rights_to_the_past_are_those_to_versions(gateway: Any, s3: Any, wire: Any, past: dict[str, Any]) -> None:
    """[GW-35] Anonymous, over HTTP."""
    bucket = past["bucket"]

    def status(path: str, commit: str | None) -> int:
        with wire.Wire(gateway.port) as connection:
            host = {"host": gateway.endpoint.partition("//")[2]}
            connection.send(wire.head("GET", path, host if commit is None else {**host, COMMIT: commit}))
            found: int = connection.answer()[0]
            return found

    paths = (f"/{bucket}/a", f"/{bucket}?list-type=2")
    s3.put_bucket_policy(Bucket=bucket, Policy=_policy(bucket, "s3:GetObject", "s3:ListBucket"))
    assert [status(path, None) for path in paths] == [200, 200]
    assert [status(path, past["cid"]) for path in paths] == [403, 403]
    s3.put_bucket_policy(Bucket=bucket, Policy=_policy(bucket, "s3:GetObjectVersion", "s3:ListBucketVersions"))
    assert [status(path, None) for path in paths] == [403, 403]
    assert [status(path, past["cid"]) for path in paths] == [200, 200]


# --- the views of a process ----------------------------------------------------------------------------------------------


def leases(store: Any) -> int:
    """How many stand, by the database."""
    import psycopg

    with psycopg.connect(store.conninfo()) as connection:
        row = connection.execute("SELECT count(*) FROM leases").fetchone()
        assert row is not None
        return int(row[0])


def test_a_process_keeps_few_views_and_gives_their_leases_back(store: Any) -> None:
    """[GW-36] Whatever number of commits is walked through, and by however many at once."""
    bucket = store.create_bucket("walked")
    commits = []
    for number in range(VIEWS_MAX + 8):
        bucket.put_object("k", str(number).encode())
        commits.append(bucket.flush().cid)
    views = Views()
    wrong: list[object] = []

    def walk(step: int) -> None:
        for place in range(0, len(commits) * step, step):
            number = place % len(commits)
            with views.open(bucket, commits[number]) as held:
                if held.view.get_object("k").read() != str(number).encode():
                    wrong.append(number)

    walkers = [threading.Thread(target=walk, args=(step,)) for step in (1, 3, 7, 9)]
    for walker in walkers:
        walker.start()
    for walker in walkers:
        walker.join()
    assert wrong == []
    assert 0 < leases(store) <= VIEWS_MAX
    with views.open(bucket, "1") as one, views.open(bucket, commits[0]) as other:
        assert one.view is other.view
        views.close()
        assert one.view.get_object("k").read() == b"0"  # what is read from stays open
    views.close()
    assert leases(store) == 0


def test_a_view_whose_lease_was_lost_is_opened_again(store: Any) -> None:
    """[GW-36]"""
    bucket = store.create_bucket("walked")
    bucket.put_object("k", b"1")
    cid = bucket.flush().cid
    views = Views()
    with views.open(bucket, cid) as first:
        pass
    held = views.open(bucket, cid)
    assert held.view is first.view
    held.__exit__(None, mstbucket.errors.LeaseLost("given up"), None)
    with views.open(bucket, cid) as again:
        assert again.view is not first.view
    views.close()
    with pytest.raises(Refused, match="no such commit"):
        views.open(bucket, "7")
