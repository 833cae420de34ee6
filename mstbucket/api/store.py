"""A store: one database and one blob store, and the buckets in them."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mstbucket.api.arguments import verbs
from mstbucket.api.bucket import Bucket
from mstbucket.api.verbs.care import StoreCare
from mstbucket.api.verbs.collection import CollectionVerbs
from mstbucket.api.verbs.forks import StoreForks
from mstbucket.api.verbs.imports import StoreImports
from mstbucket.api.verbs.remotes import StoreRemotes
from mstbucket.api.verbs.settings import Settings
from mstbucket.api.verbs.upkeep import Upkeep
from mstbucket.blobs.base import BlobStore
from mstbucket.core.cid import from_text, to_text
from mstbucket.index import buckets
from mstbucket.later import later
from mstbucket.model.buckets import BucketInfo
from mstbucket.packs.frames.data_keys import KeySource
from mstbucket.pg.embedded import EmbeddedPostgres
from mstbucket.pg.url import database_url
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.api.rebuild import rebuild as rebuild_store
    from mstbucket.model.rebuild import RebuildReport
    from mstbucket.services.tree import look
    from mstbucket.services.tree.buckets import create as create_bucket
    from mstbucket.services.tree.buckets import delete as delete_bucket
    from mstbucket.services.upkeep.worker import Worker
else:
    rebuild_store = later("mstbucket.api.rebuild", "rebuild")
    look = later("mstbucket.services.tree.look")
    create_bucket = later("mstbucket.services.tree.buckets", "create")
    delete_bucket = later("mstbucket.services.tree.buckets", "delete")
    Worker = later("mstbucket.services.upkeep.worker", "Worker")


@verbs
class Store(StoreForks, StoreImports, StoreRemotes, StoreCare, CollectionVerbs, Upkeep, Settings):
    """An open store; made by `mstbucket.open`. Thread-safe. Close it, or use it in a `with` statement."""

    def __init__(
        self,
        context: Context,
        server: EmbeddedPostgres | None,
        background: bool,
        abort_uploads_after: timedelta | None = None,
        scrub_every: timedelta | None = None,
    ) -> None:
        self._context = context
        self._server = server
        ages = [None if age is None else age // timedelta(milliseconds=1) for age in (abort_uploads_after, scrub_every)]
        self._worker = Worker(context, *ages) if background else None

    @staticmethod
    def rebuild(
        path: str | os.PathLike[str] | None = None,
        *,
        database: str | None = None,
        blobs: str | os.PathLike[str] | BlobStore | None = None,
        postgres_bin: str | os.PathLike[str] | None = None,
        encryption: KeySource | None = None,
        hash_all: bool = False,
        accept_loss: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> RebuildReport:
        """Make the database of a store again, from its blobs alone, and say what came back and what is gone.

        Every bucket gets the newest commit that was published and is whole, under the same CID: a flush afterwards makes no
        new one, and an export is the same file byte for byte. Until the end no store can be opened in the database. Ended at
        any moment, another call goes on. The blobs are only read; nobody else may use them meanwhile.

        Args:
            path, database, blobs, postgres_bin: as for `mstbucket.open`. The database has to be empty.
            encryption: the key of an encrypted store, as for `mstbucket.open`.
            hash_all: read every byte of every pack and compare it with its CID. Without, large bodies are not read: that all
                their blocks are there is known then, and not that they are sound.
            accept_loss: make what can be made where something that was published is missing or damaged. Objects whose bodies
                are lost stay listed, and reading them is an error; of commits that lost more, the next older whole one is
                taken. Without, that is refused, and the message says what is missing.
            progress: called now and then with the bytes of the packs that were looked through.

        Raises:
            NotFound: there are no blobs of a store at that place.
            Conflict: there is something in the database, or another process rebuilds in it.
            MissingBlock: something is missing, and the loss was not accepted. Restore it and repeat the call, or accept.
            WrongKey: the store is encrypted, and the key was not given, or another one.
            Unsupported: the blobs are of a newer version of this package.
            StorageError: the database or the blob store failed; repeat the call.
        """
        return rebuild_store(
            path, database=database, blobs=blobs, postgres_bin=postgres_bin, encryption=encryption, hash_all=hash_all,
            accept_loss=accept_loss, progress=progress,
        )  # fmt: skip

    def create_bucket(self, name: str, *, object_lock: bool = False) -> Bucket:
        """Make an empty bucket, durably, and return it.

        Args:
            name: 3 to 63 characters by S3's rules: a-z, 0-9, '-' and '.', starting and ending with a letter or digit.
            object_lock: enable versioning and object lock, without a default retention, from the beginning and for good.

        Raises:
            InvalidBucketName: the name breaks a rule; the message says which.
            BucketAlreadyExists: there is one of that name in this store. Use `bucket` to open it.
        """
        create_bucket(self._context, name, object_lock)
        return Bucket(self._context, name)

    def bucket(self, name: str) -> Bucket:
        """Return the bucket `name`, which exists.

        Raises:
            NoSuchBucket: it does not; make it with `create_bucket`.
        """
        buckets.require(self._context.db, name)
        return Bucket(self._context, name)

    def delete_bucket(self, name: str) -> None:
        """Remove an empty bucket, durably; its commits and open uploads go with it. Unneeded blocks become garbage.

        Raises:
            NoSuchBucket: there is none of that name.
            BucketNotEmpty: it holds objects. Delete them first.
        """
        delete_bucket(self._context, name)

    def list_buckets(self) -> list[BucketInfo]:
        """Return every bucket of the store, in the order of names.

        Raises:
            StorageError: the database failed. Repeat the call.
        """
        return buckets.list_all(self._context.db)

    def get_block(self, cid: str) -> bytes:
        """Return the block of that CID, hashed: a chunk, a node of a body or of a tree, a manifest, or a commit.

        Raises:
            InvalidInput: it is no CID of this project's form.
            NoSuchBlock: the store has none. Nodes and manifests are there from the flush that made them.
            CorruptionError: the block is lost or damaged.
        """
        return look.block(self._context, from_text(cid))

    def list_links(self, cid: str) -> list[tuple[str, str]]:
        """Return the links of the block of that CID, in its order: their place in it, and the CID that they lead to.

        Raises:
            InvalidInput, NoSuchBlock, CorruptionError: as `get_block`.
        """
        return [(link.place, to_text(link.cid)) for link in look.links(self._context, from_text(cid))]

    @property
    def identity(self) -> str:
        """Which store this is: 32 hexadecimal digits, drawn when it was made, in its database and beside its blobs.

        A copy of the blobs at another place has the same.
        """
        return self._context.identity

    def conninfo(self) -> str:
        """Return the libpq connection string of the database, for tools of your own that read the views `mstbucket.v_…`.

        An embedded server is started if it has died. It answers as long as somebody has the store open, to the user who
        runs it only. A string that you gave is given back as it was, a password in it included. Writing to the tables by
        hand breaks the store.

        Raises:
            StorageError: the store is closed, or the embedded server does not start.
        """
        return self._context.db.conninfo()

    def database_url(self) -> str:
        """Return the address of the database as SQLAlchemy's `create_engine` and pandas' `read_sql` take it.

        Its sessions are read only, and find the views by their names alone. Otherwise it is as `conninfo`.

        Raises:
            StorageError: as `conninfo`.
        """
        return database_url(self._context.db.conninfo())

    def close(self) -> None:
        """End the background work and let go of the server. Repeatable.

        An embedded server stops with its last user; if that was this store, it has stopped when this returns, and the
        directory may be moved or removed.
        """
        if self._worker is not None:
            self._worker.close()
        self._context.db.close()
        self._context.blobs.release()
        if self._server is not None:
            self._server.close()
            if not self._server.is_shared():
                self._server.await_stopped()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
