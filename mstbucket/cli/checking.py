"""`check` and `doctor`: everything that is wrong with a store, and with what it stands on."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from mstbucket.cli.exits import FAILED, OK, STORAGE, UNTRUE, WARNINGS
from mstbucket.cli.output import Output, complain, count, human_size, warn
from mstbucket.cli.progress import bar
from mstbucket.cli.stores import open_store
from mstbucket.errors import InvalidInput

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from mstbucket import Finding, StoreReport

JOBS_MAX: Final = 256


def check(arguments: argparse.Namespace, out: Output) -> int:
    """Check the store; print a line for each finding, and one at the end ([CLI-80])."""
    if not 1 <= arguments.jobs <= JOBS_MAX:
        raise InvalidInput(f"--jobs takes the number of processes, 1 to {JOBS_MAX}, not {arguments.jobs}")
    with (
        open_store(arguments) as store,
        _executor(arguments.jobs) as executor,
        bar("check", quiet=out.quiet) as progress,
    ):
        report = store.check(arguments.level, subset=arguments.subset, executor=executor, progress=progress)
    for finding in report.findings:
        out.emit(asdict(finding), f"{finding.severity}: {finding.code}: {_where(finding)}{finding.message}")
    for what in report.incomplete:
        complain(what)
    if report.omitted:
        warn(f"{count(report.omitted, 'finding')} more are not shown")
    record = {
        "level": report.level, "clean": report.clean, "damaged": report.damaged, "omitted": report.omitted,
        "incomplete": list(report.incomplete), "buckets": report.buckets, "commits": report.commits,
        "objects": report.objects, "blocks": report.blocks, "packs": report.packs, "bytes": report.bytes,
    }  # fmt: skip
    verdict = "clean" if report.clean else count(len(report.findings), "finding")
    out.emit(record, f"check: {verdict}: {count(report.buckets, 'bucket')}, {count(report.objects, 'row')} compared, "
             f"{count(report.blocks, 'block')} reached, {count(report.packs, 'pack')} of {human_size(report.bytes)} "
             "hashed")  # fmt: skip
    return _code(report)


def doctor(arguments: argparse.Namespace, out: Output) -> int:
    """Look at what the store stands on; print a line for each thing ([CLI-82])."""
    with open_store(arguments) as store:
        examined = store.doctor()
    for one in examined:
        advice = f": {one.advice}" if one.advice else ""
        out.emit(asdict(one), f"{one.verdict:<5} {one.name}: {one.said}{advice}")
    verdicts = {one.verdict for one in examined}
    return FAILED if "bad" in verdicts else WARNINGS if "warn" in verdicts else OK


def _executor(jobs: int) -> AbstractContextManager[Executor | None]:
    if jobs == 1:
        return nullcontext()
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    # Not by fork: a child must not have the connections of this process.
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))


def _where(finding: Finding) -> str:
    named = (("bucket", finding.bucket), ("key", finding.key), ("commit", finding.commit), ("path", finding.path),
             ("block", finding.cid))  # fmt: skip
    parts = [f"{name} {text}" for name, text in named if text is not None]
    return ", ".join(parts) + ": " if parts else ""


def _code(report: StoreReport) -> int:
    if report.damaged or report.omitted:
        return UNTRUE
    if report.incomplete:
        return STORAGE
    return WARNINGS if report.findings else OK
