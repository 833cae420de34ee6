"""The doctor: what a store stands on, the server, the disk, the service, the clocks; not what is in it ([CHECK-30])."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mstbucket.blobs.identity import read_identity
from mstbucket.blobs.media.local import WRITING
from mstbucket.blobs.media.places import directory_at, is_url
from mstbucket.blobs.media.validate import quick_checks
from mstbucket.errors import MstBucketError
from mstbucket.index.server import ServerState, read_state
from mstbucket.limits import GIB, MIB
from mstbucket.model.examined import Examined, Verdict
from mstbucket.pg.connecting import SERVER_MIN
from mstbucket.services.blocks.context import Context

SKEW_WARN: Final = 5.0  # seconds between two clocks: more is no accident of a network
SKEW_BAD: Final = 300.0  # S3 refuses requests from 15 minutes on; leases and retention would be hours wrong before long
FREE_WARN: Final = 5 * GIB
FREE_BAD: Final = 256 * MIB  # four packs
CONNECTIONS_MIN: Final = 20  # one process takes 16 at most


def examine(context: Context) -> list[Examined]:
    """Look at everything that can be looked at; see `Store.doctor`."""
    before = time.time()
    state = read_state(context.db)
    here = (before + time.time()) / 2
    return [
        *judge_server(state),
        judge_clock("clock of the database", state.now / 1000 - here),
        _identity(context, state),
        *_place(context),
        judge_space("temporary files", tempfile.gettempdir(), _free(tempfile.gettempdir())),
    ]


# --- the server -------------------------------------------------------------------------------------------------------


def judge_server(state: ServerState) -> Iterator[Examined]:
    """What its settings mean for a store. Pure: the same state gives the same words."""
    yield _switch("fsync", state.fsync, "bad", "what was acknowledged is lost with the power: set fsync = on, and reload")
    yield _switch("full_page_writes", state.full_page_writes, "bad",
                  "a power cut can tear pages that no log restores: set full_page_writes = on, and reload")  # fmt: skip
    safe = state.synchronous_commit in ("on", "remote_apply")
    yield _said("synchronous_commit", "ok" if safe else "bad", state.synchronous_commit,
                "the server, or a pooler, does not keep our setting: an acknowledged write can be lost")  # fmt: skip
    yield _switch("data_checksums", state.data_checksums, "warn",
                  "damage of the server's own pages goes unnoticed: stop it, and run pg_checksums --enable")  # fmt: skip
    yield _switch("autovacuum", state.autovacuum, "warn", "the database grows without end: set autovacuum = on, and reload")
    yield _switch("track_commit_timestamp", state.track_commit_timestamp, "warn",
                  "after a crash the fate of a commit may be unknown: set it to on, and restart")  # fmt: skip
    yield _said("server version", "ok" if state.version >= SERVER_MIN else "bad", f"{state.version // 10_000}",
                f"PostgreSQL {SERVER_MIN // 10_000} or later is needed")  # fmt: skip
    enough = state.max_connections >= CONNECTIONS_MIN
    yield _said("max_connections", "ok" if enough else "warn", str(state.max_connections),
                f"one process takes up to 16: set at least {CONNECTIONS_MIN}")  # fmt: skip
    same = state.schema == state.schema_known
    yield _said("schema", "ok" if same else "warn", f"migration {state.schema}, and here {state.schema_known} is the newest",
                "run 'mstbucket store migrate', or use the newer program")  # fmt: skip
    yield _said("damaged packs", "ok" if not state.damaged else "bad", str(state.damaged),
                "run 'mstbucket check --level data', then 'mstbucket repair blocks FROM'")  # fmt: skip
    yield _said("leftovers", "ok" if not state.leftovers else "warn", str(state.leftovers), "run 'mstbucket store compact'")


def _switch(name: str, value: str, off: Verdict, advice: str) -> Examined:
    return _said(name, "ok" if value == "on" else off, value, advice)


def _said(name: str, verdict: Verdict, said: str, advice: str) -> Examined:
    return Examined(name, verdict, said, "" if verdict == "ok" else advice)


def judge_clock(name: str, skew: float) -> Examined:
    """A clock that is `skew` seconds ahead of this machine's."""
    verdict: Verdict = "ok" if abs(skew) < SKEW_WARN else "warn" if abs(skew) < SKEW_BAD else "bad"
    advice = "set the clocks by NTP: times of objects, retention and leases are by the database's"
    return _said(name, verdict, f"{skew:+.1f} s against this machine's", advice)


# --- the place of the blobs -------------------------------------------------------------------------------------------


def _identity(context: Context, state: ServerState) -> Examined:
    try:
        found = read_identity(context.blobs)
    except MstBucketError as error:
        return Examined("identity", "bad", str(error), "restore the blob store.id from a copy")
    same = found == state.identity == context.identity
    return _said("identity", "ok" if same else "bad", f"{state.identity} in the database, {found} beside the blobs",
                 "open the store with the database and the place of one store")  # fmt: skip


def _place(context: Context) -> Iterator[Examined]:
    place = context.origin.blobs
    directory = None if place is None else directory_at(place)
    if directory is not None:
        yield from _directory(directory)
    elif place is not None and is_url(place):
        for check in quick_checks(place):
            yield _said(f"service: {check.name}", "ok" if check.passed else "bad", check.detail,
                        "see 'mstbucket store validate URL'")  # fmt: skip


def _directory(path: Path) -> Iterator[Examined]:
    try:
        mode = path.stat()
    except OSError as error:
        yield Examined("blobs", "bad", f"{path}: {error.strerror}", "mount it, or name the right place")
        return
    may = os.access(path, os.R_OK | os.W_OK | os.X_OK)
    yield _said("permission to write", "ok" if may else "bad", str(path), "this user has to be able to read and write there")
    others = stat.S_IMODE(mode.st_mode) & 0o077
    yield _said("permission of others", "ok" if not others else "warn", f"mode {stat.S_IMODE(mode.st_mode):03o}",
                f"other users of this machine may come in: chmod 700 {path}")  # fmt: skip
    devices = {one: _device(path / one) for one in (WRITING, "packs", "refs")}
    apart = [one for one, device in devices.items() if device not in (None, mode.st_dev)]
    yield _said("one file system", "ok" if not apart else "bad", "all folders" if not apart else ", ".join(apart),
                "a blob is written in one folder and linked into another: they have to be on one file system")  # fmt: skip
    yield judge_space("space for blobs", str(path), _free(str(path)))


def _device(path: Path) -> int | None:
    try:
        return path.stat().st_dev
    except OSError:
        return None  # it is made when it is needed


def judge_space(name: str, where: str, free: int) -> Examined:
    """So many bytes are free at a place."""
    verdict: Verdict = "ok" if free >= FREE_WARN else "warn" if free >= FREE_BAD else "bad"
    return _said(name, verdict, f"{free / GIB:.1f} GiB free at {where}", "free space there, or move the store")


def _free(path: str) -> int:
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return 0
