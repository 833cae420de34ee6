"""Good bytes mend bad ones: what can happen to a pack, times who reads it or brings the bytes, and what each must do."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

import mstbucket
from mstbucket.cli.main import main
from mstbucket.core import car
from mstbucket.core.cid import from_text, raw_cid
from mstbucket.errors import BlocksMoved, CorruptionError, HashMismatch, MstBucketError, StorageError
from mstbucket.limits import KIB, MIB, PART_SIZE_MIN
from mstbucket.services.blocks.incoming import Incoming
from mstbucket.services.objects import copy as copying
from mstbucket.services.tree.import_car import import_car

pytestmark = pytest.mark.early

BODY: Final = random.Random(1).randbytes(3 * MIB)
SMALL: Final = random.Random(2).randbytes(1000)


def flip(pack: Path) -> None:
    """One bit in every block."""
    data = bytearray(pack.read_bytes())
    start = len(car.header(raw_cid(b"")))
    for _, offset, length in car.parse_window(bytes(data[start:]), start):
        if length:
            data[offset + length // 2] ^= 1
    pack.write_bytes(data)


def cut(pack: Path) -> None:
    os.truncate(pack, 200)


DAMAGES: Final[dict[str, Callable[[Path], None]]] = {"flip": flip, "cut": cut, "remove": Path.unlink}


def packs(blobs: Path) -> list[Path]:
    return sorted(blobs.rglob("packs/*/*.car*"))


def harm(blobs: Path, damage: str) -> dict[Path, bytes]:
    """Damage every pack; what they were."""
    whole = {pack: pack.read_bytes() for pack in packs(blobs)}
    for pack in whole:
        DAMAGES[damage](pack)
    return whole


def found(bucket: mstbucket.Bucket) -> None:
    """The damage is met by a reader."""
    for key in ("large", "small"):
        with pytest.raises(CorruptionError):
            bucket.get_object(key).read()


def marked(bucket: mstbucket.Bucket) -> int:
    with bucket._context.db.connection() as connection:
        row = connection.execute("SELECT count(*) FROM packs WHERE damaged").fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def written(bucket: mstbucket.Bucket, blobs: Path) -> mstbucket.Bucket:
    """A large and a small object, flushed, so that both are in packs."""
    bucket.put_object("large", BODY)
    bucket.put_object("small", SMALL)
    bucket.flush()
    bucket.export_car(blobs.parent / "good.car")
    return bucket


# --- who brings the bytes ------------------------------------------------------------------------------------------------


def put_again(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    bucket.put_object("large", BODY)
    bucket.put_object("small", SMALL)


def put_under_other_keys(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    bucket.put_object("other/large", BODY)
    bucket.put_object("other/small", SMALL)


def put_in_bulk(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    bucket.put_objects([mstbucket.PutRequest("x", SMALL), mstbucket.PutRequest("y", BODY)])


def put_small_ones_in_bulk(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    bucket.put_objects([mstbucket.PutRequest("x", SMALL), mstbucket.PutRequest("y", b"another")])
    bucket.put_object("large", BODY)


def put_in_parts(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    upload = bucket.create_multipart_upload("parts")
    first = bucket.upload_part("parts", upload.id, 1, BODY + BODY[: PART_SIZE_MIN - len(BODY)])
    second = bucket.upload_part("parts", upload.id, 2, SMALL)
    bucket.complete_multipart_upload("parts", upload.id, [(1, first.etag), (2, second.etag)])
    bucket.put_object("again", BODY)  # its node, which no part brings


def copy_across(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    with mstbucket.open(tmp_path / "second", background=False) as other:
        there = other.create_bucket("there")
        put_again(there, tmp_path)
        for key in ("large", "small"):
            bucket.copy_object(key, f"copied/{key}", source_bucket=there)


def import_again(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    with (tmp_path / "good.car").open("rb") as car:
        import_car(bucket._context, car, "imported", None, None, lambda cid, commit: None)
    assert bucket.verify().objects == 2  # the nodes of the tree came too


def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "large").write_bytes(BODY)
    (folder / "small").write_bytes(SMALL)
    return folder


BRINGERS: Final[dict[str, Callable[[mstbucket.Bucket, Path], None]]] = {
    "put again": put_again,
    "put under other keys": put_under_other_keys,
    "put in bulk": put_in_bulk,
    "put small ones in bulk": put_small_ones_in_bulk,
    "put in parts": put_in_parts,
    "copy from another store": copy_across,
    "import": import_again,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("bringer", BRINGERS)
def test_whoever_brings_the_bytes_mends_every_object_that_needs_them(
    bringer: str, damage: str, written: mstbucket.Bucket, blobs: Path, tmp_path: Path
) -> None:
    """[PUT-13]: once a reader has met the damage."""
    broken = harm(blobs, damage)
    found(written)
    BRINGERS[bringer](written, tmp_path)
    assert written.get_object("large").read() == BODY
    assert written.get_object("small").read() == SMALL
    for pack in broken:  # nothing of it is read from there
        pack.unlink(missing_ok=True)
    assert written.get_object("large").read() == BODY
    assert written.get_object("small").read() == SMALL


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("command", ["sync --checksum", "cp"])
def test_the_command_line_mends_too_and_sync_finds_the_damage_by_itself(
    command: str, damage: str, written: mstbucket.Bucket, blobs: Path, tmp_path: Path, database_url: str, monkeypatch: Any
) -> None:
    """[PUT-13] [SYNC-5]"""
    monkeypatch.setenv("MSTBUCKET_DATABASE", database_url)
    monkeypatch.setenv("MSTBUCKET_BLOBS", str(blobs))
    folder = files(tmp_path)
    harm(blobs, damage)
    if command == "cp":
        found(written)
        assert main(["cp", "-r", str(folder), "mst://things/"]) == 0
    else:
        assert main(["sync", "--checksum", str(folder), "mst://things/"]) == 0
    assert written.get_object("large").read() == BODY
    assert written.get_object("small").read() == SMALL


def test_small_bodies_that_are_mended_are_in_packs_though_no_change_of_theirs_is_waiting(
    written: mstbucket.Bucket, blobs: Path
) -> None:
    """[PUT-13]: else a flush would not find them, and the blob store alone would not have the whole bucket."""
    written.put_object("same", SMALL)
    written.flush()
    harm(blobs, "remove")
    found(written)
    written.put_object("for a moment", SMALL)
    written.delete_object("for a moment")
    with written._context.db.connection() as connection:
        row = connection.execute("SELECT count(body) FROM blocks").fetchone()
    assert row == (0,)
    assert written.get_object("same").read() == SMALL


def test_a_damaged_body_in_the_database_is_replaced_by_the_one_that_comes(bucket: mstbucket.Bucket) -> None:
    """[PUT-13]"""
    for put in (
        lambda: bucket.put_object("small", SMALL),
        lambda: bucket.put_objects([mstbucket.PutRequest("small", SMALL), mstbucket.PutRequest("x", b"x")]),
    ):
        put()
        with bucket._context.db.connection() as connection:
            connection.execute("UPDATE blocks SET body = set_byte(body, 5, get_byte(body, 5) # 1) WHERE length = 1000")
        with pytest.raises(HashMismatch, match="in the database"):
            bucket.get_object("small").read()
        put()
        assert bucket.get_object("small").read() == SMALL
    bucket.flush()
    assert bucket.verify().objects == 2


# --- who brings no bytes -------------------------------------------------------------------------------------------------


def elsewhere(bucket: mstbucket.Bucket) -> mstbucket.Bucket:
    return mstbucket.Bucket(bucket._context, "elsewhere")


def complete(bucket: mstbucket.Bucket) -> None:
    upload = bucket.list_multipart_uploads(prefix="new").uploads[0]
    parts = bucket.list_parts("new", upload.id).parts
    bucket.complete_multipart_upload("new", upload.id, [(part.number, part.etag) for part in parts])


def copy_a_part(bucket: mstbucket.Bucket) -> None:
    upload = bucket.list_multipart_uploads(prefix="new").uploads[0]
    bucket.upload_part_copy("new", upload.id, 3, "large", range=f"bytes={MIB}-{2 * MIB}")


COPIERS: Final[dict[str, Callable[[mstbucket.Bucket], object]]] = {
    "copy": lambda bucket: bucket.copy_object("large", "new"),
    "copy a small one": lambda bucket: bucket.copy_object("small", "new"),
    "copy onto itself": lambda bucket: bucket.copy_object(
        "large", "large", metadata_directive="REPLACE", metadata={"a": "b"}
    ),
    "copy a version onto its own key": lambda bucket: bucket.copy_object("large", "large", source_version_id="null"),
    "copy to another bucket": lambda bucket: elsewhere(bucket).copy_object(
        "large", "new", source_bucket="things"
    ),
    "complete an upload": complete,
    "copy a part": copy_a_part,
}


@pytest.fixture
def begun(store: mstbucket.Store, written: mstbucket.Bucket) -> mstbucket.Bucket:
    """With a second bucket, and an upload of two parts."""
    store.create_bucket("elsewhere")
    upload = written.create_multipart_upload("new")
    written.upload_part("new", upload.id, 1, BODY + BODY[: PART_SIZE_MIN - len(BODY)])
    written.upload_part("new", upload.id, 2, SMALL)
    return written


def everything(bucket: mstbucket.Bucket) -> list[tuple[str, str, str]]:
    two = (bucket, elsewhere(bucket))
    return [(one.name, info.key, one.head_object(info.key).manifest) for one in two for info in one.objects()]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("copier", COPIERS)
def test_what_brings_no_bytes_makes_no_object_of_blocks_that_are_known_to_be_damaged(
    copier: str, damage: str, begun: mstbucket.Bucket, blobs: Path
) -> None:
    """[PUT-20]: and when they can be read again it does, whether or not the record has gone."""
    whole = harm(blobs, damage)
    found(begun)
    before = everything(begun)
    key = "new" if copier == "complete an upload" else "small" if "small" in copier else "large"
    with pytest.raises(CorruptionError, match=f"'{key}'") as caught:
        COPIERS[copier](begun)
    assert caught.value.key == key
    assert everything(begun) == before
    for pack, data in whole.items():
        pack.write_bytes(data)
    assert marked(begun) > 0
    COPIERS[copier](begun)


def test_what_is_sound_is_copied_though_damage_is_known_elsewhere(begun: mstbucket.Bucket, blobs: Path) -> None:
    """[PUT-20]"""
    harm(blobs, "flip")
    found(begun)
    other = BODY[::-1]
    begun.put_object("other", other)
    begun.put_object("inline", b"in the database")
    for key in ("other", "inline"):
        begun.copy_object(key, f"copied/{key}")
    assert begun.get_object("copied/other").read() == other
    assert begun.get_object("copied/inline").read() == b"in the database"


def test_a_source_that_is_overwritten_while_it_is_looked_at_is_looked_at_again(
    begun: mstbucket.Bucket, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PUT-20]: what is copied is what was looked at."""
    whole = harm(blobs, "flip")
    found(begun)
    for pack, data in whole.items():
        pack.write_bytes(data)
    looked: list[bytes | None] = []

    def meanwhile(context: Any, source: Any, manifest: Any) -> None:
        looked.append(manifest.content)
        check_body(context, source, manifest)
        begun.put_object("large", BODY[: MIB + len(looked)] if len(looked) < 3 else BODY[:MIB])

    check_body = copying.check_body
    monkeypatch.setattr(copying, "check_body", meanwhile)
    begun.copy_object("large", "new")
    assert begun.get_object("new").read() == BODY[:MIB]
    assert len(set(looked)) == len(looked) == 4


@pytest.mark.parametrize("command", [["cp", "-r"], ["sync"], ["cp"]], ids=" ".join)
def test_the_command_line_copies_nothing_that_is_known_to_be_damaged(
    command: list[str], begun: mstbucket.Bucket, blobs: Path, database_url: str, monkeypatch: Any, capsys: Any
) -> None:
    """[PUT-20]: what is sound is copied all the same."""
    monkeypatch.setenv("MSTBUCKET_DATABASE", database_url)
    monkeypatch.setenv("MSTBUCKET_BLOBS", str(blobs))
    harm(blobs, "flip")
    found(begun)
    begun.put_object("sound", b"sound")
    from_to = ["large", "elsewhere/large"] if command == ["cp"] else ["", "elsewhere/"]
    assert main([*command, f"mst://things/{from_to[0]}", f"mst://{from_to[1]}"]) != 0
    assert "large" in capsys.readouterr().err
    copied = [info.key for info in elsewhere(begun).objects()]
    assert copied == ([] if command == ["cp"] else ["sound"])


# --- how much is written, and when the record goes -----------------------------------------------------------------------


def test_of_a_damaged_pack_only_the_damaged_blocks_are_written_again(bucket: mstbucket.Bucket, blobs: Path) -> None:
    """[PUT-13]"""
    body = random.Random(4).randbytes(8 * MIB)
    bucket.put_object("k", body)
    [pack] = packs(blobs)
    data = bytearray(pack.read_bytes())
    data[4 * MIB] ^= 1
    pack.write_bytes(data)
    with pytest.raises(HashMismatch):
        bucket.get_object("k").read()
    bucket.put_object("k", body)
    assert bucket.get_object("k").read() == body
    [new] = [path for path in packs(blobs) if path != pack]
    assert MIB < new.stat().st_size < MIB + 4 * KIB


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_pack_that_was_restored_counts_again(damage: str, written: mstbucket.Bucket, blobs: Path) -> None:
    """[PUT-13] [PUT-15]: nothing is written where it can be read again; a check that passes forgets the damage."""
    whole = harm(blobs, damage)
    found(written)
    assert marked(written) == 2
    for pack, data in whole.items():
        pack.write_bytes(data)
    put_again(written, blobs)
    assert packs(blobs) == sorted(whole)
    assert written.get_object("large").read() == BODY
    written.flush()
    assert written.verify().objects == 2
    assert marked(written) == 0


@pytest.mark.parametrize("reader", ["read", "a range", "export", "verify", "flush"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_whoever_meets_damage_records_it(
    reader: str, damage: str, written: mstbucket.Bucket, blobs: Path, tmp_path: Path
) -> None:
    """[PUT-13]"""
    written.put_object("dirty", b"waits")
    harm(blobs, damage)
    work: dict[str, Callable[[], object]] = {
        "read": lambda: written.get_object("large").read(),
        "a range": lambda: written.get_object("large", range=f"bytes={MIB}-{MIB + 5}").read(),
        "export": lambda: written.export_car(tmp_path / "x.car"),
        "verify": written.verify,
        "flush": written.flush,
    }
    with pytest.raises(CorruptionError):
        work[reader]()
    assert marked(written) >= 1


@pytest.mark.parametrize("damage", DAMAGES)
def test_compact_and_reencode_leave_a_damaged_pack_alone_record_it_and_remove_it_when_it_is_mended(
    damage: str, written: mstbucket.Bucket, blobs: Path, store: mstbucket.Store, database_url: str
) -> None:
    """[STO-7] [PUT-15]"""
    written.put_object("more", BODY[:MIB])
    written.put_object("even more", BODY[::-1])
    written.flush()
    whole = harm(blobs, damage)
    names = {pack.relative_to(blobs).as_posix() for pack in whole}
    assert set(store.compact().damaged) == names
    assert marked(written) == len(names) == 4
    assert {pack for pack in whole if pack.exists()} == ({*whole} if damage != "remove" else set())
    put_again(written, blobs)
    written.put_object("even more", BODY[::-1])
    assert written.get_object("large").read() == BODY
    left = set(store.compact().damaged)  # what the tree alone needs is damaged still
    assert left < names
    assert marked(written) == len(left) == 2
    with mstbucket.open(database=database_url, blobs=blobs, compression="zstd", background=False) as other:
        assert set(other.reencode().damaged) == left
    assert written.get_object("large").read() == BODY
    assert written.get_object("even more").read() == BODY[::-1]


def test_a_record_of_damage_holds_for_other_processes(
    written: mstbucket.Bucket, blobs: Path, open_store: Callable[[], mstbucket.Store]
) -> None:
    """[PUT-13]"""
    harm(blobs, "flip")
    found(written)
    other = open_store().bucket("things")
    other.put_object("large", BODY)
    assert from_text(other.put_object("small", SMALL).content) == from_text(written.head_object("small").content)
    assert other.get_object("large").read() == BODY
    assert written.get_object("small").read() == SMALL


@pytest.mark.parametrize("sound", [True, False])
def test_what_was_counted_on_in_a_pack_that_is_found_damaged_meanwhile_is_read_before_the_end(
    sound: bool, written: mstbucket.Bucket, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PUT-10] [PUT-13]: in one pass over a stream where it is sound, and else the caller is told."""
    seal = Incoming.seal

    def meanwhile(self: Incoming) -> None:
        seal(self)
        if not sound:
            harm(blobs, "flip")
        with written._context.db.connection() as connection:
            connection.execute("UPDATE packs SET damaged = true WHERE state = 'ready'")

    with monkeypatch.context() as patch:
        patch.setattr(Incoming, "seal", meanwhile)
        if sound:
            written.put_object("again", io.BytesIO(BODY))
            assert len(packs(blobs)) == 2
        else:
            with pytest.raises(BlocksMoved):
                written.put_object("again", io.BytesIO(BODY))
    written.put_object("again", io.BytesIO(BODY))
    assert written.get_object("again").read() == BODY


# --- files that the medium does not give -----------------------------------------------------------------------------------


def become_link(pack: Path) -> None:
    pack.unlink()
    pack.symlink_to("/nonexistent")


def become_pipe(pack: Path) -> None:
    pack.unlink()
    os.mkfifo(pack)


def become_folder(pack: Path) -> None:
    pack.unlink()
    pack.mkdir()


@pytest.mark.parametrize("spoil", [become_link, become_pipe, become_folder])
def test_bytes_that_come_again_mend_a_pack_whose_file_cannot_be_read(
    spoil: Callable[[Path], None], database_url: str, tmp_path: Path
) -> None:
    """[PUT-13] [BLOB-13]"""
    with mstbucket.open(database=database_url, blobs=tmp_path / "b", background=False) as store:
        bucket = store.create_bucket("things")
        bucket.put_object("k", BODY)
        [pack] = packs(tmp_path / "b")
        spoil(pack)
        with pytest.raises(MstBucketError):
            bucket.get_object("k").read()
        assert marked(bucket) == 1
        bucket.put_object("k", BODY)
        assert bucket.get_object("k").read() == BODY


def test_a_folder_that_is_not_followed_says_nothing_about_its_packs(written: mstbucket.Bucket, blobs: Path) -> None:
    """[PUT-13] [BLOB-13]"""
    (blobs / "packs").rename(blobs / "aside")
    (blobs / "packs").symlink_to("aside")
    written._context.blobs.release()
    with pytest.raises(StorageError):
        written.get_object("large").read()
    assert marked(written) == 0
