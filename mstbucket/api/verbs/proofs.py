"""Proofs, and the way from a commit to a key."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO

from mstbucket.api.arguments import verbs
from mstbucket.errors import InvalidInput
from mstbucket.files.whole import written
from mstbucket.later import later
from mstbucket.limits import LIST_KEYS_MAX
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.core.commit_names import commit_name
    from mstbucket.core.statement import KeyQuestion, PageQuestion, Question
    from mstbucket.index.leases import Kept
    from mstbucket.model.looks import Proved, TreePath
    from mstbucket.services.blocks.error_context import error_context
    from mstbucket.services.past import view as views
    from mstbucket.services.tree import look
    from mstbucket.services.tree import prove as proving
    from mstbucket.services.tree.held import HeldBlocks, holding_newest
else:
    commit_name = later("mstbucket.core.commit_names", "commit_name")
    KeyQuestion = later("mstbucket.core.statement", "KeyQuestion")
    PageQuestion = later("mstbucket.core.statement", "PageQuestion")
    error_context = later("mstbucket.services.blocks.error_context", "error_context")
    views = later("mstbucket.services.past.view")
    look = later("mstbucket.services.tree.look")
    proving = later("mstbucket.services.tree.prove")
    holding_newest = later("mstbucket.services.tree.held", "holding_newest")


@verbs
class BucketProofs:
    """The part of `Bucket` that shows and proves what a commit says."""

    name: str
    _context: Context

    def tree_path(self, key: str) -> TreePath:
        """Return the way from the newest commit to *key*, or to where it would stand: the nodes, then manifest and body.

        Raises:
            InvalidKey: no object can have that key.
            NoSuchCommit: the bucket was never flushed.
            CorruptionError: a node on the way is lost or damaged.
        """
        return look.path(self._context, self.name, key)

    def prove_key(
        self, key: str, target: str | os.PathLike[str] | BinaryIO, *, body: bool = False, range: str | None = None
    ) -> Proved:
        """Write a proof that the newest commit holds *key*, and what it says of the object; or that it does not hold it.

        Anybody checks it with `mstbucket.check_proof`, who has the file and the commit's CID, and nothing else. For a key
        among a million it takes about 6 KB. Changes that were not flushed are not proved: call `flush` before.

        Args:
            target: a path, or a binary file open for writing (which stays open).
            body: the object's bytes go into the proof too.
            range: only these bytes of them, as in `get_object`, such as `bytes=0-99`.

        Raises:
            NoSuchCommit: the bucket was never flushed.
            NoSuchKey: bytes of an object are asked for that the commit does not hold.
            InvalidRange: it has no such bytes.
            InvalidKey: no object can have that key.
            CorruptionError: a block is missing or damaged in this store; the file is not made.
            StorageError: the target cannot be written.
        """
        with self._newest() as (commit, blocks):
            wanted = None
            if body or range is not None:
                wanted = proving.body_of(blocks, commit, key, range)
            return _prove(blocks, commit, KeyQuestion(key, wanted), target)

    def prove_page(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        prefix: str = "",
        delimiter: str | None = None,
        start_after: str | None = None,
        max_keys: int = LIST_KEYS_MAX,
    ) -> Proved:
        """Write a proof that a page of a listing is complete: these keys begin with *prefix*, and no others do.

        The arguments are those of `list_objects`. The proof holds the nodes of the tree that the page touches, and the
        manifests of its objects; it grows with the page and not with the bucket.

        Args:
            target: a path, or a binary file open for writing (which stays open).

        Raises:
            NoSuchCommit: the bucket was never flushed.
            CorruptionError: a block is missing or damaged in this store; the file is not made.
            StorageError: the target cannot be written.
        """
        question = PageQuestion(prefix, delimiter or None, start_after or "", max_keys)
        with self._newest() as (commit, blocks):
            return _prove(blocks, commit, question, target)

    def prove_changes(
        self, old: str | int | datetime, new: str | int | datetime, target: str | os.PathLike[str] | BinaryIO
    ) -> Proved:
        """Write a proof of what differs between two commits: these keys, with the manifests that they name, and no others.

        Anybody checks it with `mstbucket.check_proof`, who has the file and the later commit's CID. It holds both commits
        and the nodes of the later one that the changes touch, some three for each change; no manifests. It takes as long
        as the two differ, and not as long as they are.

        Args:
            old, new: commits, each as for `at`, the earlier one first.
            target: a path, or a binary file open for writing (which stays open).

        Raises:
            NoSuchCommit: the bucket has no such commit, or does not keep it any more.
            InvalidInput: the first is no earlier commit than the second.
            Unsupported: more changes than a proof holds, some thousands. Prove them from commit to commit between.
            CorruptionError: a block is missing or damaged in this store; the file is not made.
        """
        with self._view(old) as was, self._view(new) as now, error_context(self._context, self.name):
            if was.row.seq >= now.row.seq:  # [PROOF-10]
                raise InvalidInput(f"commit {was.row.seq} is no earlier one than {now.row.seq}: name the earlier one first")
            with written(target) as file:
                return proving.prove_changes(was.blocks, was.row.cid, now.blocks, now.row.cid, file)

    @contextmanager
    def _view(self, commit: str | int | datetime) -> Iterator[views.View]:
        view = views.open_view(self._context, self.name, commit_name(commit))
        with closing(view.blocks):
            yield view

    @contextmanager
    def _newest(self) -> Iterator[tuple[Kept, HeldBlocks]]:
        """The newest commit, which stays while it is read."""
        with holding_newest(self._context, self.name) as found, error_context(self._context, self.name):
            yield found


def _prove(
    blocks: HeldBlocks, commit: Kept, question: Question, target: str | os.PathLike[str] | BinaryIO
) -> Proved:
    with written(target) as file:
        return proving.prove(blocks, commit.cid, question, file)
