"""What a sync lists ahead: steps and their order stay what they were; the total is known as soon as all is listed."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from mstbucket.sync import ahead
from mstbucket.sync.ahead import Ahead
from mstbucket.sync.entry import Compare, Copy, Delete, Entry, Same, Step


def entry(n: int) -> Entry:
    return Entry(f"{n:04}", n, 0)


def steps(seed: int, count: int) -> list[Step]:
    makers = (lambda e: Copy(e, None, "new"), lambda e: Compare(e, e), Delete, Same)
    return [random.Random(seed * 1000 + n).choice(makers)(entry(n)) for n in range(count)]


@pytest.mark.parametrize("held", [1, 7, 10_000])
@pytest.mark.parametrize("seed", range(20))
def test_whoever_looks_ahead_when_loses_no_step_and_no_order(seed: int, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """[SYNC-18]"""
    monkeypatch.setattr(ahead, "SYNC_AHEAD_STEPS", held)
    rng, plan = random.Random(seed), steps(seed, 60)
    told: list[tuple[int, int]] = []
    same: list[None] = []
    listed = Ahead(plan, lambda: same.append(None), lambda objects, size: told.append((objects, size)))
    got: list[Step] = []
    for step in listed:
        got.append(step)
        for _ in range(rng.choice((0, 0, 1, 30))):
            listed.look()
        assert len(listed._held) <= held
    moves = [step for step in plan if isinstance(step, (Copy, Compare))]
    assert [step for step in got if not isinstance(step, Same)] == [step for step in plan if not isinstance(step, Same)]
    assert len(same) + sum(isinstance(step, Same) for step in got) == sum(isinstance(step, Same) for step in plan)
    assert told == [(len(moves), sum(step.source.size for step in moves))]


def test_the_total_is_known_while_the_first_is_under_way() -> None:
    """[SYNC-18]"""
    told: list[tuple[int, int]] = []
    listed = Ahead([Copy(entry(n), None, "new") for n in range(5)], lambda: None, lambda *total: told.append(total))
    walk = iter(listed)
    assert next(walk) == Copy(entry(0), None, "new")
    while listed.look():
        assert told == []
    assert told == [(5, 10)]
    listed.fewer()  # one was compared, and is the same
    assert told == [(5, 10), (4, 10)]
    assert len(list(walk)) == 4


def test_what_a_listing_raises_comes_to_whoever_looks() -> None:
    def broken() -> Iterator[Step]:
        yield Copy(entry(1), None, "new")
        raise OSError("gone")

    listed = Ahead(broken(), lambda: None, lambda *_: None)
    assert listed.look()
    with pytest.raises(OSError, match="gone"):
        listed.look()
