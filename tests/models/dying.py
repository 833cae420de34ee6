"""A model of collecting what died, without a mark: a flush notes what it replaced, and a sweep decides again.

Nothing of it is built: see "What died, without a mark" in spec/store/26-collection.md.

There is one block, and it lives: it is in the commit of bucket `a`. What happens around it:

* `put` in a bucket: enters, finds the row or makes one, commits with an object. Who finds a row marks it as *shared*: the
  block has, or had, another life. The mark is never taken away, so nothing is counted, and nothing can be counted wrongly.
* `import`: as `put`, but the row and the object come in two transactions, with a pending pack between them.
* `flush`: moves an object to the commit; or, where the key has changed, leaves the block in the commit before, and notes
  with the new commit that it died (a *candidate*: the block, the bucket, the epoch).
* `fork` of `a`: a new bucket, `f`, has all blocks of a commit. No row is touched.
* `read`: takes a lease on a commit, and lets go of it.
* `retain`: the commits before the newest one go.
* `sweep`: begins an epoch behind the barrier; looks at a candidate; removes the row. What it cannot decide it forgets.
* `mark`: the full cycle beside it, in one step: it is the audit, and what takes all that a sweep forgets.

A candidate may be decided if no commit of the bucket from before its death is retained or read, and the bucket is of no
family: it was not forked, and is no fork. The row may go if it is not shared, and was not touched in an epoch after the
death. The statement that removes it looks at this again. Pending packs need no part of their own: who finds the row
marks it.

`Rules` has a switch for each part. With all of them on no reachable state has a loss.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

BUCKETS = ("a", "b", "f")


@dataclass(frozen=True)
class Rules:
    """The parts of the protocol."""

    reborn: bool = True  # a put where the block died finds the row, and marks it
    between: bool = True  # so does one in another bucket
    family: bool = True  # nothing is decided for a bucket that was forked, or is a fork
    retained: bool = True  # nor while a commit from before the death is there
    lease: bool = True  # nor while somebody reads one
    age: bool = True  # a row that is younger than the death is another life
    recheck: bool = True  # the statement that removes looks at the row, not the look before
    barrier: bool = True  # a sweep begins an epoch, when nobody is inside


class Row(NamedTuple):
    """The row of the block: the epoch of its last touch, and whether a second life found it."""

    epoch: int
    shared: bool


class State(NamedTuple):
    """What is committed, and where each process is."""

    epoch: int
    row: Row | None
    now: frozenset[str]  # buckets whose newest commit has the block
    past: frozenset[str]  # those with an older commit, retained, that has it
    objects: frozenset[str]  # those with an object that has it, not flushed
    forked: bool  # whether `f` was made
    reading: bool  # whether somebody has a lease on a commit of `a` that has it
    candidates: frozenset[tuple[str, int]]  # bucket, and epoch of the death
    pending: int | None  # the epoch in which a pack was registered
    processes: tuple[tuple[str, tuple[object, ...]], ...]
    freed: bool  # whether a sweep has removed the row at any time
    left: int  # puts, sweeps and marks that may still begin


IDLE: tuple[object, ...] = ("idle",)


def start(processes: tuple[str, ...], left: int) -> State:
    """The block is in the commit of `a`."""
    idle = tuple((name, IDLE) for name in processes)
    none: frozenset[str] = frozenset()
    return State(1, Row(1, False), frozenset({"a"}), none, none, False, False, frozenset(), None, idle, False, left)


def is_needed(state: State) -> bool:
    """Whether anything reaches the block."""
    return bool(state.now or state.past or state.objects or state.reading)


def steps(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    """Every step that can be taken."""
    for at, (name, process) in enumerate(state.processes):
        kind, _, bucket = name.partition(" ")
        for text, changes, after in _OF[kind](state, rules, bucket, process):
            processes = (*state.processes[:at], (name, after), *state.processes[at + 1 :])
            yield f"{name}: {text}", state._replace(processes=processes, **changes)
    yield from _alone(state)


def _alone(state: State) -> Iterator[tuple[str, State]]:
    """What is one transaction, and needs nobody."""
    for bucket in state.now - state.objects:
        changed = {"now": state.now - {bucket}, "past": state.past | {bucket}}
        candidates = state.candidates | {(bucket, state.epoch)}
        yield f"flush: it dies in {bucket}", state._replace(candidates=candidates, **changed)
    for bucket in state.objects:
        if state.row is not None and not _is_held(state):  # [FLUSH-6] it is proved and touched
            row = state.row._replace(epoch=max(state.row.epoch, state.epoch))
            changes = {"objects": state.objects - {bucket}, "now": state.now | {bucket}, "row": row}
            yield f"flush: the object of {bucket} goes to the commit", state._replace(**changes)
        yield f"delete: the object of {bucket} goes", state._replace(objects=state.objects - {bucket})
    for bucket in state.past:
        yield f"retain: the past of {bucket} goes", state._replace(past=state.past - {bucket})
    if not state.forked and "a" in state.now | state.past:
        yield "fork: a commit of a that has it", state._replace(forked=True, now=state.now | {"f"})
    if not state.reading and "a" in state.now | state.past:
        yield "read: a commit of a that has it", state._replace(reading=True)
    if state.reading:
        yield "read: lets go", state._replace(reading=False)
    if state.left and state.row is not None and not _is_inside(state) and not is_needed(state):
        before = state.epoch + 1 if state.pending is None else min(state.epoch + 1, state.pending)
        changes = {"epoch": state.epoch + 1, "left": state.left - 1}
        gone = state.row.epoch < before and not _is_held(state)
        yield "mark: a full cycle", state._replace(row=None if gone else state.row, **changes)


def _is_inside(state: State) -> bool:
    """Whether anybody holds the barrier, shared."""
    return any(process[0] in ("entered", "holds") for _, process in state.processes)


def _is_held(state: State) -> bool:
    """Whether anybody has changed the row, and not committed."""
    return any(process[0] == "holds" for _, process in state.processes)


_Steps = Iterator[tuple[str, dict[str, object], tuple[object, ...]]]


def _lives(state: State, rules: Rules, bucket: str, epoch: int) -> Row:
    """The row once a put in this bucket has found it, or made it."""
    if state.row is None:
        return Row(epoch, False)
    marks = rules.reborn if bucket == "a" else rules.between
    return Row(max(state.row.epoch, epoch), state.row.shared or marks)


def _put(state: State, rules: Rules, bucket: str, process: tuple[object, ...]) -> _Steps:
    if process == IDLE and state.left:
        yield f"enters in epoch {state.epoch}", {"left": state.left - 1}, ("entered", state.epoch)
    elif process[0] == "entered" and not _is_held(state):
        yield "finds the row, or makes one", {}, ("holds", _lives(state, rules, bucket, process[1]))  # type: ignore[arg-type]
    elif process[0] == "holds":
        yield "commits with an object", {"row": process[1], "objects": state.objects | {bucket}}, IDLE


def _import(state: State, rules: Rules, bucket: str, process: tuple[object, ...]) -> _Steps:
    if process == IDLE and state.left and state.pending is None:
        yield "registers a pack", {"pending": state.epoch, "left": state.left - 1}, ("registered",)
    elif process[0] == "registered" and not _is_held(state):
        yield "records the row", {"row": _lives(state, rules, bucket, state.epoch)}, ("recorded",)
    elif process[0] == "recorded":
        yield "makes the object", {"objects": state.objects | {bucket}, "pending": None}, IDLE


def _sweep(state: State, rules: Rules, _: str, process: tuple[object, ...]) -> _Steps:
    if process == IDLE and state.left and state.candidates and not (rules.barrier and _is_inside(state)):
        epoch = state.epoch + rules.barrier
        for bucket, death in sorted(state.candidates):
            text = f"begins epoch {epoch}, and takes the candidate of {bucket}"
            yield text, {"epoch": epoch, "left": state.left - 1}, ("looks", bucket, death)
    elif process[0] == "looks":
        _, bucket, death = process
        read = state.reading and rules.lease
        if (rules.retained and bucket in state.past) or read:
            yield "leaves it for later", {}, IDLE
        elif (rules.family and state.forked and bucket in "af") or not _may_go(state, rules, death):
            yield "forgets it: the mark will see", {"candidates": state.candidates - {(bucket, death)}}, IDLE
        else:
            yield "decides that it is dead", {}, ("dead", bucket, death)
    elif process[0] == "dead":
        _, bucket, death = process
        rest = {"candidates": state.candidates - {(bucket, death)}}
        if state.row is None or (rules.recheck and (_is_held(state) or not _may_go(state, rules, death))):
            yield "leaves the row", rest, IDLE
        elif not _is_held(state):
            yield "removes the row", {"row": None, "freed": True, **rest}, IDLE


def _may_go(state: State, rules: Rules, death: object) -> bool:
    """What the row says."""
    row = state.row
    if row is None or row.shared:
        return False
    return row.epoch <= death or not rules.age  # type: ignore[operator]


_OF = {"put": _put, "import": _import, "sweep": _sweep}


def explore(
    processes: tuple[str, ...], rules: Rules, left: int, most: int = 10_000_000
) -> tuple[int, int, list[str] | None]:
    """Go through every reachable state: how many, in how many a sweep has freed, and the shortest way to a loss or None."""
    first = start(processes, left)
    came: dict[State, tuple[State, str] | None] = {first: None}
    queue = deque([first])
    freed = 0
    while queue:
        state = queue.popleft()
        freed += state.freed
        if is_needed(state) and state.row is None:
            return len(came), freed, _way(state, came)
        for text, after in steps(state, rules):
            if after not in came:
                assert len(came) < most
                came[after] = (state, text)
                queue.append(after)
    return len(came), freed, None


def _way(state: State, came: dict[State, tuple[State, str] | None]) -> list[str]:
    way: list[str] = []
    while (step := came[state]) is not None:
        state, text = step
        way.append(text)
    return way[::-1]
