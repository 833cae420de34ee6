"""The power goes at any moment of what makes durable files: what was acknowledged is there, and what is there is whole.

What the system was asked for is recorded by strace of a real child; `writeback.py` says what a cut can leave. By default a
thousand states; hundreds of thousands by

    pytest -m slow -s tests/services/test_power_cuts.py
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from systemcalls import Gate, in_order, traced
from worlds import HANG_SECONDS
from writeback import CALLS, History, State, tell

import mstbucket
from mstbucket.api.dumping import dump_store
from mstbucket.blobs.media.local import WRITING, LocalBlobs
from mstbucket.errors import BlobExists
from mstbucket.files.paths import is_temporary
from mstbucket.files.shared_folder import SharedFolder
from mstbucket.files.whole import replacing

pytestmark = pytest.mark.strace

def is_seen(path: str) -> bool:
    """Whether anybody looks for a file there."""
    *folders, name = path.split("/")
    return WRITING not in folders and not is_temporary(os.fsencode(name))


@dataclass(frozen=True)
class Deed:
    """What a child does in a directory, and what is wrong with a state that a power cut leaves, or None.

    The judge is asked with what was acknowledged, and with the history.
    """

    run: Callable[[Path], object]
    judge: Callable[[State, History], str | None]
    prepare: Callable[[Path], object] = lambda path: None


def wholeness(state: State) -> str | None:
    """Whoever has a name that somebody looks for is whole."""
    if state.torn:
        for path, number in state.files():
            if number in state.torn and is_seen(path) and not path.endswith(".partial"):
                return f"{path} is torn"
    return None


# --- blobs ---


def _put(count: int, blocks: int) -> Callable[[Path], object]:
    def run(top: Path) -> None:
        blobs = LocalBlobs(top / "new" / "blobs")
        for number in range(count):
            blobs.put_if_absent(f"packs/{number % 2}/{number}", bytes(4096 * blocks))
            tell(f"put new/blobs/packs/{number % 2}/{number}")
        with suppress(BlobExists):
            LocalBlobs(top / "new" / "blobs").put_if_absent("packs/0/0", b"another")
        names = [f"packs/{number % 2}/{number}" for number in range(0, count, 2)]
        tell("delete " + " ".join(f"new/blobs/{name}" for name in names))
        blobs.delete_many(names)
        tell("gone")

    return run


def _blobs(state: State, history: History) -> str | None:
    """[BLOB-6]: before a deletion begins, what was put is there; after it has ended, it is not."""
    deleted: list[str] = next((one.split(" ")[1:] for one in history.told if one.startswith("delete")), [])
    for one in history.told:
        if one.startswith("put") and one[4:] not in deleted and state.find(one[4:]) is None:
            return f"{one[4:]} was acknowledged, and is lost"
    if "gone" in history.told:
        for name in deleted:
            if state.find(name) is not None:
                return f"{name} was deleted, and is back"
    return wholeness(state)


# --- one file ---


def _replaced(state: State, history: History) -> str | None:
    """[EXP-2]: one of the contents is there, whole, and after the acknowledgement the new one."""
    found = state.find("out")
    if found is None:
        return "out is lost"
    if "replaced" in history.told and found == 1:
        return "out was replaced, and the old one is back"
    return wholeness(state)


def _replace(top: Path) -> None:
    with replacing(top / "out") as file:
        for _ in range(3):
            file.write(bytes(4096))
    tell("replaced")


def _key(top: Path) -> None:
    mstbucket.new_signing_key(top / "key")
    tell("made key")


def _made(state: State, history: History) -> str | None:
    for one in history.told:
        if state.find(one.removeprefix("made ")) is None:
            return f"{one} was acknowledged, and is lost"
    return wholeness(state)


# --- a file that names others ---


def _push(top: Path) -> None:
    folder = SharedFolder(str(top / "remote"))
    seen = None
    for number in range(3):
        with folder.write(f"bucket/{number}.car") as file:
            file.write(bytes(8192))
        assert folder.swap("bucket/head", seen, b"%d" % number)
        seen = folder.read("bucket/head", 99)
        tell(f"head {number}")


def _head(state: State, history: History) -> str | None:
    """[FOLD-4]: the head names files that are whole, and it is the newest that was acknowledged, or a newer one."""
    heads = history.versions.get("remote/bucket/head", [])
    found = state.find("remote/bucket/head")
    newest = len([one for one in history.told if one.startswith("head")])
    if found is None:
        return "the head is lost" if newest else wholeness(state)
    version = heads.index(found)
    if version < newest - 1:
        return "the head is an older one"
    for number in range(version + 1):
        if state.find(f"remote/bucket/{number}.car") is None:
            return f"the head names {number}.car, which is lost"
    return wholeness(state)


def _backed_up(state: State, history: History) -> str | None:
    """[CLI-153]: the backup that is there is whole, and not older than the newest that was acknowledged."""
    found = state.find("backup/dump.json")
    newest = len([one for one in history.told if one.startswith("backup")])
    if found is None:
        return "the backup is lost" if newest else wholeness(state)
    version = history.versions["backup/dump.json"].index(found)
    if version < newest - 1:
        return "the backup is an older one"
    dump = history.versions["backup/database.dump.partial"][version]
    there = [state.find(f"backup/{name}") for name in ("database.dump", "database.dump.partial")]
    if dump not in there or dump in state.torn:
        return "the dump that the backup names is lost"
    for path, (number, *_) in history.versions.items():
        if path.startswith("backup/blobs/") and is_seen(path) and number < found and not state.find(path):
            return f"{path} is lost"
    return wholeness(state)


DEEDS: Final = {
    "blobs": Deed(_put(2, 2), _blobs),
    "replace a file": Deed(_replace, _replaced, lambda top: (top / "out").write_bytes(bytes(5000))),
    "new key": Deed(_key, _made),
    "push": Deed(_push, _head, lambda top: (top / "remote").mkdir()),
}


def record(top: Path, log: Path, deed: Deed) -> tuple[list[str], list[str]]:
    """What was there before a deed, and the calls of it."""
    top.mkdir()
    deed.prepare(top)
    before = [str(path.relative_to(top)) + "/" * path.is_dir() for path in sorted(top.rglob("*"))]
    gate = Gate(log.parent)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            gate.stop()
            deed.run(top)
            status = 0
        finally:
            os._exit(status)
    with traced(child, gate, log, names=CALLS):
        timer = threading.Timer(HANG_SECONDS, os.kill, (child, signal.SIGKILL))
        timer.start()
        _, status = os.waitpid(child, 0)
        timer.cancel()
    assert status == 0, status
    return before, in_order(log)


def cuts(
    top: Path, before: list[str], lines: list[str], deed: Deed, seen: Callable[[str], bool] = is_seen
) -> Iterator[str | None]:
    """The judgement of every state that a cut at any moment can leave."""
    history = History(top, before)
    for line in ["", *lines]:
        if history.call(line) or not line:
            for state in history.states(seen):
                wrong = deed.judge(state, history)
                yield wrong and f"{wrong}, after {line}"


def flushed(line: str, top: Path) -> str | None:
    """What a call flushes, from the top; names that nobody looks for are one."""
    if "fsync(" not in line or str(top) not in line:
        return None
    path = line.partition(str(top))[2].partition(">")[0]
    return path if is_seen(path) else path.rpartition("/")[0] + "/*"


def judge(top: Path, log: Path, deed: Deed) -> None:
    """Nothing is lost; and where nobody flushes a certain file or folder, something is: the judge can see it."""
    before, lines = record(top, log, deed)
    wrong = list(cuts(top, before, lines, deed))
    print(f"\n{len(wrong)} states")
    assert {one for one in wrong if one is not None} == set()
    for place in {flushed(line, top) for line in lines} - {None}:
        without = [line for line in lines if flushed(line, top) != place]
        assert any(cuts(top, before, without, deed)), f"nobody has to flush {place}"


@pytest.mark.parametrize("name", DEEDS)
def test_a_power_cut_loses_nothing(tmp_path: Path, name: str) -> None:
    """[BLOB-4] [BLOB-6] [EXP-2] [FOLD-4]"""
    judge(tmp_path / "top", tmp_path / "log", DEEDS[name])


def test_a_power_cut_loses_no_backup(store: mstbucket.Store, tmp_path: Path) -> None:
    """[CLI-153]"""
    bucket = store.create_bucket("things")

    def run(top: Path) -> None:
        for number in range(2):
            dump_store(None, store.conninfo(), None, tmp_path / "blobs", top / "backup")
            tell(f"backup {number}")
            with mstbucket.open(database=store.conninfo(), blobs=tmp_path / "blobs", background=False) as again:
                again.bucket("things").put_object("more", bytes(100_000))

    bucket.put_object("large", bytes(100_000))
    bucket.flush()
    judge(tmp_path / "top", tmp_path / "log", Deed(run, _backed_up))


@pytest.mark.slow
def test_a_power_cut_loses_nothing_of_many_blobs(tmp_path: Path) -> None:
    """[BLOB-4] [BLOB-6]: with what nobody looks for, too."""
    top, deed = tmp_path / "top", Deed(_put(6, 3), _blobs)
    before, lines = record(top, tmp_path / "log", deed)
    count = 0
    for wrong in cuts(top, before, lines, deed, lambda _: True):
        assert wrong is None
        count += 1
    print(f"\n{count} states")
    assert count >= 100_000
