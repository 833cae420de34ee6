"""Has one system call of a child fail, by strace: what was called is seen in a log, and the n-th call of a kind is spoilt.

The child is forked, warm, and waits until strace is attached. So what is counted begins with the deed. A kernel counts for
each thread: the n-th call of every thread is spoilt, and `Call.number` is one of a thread.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Those that change what is on a disk, or open it; one name for what the kernel has under several.
CALLS: Final = (
    "openat", "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "renameat", "renameat2", "link", "linkat",
    "unlink", "unlinkat", "mkdir", "mkdirat",
)  # fmt: skip
#: How a call is spoilt. None of these is carried out; with the last the process is killed in it.
WAYS: Final = {"EIO": "error=EIO", "ENOSPC": "error=ENOSPC", "kill": "error=EIO:signal=KILL"}
#: What such a call does not fail with.
_NEVER: Final = {("fsync", "ENOSPC"), ("unlink", "ENOSPC"), ("unlinkat", "ENOSPC")}
_LINE: Final = re.compile(r"(\w+)\((.*)")


@dataclass(frozen=True, order=True)
class Call:
    """The n-th call of that name in a thread, from 1, and what it is about."""

    name: str
    number: int
    what: str

    def ways(self) -> Iterator[str]:
        """How it can go wrong."""
        yield from (way for way in WAYS if (self.name, way) not in _NEVER)


class Gate:
    """A child stops at it until strace is attached; temporary files are from then on below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hears, self._says = os.pipe()
        self._opens, self._open = os.pipe()

    def stop(self) -> list[str]:
        """In the child; what is returned stays empty."""
        tempfile.tempdir = str(self._folder)
        os.close(self._open)
        os.write(self._says, b".")
        os.read(self._opens, 1)
        return []

    def wait(self) -> None:
        """In the parent: until the child stands there, or has ended."""
        os.close(self._says)
        os.close(self._opens)
        os.read(self._hears, 1)

    def open(self) -> None:
        """In the parent."""
        os.close(self._open)
        os.close(self._hears)


@contextmanager
def traced(child: int, gate: Gate, log: Path, *options: str, names: tuple[str, ...] = CALLS) -> Iterator[None]:
    """Attach strace to a child and let it go; inside the block, wait for the child's end.

    Args:
        log: a new folder, which gets a file for each thread.
        options: more of strace's own.
        names: the system calls that are traced.
    """
    log.mkdir()
    gate.wait()
    command = ["strace", "-ff", "-y", "-s", "999", "-ttt", "-e", "signal=none", "-e", "trace=" + ",".join(names),
               "-o", str(log / "of"), *options, "-p", str(child)]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        line = tracer.stderr.readline()
        gate.open()
        assert "attached" in line, line
        yield
        tracer.stderr.read()


def in_order(log: Path) -> list[str]:
    """The lines of all threads and processes, by the time at which each call began."""
    lines = (line for file in log.iterdir() for line in file.read_text(errors="replace").splitlines())
    return sorted((line for line in lines if line[:1].isdigit()), key=lambda line: float(line.split(" ", 1)[0]))


def calls(log: Path, place: Path) -> list[Call]:
    """What was called about files below *place*; of two threads that did the same, once."""
    found: dict[tuple[str, int], Call] = {}
    for file in sorted(log.iterdir()):
        numbers: dict[str, int] = {}
        for line in file.read_text(errors="replace").splitlines():
            match = _LINE.search(line)
            if match is not None and match[1] in CALLS:
                number = numbers[match[1]] = numbers.get(match[1], 0) + 1
                if str(place) in line:
                    found.setdefault((match[1], number), Call(match[1], number, match[2].replace(str(place), "")))
    return sorted(found.values())


def spoilt(log: Path) -> list[str]:
    """The calls that failed on purpose, and those in which the process was killed, which have no end."""
    lines = (line for file in log.iterdir() for line in file.read_text(errors="replace").splitlines())
    return [line for line in lines if "(INJECTED)" in line or line.endswith("= ?")]


def spoiling(call: Call, way: str) -> tuple[str, str]:
    """The option with which strace spoils a call."""
    return "-e", f"inject={call.name}:{WAYS[way]}:when={call.number}"
