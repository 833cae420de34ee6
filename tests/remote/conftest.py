"""What the tests of S3 have: a place of their own on a real service, raw access to it, and a proxy that misbehaves."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from mstbucket.blobs.media.s3 import S3Blobs
from mstbucket.remote import S3Bucket, S3Place, parse_place


@dataclass(frozen=True)
class Corner:
    """A prefix of the test's own on the service.

    Attributes:
        service: the whole service, with boto3's `client` and the name of the tests' `bucket`.
        prefix: ends with "/".
    """

    service: Any
    prefix: str

    def url(self, endpoint: str | None = None) -> str:
        """The URL of the corner, by way of `endpoint` if it is given."""
        region = self.service.region
        return f"s3://{self.service.bucket}/{self.prefix}?endpoint={endpoint or self.service.endpoint}&region={region}"

    def place(self, endpoint: str | None = None) -> S3Place:
        return parse_place(self.url(endpoint))

    def bucket(self, endpoint: str | None = None) -> S3Bucket:
        return S3Bucket(self.place(endpoint))

    def open(self, endpoint: str | None = None) -> S3Blobs:
        return S3Blobs(self.url(endpoint))

    # raw access, which bypasses all code of ours

    def read(self, name: str) -> bytes:
        try:
            answer = self.service.client.get_object(Bucket=self.service.bucket, Key=self.prefix + name)
        except self.service.client.exceptions.NoSuchKey:
            raise KeyError(name) from None
        data: bytes = answer["Body"].read()
        return data

    def write(self, name: str, data: bytes) -> None:
        self.service.client.put_object(Bucket=self.service.bucket, Key=self.prefix + name, Body=data)

    def remove(self, name: str) -> None:
        self.service.client.delete_object(Bucket=self.service.bucket, Key=self.prefix + name)

    def names(self) -> list[str]:
        pages = self.service.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.service.bucket, Prefix=self.prefix
        )
        return [item["Key"][len(self.prefix) :] for page in pages for item in page.get("Contents", ())]

    def uploads(self) -> list[str]:
        page = self.service.client.list_multipart_uploads(Bucket=self.service.bucket, Prefix=self.prefix)
        return [upload["Key"][len(self.prefix) :] for upload in page.get("Uploads", ())]


@pytest.fixture
def corner(s3_service: Any) -> Corner:
    """An empty corner of the service."""
    return Corner(s3_service, f"{secrets.token_hex(8)}/")


@pytest.fixture
def proxy(s3_service: Any, load_server: Callable[[str], Any]) -> Iterator[Any]:
    """A `Proxy` in front of the service; see `tests/servers/proxy.py`."""
    with load_server("proxy").Proxy(s3_service.endpoint) as proxy:
        yield proxy


@pytest.fixture
def faults(load_server: Callable[[str], Any]) -> Any:
    """The module of the proxy: its rules by name."""
    return load_server("proxy")
