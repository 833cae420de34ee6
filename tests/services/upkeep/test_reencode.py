"""Compression and encryption switched on and off for a store that is there: nothing else changes, wherever it ends."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from inside import rows
from seen import bodies_of, exported

import mstbucket
from mstbucket import errors
from mstbucket.blobs.media.local import LocalBlobs
from mstbucket.blobs.names import KEYS, PACKS, REFS
from mstbucket.index.packs import ENCODINGS
from mstbucket.limits import CHUNK_SIZE
from mstbucket.packs.scrub import scrub
from mstbucket.services.blocks.registered import RegisteredPack

Open = Callable[..., mstbucket.Store]
KEY = "5e" * 32
STEPS: dict[str, tuple[dict[str, str], str]] = {
    "compressed": ({"compression": "zstd"}, ".car.zst"),
    "compressed and encrypted": ({"compression": "zstd:1", "encryption": "env:TEST_KEY"}, ".car.zst.aes"),
    "encrypted": ({"compression": "none", "encryption": "env:TEST_KEY"}, ".car.aes"),
}


@pytest.fixture
def opened(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the test's store with settings, any number of times."""
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.delenv("MSTBUCKET_KEY", raising=False)
    return open_store


def fill(bucket: mstbucket.Bucket, seed: int = 3) -> None:
    """Three commits, packs of one small block, of many, and of large ones."""
    rng = random.Random(seed)
    bucket.put_objects(
        mstbucket.PutRequest(f"{seed} {n % 7}/{n}", rng.choice([b"", rng.randbytes(300), b"text " * 900]))
        for n in range(200)
    )
    bucket.flush()
    bucket.put_object(f"noise {seed}", rng.randbytes(2 * CHUNK_SIZE + 5))
    bucket.put_object(f"text {seed}", b"the same again and again, " * 100_000)
    bucket.flush()
    bucket.put_object(f"one {seed}", b"1")
    bucket.flush()


def names(bucket: mstbucket.Bucket, prefix: str) -> list[str]:
    return [info.name for info in bucket._context.blobs.list(prefix)]


def assert_whole(bucket: mstbucket.Bucket) -> None:
    bucket.verify()
    there = names(bucket, PACKS)
    assert set(there) <= {row[0] for row in rows(bucket, "SELECT name FROM packs")}
    assert {row[0] for row in rows(bucket, "SELECT name FROM packs WHERE state = 'ready'")} <= set(there)


def test_a_store_goes_through_every_encoding_and_back(opened: Open) -> None:
    """[STO-1], [STO-2], [FRAME-14]: same bytes, commit and CAR; every pack and ref is of the new kind; no key is left."""
    bucket = opened().create_bucket("things")
    fill(bucket)
    held, file, commit = bodies_of(bucket), exported(bucket), bucket.head_commit()
    places = rows(bucket, 'SELECT cid, pack, "offset", length FROM blocks ORDER BY cid')
    for settings, suffix in STEPS.values():
        bucket = opened(**settings).bucket("things")
        report = opened(**settings).reencode()
        assert report.packs == len(names(bucket, PACKS))
        assert report.damaged == {}
        assert all(name.endswith(suffix) and name.count(".") == suffix.count(".") for name in names(bucket, PACKS))
        assert all(name.endswith(".car.aes") == ("encryption" in settings) for name in names(bucket, REFS))
        assert len(names(bucket, REFS)) == 3
        assert (bodies_of(bucket), exported(bucket), bucket.head_commit()) == (held, file, commit)
        assert rows(bucket, 'SELECT cid, pack, "offset", length FROM blocks ORDER BY cid') == places
        assert scrub(bucket._context.blobs, bucket._context.encoding.key).damaged == ()
        assert opened(**settings).reencode().packs == 0
        assert_whole(bucket)
    opened(encryption="env:TEST_KEY").stop_encryption()
    last = opened(encryption="env:TEST_KEY")
    assert last.reencode().packs > 0
    bucket = opened().bucket("things")
    assert all(name.count(".") == 1 for name in names(bucket, ""))
    assert names(bucket, KEYS) == []
    assert rows(bucket, "SELECT count(*) FROM frames") == [(0,)]
    assert (bodies_of(bucket), exported(bucket), bucket.head_commit()) == (held, file, commit)
    bucket.put_object("more", b"more" * 50_000)
    bucket.flush()
    assert_whole(bucket)


def test_encryption_may_be_switched_on_again_with_another_key(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """[STO-1]: the way to another data key: the old one opens nothing any more."""
    monkeypatch.setenv("OTHER_KEY", "07" * 32)
    store = opened(encryption="env:TEST_KEY")
    bucket = store.create_bucket("things")
    fill(bucket)
    file = exported(bucket)
    old = bucket._context.encoding.key
    store.stop_encryption()
    opened(encryption="env:TEST_KEY").reencode()
    again = opened(encryption="env:OTHER_KEY")
    again.reencode()
    assert exported(again.bucket("things")) == file
    assert again._context.encoding.key is not None
    assert old is not None
    assert again._context.encoding.key.id != old.id
    with pytest.raises(errors.WrongKey):
        opened(encryption="env:TEST_KEY")


def test_between_the_switch_and_its_end_the_key_is_needed_and_kept(opened: Open) -> None:
    """[STO-1], [FRAME-15]: reading goes on with the key; who has it not is refused; new packs are plain."""
    store = opened(encryption="env:TEST_KEY")
    bucket = store.create_bucket("things")
    fill(bucket)
    store.stop_encryption()
    with pytest.raises(errors.WrongKey, match="open it again"):
        bucket.put_object("large", bytes(100_000))  # this process would still encrypt
    with pytest.raises(errors.WrongKey):
        opened()
    bucket = opened(encryption="env:TEST_KEY").bucket("things")
    bucket.put_object("large", bytes(100_000))
    bucket.flush()
    assert sorted({name.count(".aes") for name in names(bucket, PACKS)}) == [0, 1]
    assert bucket.verify().objects == len(bodies_of(bucket))


def test_a_damaged_pack_is_named_and_left_and_the_key_stays(opened: Open, tmp_path: Path) -> None:
    """[STO-7]: the others are written again; once it is restored, another run ends the work."""
    store = opened(encryption="env:TEST_KEY")
    bucket = store.create_bucket("things")
    fill(bucket)
    store.stop_encryption()
    victim = rows(bucket, "SELECT name FROM packs ORDER BY id OFFSET 1 LIMIT 1")[0][0]
    path = tmp_path / "blobs" / victim
    good = path.read_bytes()
    path.write_bytes(good[:50] + bytes([good[50] ^ 1]) + good[51:])
    report = opened(encryption="env:TEST_KEY").reencode()
    assert list(report.damaged) == [victim]
    path.write_bytes(good)
    assert opened(encryption="env:TEST_KEY").reencode().packs == 1
    assert_whole(opened().bucket("things"))


def test_a_reader_that_knows_the_old_blob_finds_the_new_one(opened: Open) -> None:
    """[STO-3]: of a body half read, a scan, and frames known from before; plain to frames and frames to frames."""
    store = opened()
    bucket = store.create_bucket("things")
    fill(bucket)
    held = bodies_of(bucket)
    for settings in (STEPS["compressed"][0], {"compression": "none"}):
        reader = bucket.get_object("noise 3")
        start = reader.read(10)
        late = opened().bucket("things").get_object("text 3")  # knows the place, and nothing of the pack's frames
        scan = bucket._context.blocks.scan()
        opened(**settings).reencode()
        assert start + reader.read() == held["noise 3"]
        assert late.read() == held["text 3"]
        assert bodies_of(bucket) == held
        content = rows(bucket, "SELECT content FROM objects WHERE key = 'one 3'")[0][0]
        assert scan.get(bytes(content)) == b"1"


def test_what_is_lost_is_said_to_be_lost(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    """[STO-3], [GET-1]: looking again does not hide that a pack is gone, nor go on for ever."""
    bucket.put_object("k", bytes(100_000))
    for path in (tmp_path / "blobs" / "packs").rglob("*.car"):
        path.unlink()
    with pytest.raises(errors.MissingBlock, match="object 'k'"):
        bucket.get_object("k").read()
    with pytest.raises(errors.MissingBlock):
        bucket._context.blocks.scan().get(bytes(rows(bucket, "SELECT content FROM objects")[0][0]))


def test_of_two_that_write_a_pack_again_one_does_it(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """[STO-2]: the other's blob goes, and nothing else."""
    bucket = opened().create_bucket("things")
    fill(bucket)
    store, faster = opened(compression="zstd"), opened()
    seal = RegisteredPack.seal

    def overtaken(pack: RegisteredPack) -> None:
        seal(pack)
        monkeypatch.setattr(RegisteredPack, "seal", seal)
        assert faster.reencode().packs == len(names(bucket, PACKS)) - 1  # all; and there is the other's blob

    monkeypatch.setattr(RegisteredPack, "seal", overtaken)
    assert store.reencode().packs == 0
    assert_whole(bucket)
    assert rows(bucket, "SELECT count(*) FROM packs WHERE state <> 'ready'") == [(0,)]
    assert len(names(bucket, PACKS)) == len(rows(bucket, "SELECT FROM packs"))


def test_beside_readers_and_writers(opened: Open) -> None:
    """[STO-2], [STO-3]: to and fro, while objects are put, read, folded and exported, and packs compacted."""
    bucket = opened().create_bucket("things")
    fill(bucket)
    fixed = bodies_of(bucket)
    stop = threading.Event()
    problems: list[BaseException] = []
    done = dict.fromkeys(("read", "write", "verify", "compact"), 0)

    def loop(what: str, work: Callable[[random.Random], object]) -> threading.Thread:
        def run() -> None:
            rng = random.Random(what)
            try:
                while not stop.is_set():
                    work(rng)
                    done[what] += 1
            except BaseException as error:
                problems.append(error)

        return threading.Thread(target=run)

    def read(rng: random.Random) -> None:
        key = rng.choice(sorted(fixed))
        assert bucket.get_object(key).read() == fixed[key]

    writing = opened().bucket("things")

    def write(rng: random.Random) -> None:
        writing.put_object(f"new {rng.randrange(9)}", rng.choice([b"a", rng.randbytes(70_000)]))
        writing.flush()

    compaction = opened()
    threads = [
        loop("read", read),
        loop("write", write),
        loop("verify", lambda _: bucket.verify()),
        loop("compact", lambda _: compaction.compact()),
    ]
    for thread in threads:
        thread.start()
    for n in range(4):
        opened(compression=["zstd", "none"][n % 2]).reencode()
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert all(count > 0 for count in done.values())
    assert {key: body for key, body in bodies_of(bucket).items() if key in fixed} == fixed
    assert_whole(bucket)


@pytest.mark.parametrize("kind", ["compressed", "encrypted", "decrypted"])
def test_killed_at_any_point_the_store_is_whole_and_another_run_ends_it(
    kind: str,
    opened: Open,
    database_url: str,
    tmp_path: Path,
    run_killed: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """[STO-1], [STO-2], [STO-4]: SIGKILL at calls all over the work."""
    monkeypatch.setenv("MSTBUCKET_KEY", KEY)
    settings: dict[str, str] = {} if kind == "decrypted" else STEPS[kind][0]
    store = opened(**STEPS["encrypted"][0]) if kind == "decrypted" else opened()
    bucket = store.create_bucket("things")
    fill(bucket)
    if kind == "decrypted":
        store.stop_encryption()
    held, file = bodies_of(bucket), exported(bucket)
    opened(**settings).close()  # records them
    arguments = (database_url, str(tmp_path / "blobs"))
    blobs = LocalBlobs(tmp_path / "blobs")
    kills = 0
    for point in (20, 60, 100, 140, 180, 220, 260, 300):
        kills += run_killed("store.reencode()", point, *arguments) == 0
        bucket = opened().bucket("things")
        assert (bodies_of(bucket), exported(bucket)) == (held, file)
        assert_whole(bucket)
        assert scrub(blobs, bucket._context.encoding.key).damaged == ()
    assert kills >= 4
    with bucket._context.db.connection() as connection:
        connection.execute("UPDATE packs SET created = 0, alive = NULL WHERE state <> 'ready'")
    opened().compact()
    assert opened().reencode().damaged == {}
    bucket = opened().bucket("things")
    assert rows(bucket, "SELECT DISTINCT state, encoding FROM packs") == [
        ("ready", ENCODINGS[bucket._context.encoding.kind])
    ]
    assert (bodies_of(bucket), exported(bucket)) == (held, file)
    assert (names(bucket, KEYS) == []) == (kind != "encrypted")
    assert_whole(bucket)
