"""What a round of maintenance did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mstbucket.errors import MstBucketError


@dataclass(frozen=True, slots=True)
class MaintainReport:
    """What `Store.maintain` did.

    Attributes:
        flushed: the buckets whose changes are in a commit now.
        commits: that no rule keeps, and that were given up.
        uploads: that were open for too long, and were aborted.
        packs: small ones that were compacted.
        collected: blocks that nothing needs, and that were removed; None where no collection was due.
        failures: what failed, by what it was; everything else was done. Repeat the call.
    """

    flushed: tuple[str, ...]
    commits: int
    uploads: int
    packs: int
    collected: int | None
    failures: Mapping[str, MstBucketError]
