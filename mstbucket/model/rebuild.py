"""What a rebuild has found, made and missed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RebuiltBucket:
    """A bucket that was made again.

    Attributes:
        name: what it is called now. It is `named` with a number behind it where another bucket has that name.
        named: what it was called.
        identity: the same as before.
        commit, seq: its newest commit; None and 0 for a bucket that was never flushed.
        objects, versions: rows that were made.
        commits: commits of it that can be read.
        locks: retentions and legal holds that came back.
        state: whether its service state was found in the blobs; without, locks and rules of it are not known.
        passed: newer commits that were published and are not whole, each with what is missing. Their changes are lost.
        left_out: older commits that are not whole any more.
        hurt: keys (of versions with `?versionId=`) whose bodies are not whole. They are listed; reading them is an error.
            Some of them, where there are many.
        hurt_count: how many there are.
    """

    name: str
    named: str
    identity: str
    commit: str | None
    seq: int
    objects: int
    versions: int
    commits: int
    locks: int
    state: bool
    passed: tuple[str, ...]
    left_out: tuple[str, ...]
    hurt: tuple[str, ...]
    hurt_count: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the newest commit that was published is missing."""
        return not self.passed and not self.hurt_count


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """A rebuild that has ended.

    Attributes:
        identity: of the store.
        buckets: by name.
        packs, blocks: that the store has now.
        damaged: packs that are not as they were written, each with what is wrong.
        invalid: refs and blobs of state that were passed over, each with what is wrong.
        deleted: identities of buckets that were deleted, and of which refs are left. They were not made again.
        gone: what no blob has, in words for people.
    """

    identity: str
    buckets: tuple[RebuiltBucket, ...]
    packs: int
    blocks: int
    damaged: dict[str, str]
    invalid: dict[str, str]
    deleted: tuple[str, ...]
    gone: tuple[str, ...]
