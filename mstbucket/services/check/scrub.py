"""The scrub: every byte of every pack is read and hashed once in a while, by whichever process is there ([CHECK-40])."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import BinaryIO, Final

from mstbucket.core.car_reader import CarReader
from mstbucket.core.times import moment
from mstbucket.errors import CorruptionError, FormatError, NotFound, StorageError
from mstbucket.index import scrubbed
from mstbucket.index.check_rows import PackRow
from mstbucket.limits import MIB
from mstbucket.model.examined import ScrubCoverage
from mstbucket.services.blocks.context import Context

LOOK_BYTES: Final = 64 * MIB  # of packs read in one look, and the last of them whole

_LOCK: Final = 0x6D7374_736372  # "mstscr": of the one-number advisory locks
_PAGE: Final = 64

log = logging.getLogger("mstbucket")


class _Stopped(Exception):
    """The process is about to end: the pack is read again another time."""


def scrub(context: Context, age: int, stopped: Callable[[], bool]) -> int:
    """Read some of the packs that were not read for `age` ms; how many bytes that was, 0 where none is due.

    Does nothing where another process is at it. What is damaged is recorded ([PUT-13]) and logged, and read again when a
    check finds it sound.
    """
    done = 0
    with context.db.holding(_LOCK) as alone:
        if not alone:
            return 0
        for pack in scrubbed.due(context.db, age, _PAGE):
            if stopped() or done >= LOOK_BYTES:
                break
            try:
                _read(context, pack, stopped)
            except _Stopped:
                break
            done += pack.size or 0
    return done


def _read(context: Context, pack: PackRow, stopped: Callable[[], bool]) -> None:
    def read(stream: BinaryIO) -> bool:
        for _ in CarReader(stream):  # which hashes every block
            if stopped():
                raise _Stopped
        return True

    try:
        whole = context.blocks.of_pack(pack.name, read)
    except (CorruptionError, FormatError, NotFound) as error:
        log.warning("the scrub found damage in %s: %s", pack.name, error)
        return
    except StorageError as error:
        if error.pack is None:
            raise
        log.warning("the scrub found damage in %s: %s", pack.name, error)
        return
    if whole:
        scrubbed.note(context.db, pack.id, pack.name)


def coverage_within(context: Context, within: timedelta) -> ScrubCoverage:
    """See `Store.scrub_coverage`."""
    packs, size, covered, oldest, damaged = scrubbed.coverage(context.db, within // timedelta(milliseconds=1))
    return ScrubCoverage(packs, size, covered, None if oldest is None else moment(oldest), damaged)
