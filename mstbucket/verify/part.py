"""Judge the proof of a part of a bucket: everything that a commit holds under the keys with a prefix ([PROOF-13])."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mstbucket.core import manifest as manifests
from mstbucket.core.cid import CID
from mstbucket.core.commit import Commit
from mstbucket.core.keys import decode_key, prefix_end, split_version_key
from mstbucket.core.manifest import Manifest
from mstbucket.limits import KEY_MAX, VERSION_KEY_MAX
from mstbucket.verify.objects import check_digest, read_body, read_object
from mstbucket.verify.ordered import Take, in_order, may_hold


@dataclass(frozen=True, slots=True)
class PartFigures:
    """How much is in a part: keys of the two trees, and bytes of the objects' bodies, as S3 counts them."""

    objects: int
    versions: int
    bytes: int


def part(commit: Commit, prefix: str, take: Take) -> PartFigures:
    """Take all that *commit* holds under *prefix*, in the order of the file. Memory is that of one way down the tree.

    Raises:
        InvalidBlock, Untrue: a block is not what it has to be at its place.
    """
    objects = versions = size = 0
    for key, cid in _pairs(commit.tree, KEY_MAX, prefix, take):
        found = read_object(decode_key(key), cid, take).manifest
        _whole_body(found, take)
        objects += 1
        size += found.size or 0
    if commit.versions is not None:
        for key, cid in _pairs(commit.versions, VERSION_KEY_MAX, prefix, take):
            found = manifests.decode(take(cid, "manifest"))
            check_digest(split_version_key(key)[0].decode(), cid, found)
            if not found.delete_marker:
                _whole_body(found, take)
            versions += 1
    return PartFigures(objects, versions, size)


def _pairs(root: CID, key_max: int, prefix: str, take: Take) -> Iterator[tuple[bytes, CID]]:
    # A key of the tree of versions begins with its object's key, and no prefix holds the NUL behind that.
    first, last = prefix.encode(), prefix_end(prefix)
    end = None if last is None else last.encode()
    for step in in_order(root, key_max, take, lambda place: may_hold(place, first, end)):
        if len(step) == 2 and step[0].startswith(first):
            yield step


def _whole_body(manifest: Manifest, take: Take) -> None:
    assert manifest.size is not None  # it is no delete marker
    read_body(manifest, 0, manifest.size, take, lambda _data: None)
