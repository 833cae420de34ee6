"""Processes that work on one store until they are killed, for `test_kill_rounds.py`; run as a script.

    python killworker.py STORE LOGS

Each line `ROLE NUMBER` on standard input forks one that is warm already, in a process group of its own, and is answered by
its process number. What it tries and what it was told is in `LOGS/NUMBER`, each line durable before the next step:

    try KEY GENERATION put|delete      before the call; the body follows from key and generation (`body`)
    ack KEY GENERATION put|delete      after it
    not KEY GENERATION put|delete      after it has raised what says that nothing was done
    ack commit NUMBER flush            by a flusher
    bug TEXT                           anything that is no declared failure of storage

Exports are at `LOGS/NUMBER.car`, renamed from another name when the command that wrote one has ended well.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Final

import mstbucket
from mstbucket import errors

BUCKET: Final = "things"
KEYS: Final = 12  # of each writer, so that most puts replace something
WAYS: Final = ("put", "put", "put", "put", "put", "batch", "delete")
SIZES: Final = (0, 30, 3_000, 40_000, 300_000, 1_500_000)


def body(key: str, generation: int) -> bytes:
    """What a key holds after the put of that number."""
    source = random.Random(f"{key} {generation}")
    return source.randbytes(source.choices(SIZES, (1, 8, 4, 2, 2, 1))[0])


class Log:
    """Lines in a file, each durable when `say` returns."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(self, *lines: str) -> None:
        os.write(self._fd, "".join(line + "\n" for line in lines).encode())
        os.fsync(self._fd)


def write(bucket: mstbucket.Bucket, role: str, generations: Iterator[int], log: Log) -> Iterator[None]:
    """Put, replace and delete, one object or several at once; of those of one role only one lives at a time."""
    keys = [f"{role}/{key}" for key in range(KEYS)]
    for generation in generations:
        choice = random.Random(generation)
        way = choice.choice(WAYS)
        some = choice.sample(keys, 5 if way == "batch" else 1)
        said = [f"{key} {generation} {'delete' if way == 'delete' else 'put'}" for key in some]
        log.say(*(f"try {text}" for text in said))
        try:
            if way == "batch":
                bucket.put_objects(mstbucket.PutRequest(key, body(key, generation)) for key in some)
            elif way == "put":
                bucket.put_object(some[0], body(some[0], generation))
            else:
                bucket.delete_object(some[0])
        except errors.StorageError as error:
            if not isinstance(error, errors.OutcomeUnknown):
                log.say(*(f"not {text}" for text in said))
            raise
        log.say(*(f"ack {text}" for text in said))
        yield


def flush(bucket: mstbucket.Bucket, log: Log) -> Iterator[None]:
    """Fold, and say which commit there is at least."""
    while True:
        log.say(f"ack commit {bucket.flush().seq} flush")
        yield


def compact(store: mstbucket.Store) -> Iterator[None]:
    """Compact small packs, and remove what was left."""
    while True:
        store.compact()
        yield


def export(store: Path, target: Path) -> Iterator[None]:
    """Export by the command line, which opens the store anew each time."""
    command = [sys.executable, "-m", "mstbucket.cli", "--store", str(store), "-q", "export", "--force"]
    while True:
        partial = target.with_suffix(".new")
        done = subprocess.run([*command, f"mst://{BUCKET}", str(partial)], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            partial.rename(target)
        elif done.returncode not in (3, 6):  # no bucket yet; storage
            raise AssertionError(f"export ended with {done.returncode}: {done.stderr}")
        yield


def work(role: str, number: int, path: Path, logs: Path, log: Log) -> None:
    """Open the store, make it and the bucket where needed, and work; begin again when storage fails."""
    store: mstbucket.Store | None = None
    generations = count(number * 1_000_000)  # never used twice, by nobody
    while True:
        try:
            if role == "export":
                steps = export(path, logs / f"{number}.car")
            else:
                if store is None:
                    store = mstbucket.open(path, background=role.startswith("write"))
                with contextlib.suppress(errors.BucketAlreadyExists):
                    store.create_bucket(BUCKET)
                bucket = store.bucket(BUCKET)
                if role == "flush":
                    steps = flush(bucket, log)
                elif role == "compact":
                    steps = compact(store)
                else:
                    steps = write(bucket, role, generations, log)
            for _ in steps:
                if not role.startswith("write"):
                    time.sleep(0.03)
        except errors.StorageError:
            time.sleep(0.01)  # the server was killed: it comes back


def main() -> None:
    """Fork what is asked for, warm."""
    path, logs = Path(sys.argv[1]), Path(sys.argv[2])
    import_module("mstbucket.pg.connecting")  # what the first opening would import, and takes longest
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for line in sys.stdin:
        role, number = line.split()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(0)
            os.setpgid(0, 0)  # with the commands that it starts
            log = Log(logs / number)
            try:
                work(role, int(number), path, logs, log)
            except BaseException:
                log.say("bug " + repr(traceback.format_exc()))
            os._exit(1)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
