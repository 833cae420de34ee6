"""`inspect`: a look at a CAR of any kind, before anybody trusts it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING

from mstbucket.cli import progress
from mstbucket.cli.exits import about, one_line
from mstbucket.cli.output import Output, count, human_size
from mstbucket.cli.transfer import car_size, car_source

if TYPE_CHECKING:
    from mstbucket import CarSummary

_KINDS = {
    "bucket": "commit of a bucket", "atproto": "commit of an atproto repository", "tree": "Merkle search tree",
    "unixfs": "file or directory of IPFS", "raw": "bytes", "other": "block of another kind", "missing": "NOT in the file",
}  # fmt: skip


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Print what is in a CAR file. It is hashed, and not judged."""
    from mstbucket import inspect_car

    target: str = arguments.file
    with ExitStack() as stack:
        source = stack.enter_context(car_source(target))
        tell = stack.enter_context(progress.bar(f"inspect {target}", car_size(source), quiet=out.quiet))
        stack.enter_context(about(target))
        summary = inspect_car(source, progress=tell)
    record = {
        "file": target, "version": summary.version, "root_count": summary.root_count,
        "roots": [{"cid": root.cid, "kind": root.kind, **root.about} for root in summary.roots],
        "blocks": asdict(summary.total), "codecs": {name: asdict(one) for name, one in summary.codecs.items()},
        "duplicates": summary.duplicates, "smallest": summary.smallest, "largest": summary.largest,
        "mismatches": summary.mismatches, "mismatched": list(summary.mismatched), "unchecked": summary.unchecked,
        "nodes": {str(height): asdict(one) for height, one in summary.nodes.items()},
        "widest": None if summary.widest is None else {"entries": summary.widest[0], "cid": summary.widest[1]},
    }  # fmt: skip
    out.emit(record, "\n".join(_lines(target, summary)))


def _lines(target: str, summary: CarSummary) -> Iterator[str]:
    yield f"{target}: CAR version {summary.version}, {count(summary.root_count, 'root')}"
    for root in summary.roots:
        yield f"root     {root.cid}"
        told = ", ".join(f"{name} {value}" for name, value in root.about.items() if name != "message")
        yield one_line(f"         {_KINDS[root.kind]}{': ' + told if told else ''}")
        if "message" in root.about:
            yield one_line(f"         message: {root.about['message']}")
    if summary.root_count > len(summary.roots):
        yield f"         … and {summary.root_count - len(summary.roots)} more"
    sizes = f", the smallest {human_size(summary.smallest)}, the largest {human_size(summary.largest)}"
    yield f"blocks   {count(summary.total.blocks, 'block')}, {human_size(summary.total.bytes)}{sizes}"
    for name, one in summary.codecs.items():
        yield f"         {name:<10} {one.blocks:>12,} {human_size(one.bytes):>12}"
    if summary.duplicates:
        yield f"         {count(summary.duplicates, 'block is', 'blocks are')} there more than once"
    if summary.nodes:
        yield f"trees    {'height':<10} {'nodes':>12} {'entries':>12} {'per node':>12}"
    for height, nodes in summary.nodes.items():
        name = "no keys" if height < 0 else str(height)
        yield f"         {name:<10} {nodes.nodes:>12,} {nodes.entries:>12,} {nodes.entries / nodes.nodes:>12.1f}"
    if summary.widest is not None:
        yield f"         the widest node has {count(summary.widest[0], 'entry', 'entries')}: {summary.widest[1]}"
    yield f"hashes   {_hashes(summary)}"
    for cid in summary.mismatched:
        yield f"         does not match: {cid}"


def _hashes(summary: CarSummary) -> str:
    wrong = f"{count(summary.mismatches, 'block')}: NOT what the CID says"
    unknown = f"; {count(summary.unchecked, 'block has a hash', 'blocks have a hash')} of a kind that is not known here"
    good = "every block matches its CID; whether they belong together, 'verify' tells"
    return (wrong if summary.mismatches else good) + (unknown if summary.unchecked else "")
