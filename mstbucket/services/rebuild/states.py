"""The service state of every bucket as the blobs tell it, and which bucket has which commit ([REB-5], [REB-6], [REB-27])."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mstbucket.blobs.base import BlobStore
from mstbucket.blobs.names import STATE, parse_state
from mstbucket.core import commit as commits
from mstbucket.core.keys import check_bucket_name
from mstbucket.errors import CorruptionError, FormatError, InvalidInput, NoSuchBlob, Unsupported
from mstbucket.index.state import LockEntry
from mstbucket.packs.frames.crypto import DataKey
from mstbucket.packs.frames.read import Packs, TrailerIndex
from mstbucket.services.blocks.blocks import StoreBlocks
from mstbucket.services.blocks.state import read_state
from mstbucket.services.rebuild.refs import Ref, Refs, branch, heads


@dataclass(slots=True)
class BucketState:
    """What the blobs of one bucket say together.

    Attributes:
        config: the newest of all that they say but for locks; None if no blob that can be read has it.
        blobs: their names.
        gone: the bucket was deleted; `commit` is its last one then.
    """

    id: str
    identity: str
    config: dict[str, Any] | None = None
    blobs: list[str] = field(default_factory=list)
    gone: bool = False
    commit: bytes | None = None

    @property
    def exact(self) -> bytes | None:
        """The commit of the bucket, where the state says it for certain."""
        return self.told if self.config is not None and self.config["exact"] else None

    @property
    def told(self) -> bytes | None:
        """The commit that the bucket had when the state was written."""
        return None if self.config is None or self.config["commit"] is None else bytes.fromhex(self.config["commit"])


class States:
    """The service state of all buckets, from every blob that has some.

    Attributes:
        of: the states by the identity of their bucket.
        invalid: why a blob could not be read, by its name.
    """

    def __init__(self, blobs: BlobStore, key: DataKey | None) -> None:
        """Read all of it but for the locks.

        Raises:
            Unsupported: some of it is of a newer version.
            WrongKey: it is encrypted, and the key is not that.
        """
        self._packs = Packs(blobs, TrailerIndex(blobs, key), key)
        self.invalid: dict[str, str] = {}
        found: dict[str, BucketState] = {}
        for info in blobs.list(STATE):
            if parse_state(info.name) is None:
                continue
            try:
                said = read_state(self._packs, info.name)
            except NoSuchBlob:
                continue
            except (CorruptionError, FormatError) as error:
                self.invalid[info.name] = str(error)
                continue
            except Unsupported as error:
                raise Unsupported(f"{error}; rebuild with the version that wrote it, or a newer one") from error
            state = found.setdefault(said.id, BucketState(said.id, said.identity))
            state.blobs.append(info.name)
            if said.gone:
                state.gone, state.commit = True, said.commit
            if said.config is not None and (state.config is None or state.config["number"] < said.config["number"]):
                state.config = said.config
        self.of: dict[str, list[BucketState]] = defaultdict(list)
        for state in found.values():
            self.of[state.identity].append(state)

    def locks(self, state: BucketState) -> Iterator[LockEntry]:
        """Every change of a lock that the blobs of a bucket have."""
        for name in state.blobs:
            yield from read_state(self._packs, name).locks


@dataclass(frozen=True, slots=True)
class Wanted:
    """A bucket that is to be made again: its commits, the newest first, and its state, where that is known."""

    identity: str
    history: list[Ref]
    state: BucketState | None

    @property
    def named(self) -> str:
        """What the bucket was called ([REB-9]). An import may have a name in its commit that no bucket of a store has."""
        if self.state is not None and self.state.config is not None:
            return str(self.state.config["name"])
        name = self.history[0].commit.name
        try:
            check_bucket_name(name)
        except InvalidInput:
            return f"bucket-{self.identity}"
        return name


def wanted_buckets(refs: Refs, states: States, blocks: StoreBlocks) -> tuple[list[Wanted], list[str]]:
    """The buckets that were there, and the identities of those that were deleted and have refs still."""
    wanted: list[Wanted] = []
    deleted: list[str] = []
    for identity in sorted(refs.valid.keys() | states.of.keys()):
        valid = refs.valid.get(identity, [])
        known = states.of.get(identity, [])
        live = [state for state in known if not state.gone and state.config is not None]
        if live:
            wanted += _with_state(identity, valid, live, [state.commit for state in known if state.gone], blocks)
        elif not any(state.gone for state in known):
            ends = heads(valid) if valid else []
            wanted += [Wanted(identity, list(branch(end, valid, shared=len(ends) > 1)), None) for end in ends]
        elif valid:  # [REB-6]
            deleted.append(identity)
    return wanted, deleted


def _with_state(
    identity: str, valid: list[Ref], live: list[BucketState], gone: list[bytes | None], blocks: StoreBlocks
) -> Iterator[Wanted]:
    claimed = {*gone, *(state.exact for state in live)}
    shared = len(live) + len(gone) > 1
    for state in live:
        if state.exact is not None:
            head = next((ref for ref in valid if ref.cid == state.exact), None) or _from_pack(state.exact, blocks)
        else:
            ends = heads(valid) if valid else []
            head = next((end for end in ends if end.cid not in claimed), next(iter(ends), None))
            if head is None and state.told is not None:
                head = _from_pack(state.told, blocks)
        if head is not None:
            yield Wanted(identity, list(branch(head, valid, shared=shared, named=_named(state))), state)
        else:
            older = [ref for ref in valid if state.config is not None and ref.commit.seq < state.config["seq"]]
            history = branch(heads(older)[0], older, shared=shared, named=_named(state)) if older else ()
            yield Wanted(identity, list(history), state)


def _named(state: BucketState) -> set[int]:
    """The numbers of the commits that have a name in the bucket."""
    return set() if state.config is None else {one["seq"] for one in state.config["snapshots"]}


def _from_pack(cid: bytes, blocks: StoreBlocks) -> Ref | None:
    """The commit that a state names, where no ref has it, from the packs."""
    try:
        block = blocks.get(cid)
        return Ref("", cid, block, commits.decode(block))
    except (CorruptionError, FormatError):
        return None
