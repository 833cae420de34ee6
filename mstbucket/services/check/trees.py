"""Level `tree`: the two trees of the newest commit, node by node, and against the index both ways ([CHECK-4])."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mstbucket.core import commit as commits
from mstbucket.core.cid import CID, to_text
from mstbucket.errors import CorruptionError, FormatError, NoSuchBucket, StorageError, Unsupported
from mstbucket.index import check_rows
from mstbucket.index.check_rows import KeptCommit
from mstbucket.index.commits import Head, read_head
from mstbucket.index.dirty import Place
from mstbucket.limits import KEY_MAX, VERSION_KEY_MAX
from mstbucket.services.blocks.context import Context
from mstbucket.services.check.found import Part, shown_key
from mstbucket.services.check.nodes import Entry, Hole, in_order, kind_of
from mstbucket.services.tree.check import OBJECTS, VERSIONS, Row, Tree, read_page

_ATTEMPTS: Final = 100  # times that a page is begun again because its commit was given up meanwhile


def check_trees(context: Context, number: int, bucket: str) -> Part:
    """Check the newest commit of a bucket and its trees; a bucket that goes meanwhile is passed over."""
    part = Part()
    try:
        with context.db.reading() as connection:
            head = read_head(connection, bucket)
        if head.bucket != number:
            return part
        part.counts["buckets"] += 1
        if head.commit is not None and head.tree is not None:  # without a row of it, the level before has said so
            _check_head(context, part, head)
        for tree in (OBJECTS, VERSIONS):
            _Comparison(context, part, bucket, number, tree).run()
    except NoSuchBucket:
        pass
    return part


def _check_head(context: Context, part: Part, head: Head) -> None:
    assert head.commit is not None and head.tree is not None
    kept = next((one for one in check_rows.kept_commits(context.db, head.bucket) if one.cid == head.commit), None)
    if kept is None:
        return
    commit = read_commit(context, part, "tree", head.bucket, head.name, head.identity, kept)
    if commit is None or head.tags_dirty is not None:
        return
    if dict(commit.tags) != (head.tags or {}):  # [TAG-6]
        part.add("tree.tags", "its tags are not those in its commit", bucket=head.name, commit=head.commit)
    if commit.versioning != head.versioning:  # [VSN-8]
        part.add("tree.versioning", "its versioning is not that in its commit", bucket=head.name, commit=head.commit)


def read_commit(
    context: Context, part: Part, level: str, number: int, bucket: str, identity: str | None, kept: KeptCommit
) -> commits.Commit | None:
    """The commit that a row names, compared with the row; None where it cannot be had, which is told."""
    try:
        commit = commits.decode(context.blocks.get(kept.cid))
    except (CorruptionError, FormatError, StorageError, Unsupported) as error:
        if isinstance(error, StorageError) and error.pack is None:
            raise
        if isinstance(error, Unsupported):
            raise
        if check_rows.is_kept(context.db, number, kept.cid):
            code = f"{level}.commit-lost" if kind_of(error) == "lost" else f"{level}.commit-damaged"
            part.add(code, str(error), bucket=bucket, commit=kept.cid, cid=kept.cid, trail=(None, kept.cid))
        return None
    said = (commit.seq, commit.prev, commit.tree, commit.versions, commit.objects, commit.bytes)
    rows = (kept.seq, kept.prev, kept.tree, kept.versions, kept.objects, kept.bytes)
    if said != rows or (identity is not None and commit.bucket != identity):
        part.add(
            f"{level}.commit-row", f"the row of commit {kept.seq} does not say what the commit says", bucket=bucket,
            commit=kept.cid, cid=kept.cid,
        )  # fmt: skip
    return commit


class _GivenUp(Exception):
    """The commit whose tree was read can be given up, and its blocks collected: the page is read again."""


class _Comparison:
    """Index and tree in the order of keys, a page of rows at a time, each with the tree of its own snapshot ([CHK-2])."""

    def __init__(self, context: Context, part: Part, bucket: str, number: int, tree: Tree) -> None:
        self._context = context
        self._part = part
        self._bucket = bucket
        self._number = number
        self._tree = tree
        self._is_versions = tree is VERSIONS
        self._root: CID | None = None
        self._entries: Iterator[Entry | Hole] = iter(())
        self._entry: Entry | Hole | None = None

    def run(self) -> None:
        after, done, attempts = Place("", 0), b"", 0
        while True:
            try:
                page = read_page(self._context, self._number, self._tree, after)
            except NoSuchBucket:
                # Before the first commit there is no tree, and every row is dirty.
                self._without_commit()
                return
            try:
                if page.root != self._root or self._entry is None:  # at first, and where a flush came between
                    self._begin(page.root, done)
                for row in page.rows:
                    self._row(row)
                if page.last is None:
                    self._rest()
                    return
            except _GivenUp:
                attempts += 1
                if attempts > _ATTEMPTS:
                    raise StorageError(f"the commits of bucket {self._bucket!r} are given up faster than they can be read: "
                                       "repeat the check") from None  # fmt: skip
                self._root, self._entry = None, None
                continue
            after, done = page.last, page.rows[-1].key

    def _without_commit(self) -> None:
        with self._context.db.reading() as connection:
            read_head(connection, self._bucket)  # raises where the bucket is gone
            side = self._tree.behind(connection, self._number, Place("", 0), 1000)
        for place in sorted(side.manifests.keys() - side.dirty):
            self._tell("tree.not-in-tree", "the index holds it, no commit does, and it is not marked as changed",
                       self._tree.key(place), side.manifests[place])  # fmt: skip

    def _begin(self, root: CID | None, done: bytes) -> None:
        self._root = root
        if root is None:
            self._entries = iter(())
        else:
            key_max = VERSION_KEY_MAX if self._is_versions else KEY_MAX
            self._entries = in_order(self._context.blocks, root, key_max, None, done)
        self._next()

    def _next(self) -> None:
        self._entry = next(self._entries, None)
        if isinstance(self._entry, Hole):
            hole = self._entry
            if self._root is not None and not check_rows.is_kept(self._context.db, self._number, self._root):
                raise _GivenUp
            self._part.add(
                f"tree.node-{kind_of(hole.error)}", f"{hole.error}; {_between(hole, self._is_versions)}",
                bucket=self._bucket, cid=hole.cid, trail=hole.trail,
            )  # fmt: skip

    def _row(self, row: Row) -> None:
        self._part.counts["objects"] += row.manifest is not None
        entry = self._entry
        if type(entry) is Entry and entry.key == row.key and (entry.cid == row.manifest or row.is_dirty):  # most
            self._next()
            return
        while self._is_before(row.key):
            assert self._entry is not None
            if isinstance(self._entry, Entry):
                self._extra(self._entry)
            self._next()
        entry = self._entry
        if isinstance(entry, Hole) and entry.low < row.key:
            return  # nobody can say
        if isinstance(entry, Entry) and entry.key == row.key:
            if not row.is_dirty and entry.cid != row.manifest:
                said = "nothing" if row.manifest is None else to_text(row.manifest)
                self._tell("tree.differs", f"the tree holds {to_text(entry.cid)}, the index {said}", row.key, entry.cid)
            self._next()
        elif not row.is_dirty:
            self._tell("tree.not-in-tree", "the index holds it, and the tree does not", row.key, row.manifest)

    def _is_before(self, key: bytes) -> bool:
        entry = self._entry
        if entry is None:
            return False
        if isinstance(entry, Entry):
            return entry.key < key
        return entry.high is not None and entry.high <= key

    def _rest(self) -> None:
        while self._entry is not None:
            if isinstance(self._entry, Entry):
                self._extra(self._entry)
            self._next()

    def _extra(self, entry: Entry) -> None:
        self._tell("tree.not-in-index", "the tree holds it, and the index does not", entry.key, entry.cid)

    def _tell(self, code: str, message: str, key: bytes, cid: CID | None) -> None:
        shown = shown_key(key, version=self._is_versions)
        self._part.add(code, message, bucket=self._bucket, key=shown, cid=cid)


def _between(hole: Hole, version: bool) -> str:
    low = "the first key" if not hole.low else repr(shown_key(hole.low, version=version))
    high = "the last" if hole.high is None else repr(shown_key(hole.high, version=version))
    return f"it holds the keys between {low} and {high}"
