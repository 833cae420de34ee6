"""What is gone for good is given up: objects whose bodies cannot be read, and old commits that cannot ([CHECK-23])."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from mstbucket.core.cid import CID, RAW, codec, to_text
from mstbucket.core.unixfs import open_block
from mstbucket.core.unixfs_shape import body_height
from mstbucket.errors import CorruptionError, FormatError
from mstbucket.index import check_rows, repairs
from mstbucket.index.buckets import bucket_id
from mstbucket.index.tx import enter
from mstbucket.limits import FINDINGS_MAX
from mstbucket.model.repairs import Loss, RepairReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.check.found import Part
from mstbucket.services.check.marking import Marker
from mstbucket.services.check.nodes import fetch
from mstbucket.services.check.repair_blocks import unreadable
from mstbucket.services.check.trees import read_commit

_PAGE: Final = 500


class _Gone(NamedTuple):
    """A row whose body cannot be read; `seq` is None for a current object."""

    key: str
    seq: int | None
    content: CID


def repair_lost(context: Context, bucket: str, accept_loss: bool) -> RepairReport:
    """Give up what of a bucket cannot be read any more; see `Store.repair_lost`."""
    bad = unreadable(context)  # which records the packs
    with context.db.reading() as connection:
        number = bucket_id(connection, bucket)
    gone = list(_gone(context, number, bad))
    commits = list(_unreadable_commits(context, number, bucket, bad))
    lost = [Loss(bucket, one.key if one.seq is None else f"{one.key}@{one.seq}",
                 f"its body {to_text(one.content)} cannot be read") for one in gone]  # fmt: skip
    lost += [Loss(bucket, None, f"commit {kept.seq}, {to_text(kept.cid)}, cannot be read whole") for kept in commits]
    if not accept_loss or not lost:
        return RepairReport(not lost, 0, tuple(lost[:FINDINGS_MAX]))
    done = 0
    for start in range(0, len(gone), _PAGE):
        page = gone[start : start + _PAGE]
        keys = sorted({one.key for one in page}, key=str.encode)
        with context.db.transaction() as connection:
            tx = enter(connection, bucket)
            for key in keys:  # [PUT-9]
                tx.hold(key)
            for key, seq, content in page:
                if seq is not None:
                    done += repairs.give_up_version(tx, key, seq, content)
            for key, seq, content in page:
                if seq is None:
                    done += repairs.give_up_object(tx, key, content)
            repairs.drop_locks_of_nothing(tx, keys)
    with context.db.transaction() as connection:
        tx = enter(connection, bucket)
        done += repairs.forget_commits(tx, [kept.cid for kept in commits])
    return RepairReport(True, done, tuple(lost[:FINDINGS_MAX]))


def _gone(context: Context, number: int, bad: set[CID]) -> Iterator[_Gone]:
    whole = _Bodies(context, bad)
    for page_of in (check_rows.versions_page, check_rows.objects_page):
        after = ("", 0)
        while page := page_of(context.db, number, after, _PAGE):
            after = (page[-1].key, page[-1].seq)
            for row in page:
                content, size = row.manifest.content, row.manifest.size
                if content is not None and size is not None and not whole.is_whole(content, size):
                    yield _Gone(row.key, row.seq if page_of is check_rows.versions_page else None, content)


class _Bodies:
    """Whether bodies can be read, by what is known of their blocks."""

    def __init__(self, context: Context, bad: set[CID]) -> None:
        self._context = context
        self._bad = bad

    def is_whole(self, root: CID, size: int) -> bool:
        pending = [(root, size, body_height(size))]
        while pending:
            batch, pending = pending[-_PAGE:], pending[:-_PAGE]
            if any(cid in self._bad for cid, _, _ in batch):
                return False
            chunks = [cid for cid, _, _ in batch if codec(cid) == RAW]
            if len(check_rows.lengths(self._context.db, chunks)) != len(set(chunks)):
                return False
            inner = [one for one in batch if codec(one[0]) != RAW]
            good, failures = fetch(self._context.blocks, [cid for cid, _, _ in inner])
            if failures:
                return False
            try:
                pending += [
                    (child, below, height - 1)
                    for cid, length, height in inner
                    for child, below in open_block(good[cid], length, height)
                ]
            except (CorruptionError, FormatError):
                return False
        return True


def _unreadable_commits(context: Context, number: int, bucket: str, bad: set[CID]) -> Iterator[check_rows.KeptCommit]:
    """Commits before the newest that reach what cannot be read."""
    newest = None
    for kept in check_rows.kept_commits(context.db, number):
        newest = kept.seq if newest is None else newest
        if kept.seq != newest and not _is_readable(context, number, bucket, kept, frozenset(bad)):
            yield kept


def _is_readable(context: Context, number: int, bucket: str, kept: check_rows.KeptCommit, bad: frozenset[CID]) -> bool:
    part = Part()
    if read_commit(context, part, "presence", number, bucket, None, kept) is None:
        return False
    met: list[CID] = []
    roots = [(kept.tree, False)] + ([] if kept.versions is None else [(kept.versions, True)])
    for root, versions in roots:
        with Marker(context, part, bucket) as marker:
            marker.tree(kept.cid, root, versions, lambda: True)
        with Marker(context, part, bucket, bad, lambda one, _: met.append(one.cid)) as marker:
            marker.tree(kept.cid, root, versions, lambda: True)
    return not met and not any(one.code.startswith("presence.block") for one in part.findings)
