"""A plan is listed ahead of what is carried out, while threads are at work: so its size is known early."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from mstbucket.limits import SYNC_AHEAD_STEPS
from mstbucket.sync.entry import Compare, Copy, Same, Step


class Ahead:
    """The steps, in their order. A step that was listed ahead, and has nothing to do, is told and left out.

    Args:
        steps: of the plan.
        same: called for each step that is left out.
        expect: called once all steps are listed, with the number and the bytes of those that copy or compare. Called again
            when a comparison finds nothing to copy.
    """

    def __init__(
        self, steps: Iterable[Step], same: Callable[[], None], expect: Callable[[int, int], None]
    ) -> None:
        self._steps = iter(steps)
        self._same = same
        self._expect = expect
        self._held: deque[Step] = deque()
        self._ended = False
        self._objects = self._bytes = 0

    def __iter__(self) -> Iterator[Step]:
        while True:
            step = self._held.popleft() if self._held else self._list()
            if step is None:
                return
            yield step

    def look(self) -> bool:
        """List one step ahead of its turn. False if all are listed, or as many as are held."""
        if len(self._held) >= SYNC_AHEAD_STEPS:
            return False
        step = self._list()
        if isinstance(step, Same):
            self._same()
        elif step is not None:
            self._held.append(step)
        return step is not None

    def fewer(self) -> None:
        """A step compared, and nothing has to be copied for it."""
        self._objects -= 1
        if self._ended:
            self._expect(self._objects, self._bytes)

    def _list(self) -> Step | None:
        if self._ended:
            return None
        step = next(self._steps, None)
        if step is None:
            self._ended = True
            self._expect(self._objects, self._bytes)
        elif isinstance(step, (Copy, Compare)):
            self._objects += 1
            self._bytes += step.source.size
        return step
