"""A store made again from its blobs, where the database is lost."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mstbucket.api.arguments import guarded
from mstbucket.api.servers import check_places, database_of
from mstbucket.blobs.base import BlobStore
from mstbucket.errors import InvalidInput
from mstbucket.later import later
from mstbucket.packs.frames.data_keys import KeySource
from mstbucket.packs.frames.read import Packs
from mstbucket.pg.database import Database
from mstbucket.pg.migrate import make_ready
from mstbucket.pg.outlast import outlast
from mstbucket.services.blocks.blocks import StoreBlocks
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.encoding import recover_settings
from mstbucket.services.blocks.frame_index import StoreFrames
from mstbucket.services.blocks.identity import place_to_rebuild

if TYPE_CHECKING:
    from mstbucket.model.rebuild import RebuildReport
    from mstbucket.services.rebuild.rebuild import claim
    from mstbucket.services.rebuild.rebuild import rebuild as run
else:
    claim = later("mstbucket.services.rebuild.rebuild", "claim")
    run = later("mstbucket.services.rebuild.rebuild", "rebuild")


@guarded
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
    """See `Store.rebuild`."""
    if (path is None) == (database is None):
        raise InvalidInput("rebuild() takes the path of an embedded store, or database= and blobs= for your own server")
    if path is None and blobs is None:
        raise InvalidInput("rebuild(database=…) needs blobs=…, the place where the packs are")
    check_places(path, blobs, postgres_bin)
    place = blobs if blobs is not None else Path(os.fsdecode(path or "")) / "blobs"
    store, identity = place_to_rebuild(place)
    with contextlib.ExitStack() as stack:
        stack.callback(store.release)
        db, server = database_of(path, database, postgres_bin)
        if server is not None:
            stack.callback(server.close)
        stack.enter_context(db)
        return _run(db, store, identity, server is not None, encryption, hash_all, accept_loss, progress)


def _run(
    db: Database,
    store: BlobStore,
    identity: str,
    embedded: bool,
    encryption: KeySource | None,
    hash_all: bool,
    accept_loss: bool,
    progress: Callable[[int], object] | None,
) -> RebuildReport:
    outlast(lambda: make_ready(db, embedded=embedded))
    outlast(lambda: claim(db, identity))
    encoding = recover_settings(db, store, encryption)
    blocks = StoreBlocks(db, Packs(store, StoreFrames(db), encoding.key))
    return run(Context(db, store, blocks, encoding, identity), hash_all, accept_loss, progress)
