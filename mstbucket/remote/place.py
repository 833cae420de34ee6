"""Where something is on an S3-compatible service, as one URL: `s3://bucket/prefix?endpoint=…&region=…`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from mstbucket.errors import InvalidInput

SCHEME: Final = "s3://"

# Wider than AWS's rule of today: older buckets and other services have capitals and underscores.
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_REGION: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_FORM: Final = "s3://BUCKET/PREFIX?endpoint=URL&region=NAME"


@dataclass(frozen=True, slots=True)
class S3Place:
    """A bucket of a service, and a prefix in it. Holds no credentials: those are of the environment.

    Attributes:
        bucket: the bucket's name on the service.
        prefix: what keys start with, as written: "" for the whole bucket. A folder's ends with "/".
        endpoint: base URL of a service other than AWS, or None.
        region: as the service calls it, or None for the default of the environment.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None

    def __str__(self) -> str:
        given = {"endpoint": self.endpoint, "region": self.region}
        query = urlencode({name: value for name, value in given.items() if value is not None}, safe=":/[]")
        return f"{SCHEME}{self.bucket}/{self.prefix}" + (f"?{query}" if query else "")


def is_s3(text: str) -> bool:
    """Whether `text` names a place on an S3-compatible service, well or badly written."""
    return text[: len(SCHEME)].lower() == SCHEME


def parse_place(url: str) -> S3Place:
    """The place that `url` names. No part of a URL that is refused is repeated: it may be a secret.

    What stands between the bucket and the "?" is the prefix as it is, without percent-decoding.

    Raises:
        InvalidInput: it is no such URL, names something unknown, or has credentials in it.
    """
    if not is_s3(url):
        raise InvalidInput(f"this is no S3 URL: write {_FORM}")
    rest, mark, query = url[len(SCHEME) :].partition("?")
    bucket, _, prefix = rest.partition("/")
    # [S3B-1] a secret in a URL ends in histories, process lists and logs
    if "@" in bucket or ":" in bucket:
        raise InvalidInput("an S3 URL takes no credentials and no port: put credentials in the environment "
                           f"(AWS_ACCESS_KEY_ID, AWS_PROFILE, …) and write {_FORM}")  # fmt: skip
    if _BUCKET.fullmatch(bucket) is None:
        raise InvalidInput(f"the S3 URL names no bucket (letters, digits, '.', '_' and '-'): write {_FORM}")
    if not prefix.isprintable():
        raise InvalidInput("the prefix of the S3 URL has a control character in it")
    try:
        given = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(mark), max_num_fields=8)
    except ValueError as error:
        raise InvalidInput(f"what follows the '?' of the S3 URL is not name=value&…: write {_FORM}") from error
    settings = dict(given)
    if len(settings) != len(given) or settings.keys() - {"endpoint", "region"}:
        raise InvalidInput(f"an S3 URL takes endpoint= and region=, each once: write {_FORM}")
    region = settings.get("region")
    if region is not None and _REGION.fullmatch(region) is None:
        raise InvalidInput("the region of the S3 URL is no name of a region, such as eu-central-1")
    endpoint = settings.get("endpoint")
    return S3Place(bucket, prefix, None if endpoint is None else _endpoint(endpoint), region)


def _endpoint(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidInput("endpoint= of an S3 URL is http://HOST:PORT or https://HOST, without credentials")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port is None else f":{port}") + parts.path.rstrip("/")
