"""`sync`: its options, its two sides, and what it prints."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from mstbucket.cli import progress
from mstbucket.cli.address import SCHEME, Address, Local, folder, parse_place, parse_source
from mstbucket.cli.exits import FAILED, OK, describe, one_line
from mstbucket.cli.extras import extras_of
from mstbucket.cli.output import Output, complain, count, human_size, warn
from mstbucket.cli.stores import open_store, opened
from mstbucket.errors import InvalidInput
from mstbucket.remote.place import is_s3
from mstbucket.remote.place import parse_place as parse_s3

if TYPE_CHECKING:
    from mstbucket import Store
    from mstbucket.sync.engine import Event, Summary
    from mstbucket.sync.filters import Filters
    from mstbucket.sync.plan import How
    from mstbucket.sync.run import Options, Side, Target


def sync(arguments: argparse.Namespace, out: Output) -> int:
    """Make one folder, of a directory or a bucket, like another; see `spec/store/21-sync.md`."""
    from mstbucket.sync.run import Options, sync

    extras = extras_of(arguments)
    options = Options(_how(arguments), arguments.delete, arguments.dry_run, arguments.workers, extras)
    with ExitStack() as stack:
        store = stack.enter_context(open_store(arguments))
        label = f"sync {arguments.source} to {arguments.target}"
        shown = stack.enter_context(progress.bar(label, quiet=out.quiet))
        report = _Report(arguments.source, arguments.target, options, out, shown)
        source, target = _sides(arguments, store, report, stack)
        summary = sync(source, target, options, report.tell, shown, shown.expect)
    return report.ended(summary)


def _how(arguments: argparse.Namespace) -> How:
    from mstbucket.sync.plan import How

    if arguments.size_only and arguments.checksum:
        raise InvalidInput("--size-only and --checksum exclude each other: leave one of them out")
    return How.SIZE if arguments.size_only else How.CHECKSUM if arguments.checksum else How.QUICK


def _sides(
    arguments: argparse.Namespace, store: Store, report: _Report, stack: ExitStack
) -> tuple[Side, Target]:
    """The two sides. If the source is a view, it is open until *stack* ends."""
    from mstbucket.sync.filters import Filters

    wanted = Filters(arguments.filters)
    source = _source(arguments, store, wanted, report, stack)
    # [CLI-15] what a link in the target points at is not the target's, and is neither compared nor deleted
    return source, _side(arguments.target, store, wanted, report, follow=False)


def _source(
    arguments: argparse.Namespace, store: Store, wanted: Filters, report: _Report, stack: ExitStack
) -> Side:
    from mstbucket.sync.objects import SourceObjects

    place = None if is_s3(arguments.source) else parse_source(arguments.source)
    if isinstance(place, Address) and place.commit is not None:
        return SourceObjects(stack.enter_context(opened(store, place)), folder(place.key), wanted)
    return _side(arguments.source, store, wanted, report, follow=not arguments.no_follow_symlinks)


def _side(text: str, store: Store, wanted: Filters, report: _Report, *, follow: bool) -> Target:
    from mstbucket.sync.directory import Directory
    from mstbucket.sync.objects import Objects

    if is_s3(text):
        from mstbucket.sync.remote import Remote

        there = parse_s3(text)
        return Remote(replace(there, prefix=folder(there.prefix)), wanted)
    place = parse_place(text)
    if isinstance(place, Address):
        return Objects(store.bucket(place.bucket), folder(place.key), wanted)
    if isinstance(place, Local):
        return Directory(place.path, wanted, report.skipped, follow=follow)
    raise InvalidInput("sync takes directories and addresses, not '-'")


class _Report:
    """Prints what happens, and keeps count of what has failed before anything was planned."""

    def __init__(self, source: str, target: str, options: Options, out: Output, shown: progress.Progress) -> None:
        self._shown = shown
        self._say = out.report if options.dry_run else out.item  # [CLI-152] a dry run is there to be read
        self._source = source
        self._target = target
        self._out = out
        self._options = options
        self._action = _action(source, target)
        self._unlisted = 0

    def skipped(self, text: str, failed: bool) -> None:
        """A listing had to leave something out."""
        if failed:
            self._unlisted += 1
            complain(text)
        else:
            warn(text)

    def tell(self, event: Event) -> None:
        """Something was done, or could not be."""
        from mstbucket.sync.engine import Removed
        from mstbucket.sync.mover import Failed, Moved

        dry = self._options.dry_run
        mark = "(dry run) " if dry else ""
        if isinstance(event, Moved):
            entry = event.step.source
            source, target = _below(self._source, entry.key), _below(self._target, entry.key)
            record = {
                "action": self._action, "source": source, "target": target, "size": entry.size, "why": event.step.why,
                "dry_run": dry,
            }  # fmt: skip
            self._shown.one()
            self._say(record, one_line(f"{mark}{self._action}: {source} to {target}"))
        elif isinstance(event, Failed):
            self._shown.one()
            complain(f"{_below(self._source, event.step.source.key)}: {describe(event.error)}")
        elif isinstance(event, Removed) and event.error is None:
            target = _below(self._target, event.target.key)
            self._say({"action": "delete", "target": target, "dry_run": dry}, one_line(f"{mark}delete: {target}"))
        elif event.error is not None:
            complain(f"{_below(self._target, event.target.key)}: {describe(event.error)}")

    def ended(self, summary: Summary) -> int:
        """Print the last line, and return the exit code."""
        failed = summary.failed + self._unlisted
        record = {
            "type": "summary", "copied": summary.copied, "bytes": summary.bytes, "deleted": summary.deleted,
            "same": summary.same, "failed": failed, "dry_run": self._options.dry_run,
        }  # fmt: skip
        mark = "(dry run) " if self._options.dry_run else ""
        self._out.report(record, f"{mark}sync: {summary.copied:,} copied ({human_size(summary.bytes)}), "
                         f"{summary.deleted:,} deleted, {summary.same:,} unchanged, {failed:,} failed")  # fmt: skip
        if failed == 0:
            return OK
        # [CLI-5] what failed was said line by line
        kept = "; nothing was deleted" if self._unlisted and self._options.delete else ""
        complain(f"{count(failed, 'object')} not synced; the reasons are above{kept}")
        return FAILED


def _action(source: str, target: str) -> str:
    """What `cp` calls the direction: into the store's buckets from elsewhere, out of them, or between them."""
    if not target.startswith(SCHEME):
        return "download"
    return "copy" if source.startswith(SCHEME) else "upload"


def _below(root: str, key: str) -> str:
    """The name, for people, of something below a side: the side as it was given, and the key."""
    return folder(root.partition("?")[0] if is_s3(root) else root) + key
