"""The other side of a pull: what it has to answer, and a bucket of another open store that does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol, Self

from mstbucket.core.cid import CID, to_text, verify_block
from mstbucket.errors import MissingBlock, NoSuchCommit
from mstbucket.index import remotes
from mstbucket.index.commits import read_head
from mstbucket.services.blocks.context import Context
from mstbucket.services.tree.held import HeldBlocks
from mstbucket.services.tree.leases import hold_newest


class Peer(Protocol):
    """A bucket somewhere else, of which blocks can be read. Nothing that it says is believed: blocks are hashed and judged.

    Attributes:
        where: how messages call it.
        requests: how often it was asked so far.
    """

    where: str
    requests: int

    def newest(self) -> CID:
        """The CID of its newest commit, in one request. Raises `NoSuchBucket` or `NoSuchCommit` where there is none."""
        ...

    def hold(self) -> CID:
        """As `newest`; and all that the commit reaches stays readable until `close`."""
        ...

    def has_commits(self, commits: Collection[CID]) -> set[CID]:
        """Those of the commits that are known to lie on the line of the one that is held: it, the one before, and so on."""
        ...

    def has_merged(self, commit: CID) -> bool:
        """Whether a commit on that line says that it brought in the changes of this one."""
        ...

    def get_many(self, cids: Collection[CID]) -> Mapping[CID, bytes]:
        """The blocks of `cids`, in one request. One that it lacks is left out, or raises `MissingBlock`."""
        ...

    def tell(self, alive: Callable[[], object]) -> None:
        """Call that now and then, as long as an answer takes: who asked has promised to give signs of life."""
        ...

    def close(self) -> None:
        """Let go of the commit."""
        ...


class StorePeer:
    """A bucket of another store that is open in this process. A context manager."""

    def __init__(self, context: Context, bucket: str, where: str) -> None:
        self._context = context
        self._bucket = bucket
        self._held: HeldBlocks | None = None
        self._number = 0
        self.where = where
        self.requests = 0

    def newest(self) -> CID:
        self.requests += 1
        with self._context.db.reading() as connection:
            head = read_head(connection, self._bucket)
        if head.commit is None:
            raise NoSuchCommit(f"bucket {self._bucket!r} of {self.where} has no commit yet: flush it there first")
        return head.commit

    def hold(self) -> CID:
        self.requests += 1
        self.close()
        head, lease = hold_newest(self._context, self._bucket)
        self._held, self._number = HeldBlocks(self._context.blocks, lease), head.bucket  # [PAST-3]
        return lease.commit.cid

    def has_commits(self, commits: Collection[CID]) -> set[CID]:
        self.requests += 1
        with self._context.db.reading() as connection:
            return remotes.on_line(connection, self._number, commits)

    def has_merged(self, commit: CID) -> bool:
        self.requests += 1
        with self._context.db.reading() as connection:
            return remotes.has_merged(connection, self._number, commit)

    def get_many(self, cids: Collection[CID]) -> Mapping[CID, bytes]:
        assert self._held is not None  # `hold` comes first
        self.requests += 1
        return self._held.get_many(cids)

    def tell(self, alive: Callable[[], object]) -> None:
        pass  # its answers are quick

    def close(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def checked(peer: Peer, cids: Collection[CID]) -> dict[CID, bytes]:
    """The blocks of `cids`, by one request, each of which was hashed.

    Raises:
        MissingBlock: the other side lacks one.
        HashMismatch: it gave other bytes.
    """
    came = peer.get_many(cids)
    for cid in cids:
        if cid not in came:
            raise MissingBlock(
                f"{peer.where} lacks block {to_text(cid)}, which its own commit leads to: verify it there"
            ).about(cid=cid)
        verify_block(cid, came[cid])  # [RMT-5]
    return {cid: came[cid] for cid in cids}
