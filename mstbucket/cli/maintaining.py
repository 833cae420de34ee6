"""`maintain`: what the background work does, for a store that no process keeps open; and the units that run it."""

from __future__ import annotations

import argparse
import getpass
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mstbucket.cli.config import StorePlace
from mstbucket.cli.exits import FAILED, OK, describe
from mstbucket.cli.output import Output, complain, count
from mstbucket.cli.stores import open_store, place_of
from mstbucket.errors import InvalidInput

if TYPE_CHECKING:
    from mstbucket import MaintainReport

PERIOD: Final = 300  # seconds between two rounds of the units, and so the most that a change waits for a commit
_SETTINGS_FILE: Final = "/etc/mstbucket.env"


def maintain(arguments: argparse.Namespace, out: Output) -> int:
    """Do one round, or one after the other until a signal comes ([CLI-110])."""
    for name in ("every", "abort_uploads_after"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise InvalidInput(f"--{name.replace('_', '-')} takes a number from 1, not {value}")
    if arguments.print_unit:
        print("\n".join(_units(place_of(arguments), arguments.every or PERIOD)))
        return OK
    age = None if arguments.abort_uploads_after is None else timedelta(days=arguments.abort_uploads_after)
    while True:
        with open_store(arguments) as store:  # an embedded server rests between two rounds, if nobody else needs it
            report = store.maintain(abort_uploads_after=age)
        code = _tell(report, out, out.report if arguments.every is None else out.item)
        if arguments.every is None:
            return code
        sys.stdout.flush()
        time.sleep(arguments.every)


def _tell(report: MaintainReport, out: Output, idle: Callable[[Mapping[str, object], str], None]) -> int:
    """Print what was done; *idle* prints that nothing was: one round of many is not worth a line ([CLI-110])."""
    record = asdict(report) | {"failures": {what: str(error) for what, error in report.failures.items()}}
    done = [f"flushed {', '.join(report.flushed)}"] if report.flushed else []
    done += [f"gave up {count(report.commits, 'old commit')}"] if report.commits else []
    done += [f"aborted {count(report.uploads, 'upload')}"] if report.uploads else []
    done += [f"collected {count(report.collected, 'block')}"] if report.collected is not None else []
    done += [f"compacted {count(report.packs, 'small pack')}"] if report.packs else []
    say = out.report if done else idle
    say({"action": "maintain", **record}, f"maintain: {'; '.join(done) or 'nothing was due'}")
    for what, error in report.failures.items():
        complain(f"{what}: {describe(error)}")
    return FAILED if report.failures else OK


def _units(place: StorePlace, every: int) -> Iterator[str]:
    """A systemd unit and a line for cron, each with the store named in full."""
    program = Path(sys.argv[0]).absolute()
    words = [str(program), "-q", "maintain"]
    settings = ""
    if place.path is not None and place.blobs is None:
        words[1:1] = ["--store", str(Path(place.path).absolute())]
    else:  # a connection string may hold a password, and neither of the two files is for one
        settings = _SETTINGS_FILE
    if any(not word.isprintable() for word in words):
        raise InvalidInput("the path of the store or the program has a control character, which no unit can hold")
    yield "# /etc/systemd/system/mstbucket-maintain.service"
    yield "[Unit]"
    yield "Description=Maintenance of a mstbucket store"
    yield ""
    yield "[Service]"
    yield f"User={getpass.getuser()}"
    if settings:
        yield "# with MSTBUCKET_DATABASE and MSTBUCKET_BLOBS, readable by its owner only (mode 600)"
        yield f"EnvironmentFile={settings}"
    yield "ExecStart=" + " ".join(_systemd_word(word) for word in [*words, "--every", str(every)])
    yield "Restart=on-failure"
    yield ""
    yield "[Install]"
    yield "WantedBy=multi-user.target"
    yield ""
    yield "# or, for cron (crontab -e):"
    before = f"set -a; . {settings}; " if settings else ""
    yield f"*/{min(max(every // 60, 1), 59)} * * * * {before}" + shlex.join(words).replace("%", "\\%")


def _systemd_word(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if escaped != word or any(c in " ';" for c in word) else word
