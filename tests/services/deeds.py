"""What is done to a store in a child that ends in the middle: each deed with what a user may see afterwards.

`prepare` makes a store with something of everything. A deed is a list of steps, each of which is acknowledged on its own.
What a user sees after the child has ended MUST be what it was after the steps that were acknowledged, or after one more.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

import mstbucket
from mstbucket import errors
from mstbucket.limits import KIB, MIB, PART_SIZE_MIN

Step = Callable[[mstbucket.Store, Path], object]

DATA: Final = random.Random(7).randbytes(PART_SIZE_MIN + 100 * KIB)


@dataclass(frozen=True)
class Deed:
    """Steps, and what is broken before them.

    Attributes:
        spoil: is given the database's address and the directory of the store.
        again: whether all steps can be done once more, whatever was done before.
        seen: is given that directory, and returns what is seen there of what the deed makes beside the store.
    """

    steps: tuple[Step, ...]
    spoil: Callable[[str, Path], object] = lambda url, path: None
    again: bool = True
    seen: Callable[[Path], object] = lambda path: None


def prepare(store: mstbucket.Store, path: Path) -> None:
    """Two commits, changes that wait, versions and locks, a fork that has gone its own way, an upload, garbage, a CAR, and a
    folder to push to.
    """
    (path / "remote").mkdir()
    things = store.create_bucket("things")
    for n in range(40):
        things.put_object(f"small/{n}", b"%d" % n * 30)
    things.put_object("large", DATA[: MIB + 9])
    things.put_object("gone", DATA[9 : 3 * MIB])
    things.put_bucket_tagging({"a": "b"})
    things.flush()
    things.create_snapshot("first")
    store.fork("things", "forked")
    store.bucket("forked").put_object("small/1", b"of the fork")
    store.bucket("forked").put_object("new", b"new of the fork")
    store.bucket("forked").flush()
    things.export_car(path / "things.car")
    things.delete_object("gone")
    for n in range(30):
        things.put_object(f"small/{n}", b"%d" % n * 40)
    things.flush()
    things.put_object("waits", b"not flushed")
    upload = things.create_multipart_upload("uploaded")
    things.upload_part("uploaded", upload.id, 1, DATA)
    things.upload_part("uploaded", upload.id, 2, b"last")
    (path / "upload").write_text(upload.id)
    kept = store.create_bucket("kept", object_lock=True)
    for n in range(3):
        kept.put_object("doc", b"version %d" % n)
    kept.put_object("held", b"held", object_lock_legal_hold=True)
    kept.delete_object("doc")
    kept.flush()
    kept.put_object("doc", DATA[: 100 * KIB])
    empty = store.create_bucket("empty")
    empty.flush()
    other = store.create_bucket("other")
    other.put_object("alone", DATA[:-MIB])
    other.flush()
    other.delete_object("alone")
    other.flush()
    _sql(store.conninfo(), "DELETE FROM commits c WHERE seq < (SELECT seq FROM buckets b WHERE b.id = c.bucket) AND bucket ="
         " (SELECT id FROM buckets WHERE name = 'other')")  # fmt: skip


def look(store: mstbucket.Store) -> dict[str, Any]:
    """What a user sees, but for times and names that are drawn."""
    return {info.name: _look(store.bucket(info.name)) for info in store.list_buckets()}


def _look(bucket: mstbucket.Bucket) -> dict[str, Any]:
    versions = []
    for one in bucket.list_object_versions().versions:
        where = one.version_id if bucket.get_bucket_versioning() is not None else None
        body = None if one.delete_marker else _body(bucket, one.key, where)
        versions.append((one.key, one.is_latest, body))
    try:
        tags = bucket.get_bucket_tagging()
    except errors.NoSuchTagSet:
        tags = {}
    holds = []
    if bucket.name == "kept":
        with suppress(errors.NoSuchObjectLockConfiguration, errors.NoSuchKey):
            holds.append(bucket.get_object_legal_hold("held"))
    return {
        "objects": {item.key: _body(bucket, item.key, None) for item in bucket.objects()},
        "versions": versions, "tags": tags, "holds": holds, "snapshots": [one.name for one in bucket.snapshots()],
        "uploads": len(list(bucket.uploads())), "versioning": bucket.get_bucket_versioning(),
    }  # fmt: skip


def _body(bucket: mstbucket.Bucket, key: str, version: str | None) -> bytes | str:
    try:
        return bucket.get_object(key, version_id=version).read()
    except errors.CorruptionError as error:
        return type(error).__name__


def _sql(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True, options="-c search_path=mstbucket") as connection:
        connection.execute(statement.encode())


def _things(store: mstbucket.Store) -> mstbucket.Bucket:
    return store.bucket("things")


def _retain(store: mstbucket.Store, _: Path) -> None:
    for name in ("things", "forked", "kept"):
        store.bucket(name).put_retention(mstbucket.KeepPolicy(everything=None, last=1))


def _die(store: mstbucket.Store, _: Path) -> None:
    """A large body and what leads to it go out of the only commit that is kept."""
    other = store.bucket("other")
    other.put_retention(mstbucket.KeepPolicy(everything=None, last=1))
    other.put_object("dies", DATA[11 : 2 * MIB])
    other.flush()
    other.put_object("dies", b"other")
    other.flush()


def _complete(store: mstbucket.Store, path: Path) -> None:
    upload = (path / "upload").read_text()
    parts = [(one.number, one.etag) for one in _things(store).parts("uploaded", upload)]
    _things(store).complete_multipart_upload("uploaded", upload, parts)


def _upload(store: mstbucket.Store, path: Path) -> None:
    upload = (path / "upload").read_text()
    _things(store).upload_part("uploaded", upload, 2, DATA[5:])


def _lose_pack(url: str, path: Path) -> None:
    """The pack of the large object goes, and it is known."""
    with psycopg.connect(url, autocommit=True, options="-c search_path=mstbucket") as connection:
        rows = connection.execute(
            "UPDATE packs SET damaged = true WHERE id = (SELECT b.pack FROM objects o JOIN blocks b ON b.cid = o.content"
            " JOIN buckets t ON t.id = o.bucket WHERE o.key = 'large' AND t.name = 'things') RETURNING name"
        ).fetchall()
    [found] = (path / "blobs").rglob(rows[0][0].rpartition("/")[2] + "*")
    shutil.copy(found, path / "lost.car")
    found.unlink()


def _put_batch(store: mstbucket.Store, _: Path) -> None:
    bodies = (b"tiny", DATA[: 70 * KIB], DATA[3 : 2 * MIB])
    _things(store).put_objects(mstbucket.PutRequest(f"batch/{n}", body) for n, body in enumerate(bodies))


DEEDS: Final[dict[str, Deed]] = {
    "put small": Deed((lambda s, p: _things(s).put_object("small/1", b"other"),)),
    "put what is there": Deed((lambda s, p: _things(s).put_object("large copy", DATA[: MIB + 9]),)),
    "put large": Deed((lambda s, p: _things(s).put_object("large", DATA),)),
    "put many": Deed((_put_batch,)),
    "put a version": Deed((lambda s, p: s.bucket("kept").put_object("doc", DATA[1 : 90 * KIB]),), again=False),
    "copy": Deed((lambda s, p: _things(s).copy_object("large", "copied"),)),
    "delete": Deed((lambda s, p: _things(s).delete_object("large"),
                    lambda s, p: _things(s).delete_objects(["small/1", "small/2"]))),
    "bucket": Deed((lambda s, p: s.create_bucket("made"), lambda s, p: s.delete_bucket("empty")), again=False),
    "flush": Deed((lambda s, p: _things(s).flush(), lambda s, p: s.bucket("kept").flush())),
    "part": Deed((_upload,)),
    "complete": Deed((_complete,), again=False),
    "abort": Deed((lambda s, p: _things(s).abort_multipart_upload("uploaded", (p / "upload").read_text()),), again=False),
    "import": Deed((lambda s, p: s.import_car(p / "things.car", "imported"),), again=False),
    "fork": Deed((lambda s, p: s.fork("things", "again"),), again=False),
    "restore": Deed((lambda s, p: _things(s).restore("first"),)),
    "restore a prefix of versions": Deed((lambda s, p: s.bucket("kept").restore(1, prefix="d"),), again=False),
    "merge": Deed((lambda s, p: s.merge("forked", "things", prefer="theirs"),)),
    "snapshot": Deed((lambda s, p: _things(s).create_snapshot("second"), lambda s, p: _things(s).delete_snapshot("first")),
                     again=False),
    "retention": Deed((_retain, lambda s, p: s.maintain())),
    "collect": Deed((_retain, lambda s, p: s.collect(force=True, grace=0))),
    "collect and undo": Deed((lambda s, p: s.collect(force=True), lambda s, p: s.undo_collect(),
                              lambda s, p: s.collect(force=True, grace=0))),
    "sweep": Deed((_die, lambda s, p: s.maintain())),
    "compact": Deed((lambda s, p: s.compact(),)),
    "write again": Deed((lambda s, p: s.reencode(),)),
    "legal hold": Deed((lambda s, p: s.bucket("kept").put_object_legal_hold("held", False),)),
    "repair index": Deed(
        (lambda s, p: s.repair_index("things", accept_loss=True),),
        lambda url, path: _sql(url, "DELETE FROM objects WHERE key LIKE 'small/3%'")),
    "repair tree": Deed((lambda s, p: s.repair_tree("things", accept_loss=True),)),
    "repair blocks": Deed((lambda s, p: s.repair_blocks(p / "lost.car"),), _lose_pack),
    "repair lost": Deed(
        (lambda s, p: s.repair_lost("things", accept_loss=True), lambda s, p: s.repair_lost("forked", accept_loss=True),
         lambda s, p: (_things(s).flush(), s.bucket("forked").flush()),
         lambda s, p: [s.repair_lost(name, accept_loss=True) for name in ("things", "forked")]), _lose_pack),
}  # fmt: skip
