"""The commits that the blobs publish, judged one by one, and the branches that they make ([REB-4] to [REB-6])."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from mstbucket.blobs.base import BlobStore
from mstbucket.blobs.names import REFS, parse_ref, parse_secret_ref
from mstbucket.core import commit as commits
from mstbucket.core.commit import Commit
from mstbucket.errors import BrokenFrame, CorruptionError, FormatError, NoSuchBlob, Unsupported
from mstbucket.packs.frames.crypto import DataKey
from mstbucket.packs.frames.read import Packs, TrailerIndex
from mstbucket.services.tree.refs import read_ref


@dataclass(frozen=True, slots=True)
class Ref:
    """A commit that a blob publishes, and the block itself."""

    name: str
    cid: bytes
    block: bytes
    commit: Commit


@dataclass(slots=True)
class Refs:
    """The refs of a store: those that are valid, by the identity of their bucket, and why the others are not."""

    valid: dict[str, list[Ref]] = field(default_factory=dict)
    invalid: dict[str, str] = field(default_factory=dict)


def read_refs(blobs: BlobStore, key: DataKey | None) -> Refs:
    """Read and judge every ref.

    Raises:
        Unsupported: one of them is of a newer format. It is not passed over: an older commit would hide what is lost.
        WrongKey: one of them is encrypted, and the key is not that.
    """
    packs = Packs(blobs, TrailerIndex(blobs, key), key)
    found: dict[str, list[Ref]] = defaultdict(list)
    invalid: dict[str, str] = {}
    for info in blobs.list(REFS):
        named = parse_ref(info.name) or parse_secret_ref(info.name)
        if named is None:
            continue
        try:
            ref = _read_ref(packs, key, info.name)
        except NoSuchBlob:
            continue
        except (FormatError, CorruptionError) as error:
            invalid[info.name] = str(error)
        except Unsupported as error:
            raise Unsupported(f"{info.name}: {error}; rebuild with the version that wrote it, or a newer one") from error
        else:
            found[named[0]].append(ref)
    return Refs(dict(found), invalid)


def _read_ref(packs: Packs, key: DataKey | None, name: str) -> Ref:
    cid, block = read_ref(packs, key, name)
    commit = commits.decode(block)
    told = parse_ref(name) or parse_secret_ref(name)
    if told is None or (told[0], told[1]) != (commit.bucket, commit.seq):
        raise BrokenFrame(f"it holds commit {commit.seq} of bucket {commit.bucket}, and not what its name tells")
    commits.check_followed(commit)
    return Ref(name, cid, block, commit)


def heads(refs: list[Ref]) -> list[Ref]:
    """The newest commit of each branch of one identity, the newest of all first ([REB-5]).

    A commit ends a branch if there is none of the next number, or if there are some and none of them follows it. A gap in
    the numbers is no end: what followed was trimmed, or is damaged.
    """
    last = max(ref.commit.seq for ref in refs)
    followed = {cid for ref in refs for cid in (ref.commit.prev, ref.commit.merged)}
    numbers = {ref.commit.seq for ref in refs}
    ends = [
        ref
        for ref in refs
        if ref.commit.seq == last or (ref.commit.seq + 1 in numbers and ref.cid not in followed)
    ]
    return sorted(ends, key=_age)


def branch(head: Ref, refs: list[Ref], *, shared: bool, named: Collection[int] = ()) -> Iterator[Ref]:
    """The commits of the branch that ends in `head`, the newest first, `head` included.

    Where the commit before one has no ref, there is a gap. In a bucket whose identity no other has, numbers lead across it.
    Else they may lead to commits of another bucket, and only what is known to be of this one is taken ([REB-5]).

    Args:
        shared: other buckets have, or had, this identity.
        named: numbers of commits that the bucket is known to have had.
    """
    by_cid = {ref.cid: ref for ref in refs}
    by_number: dict[int, list[Ref]] = defaultdict(list)
    for ref in refs:
        by_number[ref.commit.seq].append(ref)
    merged: set[bytes | None] = set()
    now = head
    while True:
        yield now
        merged.add(now.commit.merged)
        before = by_cid.get(now.commit.prev or b"")
        if before is None:
            before = next(_across_gap(now, by_number, merged, shared, named), None)
        if before is None:
            return
        now = before


def _across_gap(
    now: Ref, by_number: dict[int, list[Ref]], merged: set[bytes | None], shared: bool, named: Collection[int]
) -> Iterator[Ref]:
    """The refs before `now` that are of its bucket, the newest first."""
    for number in sorted((number for number in by_number if number < now.commit.seq), reverse=True):
        here = by_number[number]
        brought_in = [ref for ref in here if ref.cid in merged]  # [RMT-8] also the one of the number before
        if brought_in:
            yield brought_in[0]
        elif not shared:
            if number < now.commit.seq - 1:  # one of the number before is no gap: it is of another branch
                yield min(here, key=_age)
        elif len(here) == 1 and (number == 1 or number in named):
            yield here[0]  # all that have the identity began with one first commit


def _age(ref: Ref) -> tuple[int, int, bytes]:
    return -ref.commit.seq, -ref.commit.time, ref.cid
