"""`tag`: the tags of an object or a bucket."""

from __future__ import annotations

import argparse

from mstbucket.cli.address import parse_address
from mstbucket.cli.exits import one_line
from mstbucket.cli.extras import pairs
from mstbucket.cli.output import Output
from mstbucket.cli.stores import open_store
from mstbucket.errors import InvalidInput, NoSuchTagSet


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Show the tags, after the changes that the options ask for.

    S3 knows tags as one set. So a change reads the set and puts it back. Of two at once the later counts as a whole.
    """
    target = parse_address(arguments.target)
    wanted = pairs("set", arguments.set)
    if len(wanted) < len(arguments.set):
        raise InvalidInput("--set names a tag twice: it can have one value")
    if both := sorted(wanted.keys() & set(arguments.remove)):
        raise InvalidInput(f"--set and --remove name the same tag: {', '.join(both)}")
    with open_store(arguments) as store:
        bucket = store.bucket(target.bucket)
        if target.key:
            tags = bucket.get_object_tagging(target.key)
        else:
            try:
                tags = bucket.get_bucket_tagging()
            except NoSuchTagSet:
                tags = {}
        if wanted or arguments.remove or arguments.clear:
            before = {} if arguments.clear else {name: tags[name] for name in tags if name not in arguments.remove}
            tags = {**before, **wanted}
            if target.key:
                bucket.put_object_tagging(target.key, tags)
            else:
                bucket.put_bucket_tagging(tags)
    record = {"bucket": target.bucket, "key": target.key or None, "tags": tags}
    if tags or out.as_json:
        out.emit(record, "\n".join(one_line(f"{name}={value}") for name, value in sorted(tags.items())))
