"""Reading: one query finds the object and its first block. Every byte is hashed before it is handed out ([GET-1])."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from mstbucket.core import unixfs
from mstbucket.core.blocks import BlockSource
from mstbucket.core.keys import encode_key
from mstbucket.core.manifest import Manifest
from mstbucket.core.s3rules.conditions import UNCONDITIONAL, Conditions
from mstbucket.core.s3rules.ranges import parse_range, part_range
from mstbucket.errors import CorruptionError, FormatError, InvalidInput, Untrue
from mstbucket.index.find import Described, find, find_with_place
from mstbucket.index.rows import info_of
from mstbucket.limits import MIB
from mstbucket.model.objects import ObjectInfo
from mstbucket.pg.database import Database
from mstbucket.services.blocks.blocks import StoreBlocks
from mstbucket.services.objects.reader import ObjectReader

READ_AHEAD: Final = 2 * MIB  # fetched at a time from a large body; more would cost more in fresh memory than it saves


@dataclass(frozen=True, slots=True)
class Source:
    """What a copy reads: an object, or one version of it."""

    bucket: str
    key: str
    version_id: str | None

    def __str__(self) -> str:
        return f"object {self.key!r} of bucket {self.bucket!r}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be read: the current object of a key or one version, and of that all, a range or a part.

    Attributes:
        version_id: None for the current object.
        span: a range in the words of HTTP, such as `bytes=0-9`.
        part: the number of a part, from 1. With neither `span` nor `part` it is all of the body.
    """

    key: str
    version_id: str | None = None
    span: str | None = None
    part: int | None = None


def head(db: Database, bucket: str, wanted: Wanted, expect: Conditions) -> ObjectInfo:
    """What is known of the object; see `Bucket.head_object`."""
    return describe(find(db, bucket, wanted.key, wanted.version_id), bucket, wanted, expect)


def describe(found: Described, bucket: str, wanted: Wanted, expect: Conditions) -> ObjectInfo:
    """What is known of the object that was found for *wanted*, where it is as expected."""
    _check(expect, found.manifest, bucket, wanted.key)
    info = info_of(wanted.key, found.cid, found.manifest, found.versioning, found.lock)
    if wanted.part is None:
        return info
    return replace(info, part_range=part_range(wanted.part, found.manifest.parts or (info.size,)))


def open_object(db: Database, blocks: StoreBlocks, bucket: str, wanted: Wanted, expect: Conditions) -> ObjectReader:
    """A reader of the object, or of some of its bytes; see `Bucket.get_object`."""
    check_wanted(wanted)
    found, place = find_with_place(db, bucket, wanted.key, wanted.version_id)
    return open_found(blocks, found, lambda content: blocks.at(content, place), bucket, wanted, expect)


def check_wanted(wanted: Wanted) -> None:
    """Raise unless one range or one part of the object is wanted, or all of it."""
    if wanted.span is not None and wanted.part is not None:
        encode_key(wanted.key)
        raise InvalidInput("get_object takes a range or a part_number, not both")


def open_found(
    blocks: BlockSource,
    found: Described,
    first: Callable[[bytes], bytes],
    bucket: str,
    wanted: Wanted,
    expect: Conditions,
) -> ObjectReader:
    """A reader of the object that was found for *wanted*. *first* reads the root block of its body."""
    key = wanted.key
    manifest = found.manifest
    content, size = manifest.content, manifest.size
    assert content is not None and size is not None  # neither kind of row is a delete marker
    _check(expect, manifest, bucket, key)
    if wanted.part is not None:
        start, stop = part_range(wanted.part, manifest.parts or (size,))
    else:
        start, stop = (0, size) if wanted.span is None else parse_range(wanted.span, size)

    def told() -> ObjectInfo:
        info = info_of(key, found.cid, manifest, found.versioning, found.lock)
        return info if wanted.part is None else replace(info, part_range=(start, stop))

    known: list[bytes] = []  # the root block, once it was read

    def chunks(at: int) -> Iterator[bytes]:
        try:
            if not known:
                known.append(first(content))
            yield from body_range(blocks, content, known[0], size, at, stop)
        except (CorruptionError, FormatError) as error:
            raise of_object(error, bucket, key) from error

    return ObjectReader(told, start, stop, chunks)


def _check(expect: Conditions, manifest: Manifest, bucket: str, key: str) -> None:
    if expect is not UNCONDITIONAL:
        expect.check_read(manifest.etag or "", manifest.modified, f"object {key!r} of bucket {bucket!r}")


def body_range(blocks: BlockSource, content: bytes, root: bytes, size: int, start: int, stop: int) -> Iterator[bytes]:
    """The bytes from `start` to `stop` of the body with root CID `content` and root block `root`.

    The source has hashed every block; that each has the size and height of its place is checked here ([GET-2]).
    """
    height = unixfs.body_height(size)
    links = unixfs.open_block(root, size, height)
    if height == 0:
        yield root if (start, stop) == (0, size) else root[start:stop]
        return
    pending = _children(links, height, 0, start, stop)[::-1]
    while pending:
        batch = [pending.pop()]
        ahead = batch[0].size
        while pending and ahead + pending[-1].size <= READ_AHEAD:
            batch.append(pending.pop())
            ahead += batch[-1].size
        got = blocks.get_many({child.cid for child in batch})
        for done, child in enumerate(batch, 1):
            block = got[child.cid]
            links = unixfs.open_block(block, child.size, child.height)
            if child.height == 0:
                yield block[max(start - child.at, 0) : stop - child.at]
                continue
            pending.extend(reversed(batch[done:]))  # what follows this node in the body waits for its children
            pending.extend(reversed(_children(links, child.height, child.at, start, stop)))
            break


def blocks_of_body(blocks: StoreBlocks, content: bytes, size: int) -> Iterator[list[bytes]]:
    """The CIDs of all blocks of a body: its root, and then the children of one node at a time. Only nodes are read."""
    yield [content]
    nodes = [_Child(content, 0, size, unixfs.body_height(size))]
    while nodes:
        node = nodes.pop()
        if node.height > 0:
            links = unixfs.open_block(blocks.get(node.cid), node.size, node.height)
            yield [cid for cid, _ in links]
            nodes += _children(links, node.height, node.at, 0, size)


class _Child(NamedTuple):
    """A block below a body's root: where in the body it starts, the bytes under it, and its height (0 is a chunk)."""

    cid: bytes
    at: int
    size: int
    height: int


def _children(links: tuple[tuple[bytes, int], ...], height: int, base: int, start: int, stop: int) -> list[_Child]:
    """Those children of a node at `height` that have bytes between `start` and `stop` of the body."""
    children = []
    at = base
    for cid, size in links:
        if at < stop and at + size > start:
            children.append(_Child(cid, at, size, height - 1))
        at += size
    return children


def of_object(error: CorruptionError | FormatError, bucket: str, key: str) -> CorruptionError:
    """The same error with the name of the object. A malformed block of this store is damage to whoever reads it."""
    kind = type(error) if isinstance(error, CorruptionError) else Untrue
    return kind(f"object {key!r} of bucket {bucket!r} cannot be read: {error}").about(error, bucket=bucket, key=key)
