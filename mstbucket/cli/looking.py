"""`block` and `tree`: single blocks, and the way from a commit to a key."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mstbucket.cli.address import parse_object
from mstbucket.cli.exits import one_line
from mstbucket.cli.output import Output, count
from mstbucket.cli.stores import open_store
from mstbucket.errors import InvalidInput

if TYPE_CHECKING:
    from mstbucket import PathNode, TreePath


def get(arguments: argparse.Namespace, out: Output) -> None:
    """Write the bytes of a block to standard output."""
    if out.as_json:
        raise InvalidInput("a block is written as it is, and --json has no form for it: leave that out")
    if sys.stdout.buffer.isatty():  # [CLI-40]
        raise InvalidInput("standard output is a terminal, and a block is no text: say what is to read it")
    with open_store(arguments) as store:
        sys.stdout.buffer.write(store.get_block(arguments.cid))


def links(arguments: argparse.Namespace, out: Output) -> None:
    """List what a block leads to."""
    with open_store(arguments) as store:
        for place, cid in store.list_links(arguments.cid):
            out.emit({"place": place, "cid": cid}, f"{cid} {place}")


def path(arguments: argparse.Namespace, out: Output) -> None:
    """Draw the way from the newest commit of a bucket to a key."""
    target = parse_object(arguments.target)
    with open_store(arguments) as store:
        found = store.bucket(target.bucket).tree_path(target.key)
    record = {
        "bucket": target.bucket, "key": target.key, "commit": found.commit, "seq": found.seq,
        "nodes": [_record(node) for node in found.nodes],
        "manifest": found.manifest, "content": found.content, "size": found.size,
    }  # fmt: skip
    out.emit(record, "\n".join(map(one_line, _drawn(target.key, found))))


def _record(node: PathNode) -> dict[str, object]:
    return {
        "cid": node.cid, "height": node.height, "entries": node.entries, "size": node.size, "before": node.before,
        "after": node.after, "holds": node.holds,
    }  # fmt: skip


def _drawn(key: str, found: TreePath) -> Iterator[str]:
    yield f"{found.commit} commit {found.seq}"
    indent = ""
    for node in found.nodes:
        yield f"{indent}└─ {node.cid} node of height {node.height}, {count(node.entries, 'key')}, {node.size} bytes"
        indent += "   "
        if not node.holds:
            yield f"{indent}{_between(node)}"
    if found.manifest is None:
        yield f"{indent}{key!r} is not in the tree"
        return
    yield f"{indent}└─ {found.manifest} manifest of {key!r}"
    if found.content is not None:
        yield f"{indent}   └─ {found.content} body, {count(found.size or 0, 'byte')}"


def _between(node: PathNode) -> str:
    if node.before is None and node.after is None:
        return "│ it has no keys"
    if node.before is None:
        return f"│ before {node.after!r}"
    return f"│ after {node.before!r}" if node.after is None else f"│ between {node.before!r} and {node.after!r}"
