"""What a check of a whole store finds: one finding for each thing that is wrong, with a code that never changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

#: The levels of a check, each of which includes those before it ([CHECK-1]).
LEVELS: Final = ("database", "tree", "presence", "data", "proof")

#: `damage`: bytes or rows that are wrong or gone. `warning`: nothing is lost, and somebody should look.
Severity = Literal["damage", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. What does not apply is None.

    Attributes:
        severity: `damage` or `warning`.
        code: what kind of thing it is; the table of `spec/store/28-check.md` has all of them.
        message: what is wrong, for people.
        bucket: name of the bucket; of one that has no row any more, its number behind a `#`.
        commit: CID of the commit that reaches the block.
        key: of the object or version; a version has its number behind an `@`.
        path: the CIDs from the commit down to the block, as far as they are known, each behind a `/`.
        cid: of the block.
        blob: name of the blob.
    """

    severity: Severity
    code: str
    message: str
    bucket: str | None = None
    commit: str | None = None
    key: str | None = None
    path: str | None = None
    cid: str | None = None
    blob: str | None = None


@dataclass(frozen=True, slots=True)
class StoreReport:
    """What `Store.check` went through, and what it found.

    Attributes:
        level: of the check.
        findings: in the order in which they were found; at most `limits.FINDINGS_MAX`.
        omitted: how many more there were.
        incomplete: what could not be looked at, and why: nothing is known of that.
        buckets, commits, objects, blocks, packs: how many were looked at; blocks are those that trees and bodies lead to.
        bytes: of packs that were hashed.
    """

    level: str
    findings: tuple[Finding, ...]
    omitted: int
    incomplete: tuple[str, ...]
    buckets: int
    commits: int
    objects: int
    blocks: int
    packs: int
    bytes: int

    @property
    def damaged(self) -> bool:
        """Whether anything is wrong or gone."""
        return any(finding.severity == "damage" for finding in self.findings)

    @property
    def clean(self) -> bool:
        """Whether everything was looked at, and nothing found."""
        return not self.findings and not self.incomplete
