"""What somebody remembers of a bucket, and whether a commit may follow it: rollback, fork, another key ([SIGN-6])."""

from __future__ import annotations

from dataclasses import dataclass

from mstbucket.core.cid import CID, to_text
from mstbucket.core.commit import Commit
from mstbucket.core.did import key_text
from mstbucket.errors import PinMismatch


@dataclass(frozen=True, slots=True)
class Pin:
    """The newest commit of a bucket that somebody has accepted.

    Attributes:
        bucket: the identity of the bucket.
        seq, cid: the number of that commit, and its CID.
        key: the public key that it was signed with; None where it was not signed.
    """

    bucket: str
    seq: int
    cid: CID
    key: bytes | None


def check_pin(pin: Pin, cid: CID, commit: Commit) -> None:
    """Refuse a commit that cannot be the pinned one or a later one of the same bucket. Keys are `check_key`'s to compare.

    A commit more than one ahead is taken as a successor: what is between is not at hand.

    Raises:
        PinMismatch: it is older, or stands where another one has stood, or follows another one, or is of another bucket.
    """
    if commit.bucket != pin.bucket:
        raise PinMismatch(f"the bucket is {commit.bucket}, and {pin.bucket} is pinned: another bucket").about(cid=cid)
    if commit.seq < pin.seq:
        raise PinMismatch(
            f"commit {commit.seq} of the bucket is older than commit {pin.seq}, which was accepted before: rolled back"
        ).about(cid=cid)
    if commit.seq == pin.seq and cid != pin.cid:
        raise PinMismatch(
            f"commit {commit.seq} of the bucket is {to_text(cid)}, and {to_text(pin.cid)} was accepted before: forked"
        ).about(cid=cid)
    if commit.seq == pin.seq + 1 and pin.cid not in (commit.prev, commit.merged):
        raise PinMismatch(
            f"commit {commit.seq} of the bucket does not follow {to_text(pin.cid)}, which was accepted before: forked"
        ).about(cid=cid)


def check_key(pin: Pin, cid: CID, key: bytes | None) -> None:
    """Refuse a commit that is not signed with the pinned key. *key* signed it, or has been followed by the one that did.

    Raises:
        PinMismatch: it is signed with another key, or not signed any more.
    """
    if pin.key is not None and key != pin.key:
        now = "is not signed" if key is None else f"is signed by {key_text(key)}"
        raise PinMismatch(
            f"the commit {now}, and {key_text(pin.key)} is pinned: another key, without a succession signed by the old one"
        ).about(cid=cid)


def pin_of(cid: CID, commit: Commit, key: bytes | None) -> Pin:
    """What to remember of a commit that was accepted."""
    return Pin(commit.bucket, commit.seq, cid, key)
