"""A file system that keeps in memory what was not flushed: every state that a loss of power can leave, from recorded calls.

What a program asked of the system is recorded by strace, and `History` follows it. A power cut keeps what was flushed. Of
all else it keeps whatever it likes:

* of a file, each block of 4 KiB as it was at any time since the last flush of the file;
* of a folder, each name as it was at any time since the last flush of the folder. A flush of a file does not keep its name.
  Of a rename both names may be there, or one, but not none. This is less than file systems promise.

So whoever is safe here is safe on all of them. Nothing is drawn: all states are gone through.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

BLOCK: Final = 4096
LONG: Final = 6  # blocks: of a longer file not every set of them is tried
CALLS: Final = ("openat", "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "lseek", "rename", "renameat", "renameat2",
                "link", "linkat", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat")  # fmt: skip
#: `mkdir` of a name below it, which fails, says in the log that something was acknowledged.
TOLD: Final = "/told-to-the-user/"
_LINE: Final = re.compile(r"^[\d.]+ (\w+)\((.*)\)\s+= (-?\d+)(.*)$")
_HANDLE: Final = re.compile(r"^(\d+|AT_FDCWD)<([^>]*)>")
_TEXT: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')


def tell(what: str) -> None:
    """In the child: say that this was acknowledged."""
    try:
        os.mkdir(TOLD + what)
    except FileNotFoundError:
        return
    raise AssertionError("that directory must not be there")


class Name(NamedTuple):
    """What a name was given to, if to anything, and in which of all changes of names."""

    change: int
    number: int | None


@dataclass
class Node:
    """A file or folder: how often each block was written since the last flush, and what each name has been since then."""

    number: int
    path: str  # at which it was made, from the top; a folder keeps it
    is_folder: bool
    blocks: dict[int, int] = field(default_factory=dict)
    names: dict[str, list[Name]] = field(default_factory=dict)  # the first is durable, the last the present one


@dataclass(frozen=True)
class State:
    """What one power cut left: names of folders, and files of which not all is there."""

    names: dict[tuple[int, str], Name]
    torn: frozenset[int]
    nodes: dict[int, Node]

    def find(self, path: str) -> int | None:
        """The number of the file or folder at a path below the top."""
        number = 0
        for name in filter(None, path.split("/")):
            found = self._entry(number, name)
            if found is None:
                return None
            number = found
        return number

    def files(self, folder: str = "") -> Iterator[tuple[str, int]]:
        """All files below a folder, by path and number."""
        top = self.find(folder)
        if top is not None:
            yield from self._files(top, folder)

    def _files(self, number: int, path: str) -> Iterator[tuple[str, int]]:
        for name in self.nodes[number].names:
            child = self._entry(number, name)
            if child is not None:
                below = f"{path}/{name}" if path else name
                if self.nodes[child].is_folder:
                    yield from self._files(child, below)
                else:
                    yield below, child

    def _entry(self, number: int, name: str) -> int | None:
        chosen = self.names.get((number, name))
        if chosen is None:
            known = self.nodes[number].names.get(name)
            chosen = None if known is None else known[-1]
        return None if chosen is None else chosen.number


class History:
    """The calls of a program below the directory `top`, one after the other."""

    def __init__(self, top: Path, before: Iterable[str]) -> None:
        """*before* has the paths that were there, durably; a folder ends with a slash, and comes before what is in it."""
        self._top = str(top)
        self.nodes = {0: Node(0, "", True)}
        self.told: list[str] = []
        self._changes = 0
        self._renames: list[tuple[int, tuple[int, str], tuple[int, str]]] = []  # a change, and the names from and to
        self.versions: dict[str, list[int]] = {}  # what had a path, one after the other
        self._handles: dict[int, tuple[int, int]] = {}  # by descriptor: file or folder, and where it stands
        for path in before:
            parent, name = self._parent(path.rstrip("/"))
            parent.names[name] = [Name(0, self._new(path.rstrip("/"), path.endswith("/")).number)]

    def _new(self, path: str, is_folder: bool) -> Node:
        node = Node(len(self.nodes), path, is_folder)
        self.nodes[node.number] = node
        return node

    def _parent(self, path: str) -> tuple[Node, str]:
        *folders, name = path.split("/")
        node = self.nodes[0]
        for one in folders:
            number = node.names[one][-1].number
            assert number is not None, path
            node = self.nodes[number]
        return node, name

    def present(self, path: str) -> int | None:
        """What has a name for who looks now."""
        if not path:
            return 0
        try:
            parent, name = self._parent(path)
        except KeyError:
            return None
        return parent.names.get(name, [Name(0, None)])[-1].number

    def _name(self, path: str, number: int | None) -> tuple[int, str]:
        parent, name = self._parent(path)
        parent.names.setdefault(name, [Name(0, None)]).append(Name(self._changes, number))
        if number is not None:
            self.versions.setdefault(path, []).append(number)
        return parent.number, name

    def _written(self, node: Node, begin: int, end: int) -> None:
        for block in range(begin // BLOCK, math.ceil(end / BLOCK)):
            node.blocks[block] = node.blocks.get(block, 0) + 1

    def call(self, line: str) -> bool:
        """One more line of the log; whether it is about something below the top, or an acknowledgement."""
        match = _LINE.match(line)
        if match is None:
            return False
        name, given, result = match[1], match[2], int(match[3])
        if TOLD in given:
            self.told.append(_TEXT.findall(given)[0].removeprefix(TOLD))
            return True
        if result < 0:
            return False
        paths = list(self._paths(given, name))
        handle = _HANDLE.match(given)
        if name == "openat":
            self._open(paths, given, result)
        elif name.startswith(("rename", "link", "unlink", "rmdir", "mkdir")):
            self._change(name, paths)
        elif handle is not None and int(handle[1]) in self._handles:
            self._with_file(name, int(handle[1]), given, result)
        return self._top in line

    def _paths(self, given: str, name: str) -> Iterator[str | None]:
        """Paths among the arguments, below the top; None for one elsewhere."""
        bases = [_HANDLE.match(part.strip()) for part in re.split(r", (?=\d+<|AT_FDCWD<)", given)]
        bases = [base for base in bases if base is not None]
        if name in ("write", "pwrite64", "fsync", "fdatasync", "ftruncate", "lseek"):
            return
        for at, text in enumerate(_TEXT.findall(given)):
            base = bases[min(at, len(bases) - 1)][2] if bases else "/"
            path = os.path.normpath(os.path.join(base, text))
            inside = path == self._top or path.startswith(self._top + "/")
            yield path[len(self._top) + 1 :] if inside else None

    def _open(self, paths: list[str | None], given: str, handle: int) -> None:
        self._handles.pop(handle, None)
        if paths[0] is None:
            return
        number = self.present(paths[0])
        if number is None:
            self._changes += 1
            node = self._new(paths[0], False)
            self._name(paths[0], node.number)
        else:
            node = self.nodes[number]
            if "O_TRUNC" in given and not node.is_folder:
                self._written(node, 0, BLOCK)
        self._handles[handle] = (node.number, 0)

    def _change(self, name: str, paths: list[str | None]) -> None:
        first = paths[0]
        if first is None:
            return
        self._changes += 1
        if name.startswith("mkdir"):
            self._name(first, self._new(first, True).number)
        elif name.startswith(("unlink", "rmdir")):
            self._name(first, None)
        else:
            number = self.present(first)
            assert paths[1] is not None, "moved out of the top"
            new = self._name(paths[1], number)
            if name.startswith("rename"):
                self._renames.append((self._changes, self._name(first, None), new))

    def _with_file(self, name: str, handle: int, given: str, result: int) -> None:
        number, at = self._handles[handle]
        node = self.nodes[number]
        if name in ("fsync", "fdatasync"):
            node.blocks.clear()
            for known in node.names.values():
                del known[:-1]
        elif name == "lseek":
            self._handles[handle] = (number, result)
        elif name == "ftruncate":
            self._written(node, 0, BLOCK)
        else:
            begin = at if name == "write" else int(given.rpartition(", ")[2])
            self._written(node, begin, begin + result)
            if name == "write":
                self._handles[handle] = (number, at + result)

    # --- power cuts ---

    def states(self, is_seen: Callable[[str], bool]) -> Iterator[State]:
        """All that a cut at this moment can leave, of paths that *is_seen*, and of files that have such a path then."""
        unsure = [
            ((node.number, name), known)
            for node in self.nodes.values() for name, known in node.names.items()
            if len(known) > 1 and is_seen(os.path.join(node.path, name))
        ]  # fmt: skip
        for chosen in itertools.product(*(known for _, known in unsure)):
            names = {where: one for (where, _), one in zip(unsure, chosen, strict=True)}
            if all(self._may_be(names, *rename) for rename in self._renames):
                yield from self._tear(State(names, frozenset(), self.nodes), is_seen)

    def _may_be(self, names: dict[tuple[int, str], Name], change: int, old: tuple[int, str], new: tuple[int, str]) -> bool:
        """Whether the old name of a rename is there yet, or the new one is."""
        return not (old in names and new in names and names[old].change >= change > names[new].change)

    def _tear(self, state: State, is_seen: Callable[[str], bool]) -> Iterator[State]:
        """The same names, with each block of their files as it was at any time since the last flush."""
        seen = {number for path, number in state.files() if is_seen(path)}
        files = [self.nodes[number] for number in sorted(seen) if self.nodes[number].blocks]
        for chosen in itertools.product(*map(_ways_to_tear, files)):
            torn = frozenset(node.number for node, is_whole in zip(files, chosen, strict=True) if not is_whole)
            yield State(state.names, torn, state.nodes)


def _ways_to_tear(file: Node) -> Iterator[bool]:
    """Whether all is there: for each way in which blocks are as they were. Of a long file one block is old, or all are."""
    counts = list(file.blocks.values())
    if len(counts) > LONG:
        yield from (True, *(False for _ in counts), False)
    else:
        for chosen in itertools.product(*(range(count + 1) for count in counts)):
            yield list(chosen) == counts
