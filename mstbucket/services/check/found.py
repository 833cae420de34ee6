"""What a part of a check found, and how much it looked at; parts are put together at the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mstbucket.core.cid import CID, to_text
from mstbucket.core.keys import split_version_key
from mstbucket.limits import FINDINGS_MAX
from mstbucket.model.findings import Finding
from mstbucket.services.check.codes import severity

#: The CIDs from a commit down to a block, the last first: (those above, the block); None above the commit.
Trail = tuple["Trail | None", CID]


@dataclass(slots=True)
class Part:
    """The findings of a part of a check; at most FINDINGS_MAX are kept, and the rest is counted ([CHECK-2]).

    Attributes:
        counts: how much was looked at, by the names of `StoreReport`.
        suspects: blocks that were found damaged by their place, and not by what leads to them.
    """

    findings: list[Finding] = field(default_factory=list)
    omitted: int = 0
    incomplete: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    suspects: list[CID] = field(default_factory=list)
    _told: set[tuple[str | None, ...]] = field(default_factory=set)

    def add(
        self,
        code: str,
        message: str,
        *,
        bucket: str | None = None,
        commit: CID | None = None,
        key: str | None = None,
        trail: Trail | None = None,
        cid: CID | None = None,
        blob: str | None = None,
    ) -> None:
        """Take a finding, unless the same was told before."""
        block = None if cid is None else to_text(cid)
        told = (code, bucket, key, block, blob)
        if told in self._told:
            return
        if len(self.findings) >= FINDINGS_MAX:
            self.omitted += 1
            return
        self._told.add(told)
        self.findings.append(
            Finding(
                severity(code), code, message, bucket, None if commit is None else to_text(commit), key,
                None if trail is None else path_of(trail), block, blob,
            )
        )  # fmt: skip

    def take(self, other: Part) -> None:
        """Take all that another part found."""
        for finding in other.findings:
            told = (finding.code, finding.bucket, finding.key, finding.cid, finding.blob)
            if told in self._told:
                continue
            if len(self.findings) >= FINDINGS_MAX:
                self.omitted += 1
                continue
            self._told.add(told)
            self.findings.append(finding)
        self.omitted += other.omitted
        self.incomplete += other.incomplete
        self.counts.update(other.counts)
        self.suspects += other.suspects


def path_of(trail: Trail) -> str:
    """The CIDs of a trail from the top, each behind a slash."""
    cids: list[str] = []
    here: Trail | None = trail
    while here is not None:
        here, cid = here
        cids.append(to_text(cid))
    return "".join(f"/{cid}" for cid in reversed(cids))


def shown_key(key: bytes, *, version: bool) -> str:
    """A key of a tree as findings show it: that of a version has its number behind an `@`."""
    if not version:
        return key.decode("utf-8", "backslashreplace")
    name, seq = split_version_key(key)
    return f"{name.decode('utf-8', 'backslashreplace')}@{seq}"
