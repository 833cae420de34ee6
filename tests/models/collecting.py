"""A model of put, import, flush and collect around one block, as a program of atomic steps that an explorer goes through.

There is one block, which is dead at the beginning: it has a row and a blob, and nothing reaches it. Around it work

* `put`: brings the bytes. Enters, touches the row or makes one with a blob of its own, commits with an object.
* `shared`: has no bytes. Registers a pending pack, finds and touches the row; later enters, proves it, makes an object.
* `import`: registers a claim, records the row in a transaction of its own; later makes the object without a look at the row.
* `flush`: sees an object in a snapshot; later enters, proves and touches the row, commits with a commit.
* `delete` and `retain`: an object goes, a commit goes.
* `collect`: begins behind the barrier, marks in a snapshot, looks for dead rows, removes, dooms.
* `late`: a doomed blob is deleted, any time later, any number of times.

What a transaction did is seen by others when it has committed; until then it holds the row that it touched. A process that
dies is one that takes no further step, so every prefix is a crash too.

`Rules` has one switch for each part of the protocol. With all of them on no reachable state has a loss. With any one off
there is a way to one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Rules:
    """The parts of the protocol."""

    barrier: bool = True  # a cycle begins when nobody is inside ([GC-1])
    touch: bool = True  # who needs a row touches it ([PUT-6])
    recheck: bool = True  # the statement that removes looks at the epoch again ([GC-7])
    fresh_names: bool = True  # a name is never given twice ([BLOB-3])
    pending: bool = True  # rows touched since the oldest pending pack stay ([PUT-11])
    proof: bool = True  # a row that is counted on has to be there in the transaction ([PUT-6] [FLUSH-6])


class Row(NamedTuple):
    """The row of the block: the epoch of its last touch, and the name of its blob."""

    epoch: int
    blob: int


#: A process: where it is, and what it has read or wants to do at its commit.
Process = tuple[object, ...]
IDLE: Process = ("idle",)
DONE: Process = ("done",)


class State(NamedTuple):
    """Everything that has been committed, and where each process is."""

    epoch: int
    row: Row | None
    blobs: frozenset[int]
    doomed: frozenset[int]
    objects: frozenset[str]
    commit: bool
    pending: tuple[tuple[str, int], ...]  # who has a pending pack, and the epoch of its registration
    names: int  # how many were given
    processes: tuple[tuple[str, Process], ...]
    cycles: int  # how many may still begin


def start(names: tuple[str, ...], cycles: int) -> State:
    """A dead block, and nobody at work."""
    idle = tuple((name, IDLE) for name in names)
    return State(1, Row(1, 0), frozenset({0}), frozenset(), frozenset(), False, (), 1, idle, cycles)


def is_lost(state: State) -> bool:
    """Whether something reaches the block, and it is not there."""
    return bool(state.objects or state.commit) and (state.row is None or state.row.blob not in state.blobs)


def is_inside(process: Process) -> bool:
    """Whether it holds the barrier, shared."""
    return process[0] in ("entered", "touched", "inserts", "proven")


def holds_row(process: Process) -> bool:
    """Whether it has changed the row, or is making one, and has not committed."""
    return process[0] in ("touched", "inserts")


def steps(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    """Every step that can be taken, by its name."""
    for at, (name, process) in enumerate(state.processes):
        kind = name.rstrip("12")
        for text, changes, after in _OF[kind](state, rules, name, process):
            processes = (*state.processes[:at], (name, after), *state.processes[at + 1 :])
            yield f"{name}: {text}", state._replace(processes=processes, **changes)
    for blob in state.doomed & state.blobs:
        yield f"late: blob {blob} is deleted", state._replace(blobs=state.blobs - {blob})
    for held in state.objects:
        yield f"delete: the object of {held} goes", state._replace(objects=state.objects - {held})
    if state.commit:
        yield "retain: the commit goes", state._replace(commit=False)


_Steps = Iterator[tuple[str, dict[str, object], Process]]


def _row_is_free(state: State) -> bool:
    return not any(holds_row(process) for _, process in state.processes)


def _new_blob(state: State, rules: Rules) -> int:
    if rules.fresh_names:
        return state.names
    return min(set(range(len(state.blobs) + 1)) - state.blobs)


def _touched(row: Row, epoch: int, rules: Rules) -> Row:
    return Row(max(row.epoch, epoch), row.blob) if rules.touch else row


def _put(state: State, rules: Rules, name: str, process: Process) -> _Steps:
    if process == IDLE:
        yield f"enters in epoch {state.epoch}", {}, ("entered", state.epoch)
    elif process[0] == "entered" and _row_is_free(state):
        if state.row is not None:
            yield "touches the row", {}, ("touched", process[1])
        else:
            blob = _new_blob(state, rules)
            changes = {"blobs": state.blobs | {blob}, "names": state.names + 1}
            yield f"writes blob {blob} and makes a row", changes, ("inserts", process[1], blob)
    elif process[0] == "touched":
        assert state.row is not None
        row = _touched(state.row, process[1], rules)  # type: ignore[arg-type]
        yield "commits", {"row": row, "objects": state.objects | {name}}, DONE
    elif process[0] == "inserts":
        row = Row(process[1], process[2])  # type: ignore[arg-type]
        yield "commits", {"row": row, "objects": state.objects | {name}}, DONE


def _shared(state: State, rules: Rules, name: str, process: Process) -> _Steps:
    if process == IDLE and state.row is not None and _row_is_free(state):
        row = _touched(state.row, state.epoch, rules)
        changes = {"pending": (*state.pending, (name, state.epoch)), "row": row}
        yield "registers, finds the row and touches it", changes, ("counts",)
    elif process[0] == "counts":
        yield f"enters in epoch {state.epoch}", {}, ("entered", state.epoch)
    elif process[0] == "entered" and _row_is_free(state):
        without = tuple(one for one in state.pending if one[0] != name)
        if state.row is not None:
            yield "proves and touches the row", {}, ("touched", process[1])
        elif rules.proof:
            yield "finds the row gone, and gives up", {"pending": without}, DONE
        else:
            yield "commits without a row", {"pending": without, "objects": state.objects | {name}}, DONE
    elif process[0] == "touched":
        assert state.row is not None
        without = tuple(one for one in state.pending if one[0] != name)
        row = _touched(state.row, process[1], rules)  # type: ignore[arg-type]
        yield "commits", {"row": row, "objects": state.objects | {name}, "pending": without}, DONE


def _import(state: State, rules: Rules, name: str, process: Process) -> _Steps:
    if process == IDLE:
        yield "registers its claim", {"pending": (*state.pending, (name, state.epoch))}, ("claims",)
    elif process[0] == "claims" and _row_is_free(state):
        if state.row is not None:
            yield "records: touches the row", {"row": _touched(state.row, state.epoch, rules)}, ("recorded",)
        else:
            blob = _new_blob(state, rules)
            changes = {"blobs": state.blobs | {blob}, "names": state.names + 1, "row": Row(state.epoch, blob)}
            yield f"records: writes blob {blob} and a row", changes, ("recorded",)
    elif process[0] == "recorded":
        yield "enters", {}, ("proven",)
    elif process[0] == "proven":
        without = tuple(one for one in state.pending if one[0] != name)
        yield "commits", {"objects": state.objects | {name}, "pending": without}, DONE


def _flush(state: State, rules: Rules, name: str, process: Process) -> _Steps:
    if process == IDLE and state.objects:
        yield "sees an object", {}, ("seen",)
    elif process[0] == "seen":
        yield f"enters in epoch {state.epoch}", {}, ("entered", state.epoch)
    elif process[0] == "entered" and _row_is_free(state):
        if state.row is not None:
            yield "proves and touches the row", {}, ("touched", process[1])
        elif rules.proof:
            yield "finds the row gone, and starts over", {}, DONE
        else:
            yield "commits without a row", {"commit": True}, DONE
    elif process[0] == "touched":
        assert state.row is not None
        yield "commits", {"row": _touched(state.row, process[1], rules), "commit": True}, DONE  # type: ignore[arg-type]


def _collect(state: State, rules: Rules, name: str, process: Process) -> _Steps:
    if process == IDLE and state.cycles:
        if rules.barrier and any(is_inside(other) for _, other in state.processes):
            return
        epoch = state.epoch + 1
        before = min([epoch, *(since for _, since in state.pending)]) if rules.pending else epoch
        marked = bool(state.objects or state.commit)
        yield (
            f"begins epoch {epoch}, {'marks the block' if marked else 'marks nothing'}",
            {"epoch": epoch, "cycles": state.cycles - 1},
            IDLE if marked else ("marked", before),
        )
    elif process[0] == "marked":
        dead = state.row is not None and state.row.epoch < process[1]  # type: ignore[operator]
        yield f"finds {'the row dead' if dead else 'nothing dead'}", {}, ("dead", process[1]) if dead else IDLE
    elif process[0] == "dead":
        if not _row_is_free(state):
            if rules.recheck:
                yield "leaves the row, which somebody holds", {}, IDLE
        elif state.row is None or (rules.recheck and state.row.epoch >= process[1]):  # type: ignore[operator]
            yield "leaves the row, which is gone or was touched", {}, IDLE
        else:
            yield "removes the row", {"row": None, "doomed": state.doomed | {state.row.blob}}, IDLE


_OF = {"put": _put, "shared": _shared, "import": _import, "flush": _flush, "collect": _collect}


def explore(names: tuple[str, ...], rules: Rules, cycles: int, most: int = 10_000_000) -> tuple[int, list[str] | None]:
    """Go through every reachable state; how many there are, and the shortest way to a loss, if there is one."""
    first = start(names, cycles)
    came: dict[State, tuple[State, str] | None] = {first: None}
    queue = deque([first])
    while queue:
        state = queue.popleft()
        if is_lost(state):
            return len(came), _way(state, came)
        for text, after in steps(state, rules):
            if after not in came:
                assert len(came) < most
                came[after] = (state, text)
                queue.append(after)
    return len(came), None


def _way(state: State, came: dict[State, tuple[State, str] | None]) -> list[str]:
    way: list[str] = []
    while (step := came[state]) is not None:
        state, text = step
        way.append(text)
    return way[::-1]
