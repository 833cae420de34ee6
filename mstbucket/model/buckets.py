"""What is told of a bucket: what there is of it, its commits, and what a check of it went through."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class BucketInfo:
    """One bucket, as `Store.list_buckets` reports it.

    Attributes:
        name: unique within the store.
        identity: 128 random bits as text; the same in every export and mirror of this bucket.
        created: when this store made or imported it.
        commit: CID of the current commit, or None before the first flush.
        seq: sequence number of that commit, 0 before the first.
        dirty: keys changed since that commit; changed tags of the bucket count as one more.
    """

    name: str
    identity: str
    created: datetime
    commit: str | None
    seq: int
    dirty: int


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """One commit: the CID that names a whole state of the bucket, and what it says of that state.

    Attributes:
        cid: of the commit block.
        bucket: the bucket's identity.
        name: the bucket's name when the commit was made (informational).
        seq: counts the commits of the bucket from 1.
        tree: root of the tree of live objects; equal contents give an equal root.
        versions: root of the tree of noncurrent versions, or None where there are none.
        prev: CID of the commit before, or None.
        time: when the commit was made.
        objects: live objects in it.
        bytes: sum of their sizes.
        forked: in the first commit of a fork, CID of the commit that it was made from.
        merged: in a commit that a merge made, CID of the commit of the other bucket.
        message: what whoever made it said of it, or None.
        names: of the snapshots that keep it, in order.
    """

    cid: str
    bucket: str
    name: str
    seq: int
    tree: str
    versions: str | None
    prev: str | None
    time: datetime
    objects: int
    bytes: int
    forked: str | None = None
    merged: str | None = None
    message: str | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `Bucket.verify` went through: all of it was true, or it would have raised.

    Attributes:
        commit: CID that was checked.
        blocks: blocks read and hashed.
        objects: objects in the tree.
        bytes: sum of their sizes.
        dirty: keys whose rows are ahead of the commit, and so were not compared with the tree; changed tags of the bucket
            count as one more.
    """

    commit: str
    blocks: int
    objects: int
    bytes: int
    dirty: int
