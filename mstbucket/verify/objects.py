"""Manifests and bodies, from blocks that are asked for one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mstbucket.core import manifest as manifests
from mstbucket.core.cid import CID, RAW, codec
from mstbucket.core.manifest import Manifest
from mstbucket.core.unixfs import body_height, open_block
from mstbucket.errors import Untrue
from mstbucket.verify.ordered import Take

#: Takes the proved bytes of a body, in order.
Sink = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class ProvedObject:
    """An object that the commit holds: its key, the CID of its manifest, and what that says."""

    key: str
    cid: CID
    manifest: Manifest


def read_object(key: str, cid: CID, take: Take) -> ProvedObject:
    """Return the object of a key of the objects' tree, once its manifest is found good."""
    found = manifests.decode(take(cid, "manifest"))
    if found.delete_marker:  # [VER-15]
        raise Untrue(f"key {key[:60]!r} of the objects' tree has a delete marker for its manifest")
    check_digest(key, cid, found)
    return ProvedObject(key, cid, found)


def check_digest(key: str, cid: CID, manifest: Manifest) -> None:
    """Raise `Untrue` if a manifest contradicts the CID of its content."""
    content, digest = manifest.content, manifest.sha256
    if content is not None and codec(content) == RAW and digest is not None and digest != content[4:]:  # [VER-16]
        raise Untrue(f"the manifest of key {key[:60]!r} states another sha256 than its content has").about(cid=cid)


def read_body(manifest: Manifest, start: int, end: int, take: Take, sink: Sink) -> None:
    """Take the blocks that hold bytes *start* to *end* of a body, depth-first, and give these bytes to *sink*.

    An empty body has one block. Each block is judged at its place ([VER-17]).
    """
    assert manifest.content is not None
    assert manifest.size is not None
    # What is left of the way: root, size and height of each block, and where in the body it begins.
    pending = [(manifest.content, manifest.size, body_height(manifest.size), 0)]
    while pending:
        cid, size, height, at = pending.pop()
        if (at >= end or at + size <= start) and size:
            continue
        block = take(cid, "body")
        links = open_block(block, size, height)
        if height == 0:
            sink(block[max(start - at, 0) : end - at])
            continue
        below = []
        for child, length in links:
            below.append((child, length, height - 1, at))
            at += length
        pending += reversed(below)
