"""A push into a folder of files: one more file, then the head that names it (`spec/format/36-folder.md`).

    1. The head is read. Its newest commit has to be one that the bucket here has had, or merged.
    2. What is new since then is written as a delta; or, where the chain is long or cannot be gone on with, all as an export.
    3. The head is replaced, if it is as it was read. So of two who push at once one wins.

A crash before 3 leaves the old head and the files that it names. What was written whole is found by the next push.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, Final, NamedTuple, cast

from mstbucket.core import commit as commits
from mstbucket.core import file_head
from mstbucket.core.cid import CID, to_text
from mstbucket.core.commit_names import OfCid
from mstbucket.core.delta_statement import DeltaStatement
from mstbucket.core.file_head import ChainFile, FileHead
from mstbucket.core.keys import check_bucket_name
from mstbucket.errors import CorruptionError, NoSuchBucket, NoSuchCommit, NotFastForward
from mstbucket.index import remotes
from mstbucket.index.commits import Head
from mstbucket.limits import FILE_BEFORE_MAX, FILE_DELTAS_MAX, FILE_STALE_SECONDS
from mstbucket.model.exports import ExportReport
from mstbucket.model.remotes import PullReport
from mstbucket.model.shared_files import Seen, SharedFiles
from mstbucket.model.streams import Readable
from mstbucket.services.blocks.context import Context
from mstbucket.services.past import view as views
from mstbucket.services.remotes.file_peer import path_of, read_head
from mstbucket.services.remotes.pull import MADE, MOVED, SAME, check_home
from mstbucket.services.tree.export import export
from mstbucket.services.tree.export_delta import export_delta
from mstbucket.services.tree.flush import flush
from mstbucket.services.tree.leases import Lease, hold_newest

Progress = Callable[[int], object]

_FETCH: Final = "the push was refused: fetch first, merge, and push again"


def push_files(
    context: Context, name: str, files: SharedFiles, there: str, remote: str | None, progress: Progress | None
) -> PullReport:
    """Flush bucket *name*, and bring its files, where it is called *there*, to its newest commit; see `Bucket.push`."""
    check_bucket_name(there)
    flush(context, name)  # [RMT-9]
    head, lease = hold_newest(context, name)
    with lease:
        push = _Push(context, files, head, lease, there, remote, progress)
        report = push.run()
    if remote is not None:
        remotes.note_met(context.db, name, remote, lease.commit.cid)  # [RMT-13]
        remotes.remember(context.db, remote, head.identity, lease.commit.seq, lease.commit.cid)  # [RMT-12]
    return report


class _Written(NamedTuple):
    file: ChainFile
    blocks: int
    bytes: int  # that were sent: 0 where the file was there


class _Push:
    def __init__(
        self, context: Context, files: SharedFiles, head: Head, lease: Lease, there: str, remote: str | None,
        progress: Progress | None,
    ) -> None:  # fmt: skip
        self._context = context
        self._files = files
        self._here = head
        self._lease = lease
        self._there = there
        self._remote = remote
        self._said = lease.during(progress)
        self._requests = 0

    def run(self) -> PullReport:
        self._requests += 1
        old, seen = read_head(self._files, self._here.identity)
        commit = self._lease.commit
        if old is not None and old.newest.commit == commit.cid:
            return self._report(old, SAME, None)
        if old is not None:
            self._check_ancestor(old)
        written = None if old is None else self._delta(old)
        if old is not None and written is not None:
            chain = (*old.files, written.file)
        else:
            written = self._full()
            chain = (written.file,)
        self._swap(seen, FileHead(self._here.identity, self._there, self._before(old, chain), chain))
        self._files.clean(self._here.identity, FILE_STALE_SECONDS)
        return self._report(old, MADE if old is None else MOVED, written)

    def _report(self, old: FileHead | None, outcome: str, written: _Written | None) -> PullReport:
        commit, before = self._lease.commit, None if old is None else to_text(old.newest.commit)
        blocks, size = (0, 0) if written is None else (written.blocks, written.bytes)
        return PullReport(self._there, before, to_text(commit.cid), commit.seq, outcome, self._requests, blocks, size)

    # --- what may follow what ---

    def _check_ancestor(self, old: FileHead) -> None:
        """[RMT-21] Refuse what is no fast-forward, before anything is written."""
        there = old.newest
        with self._context.db.reading() as connection:
            on_line = bool(remotes.on_line(connection, self._here.bucket, [there.commit]))
            merged = remotes.has_merged(connection, self._here.bucket, there.commit)
        if there.seq < self._lease.commit.seq and (on_line or (merged and self._is_home(there.commit))):
            return
        raise NotFastForward(
            f"{self._files.where} has commit {there.seq}, {to_text(there.commit)}, of the bucket, which is not known to lie "
            f"before commit {self._lease.commit.seq} here ({_FETCH})"
        ).about(bucket=self._here.name)

    def _is_home(self, there: CID) -> bool:
        """[RMT-8] Whether it is known that nothing of a commit that was merged was left out; else it may be refused."""
        try:
            base, commit = (commits.decode(self._context.blocks.get(cid)) for cid in (there, self._lease.commit.cid))
        except CorruptionError:  # its block is not here any more
            return False
        check_home(base, commit, self._there)
        return True

    # --- files ---

    def _delta(self, old: FileHead) -> _Written | None:
        """The delta that goes on with the chain; None where an export is due, or what would be needed is not there."""
        deltas = old.files[1:]
        if len(deltas) >= FILE_DELTAS_MAX or 2 * sum(one.size for one in deltas) > old.files[0].size:  # [FOLD-8]
            return None
        if not self._is_whole(old):
            return None
        tracking = [] if self._remote is None else [f"{self._here.name}.{self._remote}"]
        for bucket in (self._here.name, *tracking):
            with suppress(NoSuchBucket, NoSuchCommit):
                _, held = views.hold_named(self._context, bucket, OfCid(old.newest.commit))
                with held:
                    return self._delta_from(old.newest, held)
        return None

    def _delta_from(self, base: ChainFile, held: Lease) -> _Written:
        commit = self._lease.commit

        def said(done: int) -> None:
            held.renew()
            self._said(done)

        def make(target: BinaryIO) -> ExportReport:
            return export_delta(self._context, self._here.name, DeltaStatement(base.commit, commit.cid), target, said)

        return self._write(file_head.delta_name(base, ChainFile(commit.seq, commit.cid, 0, "")), make)

    def _is_whole(self, old: FileHead) -> bool:
        """Whether the files of a chain are there. Whether they are true says who reads them."""
        self._requests += len(old.files)
        return all(self._files.size(path_of(old, index)) == file.size for index, file in enumerate(old.files))

    def _full(self) -> _Written:
        commit = self._lease.commit

        def make(target: BinaryIO) -> ExportReport:
            return export(self._context, self._here.name, commit.cid, target, self._said)

        return self._write(file_head.full_name(ChainFile(commit.seq, commit.cid, 0, "")), make)

    def _write(self, name: str, make: Callable[[BinaryIO], ExportReport]) -> _Written:
        """[FOLD-4] A file that is there and is what it has to be is compared, and not sent again."""
        path = f"{self._here.identity}/{name}"
        self._requests += 2
        report, sent = None, 0
        if self._files.size(path) is not None:
            report = self._same(path, make)
        if report is None:
            with self._files.write(path) as target:
                report = make(target)
            sent = report.bytes
        commit = self._lease.commit
        return _Written(ChainFile(commit.seq, commit.cid, report.bytes, report.sha256), report.blocks if sent else 0, sent)

    def _same(self, path: str, make: Callable[[BinaryIO], ExportReport]) -> ExportReport | None:
        with suppress(_DiffersError), self._files.stream(path) as there:
            compared = _Compared(there)
            report = make(cast("BinaryIO", compared))
            compared.end()
            return report
        return None

    # --- the head ---

    def _before(self, old: FileHead | None, chain: tuple[ChainFile, ...]) -> tuple[tuple[int, CID], ...]:
        """[FOLD-7] The newest of the earlier commits that are known to lie on the line, without those of the chain."""
        with self._context.db.reading() as connection:
            own = remotes.newest_commits(connection, self._here.bucket, FILE_BEFORE_MAX + 1)
        found = {(one.seq, one.cid) for one in own}
        if old is not None:
            found |= {*old.before, *((file.seq, file.commit) for file in old.files)}
        found -= {(file.seq, file.commit) for file in chain}
        earlier = [one for one in found if one[0] < chain[-1].seq]
        return tuple(sorted(earlier, reverse=True)[:FILE_BEFORE_MAX])

    def _swap(self, seen: Seen | None, head: FileHead) -> None:
        self._requests += 1
        self._lease.confirm()
        if not self._files.swap(f"{head.bucket}/{file_head.HEAD}", seen, file_head.encode(head)):
            raise NotFastForward(
                f"somebody else pushed the bucket to {self._files.where} meanwhile ({_FETCH})"
            ).about(bucket=head.name)


class _DiffersError(Exception):
    """Other bytes are there."""


class _Compared:
    """A binary file that takes nothing but what another one holds."""

    def __init__(self, there: Readable) -> None:
        self._there = there

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Compare, and go on."""
        left = memoryview(data)
        while left:
            piece = self._there.read(len(left))
            if not piece or left[: len(piece)] != piece:
                raise _DiffersError
            left = left[len(piece) :]
        return len(data)

    def end(self) -> None:
        """Nothing may follow."""
        if self._there.read(1):
            raise _DiffersError
