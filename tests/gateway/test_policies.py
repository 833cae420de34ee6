"""Who may do what: policies of buckets and of keys, before a real gateway with unmodified boto3."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

import mstbucket

ARN = "arn:aws:s3:::"


def code_of(call: Any, **arguments: Any) -> int | str:
    """The code that a call is refused with; for HEAD, whose answer has none, its status."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    code: str = caught.value.response["Error"]["Code"]
    return int(code) if code.isdecimal() else code


def statement(effect: str, action: Any, resource: Any, principal: Any = None, **condition: Any) -> dict[str, Any]:
    said = {"Effect": effect, "Action": action, "Resource": resource}
    if principal is not None:
        said["Principal"] = principal
    return {**said, "Condition": condition} if condition else said


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture(scope="module")
def store(gateway: Any) -> Iterator[mstbucket.Store]:
    """The gateway's store, opened beside it: keys are made there."""
    with mstbucket.open(database=gateway.store["MSTBUCKET_DATABASE"], blobs=gateway.store["MSTBUCKET_BLOBS"]) as store:
        yield store


class Clients:
    """Clients of one gateway, for holders of keys with policies, and for nobody."""

    def __init__(self, gateway: Any, store: mstbucket.Store, stack: ExitStack) -> None:
        self._gateway = gateway
        self._store = store
        self._stack = stack

    def limited(self, *statements: dict[str, Any]) -> tuple[Any, str]:
        made = self._store.access_keys.create("limited")
        self._store.access_keys.set_policy(made.key.id, document(*statements))
        client = self._gateway.client(made.key.id, made.secret)
        self._stack.callback(client.close)
        return client, made.key.id

    def anybody(self) -> Any:
        config = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"}, retries={"max_attempts": 1})
        client = boto3.session.Session(region_name="us-east-1").client(
            "s3", endpoint_url=self._gateway.endpoint, config=config
        )
        self._stack.callback(client.close)
        return client


@pytest.fixture
def clients(gateway: Any, store: mstbucket.Store) -> Iterator[Clients]:
    with ExitStack() as stack:
        yield Clients(gateway, store, stack)


def test_a_policy_is_kept_as_it_was_given_and_removed(s3: Any, bucket_name: str) -> None:
    """[GW-40]"""
    of = {"Bucket": bucket_name}
    assert code_of(s3.get_bucket_policy, **of) == "NoSuchBucketPolicy"
    assert code_of(s3.get_bucket_policy_status, **of) == "NoSuchBucketPolicy"
    text = " " + document(statement("Allow", "s3:GetObject", f"{ARN}{bucket_name}/*", "*"))
    s3.put_bucket_policy(**of, Policy=text)
    assert s3.get_bucket_policy(**of)["Policy"] == text
    assert s3.get_bucket_policy_status(**of)["PolicyStatus"]["IsPublic"] is True
    narrow = {"aws:SourceIp": "127.0.0.0/8"}
    text = document(statement("Allow", "s3:GetObject", f"{ARN}{bucket_name}/*", "*", IpAddress=narrow))
    s3.put_bucket_policy(**of, Policy=text)
    assert s3.get_bucket_policy_status(**of)["PolicyStatus"]["IsPublic"] is False
    s3.delete_bucket_policy(**of)
    s3.delete_bucket_policy(**of)
    assert code_of(s3.get_bucket_policy, **of) == "NoSuchBucketPolicy"
    assert code_of(s3.put_bucket_policy, **of, Policy="{}") == "MalformedPolicy"
    unheard = document(statement("Deny", "s3:*", f"{ARN}{bucket_name}", "*", Bool={"aws:MultiFactorAuthPresent": "true"}))
    assert code_of(s3.put_bucket_policy, **of, Policy=unheard) == "NotImplemented"


def test_anybody_may_do_what_a_policy_says_and_nothing_else(s3: Any, clients: Clients, bucket_name: str) -> None:
    """[GW-20]"""
    of, anybody = {"Bucket": bucket_name}, clients.anybody()
    s3.put_object(**of, Key="public/a", Body=b"a")
    s3.put_object(**of, Key="private/b", Body=b"b")
    assert code_of(anybody.get_object, **of, Key="public/a") == "AccessDenied"
    assert code_of(anybody.delete_objects, **of, Delete={"Objects": [{"Key": "public/a"}]}) == "AccessDenied"
    allow = statement("Allow", ["s3:GetObject", "s3:DeleteObject"], f"{ARN}{bucket_name}/public/*", "*")
    put = statement("Allow", "s3:PutObject", f"{ARN}{bucket_name}/inbox/*", {"AWS": "*"})
    s3.put_bucket_policy(**of, Policy=document(allow, put))
    assert anybody.get_object(**of, Key="public/a")["Body"].read() == b"a"
    assert code_of(anybody.get_object, **of, Key="private/b") == "AccessDenied"
    assert code_of(anybody.list_objects_v2, **of) == "AccessDenied"
    assert code_of(anybody.list_buckets) == "AccessDenied"
    body = os.urandom(300_000)
    anybody.put_object(**of, Key="inbox/c", Body=body)
    assert s3.get_object(**of, Key="inbox/c")["Body"].read() == body
    assert code_of(anybody.put_object, **of, Key="public/a", Body=b"x") == "AccessDenied"
    assert code_of(anybody.put_object, **of, Key="inbox/d", Body=b"x", Tagging="a=b") == "AccessDenied"
    done = anybody.delete_objects(**of, Delete={"Objects": [{"Key": "public/a"}, {"Key": "private/b"}]})
    assert [one["Key"] for one in done["Deleted"]] == ["public/a"]
    assert [(one["Key"], one["Code"]) for one in done["Errors"]] == [("private/b", "AccessDenied")]
    assert s3.get_object(**of, Key="private/b")["Body"].read() == b"b"


def test_a_missing_key_is_denied_to_whom_may_not_list(s3: Any, clients: Clients, bucket_name: str) -> None:
    """[GW-44]"""
    objects, bucket = f"{ARN}{bucket_name}/*", f"{ARN}{bucket_name}"
    blind, _ = clients.limited(statement("Allow", "s3:*Object", objects))
    seeing, _ = clients.limited(statement("Allow", ["s3:*Object", "s3:ListBucket"], [objects, bucket]))
    of = {"Bucket": bucket_name, "Key": "missing"}
    assert code_of(blind.head_object, **of) == 403
    assert code_of(blind.get_object, **of) == "AccessDenied"
    assert code_of(seeing.head_object, **of) == 404
    assert code_of(seeing.get_object, **of) == "NoSuchKey"
    copy = {"Bucket": bucket_name, "Key": "copy", "CopySource": f"{bucket_name}/missing"}
    assert code_of(blind.copy_object, **copy) == "AccessDenied"
    assert code_of(seeing.copy_object, **copy) == "NoSuchKey"


def test_a_key_with_a_policy_may_do_only_that(s3: Any, clients: Clients, store: Any, bucket_name: str) -> None:
    """[GW-45] And what a bucket grants it; what either denies is denied."""
    of = {"Bucket": bucket_name}
    s3.put_object(**of, Key="a", Body=b"a")
    client, key_id = clients.limited(statement("Allow", "s3:GetObject", f"{ARN}{bucket_name}/a"))
    assert client.get_object(**of, Key="a")["Body"].read() == b"a"
    for call, arguments in (
        (client.put_object, {**of, "Key": "a", "Body": b"x"}), (client.list_objects, of), (client.list_buckets, {}),
        (client.create_bucket, {"Bucket": "another-one"}), (client.get_bucket_policy, of),
        (client.put_bucket_policy, {**of, "Policy": "{}"}), (client.delete_bucket, of),
    ):  # fmt: skip
        assert code_of(call, **arguments) == "AccessDenied"
    grant = statement("Allow", "s3:PutObject", f"{ARN}{bucket_name}/b", {"AWS": [key_id]})
    s3.put_bucket_policy(**of, Policy=document(grant))
    client.put_object(**of, Key="b", Body=b"b")
    assert code_of(client.put_object, **of, Key="a", Body=b"x") == "AccessDenied"
    s3.put_bucket_policy(**of, Policy=document(grant, statement("Deny", "s3:Get*", f"{ARN}{bucket_name}/*", "*")))
    assert code_of(client.get_object, **of, Key="a") == "AccessDenied"
    assert code_of(s3.get_object, **of, Key="a") == "AccessDenied"  # an administrator, too
    everything = document(statement("Deny", "*", [f"{ARN}{bucket_name}", f"{ARN}{bucket_name}/*"], "*"))
    s3.put_bucket_policy(**of, Policy=everything)
    assert code_of(s3.list_objects, **of) == "AccessDenied"
    assert s3.get_bucket_policy(**of)["Policy"] == everything
    s3.delete_bucket_policy(**of)
    assert s3.get_object(**of, Key="a")["Body"].read() == b"a"


def test_a_copy_needs_read_on_its_source(s3: Any, clients: Clients, bucket_name: str) -> None:
    """[GW-21]"""
    of = {"Bucket": bucket_name}
    s3.put_object(**of, Key="secret/a", Body=b"a")
    s3.put_object(**of, Key="mine/a", Body=b"b")
    s3.put_object(**of, Key="mine/tagged", Body=b"b", Tagging="a=b")
    client, _ = clients.limited(statement("Allow", ["s3:GetObject", "s3:PutObject"], f"{ARN}{bucket_name}/mine/*"))
    assert code_of(client.copy_object, **of, Key="mine/b", CopySource=f"{bucket_name}/secret/a") == "AccessDenied"
    client.copy_object(**of, Key="mine/b", CopySource=f"{bucket_name}/mine/a")
    assert code_of(client.copy_object, **of, Key="mine/c", CopySource=f"{bucket_name}/mine/tagged") == "AccessDenied"
    upload = client.create_multipart_upload(**of, Key="mine/d")["UploadId"]
    part = {**of, "Key": "mine/d", "UploadId": upload, "PartNumber": 1}
    assert code_of(client.upload_part_copy, **part, CopySource=f"{bucket_name}/secret/a") == "AccessDenied"
    client.upload_part_copy(**part, CopySource=f"{bucket_name}/mine/a")


def test_each_thing_that_a_request_asks_for_needs_its_right(s3: Any, clients: Clients) -> None:
    """[GW-43]"""
    of = {"Bucket": "rights-one-by-one"}
    s3.create_bucket(**of, ObjectLockEnabledForBucket=True)
    first = s3.put_object(**of, Key="k", Body=b"1")["VersionId"]
    client, key_id = clients.limited(
        statement("Allow", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], f"{ARN}{of['Bucket']}/*")
    )
    version = {**of, "Key": "k", "VersionId": first}
    asked = [
        ("s3:GetObjectVersion", client.get_object, version),
        ("s3:GetObjectVersion", client.head_object, version),
        ("s3:DeleteObjectVersion", client.delete_object, version),
        ("s3:GetObjectVersionTagging", client.get_object_tagging, version),
        ("s3:GetObjectAttributes", client.get_object_attributes, {**of, "Key": "k", "ObjectAttributes": ["ETag"]}),
        ("s3:PutObjectTagging", client.put_object, {**of, "Key": "k", "Body": b"", "Tagging": "a=b"}),
        ("s3:PutObjectLegalHold", client.put_object, {**of, "Key": "k", "Body": b"", "ObjectLockLegalHoldStatus": "OFF"}),
        ("s3:PutObjectTagging", client.create_multipart_upload, {**of, "Key": "k", "Tagging": "a=b"}),
        ("s3:BypassGovernanceRetention", client.delete_object, {**of, "Key": "k", "BypassGovernanceRetention": True}),
    ]  # fmt: skip
    for _, call, arguments in asked:
        assert code_of(call, **arguments) in ("AccessDenied", 403)
    many = {"Objects": [{"Key": "k", "VersionId": first}]}
    assert client.delete_objects(**of, Delete=many)["Errors"][0]["Code"] == "AccessDenied"
    many = {"Objects": [{"Key": "k"}]}
    done = client.delete_objects(**of, Delete=many, BypassGovernanceRetention=True)
    assert done["Errors"][0]["Code"] == "AccessDenied"
    rights = sorted({action for action, _, _ in asked} - {"s3:DeleteObjectVersion"})
    s3.put_bucket_policy(**of, Policy=document(statement("Allow", rights, f"{ARN}{of['Bucket']}/*", {"AWS": key_id})))
    for action, call, arguments in asked:
        if action in rights:
            call(**arguments)
    assert code_of(client.delete_object, **version) == "AccessDenied"


def test_conditions_are_those_of_the_request(s3: Any, clients: Clients, bucket_name: str) -> None:
    """[GW-42]"""
    of, bucket = {"Bucket": bucket_name}, f"{ARN}{bucket_name}"
    s3.put_object(**of, Key="home/x", Body=b"x", Tagging="class=open")
    s3.put_object(**of, Key="home/y", Body=b"y", Tagging="class=closed")
    client, _ = clients.limited(
        statement("Allow", "s3:ListBucket", bucket, StringLike={"s3:prefix": ["home/*", ""]},
                  NumericLessThanEquals={"s3:max-keys": 10}, StringEquals={"s3:delimiter": "/"}),
        statement("Allow", "s3:GetObject", f"{bucket}/*", StringEquals={"s3:ExistingObjectTag/class": "open"}),
        statement("Allow", "s3:PutObject", f"{bucket}/*", StringEquals={"s3:if-none-match": "*"}),
        statement("Allow", "s3:DeleteObject", f"{bucket}/*", Bool={"aws:SecureTransport": "true"}),
        statement("Allow", "s3:GetBucketTagging", bucket, NotIpAddress={"aws:SourceIp": ["10.0.0.0/8", "::/0"]}),
    )  # fmt: skip
    listed = {**of, "Prefix": "home/", "Delimiter": "/", "MaxKeys": 10}
    assert client.list_objects_v2(**listed)["KeyCount"] == 2
    for change in ({"Prefix": "other/"}, {"MaxKeys": 11}, {"Delimiter": ":"}):
        assert code_of(client.list_objects_v2, **{**listed, **change}) == "AccessDenied"
    assert code_of(client.list_objects, **of) == "AccessDenied"
    assert client.get_object(**of, Key="home/x")["Body"].read() == b"x"
    assert code_of(client.get_object, **of, Key="home/y") == "AccessDenied"
    client.put_object(**of, Key="home/z", Body=b"z", IfNoneMatch="*")
    assert code_of(client.put_object, **of, Key="home/w", Body=b"w") == "AccessDenied"
    assert code_of(client.delete_object, **of, Key="home/z") == "AccessDenied"  # over plain HTTP
    assert code_of(client.get_bucket_tagging, **of) == "NoSuchTagSet"


def test_a_change_counts_in_other_processes_within_seconds(gateway: Any, store: Any, clients: Clients) -> None:
    """[GW-42]"""
    from time import monotonic, sleep

    bucket = store.create_bucket("changed-elsewhere")
    bucket.put_object("k", b"k")
    anybody = clients.anybody()
    assert code_of(anybody.get_object, Bucket=bucket.name, Key="k") == "AccessDenied"
    bucket.put_bucket_policy(document(statement("Allow", "s3:GetObject", f"{ARN}{bucket.name}/k", "*")))
    until = monotonic() + 60
    while monotonic() < until:
        try:
            assert anybody.get_object(Bucket=bucket.name, Key="k")["Body"].read() == b"k"
            return
        except ClientError:
            sleep(0.2)
    raise AssertionError("it never counted")
