"""Whether all of a commit is there: its nodes and manifests are read, the chunks of its bodies are looked up ([REB-7])."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from mstbucket.core.batches import in_batches
from mstbucket.core.cid import CID, RAW, codec
from mstbucket.core.closure import commit_links, links_of
from mstbucket.errors import CorruptionError, FormatError
from mstbucket.index import rebuild
from mstbucket.pg.database import Database
from mstbucket.services.blocks.blocks import StoreBlocks
from mstbucket.spill.seen import Seen

_ASKED: Final = 1000  # nodes and manifests read by one question
_LOOKED_UP: Final = 10_000  # chunks looked up by one question


class Presence:
    """Which nodes and manifests of a bucket are known to be there, with all that they lead to."""

    def __init__(self, db: Database, blocks: StoreBlocks) -> None:
        self._db = db
        self._blocks = blocks
        self._known = Seen()

    def close(self) -> None:
        """Give memory and files back."""
        self._known.close()

    def note(self, cids: Iterable[CID]) -> None:
        """Take it that these are whole. Where that proves wrong, `forget` has to follow."""
        for cid in cids:
            self._known.add(cid)

    def forget(self) -> None:
        """Take nothing for known."""
        self._known.close()
        self._known = Seen()

    def lost_bodies(self, bodies: Iterable[CID]) -> list[CID]:
        """Those of some bodies, by their roots, that are not whole."""
        chunks: list[CID] = []
        large: list[CID] = []
        for cid in bodies:
            (chunks if codec(cid) == RAW else large).append(cid)
        lost = list(self._missing(chunks))
        for cid in large:
            if cid not in self._known:
                seen: set[CID] = set()
                if self._is_whole([cid], seen.__contains__, seen.add):
                    self._known.add(cid)
                else:
                    lost.append(cid)
        return lost

    def is_whole(self, commit: CID, block: bytes) -> bool:
        """Whether all that a commit reaches is there, the commit's own block included."""
        known = self._known
        links = [link for link, _ in commit_links(block)]
        if not self._missing([commit]) and self._is_whole(links, known.__contains__, known.add):
            return True
        self.forget()  # what is above the gap was taken for whole
        return False

    def _is_whole(self, roots: list[CID], has: Callable[[CID], bool], add: Callable[[CID], object]) -> bool:
        """Walk what `roots` reach, but for what `has` says was seen."""
        stack = list(roots)
        chunks: list[CID] = []
        while stack:
            some = list(dict.fromkeys(stack[-_ASKED:]))
            del stack[-_ASKED:]
            wanted = [cid for cid in some if codec(cid) != RAW and not has(cid)]
            chunks += [cid for cid in some if codec(cid) == RAW]
            if len(chunks) >= _LOOKED_UP:
                if self._missing(chunks):
                    return False
                chunks = []
            try:
                for cid, block in self._blocks.get_many(wanted).items() if wanted else ():
                    add(cid)
                    stack += [link for link, _ in links_of(cid, block)]
            except (CorruptionError, FormatError):
                return False
        return not self._missing(chunks)

    def _missing(self, cids: Sequence[CID]) -> set[CID]:
        lost: set[CID] = set()
        for some in in_batches(cids, _LOOKED_UP):
            lost |= rebuild.missing(self._db, some)
        return lost
