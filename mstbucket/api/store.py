"""A store: one database and one blob store, and the buckets in them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from mstbucket.api.arguments import guarded, verbs
from mstbucket.api.bucket import Bucket
from mstbucket.api.servers import POSTGRES, check_places, database_at, is_there
from mstbucket.api.verbs.care import SCRUB_EVERY, StoreCare
from mstbucket.api.verbs.collection import CollectionVerbs
from mstbucket.api.verbs.forks import StoreForks
from mstbucket.api.verbs.imports import StoreImports
from mstbucket.api.verbs.remotes import StoreRemotes
from mstbucket.api.verbs.settings import Settings
from mstbucket.api.verbs.upkeep import Upkeep
from mstbucket.blobs.base import BlobStore
from mstbucket.core.cid import from_text, to_text
from mstbucket.errors import InvalidInput, NotFound
from mstbucket.index import buckets, settings
from mstbucket.later import later
from mstbucket.limits import GIB, INLINE_MAX
from mstbucket.model.objects import BucketInfo
from mstbucket.packs.frames.data_keys import KeySource
from mstbucket.packs.frames.read import Packs
from mstbucket.pg.database import outlast
from mstbucket.pg.embedded import EmbeddedPostgres
from mstbucket.pg.migrate import make_ready
from mstbucket.pg.places import make_private
from mstbucket.pg.url import database_url
from mstbucket.services.blocks.blocks import StoreBlocks
from mstbucket.services.blocks.context import Context, Origin
from mstbucket.services.blocks.encoding import apply_settings
from mstbucket.services.blocks.frame_index import StoreFrames
from mstbucket.services.blocks.identity import open_place, require_store, require_vacant, require_vacant_for_new

if TYPE_CHECKING:
    from mstbucket.api.rebuild import rebuild as rebuild_store
    from mstbucket.blobs.media.cache import CachedBlobs
    from mstbucket.blobs.media.places import is_url
    from mstbucket.model.rebuild import RebuildReport
    from mstbucket.packs.frames.zstd import parse_compression
    from mstbucket.services.tree import look
    from mstbucket.services.tree.buckets import create as create_bucket
    from mstbucket.services.tree.buckets import delete as delete_bucket
    from mstbucket.services.upkeep.worker import Worker
    from mstbucket.signing.keys import read_key
else:
    rebuild_store = later("mstbucket.api.rebuild", "rebuild")
    CachedBlobs = later("mstbucket.blobs.media.cache", "CachedBlobs")
    is_url = later("mstbucket.blobs.media.places", "is_url")
    parse_compression = later("mstbucket.packs.frames.zstd", "parse_compression")
    look = later("mstbucket.services.tree.look")
    create_bucket = later("mstbucket.services.tree.buckets", "create")
    delete_bucket = later("mstbucket.services.tree.buckets", "delete")
    Worker = later("mstbucket.services.upkeep.worker", "Worker")
    read_key = later("mstbucket.signing.keys", "read_key")

CACHE_SIZE: Final = GIB  # bytes of a cache, where nothing else is said
_BLOBS: Final = "blobs"


@guarded
def open(
    path: str | os.PathLike[str] | None = None,
    *,
    database: str | None = None,
    blobs: str | os.PathLike[str] | BlobStore | None = None,
    postgres_bin: str | os.PathLike[str] | None = None,
    background: bool = True,
    abort_uploads_after: timedelta | None = None,
    scrub_every: timedelta | None = SCRUB_EVERY,
    compression: str | None = None,
    encryption: KeySource | None = None,
    cache: str | os.PathLike[str] | None = None,
    cache_size: int = CACHE_SIZE,
    signing_key: str | os.PathLike[str] | None = None,
    create: bool = True,
) -> Store:
    """Open a store, and make it if it is not there: if neither the database nor the place of the blobs has one.

    With `path`, one directory holds everything: a real Postgres that runs while anybody has the store open, and the
    packs. Any number of processes may open it at once; the server ends with the last of them, however that ends.
    With `database` and `blobs`, your own server is used; the tables stand in its schema `mstbucket`.

    Args:
        path: the directory of an embedded store.
        database: a `postgresql://` URL or libpq connection string, of a server of version 14 or later.
        blobs: where the packs are: a directory, `file:///DIR`, `s3://BUCKET/PREFIX?endpoint=URL&region=NAME` with the
            credentials of the environment, `memory:` for tests, or a `BlobStore`; with `path` it may be left out.
        postgres_bin: directory of the Postgres programs to use instead of those installed with this package.
        background: fold changes by age and number on a thread of this process. Without, only `Bucket.flush` does.
        abort_uploads_after: that thread aborts multipart uploads which were initiated longer ago. None, the default,
            keeps them for ever; 7 days is what is usually set. It counts for all buckets of the store.
        scrub_every: another background thread reads and hashes every pack once in this time, 30 days by default; damage is
            recorded and logged (`scrub_coverage`). None: never.
        compression: `zstd`, `zstd:1` to `zstd:19`, or `none`, of packs written from now on. It is recorded in the store;
            None, the default, leaves what is. What was written before stays readable.
        encryption: the key of an encrypted store: the path of a file of 64 hexadecimal digits, `env:NAME`, or an object
            with `wrap` and `unwrap` (a key management service). A store that is not encrypted becomes it, for packs
            written from now on (`Store.reencode` is for the others), until `Store.stop_encryption`. None: for a store that
            is, `MSTBUCKET_KEY` or `MSTBUCKET_KEY_FILE` in the environment. Whoever loses the key loses the store. The
            database is not encrypted.
        cache: a directory of this machine in which parts of packs are kept that were read, for blobs that are far away.
            Processes and stores may share it. Packs that are not encrypted stand there in plain.
        cache_size: bytes that it holds at most; a little over 1 MiB is the least.
        signing_key: path of a key (`new_signing_key`) with which every commit is signed that this process makes. It is not
            recorded: a process without it makes commits that are not signed.
        create: whether a store is made where there is none; without, nothing is made anywhere.

    Raises:
        InvalidInput: neither `path` nor both of `database` and `blobs` were given, one of them is no path, or an age is
            negative.
        NotFound: there is no store, and none was to be made.
        WrongPlace: the blobs at that place are not those of this database's store, or there are none. Nothing was made.
        WrongKey: the store is encrypted, and the key was not given, or another one.
        StorageError: the directory or the server cannot be used; the message says why.
        Unsupported: the store was made by a newer version of this package, or of Postgres; or a library is not installed.
    """
    if (path is None) == (database is None):
        raise InvalidInput("open() takes the path of an embedded store, or database= and blobs= for your own server")
    if path is None and blobs is None:
        raise InvalidInput("open(database=…) needs blobs=…, the directory where the packs are")
    check_places(path, blobs, cache, postgres_bin)
    if scrub_every is not None and scrub_every < timedelta(0):
        raise InvalidInput(f"scrub_every={scrub_every} is negative: it is the time in which all is read once")
    if abort_uploads_after is not None and abort_uploads_after < timedelta(0):
        raise InvalidInput(f"abort_uploads_after={abort_uploads_after} is negative: it is the age of uploads to abort")
    if compression is not None:
        parse_compression(compression)  # what it cannot be is said before anything is made
    signer = None if signing_key is None else read_key(signing_key)
    server, is_new = None, False
    try:
        if path is not None:
            root = Path(path)
            is_new = not is_there(root / POSTGRES / "run")
            if is_new and not create:
                raise NotFound(f"there is no store at {root}")
            blobs = root / _BLOBS if blobs is None else blobs
            if is_new:
                require_vacant_for_new(root / POSTGRES, blobs, lambda: is_there(root / POSTGRES / "run"))
            server = EmbeddedPostgres(root / POSTGRES, programs=postgres_bin, top=root)
        assert blobs is not None
        db = database_at(server, database)
        try:
            if not create:
                outlast(lambda: require_store(db))
            # [PG-22] the server may be killed just now
            outlast(lambda: make_ready(db, server is not None, before_making=lambda: require_vacant(db, blobs)))
            if is_new and path is not None and blobs == Path(path) / _BLOBS:
                with contextlib.suppress(OSError):  # what is wrong is better said when it is opened
                    make_private(blobs)
            store, identity = outlast(lambda: open_place(db, blobs, create))
            if cache is not None:
                store = CachedBlobs(store, cache, cache_size)
            encoding = outlast(lambda: apply_settings(db, store, compression, encryption))
            blocks = StoreBlocks(db, Packs(store, StoreFrames(db), encoding.key))
            inline = settings.read(db).inline_max
            context = Context(
                db, store, blocks, encoding, identity, INLINE_MAX if inline is None else inline, signer,
                Origin(_named(blobs), encryption),
            )  # fmt: skip
            return Store(context, server, background, abort_uploads_after, scrub_every)
        except BaseException:
            db.close()
            raise
    except BaseException:
        if server is not None:
            server.close()
        raise


def _named(blobs: str | os.PathLike[str] | BlobStore) -> str | None:
    """The place of the blobs in a form that another process can open it by; None where there is none."""
    if isinstance(blobs, BlobStore):
        return None
    text = os.fsdecode(blobs)
    if is_url(text):
        return None if text.startswith("memory:") else text
    return os.path.abspath(text)


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
