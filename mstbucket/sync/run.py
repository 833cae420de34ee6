"""`sync`: two sides, the mover between them, and the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Final

from mstbucket.errors import InvalidInput, Unsupported
from mstbucket.limits import SYNC_WORKERS_MAX
from mstbucket.sync.directory import Directory
from mstbucket.sync.engine import Engine, Event, Summary
from mstbucket.sync.entry import Entry
from mstbucket.sync.extras import NO_EXTRAS, Extras
from mstbucket.sync.fetching import Fetching
from mstbucket.sync.inward import Inward
from mstbucket.sync.mover import Meter, Mover, always
from mstbucket.sync.objects import Objects, SourceObjects
from mstbucket.sync.outward import Outward
from mstbucket.sync.plan import How, copies, plan, rule_for
from mstbucket.sync.remote import Remote
from mstbucket.sync.sending import Sending
from mstbucket.sync.within import Within

WORKERS: Final = 8  # what hides the waiting for a service or a disk; more cost memory, 4 MiB each, and gain little

Target = Directory | Objects | Remote
Side = Target | SourceObjects


@dataclass(frozen=True, slots=True)
class Options:
    """What `sync` is asked for beside the two sides.

    Attributes:
        how: what has to be equal for nothing to be copied.
        delete: remove from the target what the source lacks.
        dry_run: tell everything, change nothing.
        workers: threads that move.
        extras: what goes with the objects that files become.
    """

    how: How = How.QUICK
    delete: bool = False
    dry_run: bool = False
    workers: int = WORKERS
    extras: Extras = NO_EXTRAS


def sync(
    source: Side,
    target: Target,
    options: Options,
    tell: Callable[[Event], None],
    tick: Callable[[int], None],
    expect: Callable[[int, int], None] = lambda _objects, _bytes: None,
) -> Summary:
    """Make *target* like *source*, and return what was done. Repeating it copies what is still missing.

    Every object and file appears complete or not at all. What fails alone is told and counted; the rest goes on.

    Args:
        source, target: the sides, with the same filters.
        options: see `Options`.
        tell: called with everything that was done, once it is, and with what could not be.
        tick: called now and then with the bytes moved or compared so far.
        expect: called once it is known how many objects are to be copied or compared, with their bytes.

    Raises:
        NoSuchKey, FileNotFoundError: there is no such source.
        InvalidInput: one side lies inside the other, or an option is wrong.
        StorageError: a medium failed; what was told is done. Repair it and repeat the call.
    """
    # [SYNC-5] What --checksum calls unchanged is read at the target too, so that damage there is found, and mended.
    trusted = target.reads_well if options.how is How.CHECKSUM and isinstance(target, Objects) else always
    mover = _mover(source, target, Meter(), options.extras, trusted)
    if not 1 <= options.workers <= SYNC_WORKERS_MAX:
        raise InvalidInput(f"{options.workers} workers are too few or too many: from 1 to {SYNC_WORKERS_MAX}")
    _refuse_overlap(source, target)
    source.require()
    entries = source.entries()
    first = next(entries, None)  # a directory has been read to its end then
    sources = entries if first is None else chain((first,), entries)
    delete = options.delete and not (isinstance(source, Directory) and source.incomplete)  # [SYNC-10]
    steps = plan(sources, target.entries(), rule_for(source.kind, target.kind, options.how), delete=delete)
    if options.dry_run:  # moves no bytes: there is nothing to expect
        return Engine(mover, tell, tick, options.workers).rehearse(steps)
    engine = Engine(mover, tell, tick, options.workers, expect)
    return engine.run(steps, target.bucket if isinstance(target, Objects) else None)


def copy(
    source: Directory | SourceObjects,
    target: Directory | Objects,
    tell: Callable[[Event], None],
    extras: Extras = NO_EXTRAS,
    *,
    tick: Callable[[int], None] = lambda _: None,
    expect: Callable[[int, int], None] = lambda _objects, _bytes: None,
) -> Summary:
    """Copy everything below *source*, whatever *target* has of it, in key order; return what was done.

    Every object and file appears complete or not at all. What fails alone is told and counted; the rest goes on.
    With nothing to copy nothing is made.

    Args:
        source, target: the sides.
        tell: called with everything that was copied, once it is, and with what could not be.
        extras: what goes with the objects that files become.
        tick: called now and then with the bytes moved so far.
        expect: called once it is known how many there are, with their bytes; for a directory before the first is copied.

    Raises:
        InvalidInput: no object could have these *extras*.
        FileExistsError: what is at the place of the target directory is none.
        StorageError: a medium failed; what was told is done. Repair it and repeat the call.
    """
    mover = _mover(source, target, Meter(), extras, always)
    entries = source.entries()
    first = next(entries, None)
    if first is None:
        return Summary()
    if isinstance(source, Directory):
        expect(source.found, source.bytes)
        expect = _known
    mover.prepare()
    steps = copies(chain((first,), entries))
    return Engine(mover, tell, tick, 1, expect).run(steps, target.bucket if isinstance(target, Objects) else None)


def _known(_objects: int, _bytes: int) -> None:
    """It was said before."""


def _mover(
    source: Side, target: Target, meter: Meter, extras: Extras, trusted: Callable[[Entry], bool]
) -> Mover:
    match source, target:
        case Directory(), Objects():
            return Inward(target, meter, extras, trusted)
        case _ if extras != NO_EXTRAS:
            raise InvalidInput("content type, metadata, headers and tags can be given where files become objects only")
        case SourceObjects(), Directory():
            return Outward(source, target, meter)
        case SourceObjects(), Objects():
            return Within(source, target, meter)
        case Remote(), Objects():
            return Fetching(source, target, meter, trusted)
        case SourceObjects(), Remote():
            return Sending(source, target, meter)
    raise Unsupported("neither side is in a bucket of this store: one has to be mst://bucket/prefix")


def _refuse_overlap(source: Side, target: Side) -> None:
    """[SYNC-1] a sync that finds its own results would not end, or delete what it is to read."""
    if isinstance(source, Objects) and isinstance(target, Objects) and source.bucket.name == target.bucket.name:
        shorter, longer = sorted((source.prefix, target.prefix), key=len)
        if longer.startswith(shorter):
            raise InvalidInput(f"{longer!r} lies inside {shorter!r} of the same bucket: a sync needs two places")
