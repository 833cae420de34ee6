"""The commits that the blobs publish, judged one by one, and the branches that they make ([REB-4] to [REB-6])."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
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
    followed = {ref.commit.prev for ref in refs}
    numbers = {ref.commit.seq for ref in refs}
    ends = [
        ref
        for ref in refs
        if ref.commit.seq == last or (ref.commit.seq + 1 in numbers and ref.cid not in followed)
    ]
    return sorted(ends, key=_age)


def branch(head: Ref, refs: list[Ref]) -> Iterator[Ref]:
    """The commits of the branch that ends in `head`, the newest first, `head` included. Numbers lead across a gap.

    Of several commits of one number, where no link says which is meant, the one that is first by `_age` is taken.
    """
    by_number: dict[int, list[Ref]] = defaultdict(list)
    for ref in refs:
        by_number[ref.commit.seq].append(ref)
    yield head
    now = head
    for number in sorted((number for number in by_number if number < head.commit.seq), reverse=True):
        here = by_number[number]
        if number == now.commit.seq - 1:
            linked = [ref for ref in here if ref.cid == now.commit.prev]
            if not linked:
                continue  # all of them are of other branches
            now = linked[0]
        else:
            now = min(here, key=_age)
        yield now


def _age(ref: Ref) -> tuple[int, int, bytes]:
    return -ref.commit.seq, -ref.commit.time, ref.cid
