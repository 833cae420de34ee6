"""Restore: keys of a bucket as an earlier commit had them, all at once, as one new commit ([PAST-50] to [PAST-54]).

    1. A lease holds the earlier commit. What differs between its tree and the newest one is found, and the manifests are
       read. Flushes of the bucket wait meanwhile.
    2. `change_keys` changes the keys and moves the commit. It also asks for what was written since the newest commit, which
       no tree tells.

A crash before 2 ends leaves blocks that nothing leads to, and nothing has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from mstbucket.core.cid import to_text
from mstbucket.core.commit_fields import check_message
from mstbucket.core.commit_names import CommitName
from mstbucket.core.keys import check_text, encode_key, prefix_end
from mstbucket.core.mst.changes import Tree, changes
from mstbucket.core.mst.walk import get
from mstbucket.errors import CommitMoved, Conflict, Unsupported
from mstbucket.index import restoring
from mstbucket.index.commits import Head, read_head
from mstbucket.index.leases import Kept
from mstbucket.limits import RESTORE_KEYS
from mstbucket.model.past import RestoreChange, RestoreReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.error_context import error_context
from mstbucket.services.past.change_keys import change_keys
from mstbucket.services.past.snapshots import find_commit
from mstbucket.services.past.wanted import Wanted, due, load
from mstbucket.services.tree.flush import flush, newest_saying
from mstbucket.services.tree.leases import Lease, hold
from mstbucket.services.tree.publish import publish_made
from mstbucket.services.tree.turns import FLUSH_ATTEMPTS, turn

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

_ADVICE: Final = "restore parts of the keys by prefixes, or fork the commit, which has no such bound"


@dataclass(frozen=True, slots=True)
class Scope:
    """What is restored: one key, or all keys with a prefix; the empty prefix is the whole bucket."""

    key: str | None
    prefix: str

    def holds(self, key: str) -> bool:
        """Whether a key is in it."""
        return key.startswith(self.prefix) if self.key is None else key == self.key


def restore(
    context: Context, bucket: str, named: CommitName, scope: Scope, dry_run: bool, message: str | None = None
) -> RestoreReport:
    """Make keys what they were at a commit; see `Bucket.restore`."""
    if message is not None:
        check_message(message)
    if scope.key is None:
        check_text("prefix", scope.prefix)
    else:
        encode_key(scope.key)
    with hold(context, find_commit(context, bucket, named)) as lease, error_context(context, bucket):
        if dry_run:
            return _rehearse(context, bucket, lease.commit, scope)
        for attempt in range(1, FLUSH_ATTEMPTS + 1):
            flush(context, bucket)  # so that little is left to be folded with the rest
            try:
                with turn(context, lease.commit.bucket):
                    report = _restore(context, bucket, lease, scope, message)
                break
            except Conflict:
                if attempt == FLUSH_ATTEMPTS:
                    raise
        publish_made(context, bucket, f"bucket {bucket!r} is restored")
        if message is not None and not report.changes:  # [FLUSH-14]
            newest_saying(context, bucket, message, "there is nothing to restore")
        return report


def _rehearse(context: Context, bucket: str, then: Kept, scope: Scope) -> RestoreReport:
    with context.db.reading() as connection:
        head = _head(connection, bucket, then)
        dirty = _dirty_keys(connection, head, scope)
    wanted = _differences(context, head, then, scope)
    wanted += _targets(context, then, sorted(set(dirty) - {one.key for one in wanted}))
    with context.db.reading() as connection:
        made = [one.change for part in due(connection, head, wanted) for one in part]
    return _report(then, head, made)


def _restore(context: Context, bucket: str, lease: Lease, scope: Scope, message: str | None) -> RestoreReport:
    then = lease.commit
    with context.db.reading() as connection:
        head = _head(connection, bucket, then)
    wanted = _differences(context, head, then, scope)
    known = {one.key: one for one in wanted}

    def find(written: Sequence[str]) -> list[Wanted]:
        keys = [key for key in written if scope.holds(key)]
        _check_number_of_keys(len(keys))
        others = [key for key in keys if key not in known]
        return [known[key] for key in keys if key in known] + _targets(context, then, others)

    made, commit = change_keys(context, head, lease, wanted, find, message)
    report = _report(then, head, made)
    return report if commit is None else replace(report, commit=to_text(commit))


def _head(connection: Connection, bucket: str, then: Kept) -> Head:
    head = read_head(connection, bucket)
    if head.bucket != then.bucket:
        raise CommitMoved(f"bucket {bucket!r} was deleted and made again meanwhile").about(bucket=bucket)
    return head


# --- what is to change ------------------------------------------------------------------------------------------------


def _differences(context: Context, head: Head, then: Kept, scope: Scope) -> list[Wanted]:
    """The keys in the scope whose manifests differ between the two trees, with those of the earlier one."""
    assert head.tree is not None  # there is an earlier commit
    now, old = Tree(context.blocks, head.tree), Tree(context.blocks, then.tree)
    if scope.key is None:
        start, end = scope.prefix, prefix_end(scope.prefix)
    else:
        start, end = scope.key, scope.key + "\0"
    found = changes(now, old, start.encode(), None if end is None else end.encode())
    pairs = [(key.decode(), cid) for key, _, cid in islice(found, RESTORE_KEYS + 1)]
    _check_number_of_keys(len(pairs))
    return load(context, pairs, _ADVICE)


def _targets(context: Context, then: Kept, keys: Sequence[str]) -> list[Wanted]:
    """What these keys held in the earlier commit."""
    return load(context, [(key, get(context.blocks, then.tree, key.encode())) for key in keys], _ADVICE)


def _dirty_keys(connection: Connection, head: Head, scope: Scope) -> list[str]:
    """The keys in the scope that were written since the newest commit: no tree tells what they hold."""
    prefix = scope.prefix if scope.key is None else scope.key
    found = restoring.dirty_keys(connection, head.bucket, prefix, RESTORE_KEYS + 1)
    _check_number_of_keys(len(found))
    return [key for key in found if scope.holds(key)]


def _check_number_of_keys(number: int) -> None:
    if number > RESTORE_KEYS:  # [PAST-53]
        raise Unsupported(f"more than {RESTORE_KEYS:,} keys differ, which is what one restore changes at once: {_ADVICE}")


def _report(then: Kept, head: Head, made: Sequence[RestoreChange]) -> RestoreReport:
    assert head.commit is not None  # there is an earlier one
    return RestoreReport(to_text(then.cid), to_text(head.commit), tuple(made))
