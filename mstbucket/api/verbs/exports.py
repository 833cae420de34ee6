"""The ways out of a bucket as one file."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mstbucket.api.arguments import verbs
from mstbucket.errors import InvalidInput
from mstbucket.files.whole import continuing, replacing, written
from mstbucket.later import later
from mstbucket.model.exports import ExportReport, FilesReport
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.core.commit_names import commit_name
    from mstbucket.core.delta_statement import DeltaStatement
    from mstbucket.services.past import view as views
    from mstbucket.services.tree import export as exporting
    from mstbucket.services.tree.export_delta import export_delta
    from mstbucket.services.tree.export_files import export_files
    from mstbucket.services.tree.export_part import export_part
    from mstbucket.services.tree.leases import Lease, hold_newest
else:
    commit_name = later("mstbucket.core.commit_names", "commit_name")
    DeltaStatement = later("mstbucket.core.delta_statement", "DeltaStatement")
    views = later("mstbucket.services.past.view")
    exporting = later("mstbucket.services.tree.export")
    export_delta = later("mstbucket.services.tree.export_delta", "export_delta")
    export_files = later("mstbucket.services.tree.export_files", "export_files")
    export_part = later("mstbucket.services.tree.export_part", "export_part")
    hold_newest = later("mstbucket.services.tree.leases", "hold_newest")


@verbs
class Exports(ABC):
    """What `Bucket` does with its newest commit, and `BucketView` with its own."""

    @abstractmethod
    def _held(self) -> AbstractContextManager[tuple[Context, str, Lease]]:
        """The store, the name of the bucket, and a lease on the commit."""

    def export_car(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        offset: int = 0,
        executor: Executor | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> ExportReport:
        """Write the commit and everything it reaches as one CARv1 file.

        The same commit gives the same bytes, whoever exports it; `ipfs dag export` of the commit gives them too. Changes
        that were not flushed are not in it: call `flush` before. A file is written under another name and renamed when it
        is complete and durable, replacing what was there.

        Args:
            target: a path, or a binary file open for writing (which stays open).
            offset: leave out so many bytes at the beginning, which somebody has already. They are made and hashed all the
                same; `BucketView.resume_export` continues a file without that.
            executor: reads and hashes the blocks, many at once: for blobs that are far away. See `Store.check`.
            progress: called now and then with the length of the file so far.

        Raises:
            NoSuchCommit: the bucket was never flushed.
            InvalidInput: the file is shorter than *offset*.
            CorruptionError: a block is missing or damaged in this store; the file is not made.
            StorageError: the target cannot be written, and what was there before still is.
            OutcomeUnknown: the file is there and whole, but a loss of power may undo that; repeat the call.
        """
        with self._held() as (context, name, lease), written(target) as file:
            return exporting.export(context, name, lease.commit.cid, file, lease.during(progress), executor, offset)

    def export_indexed(
        self, path: str | os.PathLike[str], *, progress: Callable[[int], object] | None = None
    ) -> ExportReport:
        """Write a CARv2: the file of `export_car`, and an index by which tools of IPFS find each block in it.

        Our own readers take the CARv1 in it, which `car extract` gives. The beginning is written last, so it goes to a path.

        Args:
            path: of the file. It appears when it is complete and durable, and replaces what was there.
            progress: as for `export_car`.

        Raises:
            NoSuchCommit, CorruptionError, StorageError: as `export_car`.
        """
        with self._held() as (context, name, lease), replacing(Path(path)) as file:
            return exporting.export_indexed(context, name, lease.commit.cid, file, lease.during(progress))

    def export_delta(
        self,
        base: str | int | datetime,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        progress: Callable[[int], object] | None = None,
    ) -> ExportReport:
        """Write a delta: the blocks of the commit that an earlier one of the bucket is not known to have, as one CAR file.

        Who has the earlier commit imports the delta, or joins the file of `export_car` with it (`mstbucket.join_cars`). It
        takes as long as the two differ, and not as long as they are. A body that was copied is in the delta again.

        Args:
            base: the earlier commit, as for `Bucket.at`.
            target, progress: as for `export_car`.

        Raises:
            NoSuchCommit: the bucket has no such commit, or does not keep it any more.
            InvalidInput: it is no earlier one.
            CorruptionError, StorageError: as `export_car`.
        """
        with self._held() as (context, name, lease), written(target) as file:
            row, held = views.hold_named(context, name, commit_name(base))
            with held:
                if row.seq >= lease.commit.seq:  # [DELTA-3]
                    raise InvalidInput(f"commit {row.seq} is no earlier one than {lease.commit.seq}: a delta leads from an "
                                       "earlier commit to a later")  # fmt: skip

                def said(done: int) -> None:
                    held.renew()
                    lease.renew()
                    if progress is not None:
                        progress(done)

                return export_delta(context, name, DeltaStatement(row.cid, lease.commit.cid), file, said)

    def export_part(
        self,
        prefix: str,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        progress: Callable[[int], object] | None = None,
    ) -> ExportReport:
        """Write a part of the bucket: all that the commit holds under the keys with *prefix*, as a proof that this is all.

        The CAR file holds the commit, the nodes of its trees that cover the prefix, and the manifests and bodies of the
        objects, noncurrent versions among them. `mstbucket.check_proof` checks it against the commit. It is no whole bucket:
        no store imports it. Memory is flat; for that, a block that two objects share is in the file twice.

        Args:
            prefix: of the keys; "" for all of them.
            target, progress: as for `export_car`.

        Raises:
            NoSuchCommit: the bucket was never flushed.
            InvalidInput: no key can begin so.
            CorruptionError, StorageError: as `export_car`.
        """
        with self._held() as (context, name, lease), written(target) as file:
            return export_part(context, name, lease.commit.cid, prefix, file, lease.during(progress))

    def export_files(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        prefix: str = "",
        progress: Callable[[int], object] | None = None,
    ) -> FilesReport:
        """Write the objects as a folder of files: one CARv1 whose root is a UnixFS directory, which tools of IPFS unpack.

        The files are those that `cp -r` of the bucket writes, and the root is the CID that `ipfs add -r --hidden` gives
        them under the profile `unixfs-v1-2025`. The same commit gives the same bytes. Only keys and bodies are in it: no
        metadata, tags, versions or delete markers, and no commit, so nobody can make the bucket of it. Keys that are no
        paths have other names, which the report counts; spec/format/35-files-view.md says which. Some hundred bytes for
        each object go to temporary files.

        Args:
            target, progress: as for `export_car`; *progress* is called with 0 while the folders are made.
            prefix: only keys that begin with it; each is at the path of its whole key.

        Raises:
            NoSuchCommit: the bucket was never flushed.
            InvalidInput: no key can begin so.
            Unsupported: two names of one large folder have the same hash; the message names them.
            CorruptionError, StorageError: as `export_car`.
        """
        with self._held() as (context, name, lease), written(target) as file:
            return export_files(context, name, lease, prefix, file, lease.during(progress))


@verbs
class BucketExports(Exports):
    """The part of `Bucket` that writes its newest commit to a file."""

    name: str
    _context: Context

    @contextmanager
    def _held(self) -> Iterator[tuple[Context, str, Lease]]:
        _, lease = hold_newest(self._context, self.name)
        with lease:
            yield self._context, self.name, lease


@verbs
class ViewExports(Exports):
    """The part of `BucketView` that writes its commit to a file."""

    _view: views.View

    @contextmanager
    def _held(self) -> Iterator[tuple[Context, str, Lease]]:
        self._view.blocks.check()
        yield self._view.context, self._view.bucket, self._view.lease

    def resume_export(
        self, path: str | os.PathLike[str], *, progress: Callable[[int], object] | None = None
    ) -> ExportReport:
        """Make a file that holds the beginning of the export, or nothing, the whole export; call it again after a failure.

        The file is written in place, so that it can be continued. What is there is hashed and compared with what the
        commit demands, without a look at the store; from the first byte that is not as it must be, it is written anew.

        Args:
            path: of the file; it is made if it is not there.
            progress: as for `export_car`.

        Raises:
            Conflict: it is the beginning of an export of another commit, which the message names.
            InvalidCar, ForeignCar: it is something else. It is left as it is.
            CorruptionError, StorageError: as `export_car`; what was written stays.
        """
        with self._held() as (context, name, lease), continuing(Path(path)) as file:
            return exporting.resume(context, name, lease.commit.cid, file, lease.during(progress))
