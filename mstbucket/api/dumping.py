"""A backup of a whole store in one directory, database and blobs, and a new store made of it ([CLI-153], [CLI-154])."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Final

from mstbucket.api.servers import POSTGRES, database_of
from mstbucket.blobs.base import BlobStore
from mstbucket.blobs.media.copy import CopyReport, copy_blobs
from mstbucket.blobs.media.places import is_url, open_blobs, open_existing_blobs
from mstbucket.blobs.names import PACKS
from mstbucket.errors import Conflict, FormatError, HashMismatch, InvalidInput, NotFound, StorageError
from mstbucket.files.paths import is_temporary
from mstbucket.files.whole import declared, make_folders, replacing, sync
from mstbucket.index import packs
from mstbucket.index import store as store_row
from mstbucket.pg.database import Database
from mstbucket.pg.embedded import EmbeddedPostgres
from mstbucket.pg.outlast import outlast
from mstbucket.pg.psql import Programs, run_dump, run_restore
from mstbucket.services.blocks.identity import require_store

DATABASE: Final = "database.dump"
BLOBS: Final = "blobs"
ABOUT: Final = "dump.json"
_PARTIAL: Final = ".partial"
_ATTEMPTS: Final = 5  # of a dump, each of which found packs gone that it names

Tell = Callable[[int], object] | None


@dataclass(frozen=True, slots=True)
class DumpReport:
    """A backup that was made.

    Attributes:
        identity: of the store.
        database: bytes of the dump; `sha256` is its digest.
        copied, bytes, present: blobs that were copied, their bytes, and how many the backup had already.
    """

    identity: str
    database: int
    sha256: str
    copied: int
    bytes: int
    present: int


def dump_store(
    path: Path | None, database: str | None, postgres_bin: Programs, blobs: str | Path, target: Path, tell: Tell = None
) -> DumpReport:
    """Write a backup of a store, which may be in use, into the directory *target*; repeated, it copies only new blobs.

    The database comes first, as one snapshot has it, then the blobs. If packs went in between that it names, both come
    again. Until the end the backup before stays whole; ended at any moment, call it again.

    Args:
        path, database, postgres_bin, blobs: where the store is, as for `mstbucket.open`.
        target: made if it is not there.
        tell: called now and then with the bytes of blobs that were copied.

    Raises:
        NotFound: there is no store.
        Conflict: *target* is the backup of another store, or holds something else; or packs go faster than they come.
        InvalidInput: *target* is inside the store.
        Unsupported: there is no `pg_dump`.
        StorageError: the database, the blobs or the target failed; repeat the call.
    """
    _require_outside(target, path, blobs)
    source = open_existing_blobs(blobs)
    db, server = database_of(path, database, postgres_bin)
    try:
        with db:
            outlast(lambda: require_store(db))
            identity = store_row.read(db).identity
            assert identity is not None  # `require_store` has seen it
            _require_place(target, identity)
            make_folders(target / BLOBS)
            partial = target / (DATABASE + _PARTIAL)
            _settle(target)
            os.close(os.open(partial, os.O_CREAT | os.O_WRONLY, 0o600))  # the secrets of access keys will be in it
            done = _write(db, postgres_bin, source, open_blobs(target / BLOBS), partial, tell)
    finally:
        if server is not None:
            server.close()
    digest = _digest(partial)
    report = DumpReport(identity, partial.stat().st_size, digest, done.copied, done.bytes, done.present)
    with declared(f"{target} cannot be written"):
        sync(partial)
        sync(target)  # [CLI-153] from the next step on the backup is the new one, and its database is under this name yet
        with replacing(target / ABOUT) as about:
            about.write(json.dumps({"format": 1, **asdict(report)}).encode() + b"\n")
        os.replace(partial, target / DATABASE)
        sync(target)
    return report


def _settle(target: Path) -> None:
    """Give the database's dump its name, where a backup was ended just before that: the next one writes under the other."""
    partial = target / (DATABASE + _PARTIAL)
    with suppress(NotFound):
        if partial.exists() and _digest(partial) == _read(target).sha256:
            os.replace(partial, target / DATABASE)
            sync(target)


def _database(source: Path, report: DumpReport) -> Path:
    """[CLI-154] The dump of the database that a backup is of: the other one beside it is of an earlier or unfinished one.

    Raises:
        HashMismatch: neither is.
    """
    for name in (DATABASE, DATABASE + _PARTIAL):
        if (source / name).exists() and _digest(source / name) == report.sha256:
            return source / name
    what = "is damaged" if (source / DATABASE).exists() else "is missing"
    raise HashMismatch(f"{source / DATABASE} {what}: take another backup")


def _write(
    db: Database, programs: Programs, source: BlobStore, target: BlobStore, file: Path, tell: Tell
) -> CopyReport:
    """Write the database to *file*, and copy what it names.

    A pack may be compacted, or collected, after the snapshot of the database and before it is copied. Then the dump is of
    no use, and is made again. By then most of the blobs are there, so it is soon over.
    """
    total = CopyReport()

    def told(size: int) -> None:
        if tell is not None:
            tell(total.bytes + size)

    for _ in range(_ATTEMPTS):
        with db.snapshot() as connection:
            snapshot, named = packs.export_ready(connection)
            run_dump(db.conninfo(), programs, file, snapshot)
        done = copy_blobs(source, target, told)
        total.copied, total.bytes = total.copied + done.copied, total.bytes + done.bytes
        total.present = max(0, done.copied + done.present - total.copied)
        there = {info.name for info in target.list(PACKS)}
        missing = [name for name in named if name not in there]
        if packs.still_ready(db, missing) == len(missing):  # what is lost in the store itself no repetition brings
            return total
    raise Conflict("packs of the store are removed faster than they are copied: repeat the call, which copies only the rest")


def restore_store(source: Path, target: Path, postgres_bin: Programs, tell: Tell = None) -> DumpReport:
    """Make a new embedded store in *target*, which is not there or empty, of the backup in *source*.

    The store appears there when it is whole, and not before; ended at any moment, call it again.

    Raises:
        NotFound: there is no backup in *source*.
        Conflict: there is something in *target*; nothing was touched.
        FormatError, HashMismatch: the backup is damaged, or not of this form.
        Unsupported: there is no `pg_restore`.
        StorageError: the backup or the target failed, or the dump is of a newer Postgres than `pg_restore` reads.
    """
    report = _read(source)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Conflict(f"{target} is not empty, and a backup is restored into a new store only: name another directory")
    database = _database(source, report)
    target = Path(os.path.abspath(target))
    begun = target.with_name(f".{target.name}{_PARTIAL}")
    shutil.rmtree(begun, ignore_errors=True)  # of a restore that was ended
    make_folders(begun)
    server = EmbeddedPostgres(begun / POSTGRES, programs=postgres_bin, top=begun)
    try:
        server.start()
        run_restore(server.conninfo(), postgres_bin, database)
    finally:
        server.close()
        server.await_stopped()
    make_folders(begun / BLOBS)
    copy_blobs(open_existing_blobs(source / BLOBS), open_blobs(begun / BLOBS), tell)
    with declared(f"{target} cannot be made"):
        sync(begun)  # what is in it has its names before it has its own
        with suppress(FileNotFoundError):
            target.rmdir()
        os.replace(begun, target)
        sync(target.parent)
    return report


def _require_outside(target: Path, *places: str | Path | None) -> None:
    """A backup inside a store would be taken for its own, and be lost with it."""
    inside = target.resolve()
    for place in places:
        if place is not None and not is_url(os.fspath(place)):
            store = Path(place).resolve()
            if store == inside or store in inside.parents:
                raise InvalidInput(f"{target} is inside the store, in {place}: name a directory elsewhere")


def _require_place(target: Path, identity: str) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise InvalidInput(f"{target} is no directory: name one for the backup")
    with suppress(NotFound):
        if _read(target).identity != identity:
            raise Conflict(f"{target} is the backup of another store: name another directory")
        return
    if not all(_is_of_a_dump(one.name) for one in target.iterdir()):
        raise Conflict(f"{target} is not empty and holds no backup: name another directory")


def _is_of_a_dump(name: str) -> bool:
    """Whether a first dump that was ended may have left this."""
    return name in (BLOBS, DATABASE, DATABASE + _PARTIAL) or is_temporary(os.fsencode(name))


def _read(source: Path) -> DumpReport:
    try:
        found = json.loads((source / ABOUT).read_text(encoding="utf-8"))
        if found.pop("format") != 1:
            raise FormatError(f"{source / ABOUT} is of a newer version of this program")
        return DumpReport(**found)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"there is no backup in {source}: 'store dump' makes one") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FormatError(f"{source / ABOUT} is damaged: {error}") from error


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror}") from error
