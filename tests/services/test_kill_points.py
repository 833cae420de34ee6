"""A process ends, stops or fails at every durable step of every deed: nothing acknowledged is lost, nothing half is seen.

By default some points of some deeds are tried; all of them, in all three ways, by

    pytest -m slow -s tests/services/test_kill_points.py

and every tenth of them with MSTBUCKET_TEST_KILL_EVERY=10.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from deeds import DEEDS, Deed, look, prepare
from killpoints import MODES, Points

import mstbucket
from mstbucket.errors import Conflict, MstBucketError, OutcomeUnknown
from mstbucket.services.collection import roots

pytestmark = pytest.mark.early

HANG_SECONDS: Final = 300.0
EVERY: Final = int(os.environ.get("MSTBUCKET_TEST_KILL_EVERY", "1"))  # of the points is tried, in the slow test
STOPPED_SECONDS: Final = 0.3  # for which others work beside one that is stopped; then it goes on, ended or not
#: Deeds that are tried by default, and how far into them.
SHORT: Final = {"flush": 0.5, "put many": 0.9, "import": 0.6, "restore": 0.4, "merge": 0.6, "repair tree": 0.5}


@dataclass(frozen=True)
class World:
    """A store of its own: the address of its database, and a directory with its blobs."""

    url: str
    path: Path

    def open(self) -> mstbucket.Store:
        return mstbucket.open(database=self.url, blobs=self.path / "blobs", background=False)


@dataclass(frozen=True)
class Clean:
    """How a deed goes that nobody disturbs: its points, and what is seen before it and after each step."""

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
        shutil.rmtree(path)

    def undisturbed(self, deed: str) -> Clean:
        """See `Clean`."""
        if deed not in self.clean:
            for world in self.worlds():
                DEEDS[deed].spoil(world.url, world.path)
                end = wait(begin(world, DEEDS[deed], Points(), keep=True))
                assert (end.status, end.error) == (0, None), end
                self.clean[deed] = pickle.loads((world.path / "clean").read_bytes())
        return self.clean[deed]


@pytest.fixture(scope="module")
def field(databases: Any, template: str, tmp_path_factory: pytest.TempPathFactory) -> Field:
    """The stores of this module."""
    return Field(databases, template, tmp_path_factory.mktemp("worlds"))


def begin(world: World, deed: Deed, points: Points, keep: bool = False) -> tuple[int, int]:
    """Fork a child that does a deed; its number, and a pipe that hears of each acknowledgement."""
    hears, says = os.pipe()
    child = os.fork()
    if child != 0:
        os.close(says)
        return child, hears
    status = 1
    try:
        store = world.open()
        states = [look(store)] if keep else []
        points.install()
        for step in deed.steps:
            try:
                step(store, world.path)
            except MstBucketError as error:
                os.write(says, f"\n{isinstance(error, OutcomeUnknown)} {type(error).__name__}: {error}".encode())
                break
            os.write(says, b"+")
            if keep:
                states.append(look(store))
        if keep:
            (world.path / "clean").write_bytes(pickle.dumps(Clean(points.names, states)))
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


def beside(world: World, failed: list[BaseException]) -> None:
    """What others do while one is stopped in the middle."""
    try:
        with world.open() as store, suppress(Conflict):
            bucket = store.bucket("other")
            bucket.put_object("beside", b"written beside it")
            bucket.flush()
            store.collect(force=True, grace=0)
    except BaseException as error:
        failed.append(error)


def attempt(world: World, deed: Deed, mode: str, at: int) -> End:
    """Do a deed that is disturbed at a point; how it ended."""
    deed.spoil(world.url, world.path)
    child = begin(world, deed, Points(mode, at))
    if mode != "stop":
        return wait(child)
    _, status = os.waitpid(child[0], os.WUNTRACED)
    assert os.WIFSTOPPED(status), "it has fewer points than when nobody disturbed it"
    failed: list[BaseException] = []
    others = threading.Thread(target=beside, args=(world, failed))
    others.start()
    others.join(STOPPED_SECONDS)
    os.kill(child[0], signal.SIGCONT)
    end = wait(child)
    others.join(HANG_SECONDS)
    assert not others.is_alive(), "what others did hangs"
    assert not failed, failed
    return end


def judge(world: World, deed: Deed, clean: Clean, mode: str, end: End) -> None:
    """Whether what was acknowledged is there, nothing half is seen, nothing dangles, and it can be ended."""
    if mode == "kill":
        assert end.status == -signal.SIGKILL, end
    else:
        assert end.status == 0, end
    states = [without_other(state) for state in clean.states]
    with world.open() as store:
        saw = without_other(look(store))
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
        assert without_other(look(store)) == states[-1]
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


@pytest.mark.parametrize("deed", SHORT)
def test_killed_in_the_middle(field: Field, deed: str) -> None:
    """[PUT-4] [FLUSH-3] [GC-8] [STO-6] [MPU-9]: some points of some deeds."""
    clean = field.undisturbed(deed)
    at = 1 + int(SHORT[deed] * (len(clean.names) - 1))
    for world in field.worlds():
        judge(world, DEEDS[deed], clean, "kill", attempt(world, DEEDS[deed], "kill", at))


@pytest.mark.slow
def test_all_points_have_names(field: Field) -> None:
    """What is gone through below: at least 40 places of the code, each before and after what it does."""
    names: Counter[str] = Counter()
    wrong = []
    for deed in DEEDS:
        try:
            names.update(f"{deed}: {name}" for name in field.undisturbed(deed).names)
        except AssertionError as error:
            wrong.append(f"{deed}: {error}")
    assert not wrong, wrong
    print("", *names.items(), f"{names.total()} points", sep="\n    ")
    assert len({name.partition(": ")[2] for name in names}) >= 80


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("deed", DEEDS)
def test_at_every_point(field: Field, deed: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """[PUT-4] [FLUSH-3] [GC-8] [STO-6] [MPU-9] [PAST-40] [PAST-50] [PAST-63] [CHECK-20]"""
    monkeypatch.setattr(roots, "ATTEMPTS", 2)
    clean = field.undisturbed(deed)
    failures = []
    for at, name in list(enumerate(clean.names, 1))[EVERY // 2 :: EVERY]:
        for world in field.worlds():
            try:
                judge(world, DEEDS[deed], clean, mode, attempt(world, DEEDS[deed], mode, at))
            except (AssertionError, MstBucketError) as error:
                failures.append(f"{at} {name}: {error!r:.2000}")
                print(failures[-1], flush=True)  # it takes hours
    print(f"\n{deed}: {mode} at 1/{EVERY} of {len(clean.names)} points")
    assert not failures, "\n".join(failures)
