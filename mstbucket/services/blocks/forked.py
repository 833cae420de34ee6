"""What begins anew in a forked child, where the threads that were at work are not."""

from __future__ import annotations

import os
from typing import Final, Protocol
from weakref import WeakSet


class Begins(Protocol):
    """What has a beginning."""

    def begin(self) -> None:
        """Forget everybody, and hold no lock of theirs."""
        ...


_ALL: Final[WeakSet[Begins]] = WeakSet()


def begin_in_children(one: Begins) -> None:
    """Have it begin anew in every forked child, as long as it lives."""
    _ALL.add(one)


def _begin_all() -> None:
    for one in list(_ALL):
        one.begin()


os.register_at_fork(after_in_child=_begin_all)
