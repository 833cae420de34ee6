"""Check a bucket against its store: the judge reads an export as it is made, then the index is compared with the trees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from mstbucket.core import car
from mstbucket.core.cid import CID, to_text
from mstbucket.core.closure import closure
from mstbucket.core.keys import version_key
from mstbucket.core.mst.walk import walk
from mstbucket.errors import Untrue
from mstbucket.index.commits import Head, Roots, read_roots
from mstbucket.index.dirty import Place, Side, objects_behind, versions_behind
from mstbucket.index.versions import check_history
from mstbucket.model.buckets import CheckReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.damage import clear_restored
from mstbucket.services.blocks.error_context import error_context
from mstbucket.services.blocks.workers import WorkersBlocks
from mstbucket.services.tree.held import holding_newest
from mstbucket.spill.seen import Seen
from mstbucket.verify.car import CarReport, verify_sections

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

_PAGE: Final = 2000  # rows of the index that are compared at a time


def check(
    context: Context, head: Head, progress: Callable[[int], object] | None, executor: Executor | None = None
) -> CheckReport:
    """Verify the commit of *head* in the store, and the index against the tree; see `Bucket.verify`.

    The caller holds a lease on that commit.

    [CHK-1] No transaction is open while blocks are read: the database cannot clean up old rows while a snapshot is held.
    """
    bucket = head.name
    assert head.commit is not None  # there is a lease on it
    with error_context(context, bucket):
        report = judge(context, head.commit, progress, executor)
        if head.tags_dirty is None and dict(report.commit.tags) != (head.tags or {}):  # [TAG-6]
            raise Untrue(f"bucket {bucket!r}: its tags are not those in commit {to_text(head.commit)}").about(bucket=bucket)
        if head.tags_dirty is None and report.commit.versioning != head.versioning:  # [VSN-8]
            error = Untrue(f"bucket {bucket!r}: its versioning is not that in commit {to_text(head.commit)}")
            raise error.about(bucket=bucket)
        dirty = int(head.tags_dirty is not None)
        for tree in (OBJECTS, VERSIONS):
            dirty += _compare(context, bucket, head.bucket, tree)
        with context.db.reading() as connection:
            wrong = check_history(connection, head.bucket)
        if wrong is not None:
            raise Untrue(f"bucket {bucket!r}: {wrong}").about(bucket=bucket)
    clear_restored(context.db, context.blocks.of_pack)  # [PUT-15]
    return CheckReport(to_text(head.commit), report.blocks, report.objects, report.bytes, dirty)


def judge(
    context: Context, commit: bytes, progress: Callable[[int], object] | None, executor: Executor | None = None
) -> CarReport:
    """Read and judge all that a commit reaches, on which the caller holds a lease."""
    with Seen() as seen:
        if executor is not None:
            blocks = closure(WorkersBlocks(context, executor), commit, seen)
        else:
            scan = context.blocks.scan()
            blocks = closure(scan, commit, seen, near=scan.near)
        return verify_sections(_Sections(commit, blocks), progress)


class _Sections:
    """The sections that the export of a commit would have. Nothing is written, and the source has hashed the blocks."""

    def __init__(self, root: CID, blocks: Iterable[tuple[CID, bytes]]) -> None:
        self.root = root
        self._sections = self._placed(blocks)

    def __iter__(self) -> Iterator[car.Section]:
        return self._sections

    def _placed(self, blocks: Iterable[tuple[CID, bytes]]) -> Iterator[car.Section]:
        end = len(car.header(self.root))
        for cid, block in blocks:
            at = end + len(car.section_head(cid, len(block)))
            end = at + len(block)
            yield cid, block, at


class _Behind(Protocol):
    """Ask the index for the next places behind one, some at a time."""

    def __call__(self, connection: Connection, bucket: int, after: Place, limit: int) -> Side: ...


class Tree(NamedTuple):
    """One of the two trees: its root in a commit, its rows in the index, and the key in it of a place in the index."""

    root: Callable[[Roots], bytes | None]
    behind: _Behind
    key: Callable[[Place], bytes]


OBJECTS: Final = Tree(lambda roots: roots.tree, objects_behind, lambda place: place.key.encode())
VERSIONS: Final = Tree(
    lambda roots: roots.versions, versions_behind, lambda place: version_key(place.key.encode(), place.seq)
)


class Row(NamedTuple):
    """A place in the index: its key in the tree, the CID of its manifest, whether it is dirty.

    A place without a manifest is only dirty: its object or version is gone.
    """

    key: bytes
    manifest: bytes | None
    is_dirty: bool


class Page(NamedTuple):
    """What one snapshot said of the places that follow another one.

    Attributes:
        root: of the tree, in the same snapshot.
        rows: in the order of the tree.
        last: the place up to which the rows are complete; None if they are all there are.
    """

    root: bytes | None
    rows: list[Row]
    last: Place | None


def read_page(context: Context, bucket: int, tree: Tree, after: Place) -> Page:
    """Rows and dirty places of one snapshot together, up to the first of the two limits."""
    with context.db.snapshot() as connection:
        root = tree.root(read_roots(connection, bucket))
        side = tree.behind(connection, bucket, after, _PAGE)
    if not side.dirty:  # as mostly
        clean = sorted((tree.key(place), place) for place in side.manifests)
        last = clean[-1][1] if len(clean) == _PAGE else None
        return Page(root, [Row(key, side.manifests[place], False) for key, place in clean], last)
    cut = [max(part, key=tree.key) for part in (side.manifests, side.dirty) if len(part) == _PAGE]
    last = min(cut, key=tree.key, default=None)
    places = sorted((tree.key(place), place) for place in side.manifests.keys() | side.dirty)
    end = None if last is None else tree.key(last)
    rows = [Row(key, side.manifests.get(place), place in side.dirty) for key, place in places if end is None or key <= end]
    return Page(root, rows, last)


def _compare(context: Context, bucket: str, number: int, tree: Tree) -> int:
    """Compare index and tree in the order of keys, page by page ([CHK-2]). Returns how many rows are dirty.

    [FLUSH-1] For every key without a dirty row they are equal, in each snapshot with the tree that is current in it.
    """
    dirty = 0
    after = Place("", 0)
    done = b""  # the key in the tree up to which all is compared
    root: bytes | None = None
    entries: Iterator[tuple[bytes, bytes]] = iter(())
    entry: tuple[bytes, bytes] | None = None
    with ExitStack() as held:
        while True:
            page = read_page(context, number, tree, after)
            if page.root != root:  # at first, and where a flush came between
                held.close()
                commit, blocks = held.enter_context(holding_newest(context, bucket))
                if tree.root(Roots(commit.tree, commit.versions)) != page.root:
                    continue  # and another one: nothing holds the commit of that page
                root = page.root
                entries = iter(()) if root is None else walk(blocks, root, done + b"\0" if done else b"")
                entry = next(entries, None)
            for key, manifest, is_dirty in page.rows:
                if entry is not None and entry[0] < key:
                    raise _not_in_index(bucket, entry[0])
                in_tree = entry is not None and entry[0] == key
                dirty += is_dirty
                if not is_dirty and (entry is None or not in_tree or entry[1] != manifest):
                    raise _differs(bucket, key, manifest, entry[1] if entry is not None and in_tree else None)
                if in_tree:
                    entry = next(entries, None)
            if page.last is None:
                if entry is not None:
                    raise _not_in_index(bucket, entry[0])
                return dirty
            after, done = page.last, page.rows[-1].key


def _differs(bucket: str, key: bytes, manifest: bytes | None, entry: bytes | None) -> Untrue:
    """The error for a key of the index that is not dirty, for which the tree holds another manifest, or none."""
    if entry is None or manifest is None:
        return Untrue(f"bucket {bucket!r}: the index holds {key.decode()!r}, and the tree does not").about(bucket=bucket)
    return Untrue(
        f"bucket {bucket!r}: for {key.decode()!r} the tree holds {to_text(entry)}, the index {to_text(manifest)}"
    ).about(bucket=bucket, cid=entry)


def _not_in_index(bucket: str, key: bytes) -> Untrue:
    return Untrue(f"bucket {bucket!r}: the tree holds {key.decode()!r}, and the index does not").about(bucket=bucket)
