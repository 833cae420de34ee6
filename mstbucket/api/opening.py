"""Opens a store: its server, its database, its blobs."""

from __future__ import annotations

import contextlib
import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mstbucket.api.arguments import guarded
from mstbucket.api.servers import POSTGRES, check_places, database_at, is_there
from mstbucket.api.store import Store
from mstbucket.api.verbs.care import SCRUB_EVERY
from mstbucket.blobs.base import BlobStore
from mstbucket.errors import InvalidInput, NotFound
from mstbucket.index import settings
from mstbucket.later import later
from mstbucket.limits import GIB, INLINE_MAX
from mstbucket.packs.frames.data_keys import KeySource
from mstbucket.packs.frames.read import Packs
from mstbucket.pg.embedded import EmbeddedPostgres
from mstbucket.pg.migrate import make_ready
from mstbucket.pg.outlast import outlast
from mstbucket.pg.places import make_private
from mstbucket.services.blocks.blocks import StoreBlocks
from mstbucket.services.blocks.context import Context, Origin
from mstbucket.services.blocks.encoding import apply_settings
from mstbucket.services.blocks.frame_index import StoreFrames
from mstbucket.services.blocks.identity import open_place, require_store, require_vacant, require_vacant_for_new

if TYPE_CHECKING:
    from mstbucket.blobs.media.cache import CachedBlobs
    from mstbucket.blobs.media.places import is_url
    from mstbucket.packs.frames.zstd import parse_compression
    from mstbucket.signing.keys import read_key
else:
    CachedBlobs = later("mstbucket.blobs.media.cache", "CachedBlobs")
    is_url = later("mstbucket.blobs.media.places", "is_url")
    parse_compression = later("mstbucket.packs.frames.zstd", "parse_compression")
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
