"""The codes of findings: what each means stands in the table of spec/store/28-check.md. They are only ever added to."""

from __future__ import annotations

from typing import Final

from mstbucket.index.rules import RULES
from mstbucket.model.findings import Severity

#: Codes by which nothing is lost yet, and somebody should look all the same.
WARNINGS: Final = frozenset((
    "database.unpublished", "database.part-left", "database.lock", "database.epoch", "database.leftover",
    "presence.blob-unknown", "presence.blob-foreign", "presence.ref-ahead",
))  # fmt: skip

#: Every code, by level.
CODES: Final = (
    *RULES,
    "tree.commit-lost",
    "tree.commit-damaged",
    "tree.commit-row",
    "tree.node-lost",
    "tree.node-damaged",
    "tree.node-untrue",
    "tree.not-in-index",
    "tree.not-in-tree",
    "tree.differs",
    "tree.tags",
    "tree.versioning",
    "presence.pack-lost",
    "presence.pack-size",
    "presence.blob-unknown",
    "presence.blob-foreign",
    "presence.identity",
    "presence.key",
    "presence.ref-lost",
    "presence.ref-ahead",
    "presence.commit-lost",
    "presence.commit-damaged",
    "presence.commit-row",
    "presence.block-unknown",
    "presence.block-lost",
    "presence.block-damaged",
    "presence.block-untrue",
    "presence.block-size",
    "data.body",
    "data.pack",
    "data.block",
    "data.row-elsewhere",
    "data.row-misplaced",
    "data.frames",
    "data.trailer",
    "data.ref",
    "data.key",
    "proof.row",
    "proof.tree",
    "proof.commit",
)


def severity(code: str) -> Severity:
    """How bad a finding of this code is."""
    return "warning" if code in WARNINGS else "damage"
