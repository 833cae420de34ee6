"""A process ends, stops or fails at every durable step of every deed: nothing acknowledged is lost, nothing half is seen.

By default some points of some deeds are tried; all of them, in all three ways, by

    pytest -m slow -s tests/services/test_kill_points.py

and every tenth of them with MSTBUCKET_TEST_KILL_EVERY=10.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from contextlib import suppress
from typing import Final

import pytest
from deeds import DEEDS, Deed
from killpoints import MODES, Points
from worlds import HANG_SECONDS, End, Field, World, begin, judge, wait

from mstbucket.errors import Conflict, MstBucketError
from mstbucket.services.collection import roots

pytestmark = pytest.mark.early

EVERY: Final = int(os.environ.get("MSTBUCKET_TEST_KILL_EVERY", "1"))  # of the points is tried, in the slow test
STOPPED_SECONDS: Final = 0.3  # for which others work beside one that is stopped; then it goes on, ended or not
#: Deeds that are tried by default, and how far into them.
SHORT: Final = {"flush": 0.5, "put many": 0.9, "import": 0.6, "restore": 0.4, "merge": 0.6, "repair tree": 0.5}


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
    child = begin(world, deed, Points(mode, at).install)
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
@pytest.mark.timeout(0)  # hours; each child has a limit of its own
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
