"""The files view: the objects of a commit as a folder of UnixFS, in one CAR, which tools of IPFS unpack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from types import MappingProxyType
from typing import BinaryIO, Final

from mstbucket.core import manifest as manifests
from mstbucket.core.batches import in_batches
from mstbucket.core.blocks import BlockSource
from mstbucket.core.cid import CID, CID_SIZE, RAW, codec, to_text
from mstbucket.core.closure import AHEAD_BYTES, SeenSet, go_on
from mstbucket.core.keys import check_text
from mstbucket.core.mst.walk import walk_prefix
from mstbucket.core.unixfs_directory import Entry
from mstbucket.files.car_file import CarFile
from mstbucket.files.view_paths import ViewPaths
from mstbucket.limits import CHUNK_SIZE
from mstbucket.model.exports import FilesReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.error_context import error_context
from mstbucket.services.tree.folders import Folders, place_of
from mstbucket.services.tree.leases import Lease
from mstbucket.spill.seen import Seen
from mstbucket.spill.sort_bytes import SortedBytes

_MANIFESTS: Final = 128  # read at a time: 128 MiB, if all of them were made to be large
_ITEMS: Final = 1024  # nodes of folders, and files, whose blocks are asked for together; see AHEAD_BYTES, too
_RENAMED: Final = 10  # keys with another name that are told
_TAIL: Final = Struct(f"<{CID_SIZE}sQ")  # of a row: CID and size; before it the path, its components ended by NUL

_Item = tuple[CID, bytes | None, int]  # a node of a folder with its block, or the root of a body; and bytes to be held


def export_files(
    context: Context, bucket: str, lease: Lease, prefix: str, target: BinaryIO, tell: Callable[[int], object]
) -> FilesReport:
    """Write the files view of the keys with *prefix* in the commit of *lease*; see `Exports.export_files`.

    *tell* renews the lease.
    """
    check_text("prefix", prefix)
    commit = lease.commit
    with SortedBytes() as rows, Folders() as folders, Seen() as seen, error_context(context, bucket):
        files = escaped = 0
        renamed: dict[str, str] = {}
        for key, path, cid, size in _files(context, commit.tree, prefix, tell):
            rows.add(_row(path, cid, size))
            files += 1
            if len(path) != key.count("/") + 1 or "/".join(path) != key:
                escaped += 1
                if escaped <= _RENAMED:
                    renamed[key] = "/".join(path)
        # [FILES-9] cut components, and names that were taken, are not where their keys are
        for number, row in enumerate(rows):
            folders.add(*_parts(row))
            if number % _MANIFESTS == 0:
                tell(0)
        root = folders.end()
        out = CarFile(root.cid, target, 0, tell)
        for cid, block in _depth_first(context.blocks.scan(), folders, root, seen):
            out.add(cid, block)
        made = out.end()
    return FilesReport(
        root=made.root,
        commit=to_text(commit.cid),
        files=files,
        folders=folders.count,
        escaped=escaped,
        renamed=MappingProxyType(renamed),
        blocks=made.blocks,
        bytes=made.bytes,
        sha256=made.sha256,
    )


def _files(
    context: Context, tree: CID, prefix: str, tell: Callable[[int], object]
) -> Iterator[tuple[str, tuple[str, ...], CID, int]]:
    """Key, path, content and size of every object, in the order of keys."""
    blocks = context.blocks
    paths = ViewPaths()
    for pairs in in_batches(walk_prefix(blocks, tree, prefix.encode()), _MANIFESTS):
        tell(0)
        held = blocks.get_many({cid for _, cid in pairs})
        for stored, cid in pairs:
            manifest = manifests.decode(held[cid])
            assert manifest.content is not None
            assert manifest.size is not None  # the tree of objects holds no delete markers
            key = stored.decode()
            yield key, paths.path(key), manifest.content, manifest.size


def _row(path: tuple[str, ...], cid: CID, size: int) -> bytes:
    return "\0".join((*path, "")).encode() + _TAIL.pack(cid, size)


def _parts(row: bytes) -> tuple[list[bytes], CID, int]:
    cid, size = _TAIL.unpack_from(row, len(row) - _TAIL.size)
    return row[: -_TAIL.size - 1].split(b"\0"), cid, size


def _depth_first(blocks: BlockSource, folders: Folders, root: Entry, seen: SeenSet) -> Iterator[tuple[CID, bytes]]:
    """[FILES-10] Everything the root reaches, in the order of links, every block once; many are read at a time."""
    for batch in _batches(_in_order(folders, root, seen)):
        held = blocks.get_many({cid for cid, block, _ in batch if block is None and codec(cid) == RAW and cid not in seen})
        for cid, block, _ in batch:
            if block is not None:
                yield cid, block
            elif codec(cid) != RAW:
                yield from go_on(blocks, [(cid, 0)], seen)
            elif seen.add(cid):
                yield cid, held[cid]


def _in_order(folders: Folders, root: Entry, seen: SeenSet) -> Iterator[_Item]:
    """The nodes of folders, with their blocks, and between them the bodies; a node that comes again is passed over."""
    seen.add(root.cid)
    block, links = folders.node(place_of(root))
    yield root.cid, block, len(block)
    levels = [links]
    while levels:
        link = next(levels[-1], None)
        if link is None:
            levels.pop()
        elif link.place is None:
            yield link.cid, None, min(link.size, CHUNK_SIZE)
        elif seen.add(link.cid):
            block, links = folders.node(link.place)
            yield link.cid, block, len(block)
            levels.append(links)


def _batches(items: Iterator[_Item]) -> Iterator[list[_Item]]:
    batch: list[_Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += item[2]
        if len(batch) == _ITEMS or size >= AHEAD_BYTES:
            yield batch
            batch, size = [], 0
    yield batch
