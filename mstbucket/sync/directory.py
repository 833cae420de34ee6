"""A local directory as one side of a sync: its files in key order."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

from mstbucket.errors import InvalidInput, InvalidKey
from mstbucket.files.paths import unescape
from mstbucket.files.walk import Skipped, walk
from mstbucket.spill.sort_rows import Row, sort_rows
from mstbucket.sync.entry import Entry
from mstbucket.sync.filters import Wanted
from mstbucket.sync.plan import Kind


class Directory:
    """The files below a directory. They are all found before the first is given, and sorted in bounded memory.

    Attributes:
        root: the directory; one that is not there has no files.
        found, bytes: how many files were found, and their sizes together; all of them once `entries` gives the first.
        incomplete: something should have been listed, and could not be. So a file that is missing here may be there.
    """

    kind = Kind.LOCAL

    def __init__(
        self, root: str, wanted: Wanted, tell: Callable[[str, bool], None], *, follow: bool,
        leave_out: frozenset[bytes] = frozenset(),
    ) -> None:  # fmt: skip
        """Prepare to list *root*.

        Args:
            root: the directory.
            wanted: which keys to give.
            tell: called with what is left out and why, and whether it should have been there.
            follow, leave_out: as for `walk`.
        """
        self.root = root
        self.found = self.bytes = 0
        self.incomplete = False
        self._wanted = wanted
        self._tell = tell
        self._follow = follow
        self._leave_out = leave_out

    def require(self) -> None:
        """Raise where there is no such directory.

        Raises:
            FileNotFoundError: nothing is there.
            InvalidInput: it is no directory.
        """
        if not os.path.exists(self.root):
            raise FileNotFoundError(errno.ENOENT, "there is no such directory", self.root)
        if not os.path.isdir(self.root):
            raise InvalidInput(f"{self.root!r} is no directory: copy a file with cp")

    def entries(self) -> Iterator[Entry]:
        """The files in the order of their keys' UTF-8: `a.txt`, `a/b`, `a0`; a key twice if two stand for it."""
        for key, path, size, modified, touched in sort_rows(self._rows()):
            yield Entry(key, size, modified, touched=touched, path=os.fsencode(path))

    def names(self, path: bytes) -> list[bytes]:
        """The components of an entry's path below the root."""
        return path[len(os.path.join(os.fsencode(self.root), b"")) :].split(b"/")

    def _rows(self) -> Iterator[Row]:
        if not os.path.lexists(self.root):
            return
        for found in walk(self.root, follow=self._follow, leave_out=self._leave_out):
            if isinstance(found, Skipped):
                if self._concerns(found):
                    self._skip(found.path, found.reason, failed=found.failed)
                continue
            try:
                key = found.key
                if not self._wanted(key):
                    continue
                state = os.stat(found.path)
            except InvalidKey:
                if self._wanted(self._shown(found.path)):
                    self._skip(found.path, "the file's name is not UTF-8; rename it", failed=True)
            except OSError as error:
                self._skip(found.path, error.strerror or str(error), failed=True)
            else:
                self.found += 1
                self.bytes += state.st_size
                touched = max(state.st_mtime_ns, state.st_ctime_ns) // 1_000_000
                yield key, os.fsdecode(found.path), state.st_size, state.st_mtime_ns // 1_000_000, touched

    def _concerns(self, skipped: Skipped) -> bool:
        """Whether the sync may be about something there. In a directory that cannot be read, anything may be."""
        name = self._shown(skipped.path)
        if skipped.failed and not (os.path.islink(skipped.path) and not os.path.exists(skipped.path)):
            # A piece of a cut name does not tell the key by itself.
            return b"%~" in skipped.path or not self._wanted.leaves_out_all_below(name)
        return self._wanted(name)

    def _shown(self, path: bytes) -> str:
        """The key that a path stands for, as far as its name can be read."""
        names = self.names(path)
        try:
            return unescape([name.decode() for name in names])
        except UnicodeDecodeError:
            return b"/".join(names).decode("utf-8", "backslashreplace")

    def _skip(self, path: bytes, reason: str, *, failed: bool) -> None:
        self.incomplete |= failed
        self._tell(f"{os.fsdecode(path)!r}: {reason}; skipped", failed)
