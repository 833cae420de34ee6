"""The whole of a view: its export, and its verification."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from mstbucket.core.cid import to_text
from mstbucket.model.objects import CheckReport, ExportReport
from mstbucket.services.blocks.error_context import error_context
from mstbucket.services.past.view import View
from mstbucket.services.tree import check as checking
from mstbucket.services.tree import export as exporting


def export(view: View, target: BinaryIO, progress: Callable[[int], object] | None) -> ExportReport:
    """Write the closure of the commit to `target`; see `BucketView.export_car`."""
    view.blocks.check()
    return exporting.export(view.context, view.bucket, view.row.cid, target, view.lease.during(progress))


def verify(view: View, progress: Callable[[int], object] | None) -> CheckReport:
    """Verify the commit in the store; see `BucketView.verify`."""
    view.blocks.check()
    with error_context(view.context, view.bucket):
        report = checking.judge(view.context, view.row.cid, view.lease.during(progress))
    return CheckReport(to_text(view.row.cid), report.blocks, report.objects, report.bytes, dirty=0)
