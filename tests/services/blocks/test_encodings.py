"""Stores of every encoding: the same objects, the same exports, and nothing opens without its key."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from seen import bodies_of, exported

import mstbucket
from mstbucket import errors
from mstbucket.blobs.base import BlobStore
from mstbucket.blobs.media.local import LocalBlobs
from mstbucket.blobs.media.memory import MemoryBlobs
from mstbucket.blobs.names import KEYS, PACKS, REFS, STORE, is_pack, parse_ref, parse_secret_ref
from mstbucket.core import cid as cids
from mstbucket.core.car_reader import CarReader
from mstbucket.limits import CHUNK_SIZE
from mstbucket.packs.frames.crypto import DataKey
from mstbucket.packs.frames.data_keys import find_key, key_wrapper
from mstbucket.packs.frames.read import Packs, TrailerIndex
from mstbucket.packs.scrub import scrub
from mstbucket.pg.database import Database
from mstbucket.services.blocks import encoding as encoding_service
from mstbucket.services.blocks.encoding import apply_settings

Open = Callable[..., mstbucket.Store]
SETTINGS = {
    "plain": {},
    "compressed": {"compression": "zstd"},
    "encrypted": {"encryption": "env:TEST_KEY"},
    "compressed and encrypted": {"compression": "zstd:1", "encryption": "env:TEST_KEY"},
}
SUFFIXES = {"plain": ".car", "compressed": ".car.zst", "encrypted": ".car.aes", "compressed and encrypted": ".car.zst.aes"}
every_encoding = pytest.mark.parametrize("encoding", SETTINGS)
framed_encodings = pytest.mark.parametrize("encoding", [name for name in SETTINGS if name != "plain"])
encrypted_encodings = pytest.mark.parametrize("encoding", ["encrypted", "compressed and encrypted"])


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two keys in the environment, under names that nothing looks at by itself."""
    monkeypatch.setenv("TEST_KEY", "5e" * 32)
    monkeypatch.setenv("OTHER_KEY", "07" * 32)
    monkeypatch.delenv("MSTBUCKET_KEY", raising=False)
    monkeypatch.delenv("MSTBUCKET_KEY_FILE", raising=False)


@pytest.fixture(params=["local", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """The blob store of the test's store."""
    return LocalBlobs(tmp_path / "blobs") if request.param == "local" else MemoryBlobs()


@pytest.fixture
def opened(open_store: Callable[..., mstbucket.Store], blobs: BlobStore) -> Open:
    """Opens the test's store with settings, any number of times."""
    return partial(open_store, blobs=blobs)


def fill(bucket: mstbucket.Bucket) -> None:
    """Objects of every size, some that compress and some that do not."""
    rng = random.Random(3)
    bucket.put_objects(
        mstbucket.PutRequest(f"dir {n % 7}/{n}", rng.choice([b"", rng.randbytes(300), b"text " * 900]), tags={"n": str(n)})
        for n in range(300)
    )
    bucket.put_object("noise", rng.randbytes(3 * CHUNK_SIZE + 5))
    bucket.put_object("text", b"the same again and again, " * 200_000)


@every_encoding
def test_a_bucket_is_the_same_in_every_encoding(
    encoding: str, opened: Open, blobs: BlobStore, second_store: mstbucket.Store
) -> None:
    """[EXP-1], [FRAME-1], [FRAME-3], [FRAME-7]: put, flush, get, ranges, export; import and export again; all of it."""
    store = opened(**SETTINGS[encoding])
    bucket = store.create_bucket("things")
    fill(bucket)
    before = bodies_of(bucket)
    commit = bucket.flush()
    assert bodies_of(bucket) == before
    rng = random.Random(4)
    for key in ("noise", "text"):
        for _ in range(20):
            start = rng.randrange(len(before[key]))
            stop = rng.randrange(start, len(before[key]))
            assert bucket.get_object(key, range=f"bytes={start}-{stop}").read() == before[key][start : stop + 1]
    assert bucket.verify().objects == 302
    file = exported(bucket)
    plain = second_store.import_car(io.BytesIO(file))
    assert exported(plain) == file
    assert bodies_of(plain) == before
    copy = store.import_car(io.BytesIO(file), "copy")
    assert copy.head_commit() == commit
    assert exported(copy) == file
    bucket.put_object("more", b"more")
    assert bucket.flush().prev == commit.cid
    packs = [info.name for info in blobs.list(PACKS)]
    assert all(is_pack(name) and name.endswith(SUFFIXES[encoding]) for name in packs)
    assert len({len(name) for name in packs}) == 1
    assert scrub(blobs).damaged == ()


@every_encoding
def test_an_import_gives_the_file_it_was_given(encoding: str, opened: Open, second_store: mstbucket.Store) -> None:
    """[IMP-2], [EXP-1]: the CAR of a plain store, into a store of every encoding and out again, byte for byte."""
    plain = second_store.create_bucket("things")
    fill(plain)
    plain.flush()
    file = exported(plain)
    store = opened(**SETTINGS[encoding])
    bucket = store.import_car(io.BytesIO(file))
    assert exported(bucket) == file
    assert bodies_of(bucket) == bodies_of(plain)
    assert bucket.verify().objects == 302


@framed_encodings
def test_a_compressed_pack_is_smaller_and_the_database_says_how_large_it_is(
    encoding: str, opened: Open, blobs: BlobStore, database_url: str
) -> None:
    """[FRAME-7]: text shrinks, noise hardly grows; rows of the index add up."""
    bucket = opened(**SETTINGS[encoding]).create_bucket("things")
    fill(bucket)
    bucket.flush()
    sizes = {info.name: info.size for info in blobs.list(PACKS)}
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT p.name, p.size, p.plain, p.encoding, f.n FROM mstbucket.packs p, "
            "LATERAL (SELECT sum(length(lengths)) / 8 FROM mstbucket.frames f WHERE f.pack = p.id) f (n)"
        ).fetchall()
        assert {name: size for name, size, *_ in rows} == sizes
        connection.execute("DELETE FROM mstbucket.packs")
        assert connection.execute("SELECT count(*) FROM mstbucket.frames").fetchone() == (0,)
    assert all(count >= 1 for *_, count in rows)
    wanted = {"compressed": "zstd", "encrypted": "aes", "compressed and encrypted": "zstd+aes"}
    assert {text for *_, text, _ in rows} == {wanted[encoding]}
    ratio = sum(size for _, size, *_ in rows) / sum(plain for _, _, plain, *_ in rows)
    assert ratio < 0.5 if "compression" in SETTINGS[encoding] else 1 < ratio < 1.01


# --- names, keys, and what is recorded ---------------------------------------------------------------------------------


@encrypted_encodings
def test_names_and_bytes_of_an_encrypted_store_tell_nothing(encoding: str, opened: Open, blobs: BlobStore) -> None:
    """[FRAME-14], [FRAME-19]: no CID, no key, no text of the objects; the key itself neither."""
    bucket = opened(**SETTINGS[encoding]).create_bucket("things")
    bucket.put_object("a secret key", b"a secret body " * 10_000)
    bucket.put_object("another", b"and another")
    commit = bucket.flush()
    again = bucket.flush()
    assert again == commit
    found = {info.name: blobs.get_range(info.name, 0, info.size) for info in blobs.list()}
    (ref,) = [name for name in found if name.startswith(REFS)]
    assert parse_ref(ref) is None
    assert (parse_secret_ref(ref) or ("", 0, b""))[:2] == (commit.bucket, 1)
    raw = cids.from_text(commit.cid)
    for name, data in found.items():
        assert commit.cid not in name
        assert raw.hex() not in name
        for secret in (raw[4:], b"secret", b"another", bytes.fromhex("5e" * 32), b"sha256", b"\x01\x55\x12\x20"):
            assert secret not in data


@encrypted_encodings
def test_an_encrypted_store_opens_with_its_key_only(
    encoding: str, opened: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """[FRAME-15]"""
    bucket = opened(**SETTINGS[encoding]).create_bucket("things")
    bucket.put_object("k", b"v" * 100_000)
    with pytest.raises(errors.WrongKey, match=r"open it with encryption=…, or set MSTBUCKET_KEY"):
        opened()
    with pytest.raises(errors.WrongKey, match="not the one"):
        opened(encryption="env:OTHER_KEY")
    with pytest.raises(errors.InvalidInput, match="no variable"):
        opened(encryption="env:NOBODY_HAS_THIS")
    path = tmp_path / "key"
    path.write_text("5e" * 32)
    for store in (opened(encryption=str(path)), opened(encryption=path), opened(encryption="env:TEST_KEY")):
        assert store.bucket("things").get_object("k").read() == b"v" * 100_000
    monkeypatch.setenv("MSTBUCKET_KEY_FILE", str(path))
    again = opened()  # by the environment, and with what is recorded
    again.bucket("things").put_object("l", b"w" * 100_000)
    assert again.bucket("things").get_object("l").read() == b"w" * 100_000
    monkeypatch.setenv("MSTBUCKET_KEY", "07" * 32)
    with pytest.raises(errors.WrongKey):
        opened()


def test_a_key_in_the_environment_encrypts_nothing_by_itself(
    opened: Open, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[FRAME-15]"""
    monkeypatch.setenv("MSTBUCKET_KEY", "5e" * 32)
    bucket = opened().create_bucket("things")
    bucket.put_object("k", b"v" * 100_000)
    bucket.flush()
    assert list(blobs.list(KEYS)) == []
    assert all(info.name.endswith(".car") for info in blobs.list() if info.name != STORE)


def test_settings_are_recorded_and_old_packs_stay_readable(opened: Open, blobs: BlobStore) -> None:
    """[FRAME-3], [FRAME-15]: plain, compressed, encrypted, compressed again and not; one store, every pack is read."""
    steps: list[tuple[dict[str, str], str]] = [
        ({}, ".car"),
        ({"compression": "zstd:9"}, ".car.zst"),
        ({}, ".car.zst"),
        ({"compression": "none"}, ".car"),
        ({"encryption": "env:TEST_KEY"}, ".car.aes"),
        ({"encryption": "env:TEST_KEY", "compression": "zstd"}, ".car.zst.aes"),
        ({"encryption": "env:TEST_KEY"}, ".car.zst.aes"),
    ]
    bodies: dict[str, bytes] = {}
    opened().create_bucket("things")
    for number, (settings, suffix) in enumerate(steps):
        before = {info.name for info in blobs.list(PACKS)}
        bucket = opened(**settings).bucket("things")
        bodies[str(number)] = b"%d" % number * 100_000
        bucket.put_object(str(number), bodies[str(number)])
        (new,) = {info.name for info in blobs.list(PACKS)} - before
        assert new.endswith(suffix)
        bucket.flush()
        assert bodies_of(bucket) == bodies
    assert bucket.verify().objects == len(steps)
    with pytest.raises(errors.InvalidInput, match="use 'zstd'"):
        opened(compression="gzip", encryption="env:TEST_KEY")


def test_who_opened_a_store_before_it_was_encrypted_cannot_write_plain_packs(opened: Open, blobs: BlobStore) -> None:
    """[FRAME-18]"""
    old = opened()
    bucket = old.create_bucket("things")
    bucket.put_object("plain", b"p" * 100_000)
    new = opened(encryption="env:TEST_KEY")
    before = [info.name for info in blobs.list(PACKS)]
    with pytest.raises(errors.WrongKey, match="made an encrypted one since"):
        bucket.put_object("k", b"v" * 100_000)
    bucket.put_object("small", b"in the database")
    with pytest.raises(errors.WrongKey, match="made an encrypted one since"):
        bucket.flush()
    assert [info.name for info in blobs.list(PACKS)] == before
    new.bucket("things").put_object("k", b"v" * 100_000)
    with pytest.raises(errors.WrongKey, match="open the store with its key"):
        bucket.get_object("k").read()
    assert new.bucket("things").flush().objects == 3
    assert set(bodies_of(new.bucket("things"))) == {"plain", "small", "k"}


def test_of_two_who_encrypt_a_store_at_once_one_key_stays(opened: Open, blobs: BlobStore, database_url: str) -> None:
    """[FRAME-10]: whoever comes second takes the first one's."""
    script = (
        "import sys, mstbucket\n"
        "settings = {'encryption': 'env:TEST_KEY', 'background': False}\n"
        "with mstbucket.open(database=sys.argv[1], blobs=sys.argv[2], **settings) as store:\n"
        "    print(store._context.encoding.key.id.hex())\n"
    )
    opened()
    place = str(blobs._root) if hasattr(blobs, "_root") else None
    if place is None:  # memory has no other process; two threads then
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(4) as pool:
            stores = list(pool.map(lambda _: opened(encryption="env:TEST_KEY"), range(4)))
        ids = {store._context.encoding.key.id for store in stores if store._context.encoding.key is not None}
    else:
        root = Path(mstbucket.__file__).parents[1]
        command = [sys.executable, "-c", script, database_url, place]
        environment = os.environ | {"PYTHONPATH": str(root)}
        running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        ids = {process.communicate()[0].strip() for process in running}
    assert len(ids) == 1
    assert len(list(blobs.list(KEYS))) == 1


def test_a_key_that_somebody_else_found_and_recorded_first_stays(
    opened: Open, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[FRAME-10]: the second process finds the blob of the first one, and is faster with it."""
    opened()
    put_key = encoding_service.put_key

    def overtaken(*arguments: Any) -> Any:
        made = put_key(*arguments)
        monkeypatch.setattr(encoding_service, "put_key", put_key)
        others.append(opened(encryption="env:TEST_KEY"))
        return made

    others: list[mstbucket.Store] = []
    monkeypatch.setattr(encoding_service, "put_key", overtaken)
    mine = opened(encryption="env:TEST_KEY")
    keys = [store._context.encoding.key for store in (mine, *others)]
    assert [key.id for key in keys if key is not None] == [keys[0].id] * 2 if keys[0] is not None else []
    assert len(list(blobs.list(KEYS))) == 1


@encrypted_encodings
def test_rotation_wraps_the_key_anew_and_touches_no_pack(encoding: str, opened: Open, blobs: BlobStore) -> None:
    """[FRAME-16]"""
    store = opened(**SETTINGS[encoding])
    bucket = store.create_bucket("things")
    fill(bucket)
    bucket.flush()
    before = {info.name: blobs.get_range(info.name, 0, info.size) for info in blobs.list() if not info.name.startswith(KEYS)}
    old = [info.name for info in blobs.list(KEYS)]
    store.rotate_key("env:OTHER_KEY")
    after = {info.name: blobs.get_range(info.name, 0, info.size) for info in blobs.list() if not info.name.startswith(KEYS)}
    assert after == before
    (new,) = [info.name for info in blobs.list(KEYS)]
    assert [new] != old
    with pytest.raises(errors.WrongKey):
        opened(**SETTINGS[encoding])
    again = opened(encryption="env:OTHER_KEY")
    assert bodies_of(again.bucket("things")) == bodies_of(bucket)  # who has it open goes on
    bucket.put_object("more", b"m" * 100_000)
    assert again.bucket("things").get_object("more").read() == b"m" * 100_000
    store.rotate_key("env:TEST_KEY")
    opened(**SETTINGS[encoding])


def test_what_is_not_encrypted_has_no_key_to_rotate(opened: Open) -> None:
    """[FRAME-16]"""
    with pytest.raises(errors.InvalidInput, match="not encrypted"):
        opened(compression="zstd").rotate_key("env:TEST_KEY")


# --- without the database, and with a damaged one ----------------------------------------------------------------------


@framed_encodings
def test_a_store_without_its_database_is_read_with_the_key(encoding: str, opened: Open, blobs: BlobStore) -> None:
    """[FRAME-8], [FRAME-10]: wrapped key, newest commit, and every block of it, from the blob store alone."""
    bucket = opened(**SETTINGS[encoding]).create_bucket("things")
    fill(bucket)
    commit = bucket.flush()
    with io.BytesIO(exported(bucket)) as file:
        wanted = {cid: block for cid, block, _ in CarReader(file)}
    found = find_key(blobs, key_wrapper("env:TEST_KEY"))
    assert (found is not None) == ("encryption" in SETTINGS[encoding])
    key = None if found is None else found[2]
    packs = Packs(blobs, TrailerIndex(blobs, key), key)
    blocks: dict[bytes, bytes] = {}
    roots: dict[str, bytes] = {}
    for info in blobs.list():
        if not info.name.startswith((KEYS, STORE)):
            reader = CarReader(io.BytesIO(packs.get_range(info.name, 0, packs.head(info.name).size)))
            blocks |= {cid: block for cid, block, _ in reader}
            roots[info.name] = reader.root
    assert {cid: blocks[cid] for cid in wanted} == wanted
    assert cids.to_text(next(root for name, root in roots.items() if name.startswith(REFS))) == commit.cid


def test_a_new_database_takes_over_the_key_that_the_blob_store_has(
    opened: Open, blobs: BlobStore, second_database_url: str
) -> None:
    """[FRAME-10]"""
    first = opened(encryption="env:TEST_KEY")
    with Database(second_database_url) as db:
        with pytest.raises(errors.WrongKey, match="not wrapped with this one"):
            apply_settings(db, blobs, None, "env:OTHER_KEY")
        one, two = first._context.encoding.key, apply_settings(db, blobs, None, "env:TEST_KEY").key
    assert isinstance(one, DataKey)
    assert isinstance(two, DataKey)
    assert one.id == two.id
    assert len(list(blobs.list(KEYS))) == 1


@framed_encodings
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM mstbucket.frames",
        "UPDATE mstbucket.frames SET lengths = substr(lengths, 1, 7)",
        "UPDATE mstbucket.frames SET lengths = decode('0000000000000000', 'hex') || lengths",
        "UPDATE mstbucket.frames SET lengths = substr(lengths, 9)",
        "UPDATE mstbucket.frames SET lengths = decode('ffffffffffffffff', 'hex') || lengths",
        "UPDATE mstbucket.frames SET stored = stored + 1",
        "UPDATE mstbucket.frames SET start = start + 1",
        "UPDATE mstbucket.frames SET number = number + 1",
        "UPDATE mstbucket.frames SET stored = 1::bigint << 62",
    ],
)
def test_an_index_that_lies_gives_no_wrong_byte(encoding: str, statement: str, opened: Open, database_url: str) -> None:
    """[FRAME-5], [FRAME-6], [FRAME-12]: the error names bucket, key and pack, or the bytes are right."""
    bucket = opened(**SETTINGS[encoding]).create_bucket("things")
    rng = random.Random(5)
    body = rng.randbytes(CHUNK_SIZE + 70_000)
    bucket.put_object("k", body)
    with psycopg.connect(database_url) as connection:
        connection.execute(statement)
    fresh = opened(**SETTINGS[encoding]).bucket("things")
    try:
        assert fresh.get_object("k").read() == body
    except (errors.CorruptionError, errors.StorageError) as error:
        assert "packs/" in str(error)  # noqa: PT017
    else:
        assert "number" in statement  # which only encryption depends on
        assert "encryption" not in SETTINGS[encoding]


@framed_encodings
def test_a_damaged_frame_is_named_and_its_neighbours_are_read(encoding: str, opened: Open, blobs: BlobStore) -> None:
    """[GET-1], [PACK-6]"""
    bucket = opened(**SETTINGS[encoding]).create_bucket("things")
    body = random.Random(6).randbytes(4 * CHUNK_SIZE)
    bucket.put_object("k", body)
    (info,) = list(blobs.list(PACKS))
    data = bytearray(blobs.get_range(info.name, 0, info.size))
    data[info.size // 2 + 1000] ^= 1  # in the third chunk
    blobs.delete(info.name)
    blobs.put(info.name, bytes(data))
    assert bucket.get_object("k", range=f"bytes=0-{2 * CHUNK_SIZE - 1}").read() == body[: 2 * CHUNK_SIZE]
    assert bucket.get_object("k", range=f"bytes={3 * CHUNK_SIZE}-").read() == body[3 * CHUNK_SIZE :]
    with pytest.raises(errors.CorruptionError, match=info.name) as caught:
        bucket.get_object("k").read()
    block = cids.raw_cid(body[2 * CHUNK_SIZE : 3 * CHUNK_SIZE])
    for part in ("things", "'k'", cids.to_text(block)):
        assert part in str(caught.value)
    assert [damage.name for damage in scrub(blobs).damaged] == [info.name]


def test_a_compression_that_is_not_installed_is_refused_and_not_recorded(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[FRAME-15]: the store opens as before, and where it is recorded already it can be switched off."""
    opened()
    with monkeypatch.context() as missing:
        missing.setitem(sys.modules, "zstandard", None)
        with pytest.raises(errors.Unsupported, match=r"pip install '\.\[zstd\]'"):
            opened(compression="zstd")
        opened().create_bucket("things").put_object("k", b"x")
    opened(compression="zstd")
    with monkeypatch.context() as missing:
        missing.setitem(sys.modules, "zstandard", None)
        with pytest.raises(errors.Unsupported):
            opened()
        assert opened(compression="none").bucket("things").get_object("k").read() == b"x"
