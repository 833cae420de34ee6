"""Group commit: calls of several threads that leave together, because they came while an earlier one was under way.

There are no threads of its own here, and nobody waits for company. The first call of a line leads: it is done at once. Calls
that come meanwhile queue. When the leader is through, the first of the queue leads: it takes along those that fit. So nobody
who is alone is delayed, and the busier a line is, the larger its groups are ([PUT-16]).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from mstbucket.errors import MstBucketError, OutcomeUnknown
from mstbucket.limits import GROUP_BYTES_MAX, GROUP_PUTS_MAX
from mstbucket.services.blocks.forked import begin_in_children

_T = TypeVar("_T")

WAITING: Final = "waiting"
LEADING: Final = "leading"
DONE: Final = "done"
APART: Final = "apart"


class Member(Generic[_T]):
    """One call of a line.

    Attributes:
        what: what is to be done.
        key: no two members of a group have the same.
        size: bytes that it adds to its group.
        fate: WAITING or LEADING, then what the leader has made of it: DONE, or APART where it has to go by itself.
        error: of a call that is DONE: why it was refused.
    """

    __slots__ = ("error", "fate", "key", "size", "turn", "what")

    def __init__(self, what: _T, key: str, size: int) -> None:
        self.what = what
        self.key = key
        self.size = size
        self.fate = WAITING
        self.error: MstBucketError | None = None
        self.turn = threading.Lock()  # held until it is known what becomes of the call

    def done(self, error: MstBucketError | None = None) -> None:
        """Say that the call has come to its end: with this error, or else well."""
        self.error = error
        self.fate = DONE

    def apart(self) -> None:
        """Say that nothing was done: it has to go by itself."""
        self.fate = APART


class Groups(Generic[_T]):
    """The lines of one store. Thread-safe; a forked child begins with none."""

    def __init__(self) -> None:
        self.begin()
        begin_in_children(self)

    def begin(self) -> None:
        """Forget everybody: in a forked child the others are not there."""
        self._mutex = threading.Lock()
        self._lines: dict[Hashable, deque[Member[_T]]] = {}  # those that are led just now, and who waits in them

    def run(
        self, line: Hashable, member: Member[_T], alone: Callable[[], None], together: Callable[[list[Member[_T]]], None]
    ) -> None:
        """Have the call of *member* done: by itself, or with others of its line, by this thread or another.

        Signals interrupt the main thread only. It stays by itself, so that nobody's call hangs on one that was interrupted.

        Args:
            alone: does it by itself, however long it has to wait.
            together: does one or more, without waiting for others' locks; it says of each `done` or `apart`.

        Raises:
            What *alone* raises, or the error that the member was given.
        """
        if threading.get_ident() == threading.main_thread().ident:
            alone()
            return
        if not self._joins(line, member):
            member.turn.acquire()
        if member.fate == LEADING:
            group = self._take(line, member)
            try:
                together(group)
            finally:
                self._leave(line, group)
        if member.fate == APART:
            alone()
        if member.error is not None:
            raise member.error

    def _joins(self, line: Hashable, member: Member[_T]) -> bool:
        """Take a place in the line. Whether it leads at once; else its turn is released later."""
        with self._mutex:
            waiting = self._lines.get(line)
            if waiting is None:
                self._lines[line] = deque()
                member.fate = LEADING
                return True
            member.turn.acquire()
            waiting.append(member)
            return False

    def _take(self, line: Hashable, leader: Member[_T]) -> list[Member[_T]]:
        """The leader and those of the queue who fit. Of one key the first goes, and the others stay, in their order."""
        group, keys, size, left = [leader], {leader.key}, leader.size, []
        with self._mutex:
            waiting = self._lines[line]
            while waiting and len(group) < GROUP_PUTS_MAX:
                member = waiting.popleft()
                if member.key in keys or size + member.size > GROUP_BYTES_MAX:
                    left.append(member)
                else:
                    group.append(member)
                    size += member.size
                keys.add(member.key)  # also of one who stays: nobody of that key passes it
            waiting.extendleft(reversed(left))
        return group

    def _leave(self, line: Hashable, group: list[Member[_T]]) -> None:
        """Let the next one lead, and those go on who were led."""
        with self._mutex:
            waiting = self._lines[line]
            if waiting:
                following = waiting.popleft()
                following.fate = LEADING
                following.turn.release()
            else:
                del self._lines[line]
        for member in group[1:]:
            if member.fate == WAITING:
                member.done(OutcomeUnknown("the thread that did it along with its own was ended: read before repeating"))
            member.turn.release()
