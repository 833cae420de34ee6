"""The files view: the objects of a commit as a folder of UnixFS, in one CAR, which tools of IPFS unpack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from struct import Struct
from types import MappingProxyType
from typing import BinaryIO, Final

from mstbucket.core import manifest as manifests
from mstbucket.core.blocks import BlockSource
from mstbucket.core.cid import CID, CID_SIZE, RAW, codec, to_text
from mstbucket.core.closure import Link, SeenSet, go_on
from mstbucket.core.mst.walk import walk
from mstbucket.core.unixfs_directory import Entry
from mstbucket.files.car_file import CarFile
from mstbucket.files.view_paths import ViewPaths
from mstbucket.model.objects import FilesReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.error_context import error_context
from mstbucket.services.tree.folders import Folders, place_of
from mstbucket.services.tree.leases import Lease
from mstbucket.spill.seen import Seen
from mstbucket.spill.sort_bytes import SortedBytes

_MANIFESTS: Final = 128  # read at a time: 128 MiB, if all of them were made to be large
_BODIES: Final = 256  # files whose blocks are asked for together
_RENAMED: Final = 10  # keys with another name that are told
_TAIL: Final = Struct(f"<{CID_SIZE}sQ")  # of a row: CID and size; before it the path, its components ended by NUL


def export_files(
    context: Context, bucket: str, lease: Lease, target: BinaryIO, tell: Callable[[int], object]
) -> FilesReport:
    """Write the files view of the commit of *lease*; see `BucketExports.export_files`. *tell* renews the lease."""
    commit = lease.commit
    with SortedBytes() as rows, Folders() as folders, Seen() as seen, error_context(context, bucket):
        files = escaped = 0
        renamed: dict[str, str] = {}
        for key, path, cid, size in _files(context, commit.tree, tell):
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


def _files(context: Context, tree: CID, tell: Callable[[int], object]) -> Iterator[tuple[str, tuple[str, ...], CID, int]]:
    """Key, path, content and size of every object, in the order of keys."""
    blocks = context.blocks
    paths = ViewPaths()
    walked = walk(blocks, tree)
    while pairs := [*islice(walked, _MANIFESTS)]:
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
    """[FILES-10] Everything the root reaches, in the order of links, every block once."""
    seen.add(root.cid)
    block, links = folders.node(place_of(root))
    yield root.cid, block
    levels = [links]
    bodies: list[Link] = []
    while levels:
        link = next(levels[-1], None)
        if link is None:
            levels.pop()
            continue
        if link.place is None:
            bodies.append((link.cid, link.size if codec(link.cid) == RAW else 0))
            if len(bodies) < _BODIES:
                continue
        yield from go_on(blocks, bodies[::-1], seen, _BODIES)
        bodies.clear()
        if link.place is not None and seen.add(link.cid):
            block, links = folders.node(link.place)
            yield link.cid, block
            levels.append(links)
    yield from go_on(blocks, bodies[::-1], seen, _BODIES)
