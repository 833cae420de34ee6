"""A bucket as it was at one commit: its trees answer, and never the rows of current objects ([PAST-30])."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from mstbucket.core import commit as commits
from mstbucket.core import manifest as manifests
from mstbucket.core.commit import Commit
from mstbucket.core.commit_names import CommitName
from mstbucket.core.keys import encode_key
from mstbucket.core.manifest import Manifest
from mstbucket.core.mst.cursor import Cursor
from mstbucket.core.mst.walk import get
from mstbucket.core.s3rules.retention import UNLOCKED
from mstbucket.core.s3rules.versions import stored_id
from mstbucket.errors import MethodNotAllowed, NoSuchCommit, NoSuchKey, NoSuchVersion
from mstbucket.index.commits import CommitRow
from mstbucket.index.find import Described
from mstbucket.index.leases import Kept
from mstbucket.services.blocks.context import Context
from mstbucket.services.past.resolve import resolve
from mstbucket.services.tree.held import HeldBlocks
from mstbucket.services.tree.leases import Lease, hold

MANIFESTS: Final = 128  # read at a time: 128 MiB, if all of them were made to be large
_ATTEMPTS: Final = 10  # a retention that gives up what is looked for may come between so often


@dataclass(frozen=True, slots=True)
class View:
    """An open view.

    Attributes:
        bucket: the name under which it was opened.
        row: of the commit.
        commit: its block.
        blocks: of the store; reading them renews the lease.
        lease: held until `blocks` is closed.
    """

    context: Context
    bucket: str
    row: CommitRow
    commit: Commit
    blocks: HeldBlocks
    lease: Lease

    def __str__(self) -> str:
        return f"bucket {self.bucket!r} at commit {self.row.seq}"


def open_view(context: Context, bucket: str, named: CommitName) -> View:
    """Find a commit, take a lease on it, and read its block.

    Raises:
        NoSuchBucket, NoSuchCommit: there is no such bucket or commit.
        CorruptionError, FormatError: the block of the commit is missing or damaged.
    """
    row, lease = hold_named(context, bucket, named)
    blocks = HeldBlocks(context.blocks, lease)
    try:
        return View(context, bucket, row, commits.decode(blocks.get(row.cid)), blocks, lease)
    except BaseException:
        blocks.close()
        raise


def hold_named(context: Context, bucket: str, named: CommitName) -> tuple[CommitRow, Lease]:
    """Find a commit, and take a lease on it. Raises as `resolve`."""
    for _ in range(_ATTEMPTS):
        with context.db.reading() as connection:
            row = resolve(connection, bucket, named)
        with suppress(NoSuchCommit):  # it was given up in between: the name may mean another one, or nothing, now
            return row, hold(context, Kept(row.bucket, row.identity, bucket, row.seq, row.cid, row.tree, row.versions))
    raise NoSuchCommit(f"bucket {bucket!r}: what {named} means changes all the time; say a number").about(bucket=bucket)


# --- one object -------------------------------------------------------------------------------------------------------


def find(view: View, key: str, version_id: str | None) -> Described:
    """The object of a key, or one of its versions. A lock is in no commit, so there is none.

    Raises:
        NoSuchKey, NoSuchVersion: it is not there.
        MethodNotAllowed: that version is a delete marker.
    """
    stored = encode_key(key)
    if version_id is None:
        cid = get(view.blocks, view.row.tree, stored)
        if cid is None:
            raise _no_such_key(view, key, stored)
        return Described(view.commit.versioning, UNLOCKED, cid, _manifest(view, cid))
    found = _find_version(view, stored, stored_id(version_id))
    if found is None:
        raise NoSuchVersion(f"there is no version {version_id!r} of object {key!r} in {view}").about(key=key)
    cid, manifest = found
    if manifest.delete_marker:
        raise MethodNotAllowed(f"version {version_id!r} of object {key!r} in {view} is a delete marker").about(key=key)
    return Described(view.commit.versioning, UNLOCKED, cid, manifest)


def _manifest(view: View, cid: bytes) -> Manifest:
    return manifests.decode(view.blocks.get(cid))


def _find_version(view: View, key: bytes, wanted: str | None) -> tuple[bytes, Manifest] | None:
    """The version with that stored id. No tree is ordered by ids: it takes as long as the key has versions."""
    cid = get(view.blocks, view.row.tree, key)
    if cid is not None:
        current = _manifest(view, cid)
        if current.version_id == wanted:
            return cid, current
    for version in versions_of(view, key):
        manifest = _manifest(view, version)
        if manifest.version_id == wanted:
            return version, manifest
    return None


def versions_of(view: View, key: bytes) -> Iterator[bytes]:
    """The CIDs of the manifests of a key's noncurrent versions and delete markers, the newest first."""
    if view.row.versions is not None:
        cursor = Cursor(view.blocks, view.row.versions, key + b"\0", key + b"\1")
        while (pair := cursor.next()) is not None:
            yield pair[1]


def _no_such_key(view: View, key: str, stored: bytes) -> NoSuchKey:
    marked = next(versions_of(view, stored), None) is not None  # without an object, the newest is a marker
    why = ": its newest version is a delete marker" if marked else ""
    return NoSuchKey(f"there is no object {key!r} in {view}{why}").about(key=key)
