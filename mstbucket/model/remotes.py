"""What is said of other stores, and of what came from them or went there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remote:
    """Another store, or a folder of files, that has a name in this one.

    Attributes:
        place: a directory, a database's URL, or an `s3://` address. No credentials are in it.
        blobs: with a database, where its packs are; otherwise None.
    """

    name: str
    place: str
    blobs: str | None


@dataclass(frozen=True, slots=True)
class PullReport:
    """What a pull, a push or a fetch did.

    Attributes:
        bucket: the bucket that was to move.
        old: CID of its newest commit before; None where it was made.
        commit, seq: CID and number of its newest commit afterwards.
        outcome: `moved`; `made`; `same`, where both were at one commit; or `ahead`, where it has all that the other has.
        requests: to the other side.
        blocks, bytes: that were copied.
    """

    bucket: str
    old: str | None
    commit: str
    seq: int
    outcome: str
    requests: int
    blocks: int
    bytes: int


@dataclass(frozen=True, slots=True)
class FetchedBucket:
    """A bucket that was fetched from a remote, and is no longer there.

    Attributes:
        bucket: its name here.
        kept: why it stays; None where it was removed, or would be.
    """

    bucket: str
    kept: str | None
