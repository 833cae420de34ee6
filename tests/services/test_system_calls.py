"""A system call fails, or kills, in the middle of a deed: the error is a declared one, and nothing is lost or half done.

By default some calls of some deeds; all of them, about a thousand tries, by

    pytest -m slow -s tests/services/test_system_calls.py

and every tenth of them with MSTBUCKET_TEST_CALLS_EVERY=10. Only calls about files of the store and of the deed are spoilt,
not those of libraries or of the server. Short writes are those of `tests/blobs/media/test_local.py`: limits, full disks.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections import Counter
from typing import Final

import pytest
from systemcalls import Call, Gate, calls, spoiling, spoilt, traced
from worlds import ALL_DEEDS, End, Field, World, begin, judge, wait

from mstbucket.errors import MstBucketError

pytestmark = pytest.mark.strace

EVERY: Final = int(os.environ.get("MSTBUCKET_TEST_CALLS_EVERY", "1"))
TRIES: Final = 3  # of a call that was missed
DEEDS: Final = (
    "put small", "put large", "put many", "flush", "part", "complete", "import", "collect", "compact", "repair tree", "open",
    "create", "rebuild", "export", "export over a file", "export with an index", "copy out", "push", "back up", "new key",
)  # fmt: skip
#: Deed, the call, which of them about a file of ours (-1: the last), and how it is spoilt.
SHORT: Final = (
    ("put large", "fsync", 0, "EIO"),
    ("export over a file", "fsync", -1, "EIO"),
    ("new key", "write", 0, "ENOSPC"),
    ("back up", "rename", -1, "kill"),
)


def attempt(world: World, deed: str, *spoil: str) -> End:
    """Do a deed with strace attached; how it ended."""
    ALL_DEEDS[deed].spoil(world.url, world.path)
    (world.path / "tmp").mkdir()
    gate = Gate(world.path / "tmp")
    child = begin(world, ALL_DEEDS[deed], gate.stop)
    with traced(child[0], gate, world.path / "log", "-b", "execve", *spoil):  # not the programs that it starts
        return wait(child)


def of_deed(field: Field, deed: str) -> list[Call]:
    """The calls of a deed that nobody disturbs, but for those with which the test itself reads the number of an upload."""
    for world in field.worlds():
        end = attempt(world, deed)
        assert (end.status, end.error) == (0, None), end
        found = calls(world.path / "log", world.path)
    return [call for call in found if not call.what.endswith("/upload>")]


def spoil(field: Field, deed: str, call: Call, way: str) -> bool:
    """Try it, and judge; whether it hit a file of ours. Where threads take turns, it may hit another call: once more."""
    return any(_try(field, deed, call, way) for _ in range(TRIES))


def _try(field: Field, deed: str, call: Call, way: str) -> bool:
    clean = field.undisturbed(deed)
    hit = False
    for world in field.worlds():
        end = attempt(world, deed, *spoiling(call, way))
        hit = any(str(world.path) in line for line in spoilt(world.path / "log"))
        killed = end.status == -signal.SIGKILL  # a thread that dies with its process may have no line in the log
        if hit or killed or end.error is None:
            judge(world, ALL_DEEDS[deed], clean, "kill" if way == "kill" and (hit or killed) else "raise", end)
    return hit


@pytest.mark.parametrize(("deed", "name", "which", "way"), SHORT)
def test_a_call_fails(field: Field, deed: str, name: str, which: int, way: str) -> None:
    """[BLOB-13] [EXP-3] [CLI-153] [CLI-47]"""
    found = [call for call in of_deed(field, deed) if call.name == name]
    assert spoil(field, deed, found[which], way)


@pytest.mark.slow
@pytest.mark.timeout(0)  # hours; each child has a limit of its own
@pytest.mark.parametrize("deed", DEEDS)
def test_every_call_fails(field: Field, deed: str) -> None:
    """[PUT-1] [PUT-4] [FLUSH-3] [GC-8] [MPU-9] [REB-1] [EXP-2] [BLOB-13]"""
    found = of_deed(field, deed)
    tries = [(call, way) for call in found for way in call.ways()]
    outcomes: Counter[str] = Counter()
    failures = []
    for call, way in itertools.islice(tries, EVERY // 2, None, EVERY):
        try:
            outcomes["spoilt" if spoil(field, deed, call, way) else "missed"] += 1
        except (AssertionError, MstBucketError, OSError) as error:
            failures.append(f"{deed}: {call} {way}: {error!r:.2000}")
            print(failures[-1], flush=True)  # it takes long
    print(f"\n{deed}: {len(found)} calls, {dict(Counter(call.name for call in found))}: {dict(outcomes)} of {len(tries)}")
    assert not failures, "\n".join(failures)
    assert outcomes["missed"] <= outcomes["spoilt"]
