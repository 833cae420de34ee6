"""Keys as the paths of a whole folder: what `cp -r` of the bucket writes into an empty directory."""

from __future__ import annotations

from mstbucket.files.paths import escape_segment, other_segment


class ViewPaths:
    """Gives each key its path. The keys come in the order of their UTF-8 bytes, and none twice.

    It holds the keys that the last key begins with: at most as many as a key has bytes.
    """

    __slots__ = ("_begins", "_lengths")

    def __init__(self) -> None:
        self._begins: list[str] = []
        self._lengths: set[int] = set()  # of these: all of them begin the same key

    def path(self, key: str) -> tuple[str, ...]:
        """The path's components; `files.paths.unescape` gives *key* back."""
        while self._begins and not key.startswith(self._begins[-1]):
            self._lengths.discard(len(self._begins.pop()))
        *folders, name = key.split("/")
        path: list[str] = []
        end = -1
        for folder in folders:
            end += len(folder) + 1
            # [FILES-8] a file has the name already: it is of the lesser key
            path += other_segment(folder) if end in self._lengths else escape_segment(folder)
        path += escape_segment(name)
        self._begins.append(key)
        self._lengths.add(len(key))
        return tuple(path)
