"""`serve`: S3 over HTTP, until a signal ends it ([CLI-90])."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mstbucket.cli.output import Output
from mstbucket.cli.stores import place_of, refuse_other_things
from mstbucket.errors import InvalidInput

if TYPE_CHECKING:
    from mstbucket.gateway.serve import Started


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Serve the store, and make it if it is not there."""
    from mstbucket.gateway.serve import Settings, serve

    place = place_of(arguments)
    refuse_other_things(place)
    host, port = _address(arguments.listen)
    _, watch_port = _address(arguments.watch)
    for file in (arguments.tls_cert, arguments.tls_key):
        if file is not None and not Path(file).is_file():
            raise InvalidInput(f"there is no file {file}")
    if not 1 <= arguments.workers <= 64:
        raise InvalidInput(f"--workers is from 1 to 64, not {arguments.workers}")
    settings = Settings(
        {"path": place.path, "database": place.database, "blobs": place.blobs, "postgres_bin": place.postgres_bin},
        host, port, arguments.domain, arguments.workers, arguments.tls_cert, arguments.tls_key, watch_port,
    )  # fmt: skip

    def started(told: Started) -> None:
        key = told.key
        record = {
            "endpoint": told.endpoint,
            "watch": told.watch,
            "access_key": told.root if key is None else key.key.id,
            "secret_key": None if key is None else key.secret,
        }
        out.emit(record, _welcome(told))
        sys.stdout.flush()  # whoever started this reads it while it runs

    serve(settings, started)


def _welcome(told: Started) -> str:
    key_id = told.root if told.key is None else told.key.key.id
    secret = "…" if told.key is None else told.key.secret
    shown = key_id or "…"
    lines = [
        f"endpoint    {told.endpoint}",
        f"watch       {told.watch}/-/live, /-/ready, /-/metrics",
    ]
    if told.key is not None:
        lines += [f"access key  {key_id}", f"secret key  {secret}    (shown this once; see 'mstbucket key')"]
    elif key_id is not None:
        lines += [f"access key  {key_id}    (of the environment)"]
    else:
        lines += ["access key  one of those that 'mstbucket key ls' shows"]
    lines += [
        "",
        f"export AWS_ACCESS_KEY_ID={shown} AWS_SECRET_ACCESS_KEY={secret} AWS_DEFAULT_REGION=us-east-1",
        f"aws --endpoint-url {told.endpoint} s3 ls",
        f"rclone lsd ':s3,provider=Other,env_auth,endpoint=\"{told.endpoint}\":'",
        f"python -c \"import boto3; print(boto3.client('s3', endpoint_url='{told.endpoint}').list_buckets()['Buckets'])\"",
    ]
    return "\n".join(lines)


def _address(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `[IPv6]:PORT` or `PORT`."""
    found = re.fullmatch(r"(?:(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*):)?([0-9]{1,5})", text)
    if found is None or int(found[2]) > 65535:
        raise InvalidInput(f"{text!r} is no address: write HOST:PORT, as 127.0.0.1:9000")
    return (found[1] or "127.0.0.1").strip("[]"), int(found[2])
