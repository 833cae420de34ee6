"""`limit`: what gateways take into a bucket ([CLI-94])."""

from __future__ import annotations

import argparse
from dataclasses import replace

from mstbucket.cli.address import SCHEME, parse_bucket
from mstbucket.cli.output import Output
from mstbucket.cli.stores import open_store


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Show the limits of a bucket, after setting those that are named."""
    name = parse_bucket(arguments.bucket)
    size, types = arguments.object_size, arguments.content_types
    with open_store(arguments) as store:
        bucket = store.bucket(name)
        limits = bucket.get_bucket_limits()
        if size is not None:
            limits = replace(limits, object_size=None if size == "none" else size)
        if types is not None:
            limits = replace(limits, content_types=() if types == ["none"] else tuple(types))
        if size is not None or types is not None:
            bucket.put_bucket_limits(limits)
    record = {"bucket": name, "object_size": limits.object_size, "content_types": list(limits.content_types)}
    shown = "any size" if limits.object_size is None else f"up to {limits.object_size} bytes"
    out.emit(record, f"{SCHEME}{name}  objects of {shown}, of {', '.join(limits.content_types) or 'any content type'}")
