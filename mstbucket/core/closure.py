"""Everything one block reaches, in the order of a CAR: depth-first, links as encoded, every block once ([CAR-8]).

That order wants one block at a time. A store wants to be asked for many. So the walk looks ahead. When it lacks a block, it
fetches the blocks around it, level by level, in a few calls. It hands them out when their turn comes. Two bounds hold for
what it holds ahead: a number of blocks, and of bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, Protocol

from mstbucket.core import unixfs
from mstbucket.core.blocks import BlockSource
from mstbucket.core.car import Section
from mstbucket.core.cid import CID, DAG_CBOR, DAG_PB, RAW, check_cid, codec
from mstbucket.core.commit import decode as decode_commit
from mstbucket.core.dagcbor import decode_fast
from mstbucket.errors import InvalidBlock
from mstbucket.limits import CHUNK_SIZE, MIB

AHEAD_BLOCKS: Final = 2048  # per look-ahead: six levels of the tree, so a call per few hundred blocks
AHEAD_BYTES: Final = 16 * MIB  # of body chunks per look-ahead; nodes and manifests are small beside it
_LOOKED_AT: Final = 32  # pending links for each that is wanted
AHEAD_WIDTH: Final = 64  # pending links that a look-ahead for chunks goes through


class SeenSet(Protocol):
    """An exact set of CIDs that may be larger than memory."""

    def add(self, cid: CID) -> bool:
        """Put `cid` in; True if it was not there before."""
        ...

    def __contains__(self, cid: CID) -> bool: ...


#: Gives a block that is at hand, or None.
Near = Callable[[CID], bytes | None]

#: A link to follow: the CID, and the size of the chunk it leads to (0 where it leads to something small or unknown).
Link = tuple[CID, int]
_Ahead = dict[CID, tuple[bytes, tuple[Link, ...]]]


def nothing_near(cid: CID) -> bytes | None:
    """No block is at hand."""
    return None


def closure(
    blocks: BlockSource, commit: CID, seen: SeenSet, width: int = 1, near: Near = nothing_near
) -> Iterator[tuple[CID, bytes]]:
    """Yield (CID, block) of everything `commit` reaches and `seen` does not hold yet, in CAR order; fills `seen`.

    With a `seen` that holds the closure of an older commit this is the delta between the two. A look-ahead starts from
    *width* links: where little is left below each, more of them cost fewer calls. *near* gives the blocks that the source
    has at hand: nobody looks ahead for those. The blocks are as the source gives them; that they hash to their CIDs is the
    source's promise.

    Raises:
        MissingBlock: the source lacks one. What was yielded before is still right.
        InvalidBlock: a block is not what its place demands.
    """
    if not seen.add(commit):
        return
    block = blocks.get(commit)
    yield commit, block
    yield from go_on(blocks, list(reversed(commit_links(block))), seen, width, near)


def go_on(
    blocks: BlockSource, stack: list[Link], seen: SeenSet, width: int = 1, near: Near = nothing_near
) -> Iterator[tuple[CID, bytes]]:
    """As `closure`, from the links that are to be followed yet, the next one last; uses up *stack*."""
    ahead: _Ahead = {}
    size = 0  # bytes of what is ahead
    pop, add = stack.pop, seen.add
    while stack:
        link = pop()
        cid = link[0]
        held = ahead.pop(cid, None) if ahead else None
        links: tuple[Link, ...] | None
        if held is not None:
            block, links = held
            size -= len(block)
        else:
            found = near(cid)
            if found is None:
                if cid not in seen:
                    stack.append(link)  # the look-ahead begins there
                    size += _look_ahead(blocks, stack, seen, ahead, size, width)
                continue
            block, links = found, None
        if not add(cid):
            continue
        if links is None:  # not before: a body of equal chunks leads to one node a thousand times
            links = () if cid[1] == RAW else links_of(cid, block)
        yield cid, block
        if links:
            stack += links[::-1]


def retrace(sections: Iterable[Section], commit: CID, stack: list[Link], seen: SeenSet) -> Iterator[Section]:
    """Yield the sections of a file as long as they are the closure of *commit* in CAR order; no other block is read.

    Args:
        sections: hashed, from a file's beginning.
        stack: empty. At any time it holds what is to be followed yet, for `go_on`.

    Raises:
        InvalidBlock: a block is not what its place demands.
    """
    stack.append((commit, 0))
    for section in sections:
        while stack and stack[-1][0] in seen:
            stack.pop()
        cid, block, _ = section
        if not stack or stack[-1][0] != cid:
            return
        seen.add(cid)
        stack.pop()
        stack.extend(reversed(commit_links(block) if cid == commit else links_of(cid, block)))
        yield section


def _look_ahead(blocks: BlockSource, stack: list[Link], seen: SeenSet, ahead: _Ahead, held: int, width: int) -> int:
    """Fetch the block on top of `stack`, and what comes after it as far as the bounds allow; return how many bytes.

    Under a tree node that is what it reaches, level by level. A chunk reaches nothing: then it is the chunks, or the
    bodies of manifests fetched already, that stand next on the stack.

    Args:
        held: bytes of what is ahead before.
    """
    if len(ahead) > AHEAD_BLOCKS or held > AHEAD_BYTES:
        width = 1  # enough is held for later
    level = _pending(stack, seen, width)
    if codec(level[0][0]) == RAW:
        level += _chunks_behind(_pending(stack, seen, AHEAD_WIDTH), ahead)
    count = size = fetched = 0
    passed: set[CID] = set()  # a body may lead to one node by more ways than anybody can go
    while level:
        batch: list[CID] = []
        below: list[Link] = []
        for cid, hint in level:
            there = ahead.get(cid)
            if there is not None:
                if width > 1 and cid not in passed:  # what hangs on it may be wanted
                    passed.add(cid)
                    below += there[1]
            elif not (count and (count >= AHEAD_BLOCKS or size + hint > AHEAD_BYTES)) and cid not in seen:
                batch.append(cid)
                count += 1
                size += hint
        level = below
        for cid, block in (blocks.get_many(batch) if batch else {}).items():
            links = links_of(cid, block)
            ahead[cid] = (block, links)
            fetched += len(block)
            level += links
    return fetched


def _pending(stack: list[Link], seen: SeenSet, width: int) -> list[Link]:
    """The next links to follow, *width* of them at most; not many more are looked at that are to be passed over."""
    near = islice(reversed(stack), _LOOKED_AT * width)
    return list(islice((link for link in near if link[0] not in seen), width))


def _chunks_behind(pending: list[Link], ahead: _Ahead) -> list[Link]:
    """The chunks among the pending links behind the first, and what hangs directly on them."""
    near: list[Link] = []
    for link in pending[1:]:
        held = ahead.get(link[0])
        near += [link] if held is None else held[1]
    return [link for link in near if codec(link[0]) == RAW]


def commit_links(block: bytes) -> tuple[Link, ...]:
    """The links of a commit block, in encoded order: the tree, then the versions."""
    commit = decode_commit(block)
    if commit.versions is None:
        return ((commit.tree, 0),)
    return ((commit.tree, 0), (commit.versions, 0))


def links_of(cid: CID, block: bytes) -> tuple[Link, ...]:
    """The links of any other block of a bucket, in encoded order.

    Only the links are looked at. Whether the block is right in every way is the judge's business (`verify`); a delta is
    walked before that, and a join has no judge.

    Raises:
        InvalidBlock, InvalidCid: it is no block of a bucket, or what it has for a link is none.
    """
    kind = cid[1]
    if kind == RAW:
        return ()
    if kind == DAG_PB:
        return tuple((child, size if size <= CHUNK_SIZE else 0) for child, size in unixfs.decode_file(block).links)
    assert kind == DAG_CBOR
    value = decode_fast(block)
    try:
        if "e" in value:
            links = tuple(_node_links(value))
        elif (content := value.get("content")) is None:
            return ()
        else:
            links = ((content, value["size"] if content[1] == RAW else 0),)
        for link, size in links:  # what is no link, but bytes or something else, is not told apart before
            check_cid(link)
            if type(size) is not int:
                raise InvalidBlock("a manifest states a size that is no number")
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise InvalidBlock("a block of the bucket is neither a tree node nor a manifest") from error
    return links


def _node_links(node: dict[str, Any]) -> list[Link]:
    links: list[Link] = []
    for entry in node["e"]:
        if entry["t"] is not None:
            links.append((entry["t"], 0))
        links.append((entry["v"], 0))
    if node["l"] is not None:
        links.append((node["l"], 0))
    return links
