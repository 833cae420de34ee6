"""From a bucket into a directory."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from mstbucket.errors import StorageError
from mstbucket.files.tree import Tree
from mstbucket.files.walk import open_file
from mstbucket.sync.directory import Directory
from mstbucket.sync.entry import Compare, Copy, Entry, Same
from mstbucket.sync.mover import Meter, Moved, Mover, Outcome, as_copy, content_of
from mstbucket.sync.objects import SourceObjects
from mstbucket.sync.single import write_into

if TYPE_CHECKING:
    from mstbucket.services.objects.reader import ObjectReader


class Outward(Mover):
    """Objects become files, each complete or not there, none outside the directory ([CLI-15], [CLI-16])."""

    deleted_together = 1  # before the next file is written, which may need the name for a directory

    def __init__(self, source: SourceObjects, target: Directory, meter: Meter) -> None:
        self._source = source
        self._target = target
        self.meter = meter
        self._trees: list[Tree] = []
        self._alone = threading.Lock()
        self._mine = threading.local()  # a `Tree` is not for two threads

    def move(self, step: Copy | Compare) -> Outcome:
        """Write the file, with the object's time, so that the next sync need not read it ([SYNC-7])."""
        if isinstance(step, Compare) and self._is_same(step):
            return Same(step.target)
        with self._source.bucket.get_object(self._source.key(step.source)) as reader:
            info, path = reader.info, self._write(step.source.key, reader)
        if step.target is not None and step.target.path not in (None, os.fsencode(path)):
            # The key has got the other form of its name: the file under the first one would stand for it too.
            with suppress(FileNotFoundError):
                self._remove(step.target)
        return Moved(as_copy(step), info, path)

    def probe(self, step: Copy | Compare) -> Outcome:
        """Read the file where it has to be compared."""
        if isinstance(step, Compare) and self._is_same(step):
            return Same(step.target)
        return Moved(as_copy(step))

    def delete(self, targets: Sequence[Entry]) -> Iterator[tuple[Entry, Exception | None]]:
        """Remove files, and the directories that are empty then."""
        for target in targets:
            try:
                self._remove(target)
            except FileNotFoundError:
                yield target, None
            except OSError as error:
                if isinstance(error, StorageError):
                    raise
                yield target, error
            else:
                yield target, None

    def prepare(self) -> None:
        """Make the directory."""
        Tree(self._target.root).close()

    def close(self) -> None:
        """Let go of the directories."""
        while self._trees:
            self._trees.pop().close()

    def _is_same(self, step: Compare) -> bool:
        assert step.target.path is not None
        try:
            with open_file(step.target.path) as file:
                chunks = iter(lambda: file.read(1 << 20), b"")
                return content_of(self.meter.through(chunks)) == step.source.content
        except (PermissionError, FileNotFoundError):
            return False  # it can be written all the same, where the directory can

    def _write(self, key: str, reader: ObjectReader) -> str:
        tree = self._tree()
        # Where `A` and `a` are one name, a look at what is there and the renaming belong together.
        with self._alone if tree.folds else nullcontext():
            return write_into(tree, key, reader, self.meter)

    def _remove(self, target: Entry) -> None:
        assert target.path is not None
        self._tree().remove(self._target.names(target.path))

    def _tree(self) -> Tree:
        tree: Tree | None = getattr(self._mine, "tree", None)
        if tree is None:
            tree = self._mine.tree = Tree(self._target.root)
            self._trees.append(tree)
        return tree
