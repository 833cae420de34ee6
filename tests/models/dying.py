"""A model of collecting what died, without a mark: [GC-20] to [GC-24] of spec/store/26-collection.md.

There is one block, and one key in bucket `a` that may hold it. What happens around it:

* `put` in `a`: enters, finds the row of the block or makes one, commits with the object. Who finds a row marks it as
  *shared*. The mark is never taken away, so nothing is counted, and nothing can be counted wrongly.
* `part`: as `put`, but a part of an upload has the block; `complete` makes it the object, and touches no row.
* `write`: another content replaces the object, or a delete removes it. If the key waits for a flush, no flush may have seen
  the block: so the write notes its death, if no commit came after the row of the block, and holds the mark of the key from
  before that to its end.
* `flush`: reads the object and its generation; then, in a transaction of its own, makes a commit of that. If the commit
  before had the block and this one has not, it notes the death. If the key has changed meanwhile, or somebody holds it, the
  block that it has put into the commit may have died already: so it marks the row. Or it reads other keys alone.
* `tag`: another manifest for the same body. So the key waits for a flush, and commits have the body.
* `copy` and `put` into bucket `b`: other lives, which mark.
* `fork` of a commit of `a`: a new bucket has the block. No row is marked; and none by a `restore` of a commit of `a`.
* `read`: a lease on a commit, which may be given up while the lease has run out for a moment.
* `retain`: any commit but the newest goes.
* `sweep`: begins an epoch behind the barrier; looks at a candidate; removes the row. What it cannot decide it forgets.
* `mark`: the full cycle beside it, in one step: it is the audit, and what takes all that a sweep forgets.

`Rules` has a switch for each part. With all of them on no reachable state has a loss.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Rules:
    """The parts of the protocol."""

    found: bool = True  # a put in the bucket that finds the row marks it
    between: bool = True  # so does one in another bucket
    copy: bool = True  # and a copy
    late: bool = True  # and a flush, of what was replaced since it looked
    fresh: bool = True  # a write notes a body that no commit can have, since none came after its row
    key: bool = True  # a write holds the mark of its key before it looks at the newest commit
    forked: bool = True  # nothing is decided for a bucket that was forked
    flushed: bool = True  # nor for one with a commit that no flush made
    retained: bool = True  # nor while a commit is there that may have it
    born: bool = True  # which is any that came after the row was made
    lease: bool = True  # nor while somebody reads one that has gone
    age: bool = True  # a row that is younger than the death is another life
    recheck: bool = True  # the statement that removes looks at the row, not the look before
    barrier: bool = True  # a sweep begins an epoch, when nobody is inside


SHARED = None


class Row(NamedTuple):
    """The row of the block: the epoch of its last touch, and the newest commit when it was made, or SHARED."""

    epoch: int
    born: int | None


class State(NamedTuple):
    """What is committed, and where each process is."""

    epoch: int
    row: Row | None
    seq: int  # of the newest commit of `a`
    commits: frozenset[tuple[int, bool]]  # those that can be read, and whether they have the block
    has: bool  # whether the object of `a` has it
    dirty: int  # the generation of the key; 0 where the newest commit says the same
    part: bool
    other: bool  # bucket `b` has it
    fork: bool  # has it
    restored: bool  # whether a restore has made a commit
    lease: int | None  # a commit that has it
    candidates: frozenset[tuple[int, int]]  # the newest commit that may have it, and the epoch of the death
    processes: tuple[tuple[str, tuple[object, ...]], ...]
    freed: bool  # whether a sweep has removed the row at any time
    left: int  # of what may still begin


IDLE: tuple[object, ...] = ("idle",)
_INSIDE = ("entered", "holds", "writes")


def start(processes: tuple[str, ...], left: int) -> State:
    """The block is nowhere."""
    idle = tuple((name, IDLE) for name in processes)
    first = frozenset({(1, False)})
    return State(1, None, 1, first, False, 0, False, False, False, False, None, frozenset(), idle, False, left)


def is_needed(state: State) -> bool:
    """Whether anything reaches the block."""
    committed = any(has for _, has in state.commits)
    return bool(committed or state.has or state.part or state.other or state.fork or state.lease is not None)


def steps(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    """Every step that can be taken."""
    for at, (name, process) in enumerate(state.processes):
        for text, changes, after in _OF[name.split()[0]](state, rules, process):
            processes = (*state.processes[:at], (name, after), *state.processes[at + 1 :])
            yield f"{name}: {text}", state._replace(processes=processes, **changes)
    yield from _alone(state, rules)


def _is(state: State, *kinds: str) -> bool:
    return any(process[0] in kinds for _, process in state.processes)


def _alone(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    """What is one transaction, and needs nobody."""
    newest = max(state.commits)
    free = not _is(state, "holds")  # nobody has changed the row, and not committed
    for commit in state.commits - {newest}:
        yield f"retain: commit {commit[0]} goes", state._replace(commits=state.commits - {commit})
    if state.part and not _is(state, "writes"):
        yield "complete: the part is the object", state._replace(part=False, has=True, dirty=state.dirty + 1)
    if state.part:
        yield "abort: the part goes", state._replace(part=False)
    if state.lease is not None:
        yield "read: lets go", state._replace(lease=None)
    if state.other:
        yield "delete: in b", state._replace(other=False)
    if not state.left:
        return
    state = state._replace(left=state.left - 1)
    if state.has and not _is(state, "writes"):
        yield "tag: the manifest changes", state._replace(dirty=state.dirty + 1)
    if free and not state.other:
        if state.has:
            yield "copy: to b", state._replace(other=True, row=_found(state, state.epoch, rules.copy))
        row = Row(state.epoch, 0) if state.row is None else _found(state, state.epoch, rules.between)
        yield "put: in b", state._replace(other=True, row=row)
    with_it = {n for n, has in state.commits if has}
    for n in with_it:
        if not state.fork:
            yield f"fork: of commit {n}", state._replace(fork=True)
        if state.lease is None:
            yield f"read: commit {n}", state._replace(lease=n)
    if with_it and not state.has and free and not _is(state, "entered", "writes"):
        commits = state.commits | {(state.seq + 1, True)}
        row = _found(state, state.epoch, False)
        yield "restore", state._replace(seq=state.seq + 1, commits=commits, has=True, dirty=0, row=row, restored=True)
    if state.row is not None and not _is(state, *_INSIDE) and not is_needed(state):
        yield "mark: a full cycle", state._replace(row=None, epoch=state.epoch + 1)


def _found(state: State, epoch: int, marks: bool) -> Row | None:
    """The row once somebody needs it who has found it."""
    if state.row is None:
        return None
    return Row(max(state.row.epoch, epoch), SHARED if marks else state.row.born)


_Steps = Iterator[tuple[str, dict[str, object], tuple[object, ...]]]


def _put(state: State, rules: Rules, process: tuple[object, ...]) -> _Steps:
    if process == IDLE and state.left:
        yield f"enters in epoch {state.epoch}", {"left": state.left - 1}, ("entered", state.epoch, state.seq)
    elif process[0] == "entered" and not _is(state, "holds"):
        _, epoch, seq = process
        made = Row(epoch, seq if rules.born else seq + 1)  # type: ignore[arg-type, operator]
        row = made if state.row is None else _found(state, epoch, rules.found)  # type: ignore[arg-type]
        yield "finds the row, or makes one", {}, ("holds", row)
    elif process[0] == "holds" and not _is(state, "writes"):
        yield "commits with the object", {"row": process[1], "has": True, "dirty": state.dirty + 1}, IDLE


def _part(state: State, rules: Rules, process: tuple[object, ...]) -> _Steps:
    for text, changes, after in _put(state, rules, process):
        yield text, {"row": changes["row"], "part": True} if "has" in changes else changes, after


def _write(state: State, rules: Rules, process: tuple[object, ...]) -> _Steps:
    if process == IDLE and state.left and state.has:
        fresh = state.row is not None and state.row.born == state.seq
        noted = {(state.seq, state.epoch)} if state.dirty and (fresh or not rules.fresh) else set()
        yield "replaces the object", {"left": state.left - 1}, ("writes", frozenset(noted))
    elif process[0] == "writes":
        changes = {"has": False, "dirty": state.dirty + 1, "candidates": state.candidates | process[1]}  # type: ignore[operator]
        yield "commits", changes, IDLE


def _flush(state: State, rules: Rules, process: tuple[object, ...]) -> _Steps:
    if process == IDLE and state.left:
        if state.dirty:
            yield "reads the object", {"left": state.left - 1}, ("folds", state.seq, state.has, state.dirty)
        yield "reads other keys", {"left": state.left - 1}, ("follows", state.seq)
    elif process[0] == "follows":
        if process[1] != state.seq:
            yield "starts over", {}, IDLE
        else:
            commits = state.commits | {(state.seq + 1, (state.seq, True) in state.commits)}
            yield f"makes commit {state.seq + 1} of them", {"seq": state.seq + 1, "commits": commits}, IDLE
    elif process[0] == "folds":
        _, seq, has, generation = process
        if seq != state.seq or (has and state.row is None):
            yield "starts over", {}, IDLE
            return
        if has and _is(state, "holds"):
            return  # [FLUSH-6] it waits for the row
        held = rules.key and _is(state, "writes")
        clears = generation == state.dirty and not held
        changes: dict[str, object] = {"seq": seq + 1, "commits": state.commits | {(seq + 1, has)}}  # type: ignore[operator]
        if clears:
            changes["dirty"] = 0
        if has and state.row is not None:
            marks = rules.late and not clears
            changes["row"] = Row(max(state.row.epoch, state.epoch), SHARED if marks else state.row.born)
        if not has and (seq, True) in state.commits:
            changes["candidates"] = state.candidates | {(seq, state.epoch)}
        yield f"makes commit {state.seq + 1}", changes, IDLE


def _sweep(state: State, rules: Rules, process: tuple[object, ...]) -> _Steps:
    if process == IDLE and state.left and state.candidates and not (rules.barrier and _is(state, *_INSIDE)):
        epoch = state.epoch + rules.barrier
        for one in sorted(state.candidates):
            changes = {"epoch": epoch, "left": state.left - 1}
            row = state.row
            kept = row is not None and row.born is not None and any(row.born < n <= one[0] for n, _ in state.commits)
            gone = state.lease is not None and state.lease not in {n for n, _ in state.commits}
            if (kept and rules.retained) or (gone and rules.lease):
                continue  # it stays for later
            left_alone = (rules.forked and state.fork) or (rules.flushed and state.restored)
            if left_alone or not _may_go(state, rules, one):
                forgets = {**changes, "candidates": state.candidates - {one}}
                yield f"begins epoch {epoch}, and forgets {one}", forgets, IDLE
            else:
                yield f"begins epoch {epoch}, and decides that {one} is dead", changes, ("dead", one)
    elif process[0] == "dead":
        one = process[1]
        rest = {"candidates": state.candidates - {one}}
        if state.row is None or (rules.recheck and (_is(state, "holds") or not _may_go(state, rules, one))):
            yield "leaves the row", rest, IDLE
        elif not _is(state, "holds"):
            yield "removes the row", {"row": None, "freed": True, **rest}, IDLE


def _may_go(state: State, rules: Rules, one: object) -> bool:
    """What the row says."""
    row = state.row
    if row is None or row.born is SHARED:
        return False
    return row.epoch <= one[1] or not rules.age  # type: ignore[index]


_OF = {"put": _put, "part": _part, "write": _write, "flush": _flush, "sweep": _sweep}


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
