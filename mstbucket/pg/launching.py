"""Starting the supervisor: the process, its job, and its report when the job is done."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mstbucket.pg import places, processes, settings

START_SECONDS: Final = 600.0  # for a server to come up, crash recovery included
LEAVE_SECONDS: Final = 10.0  # for a process to begin another and end, on a machine with much to do
LOOK_SECONDS: Final = 1.0  # between two looks at what is waited for
# What the server may see of our environment: nothing of PG*, no locale, no preloads.
_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")

Job = dict[str, str | list[str]]


class Launched:
    """A supervisor on its way. Ask for its report once, or forget it."""

    def __init__(self, job: Job, lock: int, log: int) -> None:
        """Start it, and do not wait for anything it does.

        *job* is what `supervisor.py` says; *lock* is the open `supervisor.lock`, which it inherits; *log* gets its output.
        """
        text = _job_text(job)
        program = str(Path(__file__).with_name("supervisor.py"))
        self._reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                # -I -S: neither the user's environment nor site-packages; twice as fast
                [sys.executable, "-I", "-S", program, str(job["directory"]), str(writing), str(lock)],
                pass_fds=(writing, lock),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment(),
                start_new_session=True,  # ^C at the terminal is for the client
            )
        except BaseException:
            os.close(self._reading)
            raise
        finally:
            os.close(writing)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as job_input:  # killed: its report will be empty
            job_input.write(text)

    def report(self, look: Callable[[], object]) -> str:
        """Wait for it to say "ready", or a reason why not; "" when it was killed before it could say anything.

        *look* is called each second meanwhile, to see whether it still moves.
        """
        try:
            said = b""
            deadline = time.monotonic() + START_SECONDS
            waiting = select.poll()  # and not `select`, which takes no descriptor above 1,023
            waiting.register(self._reading, select.POLLIN)
            while time.monotonic() < deadline:
                if not waiting.poll(LOOK_SECONDS * 1000):
                    look()
                    if processes.is_stopped(self._process.pid):  # [PG-32] it has an end of the pipe, too, until it leaves
                        self._process.kill()
                    continue
                part = os.read(self._reading, 65536)
                if not part:
                    return said.decode(errors="replace")
                said += part
            return f"no answer within {START_SECONDS:.0f} seconds"
        finally:
            self.forget()

    def forget(self) -> None:
        """Do without its report. It goes on by itself, and ends when it finds no client."""
        os.close(self._reading)
        try:
            self._process.wait(LEAVE_SECONDS)  # it leaves this process's family, within milliseconds
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def environment() -> dict[str, str]:
    """What the supervisor and the server get of our environment."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return {"PATH": os.defpath, **kept, "LC_ALL": "C"}


def job(directory: Path, programs: Path, major: int, root_as: str, top: str) -> Job:
    """What a supervisor has to do in *directory*, with the programs of PostgreSQL *major* that stand in *programs*."""
    run, data = directory / "run", directory / "data"
    sockets = places.for_socket(run)
    arguments = [f"--{name}={value}" for name, value in settings.server(major).items()]
    return {
        "directory": str(directory),
        "data": str(data),
        "data_new": str(directory / "data.new"),
        "run": str(run),
        "log": str(directory / "server.log"),
        "sockets": sockets,
        "root_as": root_as,
        "top": top,
        "initdb": [str(programs / "initdb"), *settings.initdb(major)],
        "postgres": [
            str(programs / "postgres"),
            "-D",
            str(data),
            '--unix_socket_directories="{}"'.format(sockets.replace('"', '""')),
            *arguments,
        ],
        "environment": [f"{name}={value}" for name, value in environment().items()],
    }


def _job_text(job: Job) -> bytes:
    """The job as `supervisor.read_job` takes it. Neither a path nor an argument of a program can hold NUL."""
    words: list[str] = []
    for name, value in job.items():
        words += [name, "=", value] if isinstance(value, str) else [name, str(len(value)), *value]
    return b"".join(os.fsencode(word) + b"\0" for word in words)
