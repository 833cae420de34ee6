"""Deeds that make files beside the store, and stores: exports, backups, files to push to, keys, a second store."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import psycopg
from deeds import Deed
from psycopg import conninfo

import mstbucket
from mstbucket.api import dumping
from mstbucket.errors import BucketAlreadyExists, Conflict, NotFound, StorageError
from mstbucket.files.paths import is_temporary
from mstbucket.files.tree import Tree


def second(name: str) -> str:
    """The name of another database for the same try."""
    return f"{name}_second"


def _second_url(store: mstbucket.Store) -> str:
    """Another, empty database on the server of a store; it may be there from an earlier attempt, with what is in it."""
    url = store.conninfo()
    name = second(str(conninfo.conninfo_to_dict(url)["dbname"]))
    with psycopg.connect(url, autocommit=True) as connection, suppress(psycopg.errors.DuplicateDatabase):
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    return conninfo.make_conninfo(url, dbname=name)


def _open(store: mstbucket.Store, path: Path) -> None:
    with mstbucket.open(database=store.conninfo(), blobs=path / "blobs", background=False) as again:
        assert again.bucket("things").get_object("waits").read() == b"not flushed"


def _create(store: mstbucket.Store, path: Path) -> None:
    with mstbucket.open(database=_second_url(store), blobs=path / "new" / "blobs", background=False) as made:
        with suppress(BucketAlreadyExists):
            made.create_bucket("first")
        made.bucket("first").put_object("key", b"body" * 9999)
        assert made.bucket("first").get_object("key").read() == b"body" * 9999
        assert not made.check("data").findings


def _rebuild(store: mstbucket.Store, path: Path) -> None:
    url = _second_url(store)
    with suppress(Conflict):  # it was done before
        mstbucket.Store.rebuild(database=url, blobs=path / "blobs")
    with mstbucket.open(database=url, blobs=path / "blobs", background=False) as made:
        assert made.bucket("things").get_object("small/1").read() == b"1" * 40
        assert not [one for one in made.check("data").findings if one.severity == "damage"]


def _whole(path: Path) -> object:
    """What a CAR that was written to a file says: nothing of it is there, or it is whole."""
    return mstbucket.verify_car(path).objects if path.exists() else None


def _export(store: mstbucket.Store, path: Path) -> None:
    store.bucket("forked").export_car(path / "out.car")


def _replace(store: mstbucket.Store, path: Path) -> None:
    store.bucket("kept").export_car(path / "things.car")


def _indexed(store: mstbucket.Store, path: Path) -> None:
    store.bucket("forked").export_indexed(path / "out.car")


def _copy_out(_: mstbucket.Store, path: Path) -> None:
    try:
        with Tree(str(path / "copied")) as tree:
            for number in range(2):
                tree.write(f"folder/{number}", [b"%d" % number * 3000] * 3)
    except OSError as error:  # its caller says which file that was
        raise StorageError(str(error)) from error


def _copied(path: Path) -> object:
    """Files that are there are whole; those that are half done have a name that says so. How many there are is not told."""
    for file in (path / "copied").rglob("*"):
        if file.is_file() and not is_temporary(os.fsencode(file.name)):
            assert file.read_bytes() == file.name.encode() * 9000
    return None


def _push(store: mstbucket.Store, path: Path) -> None:
    store.bucket("forked").push(mstbucket.FileRemote(path / "remote"))


def _pushed(path: Path) -> object:
    """What head files name: all of it is there and whole."""
    named = 0
    for head in (path / "remote").glob("*/head"):
        for line in head.read_text().splitlines():
            digest, _, name = line.partition("  ")
            if len(digest) == 64 and name:
                assert hashlib.sha256((head.parent / name).read_bytes()).hexdigest() == digest
                named += 1
    return named


def _back_up(store: mstbucket.Store, path: Path) -> None:
    dumping.dump_store(None, store.conninfo(), None, path / "blobs", path / "backup")


def _backed_up(path: Path) -> object:
    """Whether there is a backup: of one that is there, all that a restore reads has to be whole."""
    try:
        report = dumping._read(path / "backup")
    except NotFound:
        return False
    dumping._database(path / "backup", report)
    return True


def _key(store: mstbucket.Store, path: Path) -> None:
    mstbucket.new_signing_key(path / "key.pem")


def _readable(path: Path) -> object:
    return bool(mstbucket.public_key(path / "key.pem")) if (path / "key.pem").exists() else None


FILE_DEEDS: Final[dict[str, Deed]] = {
    "open": Deed((_open,)),
    "create": Deed((_create,)),
    "rebuild": Deed((_rebuild,)),
    "export": Deed((_export,), seen=lambda path: _whole(path / "out.car")),
    "export over a file": Deed((_replace,), seen=lambda path: _whole(path / "things.car")),
    "export with an index": Deed((_indexed,), seen=lambda path: (path / "out.car").exists()),
    "copy out": Deed((_copy_out,), seen=_copied),
    "push": Deed((_push, _push), seen=_pushed),
    "back up": Deed((_back_up, lambda s, p: s.bucket("things").put_object("new", b"new"), _back_up), seen=_backed_up),
    "new key": Deed((_key,), seen=_readable, again=False),
}  # fmt: skip
