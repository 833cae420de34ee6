"""A look at any CAR: what it is, and what is in it. Nothing is judged here: `verify_car` judges exports of buckets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

from mstbucket.core.any_car import CODECS, AnyBlock, AnyCar, cid_text
from mstbucket.core.dagcbor import decode_fast
from mstbucket.core.unixfs_directory import node_kind
from mstbucket.errors import InvalidBlock
from mstbucket.model.streams import Readable
from mstbucket.spill.seen import Seen

_EVERY: Final = 4096  # blocks between two calls of *progress*
_OF_BUCKET: Final = {"name": "name", "bucket": "identity", "seq": "seq", "objects": "objects", "bytes": "bytes",
                    "message": "message"}  # fmt: skip
_OF_REPOSITORY: Final = {"did": "did", "rev": "rev"}
_ROOTS_MAX: Final = 16  # roots that are described; a file may name thousands


@dataclass(frozen=True, slots=True)
class BlockCount:
    """How many blocks there are, and the sum of their sizes in bytes."""

    blocks: int = 0
    bytes: int = 0

    def with_one(self, size: int) -> BlockCount:
        """The count with another block of *size* bytes."""
        return BlockCount(self.blocks + 1, self.bytes + size)


@dataclass(frozen=True, slots=True)
class NodeCount:
    """Of the nodes at one height of Merkle search trees: how many there are, and their entries together."""

    nodes: int = 0
    entries: int = 0


@dataclass(frozen=True, slots=True)
class Root:
    """A root that the file names.

    Attributes:
        cid: as text.
        kind: "bucket", "atproto", "tree", "unixfs", "raw", "other", or "missing" where the file does not hold it.
        about: what a root of that kind says of itself: of a bucket `name`, `identity`, `seq`, `objects`, `bytes`, and
            `message` where it has one; of an atproto repository `did`, `rev`; of a node of UnixFS `type`: "file",
            "directory", "sharded directory", …
    """

    cid: str
    kind: str
    about: MappingProxyType[str, str | int]


@dataclass(frozen=True, slots=True)
class CarSummary:
    """What is in a CAR, as far as one pass over it tells.

    Attributes:
        version: of the container, 1 or 2.
        roots: the first 16 of those that the header names; `root_count` is how many that is in all.
        total: all blocks; `codecs`: the same by the name of their codec, or its number as 0x….
        duplicates: blocks that were there before; they count in `total` too.
        smallest, largest: sizes in bytes; 0 where there are no blocks.
        mismatched: CIDs of blocks that are not what they are named, the first 16; `mismatches` is how many that is in all.
        unchecked: blocks whose hash is of a kind that is not known here.
        nodes: nodes of Merkle search trees by their height. Those without entries have no height of their own and stand
            under -1.
        widest: the most entries of one node, and its CID as text; None without nodes.
    """

    version: int
    roots: tuple[Root, ...]
    root_count: int
    total: BlockCount
    codecs: MappingProxyType[str, BlockCount]
    duplicates: int
    smallest: int
    largest: int
    mismatched: tuple[str, ...]
    mismatches: int
    unchecked: int
    nodes: MappingProxyType[int, NodeCount]
    widest: tuple[int, str] | None


def inspect_car(stream: Readable, progress: Callable[[int], object] | None = None) -> CarSummary:
    """Read *stream* once and tell what is in it. That its blocks belong together, or are all there, is not checked.

    Memory is bounded; a set of the blocks seen, 16 bytes each, goes to temporary files when it is large.

    Raises:
        InvalidCar: it is no CAR, or ends inside one; the message says at which byte.
    """
    car = AnyCar(stream)
    look = _Look(car.roots[:_ROOTS_MAX])
    with Seen() as seen:
        for number, block in enumerate(car):
            look.take(block, seen.add(block.cid))
            if progress is not None and number % _EVERY == 0:
                progress(block.offset)
    return look.summary(car)


class _Look:
    """Counts blocks one by one."""

    def __init__(self, roots: tuple[bytes, ...]) -> None:
        self._roots = {cid: Root(cid_text(cid), "missing", MappingProxyType({})) for cid in roots}
        self._total = BlockCount()
        self._codecs: dict[str, BlockCount] = {}
        self._sizes = (1 << 62, 0)
        self._duplicates = self._mismatches = self._unchecked = 0
        self._mismatched: list[str] = []
        self._nodes: dict[int, NodeCount] = {}
        self._widest: tuple[int, bytes] | None = None

    def take(self, block: AnyBlock, new: bool) -> None:
        size, codec = len(block.data), CODECS.get(block.codec, hex(block.codec))
        self._total = self._total.with_one(size)
        self._codecs[codec] = self._codecs.get(codec, BlockCount()).with_one(size)
        self._sizes = min(self._sizes[0], size), max(self._sizes[1], size)
        self._duplicates += not new
        self._unchecked += block.hashes is None
        if block.hashes is False:
            self._mismatches += 1
            if len(self._mismatched) < _ROOTS_MAX:
                self._mismatched.append(cid_text(block.cid))
        value = _value(block) if codec == "dag-cbor" else None
        if block.cid in self._roots:
            self._roots[block.cid] = _describe(block, codec, value)
        if new and value is not None and _is_node(value):
            self._count_node(block.cid, value["e"])

    def _count_node(self, cid: bytes, entries: list[Any]) -> None:
        height = _height(entries)
        before = self._nodes.get(height, NodeCount())
        self._nodes[height] = NodeCount(before.nodes + 1, before.entries + len(entries))
        if self._widest is None or len(entries) > self._widest[0]:
            self._widest = len(entries), cid

    def summary(self, car: AnyCar) -> CarSummary:
        return CarSummary(
            version=car.version,
            roots=tuple(self._roots.values()),
            root_count=len(car.roots),
            total=self._total,
            codecs=MappingProxyType(dict(sorted(self._codecs.items()))),
            duplicates=self._duplicates,
            smallest=min(self._sizes),
            largest=self._sizes[1],
            mismatched=tuple(self._mismatched),
            mismatches=self._mismatches,
            unchecked=self._unchecked,
            nodes=MappingProxyType(dict(sorted(self._nodes.items(), reverse=True))),
            widest=None if self._widest is None else (self._widest[0], cid_text(self._widest[1])),
        )


def _value(block: AnyBlock) -> Any:
    try:
        return decode_fast(block.data)
    except InvalidBlock:
        return None


def _is_node(value: Any) -> bool:
    """Whether it has the form of a node: its maps, and a key in each entry; [MST-3] is not checked."""
    if not isinstance(value, dict) or value.keys() != {"e", "l"} or not isinstance(value["e"], list):
        return False
    return all(isinstance(entry, dict) and isinstance(entry.get("k"), bytes) for entry in value["e"])


def _height(entries: list[Any]) -> int:
    """The height of the first key; -1 where there is none."""
    if not entries:
        return -1
    bits = int.from_bytes(sha256(entries[0]["k"]).digest(), "big").bit_length()
    return (256 - bits) // 2


def _describe(block: AnyBlock, codec: str, value: Any) -> Root:
    kind = "other"
    about: dict[str, str | int] = {}
    if codec == "raw":
        kind = "raw"
    elif codec == "dag-pb":
        kind = "unixfs"
        said = node_kind(block.data)
        about = {} if said is None else {"type": said}
    elif _is_node(value):
        kind = "tree"
    elif isinstance(value, dict) and {"bucket", "seq", "tree"} <= value.keys():
        kind = "bucket"
        about = dict(_told(value, _OF_BUCKET))
    elif isinstance(value, dict) and {"did", "rev", "data"} <= value.keys():
        kind = "atproto"
        about = dict(_told(value, _OF_REPOSITORY))
    return Root(cid_text(block.cid), kind, MappingProxyType(about))


def _told(value: dict[str, Any], names: dict[str, str]) -> Iterator[tuple[str, str | int]]:
    """What a root says of itself, as far as it is a text or a number."""
    for name, ours in names.items():
        if isinstance(value.get(name), (str, int)):
            yield ours, value[name]
