"""boto3's client for a place. boto3 is imported when the first one is made: that takes 0.15 s."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import threading
from typing import Any, Final

from mstbucket.errors import StorageError
from mstbucket.remote.failures import missing_library, understand
from mstbucket.remote.objects import TEXTS
from mstbucket.remote.place import S3Place

POOL: Final = 32  # connections kept open; more threads than that wait for one
CONNECT_SECONDS: Final = 10
READ_SECONDS: Final = 60  # without a byte; not for a whole body
DEFAULT_REGION: Final = "us-east-1"  # what other services call theirs, unless told

# [S3B-17] botocore takes Expires for a time: it reads `0` as 1970, loses what is no time, and breaks off at an empty one.
# Where it breaks off, nobody can let go of the connection. So we read the other two ourselves as well.
_PARSED: Final = ("expires", "last-modified", "content-length")
# Numbers and times that nobody here asks for: a value that is neither must not make an object unreadable.
_UNUSED: Final = (
    "x-amz-missing-meta", "x-amz-mp-parts-count", "x-amz-tagging-count", "x-amz-object-lock-retain-until-date",
    "x-amz-delete-marker", "x-amz-server-side-encryption-bucket-key-enabled", "x-amz-object-size",
)  # fmt: skip

_lock: Final = threading.Lock()
_loaders: Final[dict[str, Any]] = {}


def make_client(place: S3Place) -> Any:
    """A client for the service of `place`, thread-safe, with the credentials of boto3's default chain.

    It sends path-style requests where an endpoint is given, and tries everything once: see `Attempts`.

    Raises:
        Unsupported: boto3 is not installed.
        StorageError: the configuration of the environment cannot be used.
    """
    try:
        import boto3
        import botocore.session
        from botocore.config import Config
    except ImportError as error:
        raise missing_library() from error
    with _lock:  # sessions are not thread-safe
        try:
            core = botocore.session.get_session()
            # What a session reads about the service takes longer than all the rest: read it once.
            core.register_component("data_loader", _loaders.setdefault("s3", core.get_component("data_loader")))
            session = boto3.session.Session(botocore_session=core)
            # One of the environment counts as one of the place: such services rarely have a name for every bucket.
            other = place.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
            region = place.region or session.region_name or DEFAULT_REGION
            client: Any = session.client(
                "s3",
                region_name=region,
                endpoint_url=place.endpoint,
                config=Config(
                    s3={"addressing_style": "path" if other else "auto"},
                    retries={"total_max_attempts": 1, "mode": "standard"},
                    max_pool_connections=POOL,
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=READ_SECONDS,
                    tcp_keepalive=True,
                    # We send Content-MD5, which every service checks; some refuse the newer ones, some ignore them.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )
        except Exception as error:
            if isinstance(error, ValueError):
                raise StorageError(f"S3 cannot be used: {place}: check the endpoint and AWS_ENDPOINT_URL") from error
            failure = understand(error, "S3 cannot be used", str(place))
            if failure is None:
                raise
            raise failure.error from error
        # Older services demand it of this call, which newer releases of boto3 no longer send.
        client.meta.events.register("before-sign.s3.DeleteObjects", _add_md5)
        client.meta.events.register("before-parameter-build.s3", _take_expires)
        client.meta.events.register("before-call.s3", _send_expires)
        client.meta.events.register_first("before-parse.s3.*", _keep_texts)
        _silence()
    return client


def md5_header(digest: bytes) -> str:
    """An MD5 digest as `Content-MD5` has it."""
    return base64.b64encode(digest).decode("ascii")


def _add_md5(request: Any, **_: Any) -> None:
    body = request.body if isinstance(request.body, bytes) else str(request.body).encode()
    request.headers["Content-MD5"] = md5_header(hashlib.md5(body, usedforsecurity=False).digest())


def _take_expires(params: Any, context: Any, **_: Any) -> None:
    if "Expires" in params:
        context["mstbucket_expires"] = params.pop("Expires")


def _send_expires(params: Any, context: Any, **_: Any) -> None:
    if "mstbucket_expires" in context:
        params["headers"]["Expires"] = context["mstbucket_expires"]


def _keep_texts(response_dict: Any, customized_response_dict: Any, **_: Any) -> None:
    headers = response_dict.get("headers", {})
    customized_response_dict[TEXTS] = {name: headers.pop(name) for name in _PARSED if name in headers}
    for name in _UNUSED:
        headers.pop(name, None)


class _NoDebug(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.DEBUG


_no_debug: Final = _NoDebug()


def _silence() -> None:
    """[S3B-2] At DEBUG these two write whole requests, a session token among their headers."""
    for name in ("botocore.auth", "botocore.endpoint"):
        logging.getLogger(name).addFilter(_no_debug)  # once only: logging compares
