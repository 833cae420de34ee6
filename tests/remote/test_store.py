"""The whole way over a real service: a bucket in, out, back, and what it costs in requests."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.blobs.names import is_pack, parse_ref, parse_state
from mstbucket.core.car_reader import CarReader
from mstbucket.errors import MissingBlock, StorageError
from mstbucket.limits import KIB, MIB
from mstbucket.remote.upload import FIRST_PART

pytestmark = pytest.mark.s3

RANDOM = random.Random(1)
BODIES = {
    "empty": b"",
    "small": b"first light at six\n",
    "medium": RANDOM.randbytes(200 * KIB),
    "large": RANDOM.randbytes(FIRST_PART + 3 * MIB + 17),
    "写真/0001.jpg": RANDOM.randbytes(1000),
}

BESIDE = {".mstbucket", "store.id"}  # what says that the place is a store, and whose; no CAR


def objects(count: int, size: int) -> Iterator[mstbucket.PutRequest]:
    body = RANDOM.randbytes(size)
    for number in range(count):
        yield mstbucket.PutRequest(f"{number:07}", number.to_bytes(8, "big") + body[8:])


@pytest.fixture
def stores(corner: Any, database_url: str) -> Any:
    """Opens the store of the test, by way of a proxy if one is given."""

    def open_(endpoint: str | None = None, **options: Any) -> mstbucket.Store:
        return mstbucket.open(database=database_url, blobs=corner.url(endpoint), **{"background": False, **options})

    return open_


def test_a_bucket_goes_in_and_comes_out_and_comes_back(
    stores: Any, corner: Any, second_database_url: str, tmp_path: Path
) -> None:
    with stores() as store:
        bucket = store.create_bucket("photos")
        for key, body in BODIES.items():
            bucket.put_object(key, body)
        commit = bucket.flush()
    names = [name for name in corner.names() if name not in BESIDE]
    assert all(is_pack(name) or parse_ref(name) or parse_state(name) for name in names)

    with stores() as store:
        bucket = store.bucket("photos")
        for key, body in BODIES.items():
            assert bucket.get_object(key).read() == body
        large = BODIES["large"]
        for start, stop in ((0, 1), (MIB - 5, MIB + 5), (len(large) - 3, len(large)), (5 * MIB, 9 * MIB)):
            assert bucket.get_object("large", range=f"bytes={start}-{stop - 1}").read() == large[start:stop]
        assert bucket.verify().objects == len(BODIES)
        bucket.export_car(tmp_path / "photos.car")
    assert mstbucket.verify_car(tmp_path / "photos.car").objects == len(BODIES)

    elsewhere = corner.url().replace("?", "elsewhere?")
    with mstbucket.open(database=second_database_url, blobs=elsewhere, background=False) as other:
        copy = other.import_car(tmp_path / "photos.car")
        assert copy.head_commit().cid == commit.cid
        assert copy.get_object("large").read() == BODIES["large"]
        copy.export_car(tmp_path / "again.car")
    assert (tmp_path / "again.car").read_bytes() == (tmp_path / "photos.car").read_bytes()


def test_everything_on_the_service_is_a_car(stores: Any, corner: Any, tmp_path: Path) -> None:
    """[PACK-1] [S3B-13]"""
    with stores() as store:
        bucket = store.create_bucket("photos")
        bucket.put_object("medium", BODIES["medium"])
        bucket.put_object("small", BODIES["small"])
        bucket.flush()
    for name in corner.names():
        if name in BESIDE:
            continue
        (tmp_path / "pack").write_bytes(corner.read(name))
        with (tmp_path / "pack").open("rb") as file:
            assert list(CarReader(file))
        told = corner.bucket().head(corner.prefix + name).attributes.content_type
        assert told == "application/vnd.ipld.car; version=1"


def test_a_compressed_store_says_so_to_the_service_and_gives_what_was_put(stores: Any, corner: Any) -> None:
    """[S3B-13] the large one too, which is written while it is read"""
    text = b"first light at six\n" * 200_000
    with stores(compression="zstd") as store:
        bucket = store.create_bucket("photos")
        bucket.put_object("text", text)
        bucket.put_object("large", BODIES["large"])
        bucket.flush()
        assert bucket.verify().objects == 2
        assert bucket.get_object("text", range="bytes=1000000-1000099").read() == text[1_000_000:1_000_100]
        assert bucket.get_object("large").read() == BODIES["large"]
    packs = [name for name in corner.names() if name.startswith("packs/")]
    assert packs
    for name in packs:
        assert name.endswith(".car.zst")
        assert corner.bucket().head(corner.prefix + name).attributes.headers == {"content-encoding": "zstd"}


def test_a_pack_that_is_gone_is_lost_data_and_a_service_that_fails_is_not(
    stores: Any, corner: Any, proxy: Any, faults: Any
) -> None:
    """[PACK-8] [BLOB-13] [S3B-11] neither reads as empty"""
    with stores(proxy.endpoint) as store:
        bucket = store.create_bucket("photos")
        bucket.put_object("medium", BODIES["medium"])
        proxy.rule = lambda *_: faults.refusal(403, "ExpiredToken")
        with pytest.raises(StorageError, match="renew"):
            bucket.get_object("medium").read()
        proxy.rule = lambda *_: faults.PASS
        (pack,) = [name for name in corner.names() if is_pack(name)]
        corner.remove(pack)
        with pytest.raises(MissingBlock, match=r"medium.*photos.*is gone"):
            bucket.get_object("medium").read()


def test_small_objects_cost_no_request_of_their_own(stores: Any, proxy: Any) -> None:
    """A thousand of 4 KiB are two packs, bodies and tree, and a ref; reading one is one request, for its own bytes."""
    with stores(proxy.endpoint) as store:
        bucket = store.create_bucket("photos")
        proxy.seen.clear()
        bucket.put_objects(objects(1000, 4 * KIB))
        bucket.flush()
        assert proxy.count("PUT") == 3
        proxy.seen.clear()
        assert bucket.get_object("0000500").read()[:8] == (500).to_bytes(8, "big")
        assert [method for method, _ in proxy.seen] == ["GET"]


def test_a_small_range_of_a_large_object_is_its_chunk_and_neighbours_come_together(stores: Any, proxy: Any) -> None:
    """Two requests for 100 bytes: the node over the chunks, and one chunk."""
    with stores(proxy.endpoint) as store:
        bucket = store.create_bucket("photos")
        bucket.put_object("large", BODIES["large"])
        asked: list[int] = []

        def count(method: str, _path: str, answer: Any) -> Any:
            if method == "GET":
                asked.append(len(answer[2]))
            return answer

        proxy.amend = count
        assert bucket.get_object("large", range="bytes=7000000-7000099").read() == BODIES["large"][7_000_000:7_000_100]
        assert len(asked) == 2
        assert asked[1] == MIB
        asked.clear()
        assert bucket.get_object("large").read() == BODIES["large"]
        assert len(asked) <= 2 + len(BODIES["large"]) // (2 * MIB)


def test_an_export_reads_what_stands_together_in_large_pieces(stores: Any, proxy: Any, tmp_path: Path) -> None:
    """8 MiB of small objects in pieces of some 100 KiB at least, and not block by block."""
    with stores(proxy.endpoint) as store:
        bucket = store.create_bucket("photos")
        bucket.put_objects(objects(2000, 4 * KIB))
        bucket.flush()
        proxy.seen.clear()
        bucket.export_car(tmp_path / "photos.car")
        assert len(proxy.seen) <= 80


@pytest.mark.slow
def test_a_hundred_thousand_small_objects_take_less_than_a_hundred_puts(stores: Any, proxy: Any) -> None:
    """The figure of the design: 100k objects of 4 KiB, as a user would put them, background flushes included."""
    with stores(proxy.endpoint, background=True) as store:
        bucket = store.create_bucket("photos")
        bucket.put_objects(objects(100_000, 4 * KIB))
        bucket.flush()
        assert bucket.head_commit().objects == 100_000
    assert proxy.count("PUT") < 100
