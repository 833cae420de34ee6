"""Stores that are all alike, a child that does a deed to one of them, and a judge of what it left.

How the child is disturbed is not said here: `test_kill_points.py` ends it at its durable steps, `test_system_calls.py` has
its system calls fail.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deeds import DEEDS, Deed, look, prepare
from filedeeds import FILE_DEEDS, second
from killpoints import Points

import mstbucket
from mstbucket.errors import MstBucketError, OutcomeUnknown

HANG_SECONDS: Final = 300.0
ALL_DEEDS: Final = DEEDS | FILE_DEEDS
BESIDE: Final = "beside the store"  # no bucket's name


@dataclass(frozen=True)
class World:
    """A store of its own: the address of its database, and a directory with its blobs."""

    url: str
    path: Path

    def open(self) -> mstbucket.Store:
        return mstbucket.open(database=self.url, blobs=self.path / "blobs", background=False)


@dataclass(frozen=True)
class Clean:
    """How a deed goes that nobody disturbs: what `Points` it comes to, and what is seen before it and after each step."""

    names: list[str]
    states: list[dict[str, Any]]


@dataclass(frozen=True)
class End:
    """How a child has ended: steps that were acknowledged, and the error that the next one raised."""

    status: int
    acknowledged: int
    error: str | None
    unknown: bool


class Field:
    """Stores that are all alike, one for each try."""

    def __init__(self, databases: Any, template: str, path: Path) -> None:
        self._databases = databases
        self._path = path
        self._count = 0
        self._template = databases.create(template)
        (path / "origin").mkdir()
        with World(databases.url(self._template), path / "origin").open() as store:
            prepare(store, path / "origin")
        self.clean: dict[str, Clean] = {}

    def worlds(self) -> Iterator[World]:
        """One more; it goes when the iteration goes on."""
        self._count += 1
        name = self._databases.create(self._template)
        path = self._path / f"{self._count}"
        shutil.copytree(self._path / "origin", path)
        yield World(self._databases.url(name), path)
        self._databases.remove(name)
        self._databases.remove_if_there(second(name))
        shutil.rmtree(path)

    def undisturbed(self, deed: str) -> Clean:
        """See `Clean`."""
        if deed not in self.clean:
            for world in self.worlds():
                ALL_DEEDS[deed].spoil(world.url, world.path)
                end = wait(begin(world, ALL_DEEDS[deed], Points().install, keep=True))
                assert (end.status, end.error) == (0, None), end
                self.clean[deed] = pickle.loads((world.path / "clean").read_bytes())
        return self.clean[deed]


def see(store: mstbucket.Store, deed: Deed, path: Path) -> dict[str, Any]:
    """What a user sees of the store, and of what the deed makes beside it."""
    return {**look(store), BESIDE: deed.seen(path)}


def begin(world: World, deed: Deed, disturb: Callable[[], list[str]], keep: bool = False) -> tuple[int, int]:
    """Fork a child that does a deed; its number, and a pipe that hears of each acknowledgement.

    *disturb* is called in the child when its store is open; it returns a list, which may grow, of what it came to.
    """
    hears, says = os.pipe()
    child = os.fork()
    if child != 0:
        os.close(says)
        return child, hears
    status = 1
    try:
        store = world.open()
        states = [see(store, deed, world.path)] if keep else []
        names = disturb()
        for step in deed.steps:
            try:
                step(store, world.path)
            except MstBucketError as error:
                os.write(says, f"\n{isinstance(error, OutcomeUnknown)} {type(error).__name__}: {error}".encode())
                break
            os.write(says, b"+")
            if keep:
                states.append(see(store, deed, world.path))
        if keep:
            (world.path / "clean").write_bytes(pickle.dumps(Clean(names, states)))
        status = 0
    except BaseException as error:
        os.write(says, f"\nFalse a bug: {error!r}".encode())
    finally:
        os._exit(status)


def wait(child: tuple[int, int]) -> End:
    """Wait for a child, and kill it if it hangs."""
    number, hears = child
    timer = threading.Timer(HANG_SECONDS, os.kill, (number, signal.SIGKILL))
    timer.start()
    try:
        with open(hears, "rb") as pipe:
            said, _, error = pipe.read().decode().partition("\n")
        _, status = os.waitpid(number, 0)
        assert timer.is_alive(), f"the child hangs: {said} {error}"
    finally:
        timer.cancel()
    unknown, _, text = error.partition(" ")
    return End(os.waitstatus_to_exitcode(status), len(said), text or None, unknown == "True")


def judge(world: World, deed: Deed, clean: Clean, mode: str, end: End) -> None:
    """Whether what was acknowledged is there, nothing half is seen, nothing dangles, and it can be ended."""
    if mode == "kill":
        assert end.status == -signal.SIGKILL, end
    else:
        assert end.status == 0, end
    states = [without_other(state) for state in clean.states]
    with world.open() as store:
        saw = without_other(see(store, deed, world.path))
        if end.error is not None and not end.unknown:
            assert saw == states[end.acknowledged], f"said that nothing was done: {end}"
        assert saw in states[end.acknowledged : end.acknowledged + 2]
        if deed.spoil is Deed.spoil:
            assert found(store) == Counter()
        done = len(states) - 1 - states[::-1].index(saw)
        for step in deed.steps if deed.again else deed.steps[done:]:
            step(store, world.path)
        if mode == "stop":
            assert store.bucket("other").get_object("beside").read() == b"written beside it"
        assert without_other(see(store, deed, world.path)) == states[-1]
        for info in store.list_buckets():
            store.bucket(info.name).flush()
        store.collect(force=True, grace=0)
        assert found(store, "presence") == Counter()


def without_other(state: dict[str, Any]) -> dict[str, Any]:
    """A state without what others did beside it."""
    return {name: bucket for name, bucket in state.items() if name != "other"}


def found(store: mstbucket.Store, level: str = "proof") -> Counter[str]:
    """The damage that a check finds, by its codes; it has looked at everything."""
    report = store.check(level)
    assert not report.incomplete
    return Counter(f"{one.code}: {one.message}" for one in report.findings if one.severity == "damage")
