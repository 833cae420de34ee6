"""A view verified: its commit against the blocks of the store."""

from __future__ import annotations

from collections.abc import Callable

from mstbucket.core.cid import to_text
from mstbucket.model.buckets import CheckReport
from mstbucket.services.blocks.error_context import error_context
from mstbucket.services.past.view import View
from mstbucket.services.tree import check as checking


def verify(view: View, progress: Callable[[int], object] | None) -> CheckReport:
    """Verify the commit in the store; see `BucketView.verify`."""
    view.blocks.check()
    with error_context(view.context, view.bucket):
        report = checking.judge(view.context, view.row.cid, view.lease.during(progress))
    return CheckReport(to_text(view.row.cid), report.blocks, report.objects, report.bytes, dirty=0)
