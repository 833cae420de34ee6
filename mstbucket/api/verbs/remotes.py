"""Two stores keep a bucket in step: pull, push, fetch, and the names of other stores."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from mstbucket.api.arguments import verbs
from mstbucket.api.file_remote import FileBucket, FileRemote
from mstbucket.errors import Conflict, InvalidInput, NoSuchRemote, PinMismatch
from mstbucket.later import later
from mstbucket.limits import REMOTES_MAX
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.api.trust import Demand, Trust
    from mstbucket.api.verbs.attributes import BucketAttributes
    from mstbucket.core.cid import CID
    from mstbucket.core.commit import Commit
    from mstbucket.index import buckets, remotes
    from mstbucket.model.past import MergeReport
    from mstbucket.model.remotes import FetchedBucket, PullReport, Remote
    from mstbucket.services.remotes import fetch as fetching
    from mstbucket.services.remotes import prune as pruning
    from mstbucket.services.remotes import pull as pulling
    from mstbucket.services.remotes.file_peer import FilePeer
    from mstbucket.services.remotes.file_push import push_files
    from mstbucket.services.remotes.peer import StorePeer
    from mstbucket.services.remotes.places import check_place
else:
    Demand = later("mstbucket.api.trust", "Demand")
    buckets = later("mstbucket.index.buckets")
    remotes = later("mstbucket.index.remotes")
    Remote = later("mstbucket.model.remotes", "Remote")
    fetching = later("mstbucket.services.remotes.fetch")
    pruning = later("mstbucket.services.remotes.prune")
    pulling = later("mstbucket.services.remotes.pull")
    FilePeer = later("mstbucket.services.remotes.file_peer", "FilePeer")
    push_files = later("mstbucket.services.remotes.file_push", "push_files")
    StorePeer = later("mstbucket.services.remotes.peer", "StorePeer")
    check_place = later("mstbucket.services.remotes.places", "check_place")


class _Accepted:
    """What was demanded of the commit that came, and what is to be remembered once it is there."""

    def __init__(self, context: Context, remote: str | None, trust: Trust | None) -> None:
        self._context = context
        self._remote = remote
        self._demand = Demand(trust)
        self._seen: tuple[str, int, CID] | None = None

    def check(self, cid: CID, commit: Commit) -> None:
        """Refuse a commit that is not to be trusted, or older than one that came from there before ([RMT-12])."""
        self._demand.accept(cid, commit)
        self._seen = commit.bucket, commit.seq, cid
        if self._remote is None:
            return
        before = remotes.last_seen(self._context.db, self._remote, commit.bucket)
        if before is not None and (commit.seq < before.seq or (commit.seq == before.seq and cid != before.commit)):
            raise PinMismatch(
                f"remote {self._remote!r} was at commit {before.seq} of the bucket, and is at another or older one, "
                f"{commit.seq}: it was rolled back or replaced; if that was meant, remove the remote and add it again"
            ).about(cid=cid)

    def remember(self) -> None:
        """The bucket is there."""
        self._demand.remember()  # [SIGN-8]
        if self._remote is not None and self._seen is not None:
            remotes.remember(self._context.db, self._remote, *self._seen)


@verbs
class StoreRemotes:
    """The part of `Store` about other stores."""

    _context: Context

    def add_remote(self, remote: str, place: str, *, blobs: str | None = None) -> Remote:
        """Give another store a name in this one, durably. Nothing is opened. The same again changes nothing.

        Args:
            remote: 1 to 30 of a-z, 0-9 and '-'.
            place: the directory of a store, or a `postgresql://` URL; or, of a folder of files, `files:///DIRECTORY` or an
                `s3://` URL, as for `FileRemote`.
            blobs: with a URL, where its packs are, as for `mstbucket.open`.

        Raises:
            InvalidInput: the name or the place cannot be, or the place holds a password. Those come from the environment.
            Conflict: there is another place of that name: remove it first.
        """
        fetching.check_remote_name(remote)
        wanted = Remote(remote, *check_place(place, blobs))
        if len(remotes.list_all(self._context.db)) >= REMOTES_MAX:
            raise InvalidInput(f"the store has {REMOTES_MAX} remotes, the most there can be: remove some")
        if not remotes.add(self._context.db, wanted):
            raise Conflict(f"there is a remote {remote!r} at another place: remove it first, or take another name")
        return wanted

    def remove_remote(self, remote: str) -> None:
        """Forget a name and what was seen there. The buckets that were fetched from there stay, as buckets like others:
        `prune_remote(remote, None)` removes them before.

        Raises:
            NoSuchRemote: there is none.
        """
        fetching.check_remote_name(remote)
        if not remotes.remove(self._context.db, remote):
            raise NoSuchRemote(f"there is no remote {remote!r}: 'remote ls' lists them")

    def prune_remote(
        self, remote: str, other: StoreRemotes | FileRemote | None, *, dry_run: bool = False
    ) -> list[FetchedBucket]:
        """Remove the buckets that were fetched from a remote, if their bucket is no longer there; each whole, and durably.

        A bucket that was written to since it was fetched, or has snapshots or object lock, stays. For buckets of this store
        that were pushed or pulled, and are no longer there, no commit is kept for the remote any more.

        Args:
            remote: its name.
            other: the other store, open, or the files; None as if nothing were there, for a remote that is given up.
            dry_run: change nothing, and say what would go.

        Returns:
            What is no longer there, by name: removed, or kept for a reason.

        Raises:
            NoSuchRemote: there is no such name.
            StorageError: the other side cannot be asked, or its files are an empty place. Nothing more was removed.
        """
        self.find_remote(remote)
        if other is None:
            return pruning.prune(self._context, remote, pruning.nowhere, dry_run)
        if isinstance(other, FileRemote):
            return pruning.prune(self._context, remote, partial(pruning.in_files, other._files), dry_run)
        return pruning.prune(self._context, remote, partial(pruning.in_store, other._context), dry_run)

    def list_remotes(self) -> list[Remote]:
        """Return every remote, by name."""
        return remotes.list_all(self._context.db)

    def find_remote(self, remote: str) -> Remote:
        """Return the remote of that name.

        Raises:
            NoSuchRemote: there is none.
        """
        fetching.check_remote_name(remote)
        found = remotes.find(self._context.db, remote)
        if found is None:
            raise NoSuchRemote(f"there is no remote {remote!r}: 'remote add {remote} PLACE' makes it")
        return found

    def _peer(self, other: BucketAttributes | FileBucket, name: str | None) -> StorePeer | FilePeer:
        """The other side of a pull. Of files the identity says which bucket is meant, if it is here."""
        if not isinstance(other, FileBucket):
            return _peer(other)
        here = name or other.name
        identity = buckets.find(self._context.db, here).identity if buckets.exists(self._context.db, here) else None
        return FilePeer(other.remote._files, identity, other.name)

    def pull(
        self,
        other: BucketAttributes | FileBucket,
        name: str | None = None,
        *,
        remote: str | None = None,
        trust: Trust | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> PullReport:
        """Bring bucket *name* to the newest commit of the same bucket in another store, or make it; only what is missing is
        copied.

        It moves by one switch, or not at all. Every block is hashed, and the state judged as an import judges a file, at a
        cost by what differs. What came stays if the call breaks off, so that repeating it copies nothing twice. What was
        not flushed in the other store does not come.

        Args:
            other: the bucket, of another open store; or files of it, as `FileRemote.bucket` names them.
            name: of the bucket here, by default that of *other*.
            remote: the name of the other store, under which the newest commit is remembered: an older one is refused then,
                and the next pull goes on from it though the other store may have given it up.
            trust: who has to have signed it, and what it has to follow; as for `import_car`.
            progress: called now and then with the bytes copied so far.

        Returns:
            What was done; `outcome` is `ahead` where the bucket here has all that the other has, and more.

        Raises:
            NotFastForward: the bucket here has gone its own way, or is another one. `Bucket.pull_and_merge` merges.
            Conflict: it was written to since its newest commit: flush it, then merge.
            Unsupported: it has object lock, which no commit tells of.
            NoSuchBucket, NoSuchCommit: the other store has no such bucket, or never flushed it.
            FormatError, CorruptionError: what came is not true, or a block is missing there. Nothing is visible.
            WrongSignature, PinMismatch: it is not to be trusted, or the other store was rolled back.
            StorageError: either store failed. Repeat the call.
        """
        accepted = _Accepted(self._context, remote, trust)
        with self._peer(other, name) as peer:
            report = pulling.pull(self._context, name or other.name, peer, progress, accepted.check, remote)
        accepted.remember()
        return report

    def fetch(
        self,
        other: BucketAttributes | FileBucket,
        remote: str,
        name: str | None = None,
        *,
        trust: Trust | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> PullReport:
        """Bring the other store's state of bucket *name* here, beside it: as bucket `NAME.REMOTE`, which is made at first.

        It is a bucket like others: `diff`, `at`, `merge` and `fork` take it, and a collection keeps it. Nobody should write
        to it. The bucket itself is left as it is.

        Args and errors: as for `pull`; *remote* is needed, since it is in the name.
        """
        accepted = _Accepted(self._context, remote, trust)
        with self._peer(other, name) as peer:
            report = fetching.fetch(self._context, name or other.name, remote, peer, progress, accepted.check)
        accepted.remember()
        return report

    def pull_and_merge(
        self,
        other: BucketAttributes | FileBucket,
        remote: str,
        name: str | None = None,
        *,
        prefer: str | None = None,
        trust: Trust | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> tuple[PullReport, MergeReport | None]:
        """As `pull`; but what was not flushed here is, and where both have gone on, the other state is fetched and merged.

        The new commit names both, so that it can be pushed back.

        Args:
            other, remote, name, trust, progress: as for `fetch`.
            prefer: whose change counts where both changed a key, `ours` or `theirs`; None refuses that.

        Returns:
            What was pulled or fetched, and what was merged; None where no merge was needed.

        Raises:
            Conflict: both changed a key; the message lists them. What was fetched stays.
            All that `pull` and `Store.merge` raise.
        """
        accepted = _Accepted(self._context, remote, trust)
        with self._peer(other, name) as peer:
            reports = fetching.pull_and_merge(
                self._context, name or other.name, remote, peer, prefer, progress, accepted.check
            )
        accepted.remember()
        return reports


@verbs
class BucketRemotes:
    """The part of `Bucket` that goes to another store."""

    name: str
    _context: Context

    def push(
        self,
        other: StoreRemotes | FileRemote,
        name: str | None = None,
        *,
        remote: str | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> PullReport:
        """Flush this bucket, and bring the same bucket in another store to its newest commit, or make it there.

        The other store copies, judges and switches as `Store.pull` does there.

        Args:
            other: the other store, open; or a `FileRemote`, which gets one file more, and the newest number and CID.
            name: of the bucket there, by default that of this one.
            remote: the name of the other store here: the commit that was pushed is kept, so that the next push finds it.
            progress: called now and then with the bytes copied so far.

        Raises:
            NotFastForward: the bucket there has commits that this one lacks: fetch, merge, and push again.
            MergeIncomplete: they were merged, but have versions, which no merge brings. Merge the other way round: this
                bucket into the one that was fetched; and push that, with *name*.
            Conflict: it was written to there since its newest commit.
            All that `Store.pull` raises.
        """
        if isinstance(other, FileRemote):
            return push_files(self._context, self.name, other._files, name or self.name, remote, progress)
        there = other._context
        with _peer(self) as peer:

            def pulled() -> PullReport:
                return pulling.pull(there, name or self.name, peer, progress, lambda _cid, _commit: None)

            return pulling.push(self._context, self.name, peer, pulled, remote)


def _peer(other: BucketAttributes | BucketRemotes) -> StorePeer:
    return StorePeer(other._context, other.name, f"store {other._context.identity[:8]}")
