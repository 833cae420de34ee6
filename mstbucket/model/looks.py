"""What a look at the tree of a bucket shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PathNode:
    """A node on the way to a key.

    Attributes:
        cid: of its block, as text.
        height: of the keys that it holds; 0 are the lowest.
        entries: how many keys it holds.
        size: bytes of its block.
        before, after: the keys of this node between which the way goes on, or the key stands; None at either end.
        holds: whether the key stands in this node: then it is none of `before` and `after`.
    """

    cid: str
    height: int
    entries: int
    size: int
    before: str | None
    after: str | None
    holds: bool


@dataclass(frozen=True, slots=True)
class ProvedObject:
    """An object as a proof shows it.

    Attributes:
        key: its key; `cid` is that of its manifest, as text, `content` that of its body.
        size: in bytes.
        etag, last_modified, content_type, metadata, tags: as S3 shows them.
    """

    key: str
    cid: str
    content: str
    size: int
    etag: str
    last_modified: datetime
    content_type: str | None
    metadata: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ProvedChange:
    """A key that names another manifest in the later commit than in the earlier one.

    Attributes:
        key: of the object.
        sequence: of a noncurrent version or delete marker: its number, by which the tree of versions orders them; None of
            an object.
        old, new: CIDs of the manifests, as text, in the earlier and in the later commit; None where it is absent.
    """

    key: str
    sequence: int | None
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class ProvedChanges:
    """What a change proof proves: these keys differ between two commits of a bucket, and no others do.

    Attributes:
        since: CID of the earlier commit as text, `since_seq` its number.
        is_next: whether the later commit names the earlier one as the one before it. If not, that the one came of the other
            is not proved; only how the two states differ.
        objects: current objects, by key.
        versions: noncurrent versions and delete markers, by key, the newest first.
    """

    since: str
    since_seq: int
    is_next: bool
    objects: tuple[ProvedChange, ...]
    versions: tuple[ProvedChange, ...]


@dataclass(frozen=True, slots=True)
class ProvedPart:
    """Of the proof of a part: it is complete, and so is every body in it.

    Attributes:
        prefix: of its keys.
        objects, versions: how many current objects there are, and how many noncurrent versions and delete markers.
        bytes: of the objects' bodies, as S3 counts them.
    """

    prefix: str
    objects: int
    versions: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Proved:
    """What a proof proves of a commit.

    Attributes:
        commit: its CID as text; `bucket` is the identity of the bucket, `name` what it was called, `seq` its number.
        key: what the proof is about; None where it is about something else.
        body: of a key: the bytes that are proved too, as a half-open range; None where none are.
        prefix, delimiter, start_after, max_keys: of a page: what it is about; None where the proof is about something else.
        objects: of a key the object, or none where it is absent; of a page all objects that stand in it by their key.
        common_prefixes: of a page with a delimiter.
        next_start_after: of a page that is cut short, what the next one starts after; None where nothing follows.
        changes: what differs from an earlier commit; None where the proof is about something else.
        part: of the proof of a part of the bucket; None where the proof is about something else.
    """

    commit: str
    bucket: str
    name: str
    seq: int
    key: str | None
    body: tuple[int, int] | None
    prefix: str | None
    delimiter: str | None
    start_after: str | None
    max_keys: int | None
    objects: tuple[ProvedObject, ...]
    common_prefixes: tuple[str, ...]
    next_start_after: str | None
    changes: ProvedChanges | None
    part: ProvedPart | None


@dataclass(frozen=True, slots=True)
class TreePath:
    """The way from a commit to a key, or to where it would stand.

    Attributes:
        commit, seq: where it begins.
        nodes: from the root of the tree; the last one holds the key, or has no subtree where it would be.
        manifest, content, size: of the object, the last in bytes; None where the tree does not hold the key.
    """

    commit: str
    seq: int
    nodes: tuple[PathNode, ...]
    manifest: str | None
    content: str | None
    size: int | None
