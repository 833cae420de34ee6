"""What is damaged, missing, newer or somebody else's is said, and nothing of it is passed over."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from damaging import flip
from seen import seen

import mstbucket
from mstbucket import Bucket, Store, errors

Lose = Callable[..., tuple[Store, mstbucket.RebuildReport]]

LARGE = 300_000


def packs_of(directory: Path) -> list[Path]:
    return sorted((directory / "blobs" / "packs").rglob("*.car*"))


def refs_of(directory: Path) -> list[Path]:
    return sorted((directory / "blobs" / "refs").rglob("*.car*"))


@pytest.fixture
def filled(bucket: Bucket, tmp_path: Path) -> dict[str, Path]:
    """The packs of a bucket with a large body, a flush, and a second flush, by what they hold."""
    packs: dict[str, Path] = {}

    def new(name: str) -> None:
        (packs[name],) = set(packs_of(tmp_path)) - set(packs.values())

    bucket.put_object("large", random.Random(1).randbytes(LARGE))
    new("body")
    for n in range(50):
        bucket.put_object(f"small/{n}", f"body {n}".encode())
    bucket.flush()
    new("first")
    bucket.put_object("small/1", b"another")
    bucket.flush()
    new("second")
    return packs


def test_a_lost_large_body_is_named_and_its_object_stays_if_that_is_accepted(
    store: Store, filled: dict[str, Path], lose: Lose
) -> None:
    """[REB-8]"""
    body = filled["body"].read_bytes()
    filled["body"].unlink()
    with pytest.raises(errors.MissingBlock, match="the body of 'large'"):
        lose(store)
    again, report = lose(store, accept_loss=True)
    (rebuilt,) = report.buckets
    assert (rebuilt.hurt, rebuilt.hurt_count, rebuilt.commits) == (("large",), 1, 1)
    assert len(rebuilt.left_out) == 1
    bucket = again.bucket("things")
    assert bucket.get_object("small/1").read() == b"another"
    with pytest.raises(errors.MissingBlock):
        bucket.get_object("large").read()
    again.close()
    filled["body"].write_bytes(body)
    again, report = lose(again)
    assert report.buckets[0].is_whole
    assert len(again.bucket("things").get_object("large").read()) == LARGE


def test_the_older_commit_is_taken_where_the_newest_has_lost_a_node(
    store: Store, filled: dict[str, Path], lose: Lose
) -> None:
    """[REB-8]: it is refused first, and says which one is whole."""
    first = list(store.bucket("things").log())[-1]
    filled["second"].unlink()
    with pytest.raises(errors.MissingBlock, match="all since commit 1"):
        lose(store)
    again, report = lose(store, accept_loss=True)
    (rebuilt,) = report.buckets
    assert (rebuilt.commit, rebuilt.seq, len(rebuilt.passed)) == (first.cid, 1, 1)
    bucket = again.bucket("things")
    assert bucket.get_object("small/1").read() == b"body 1"
    bucket.verify()


def test_a_rebuild_that_was_refused_goes_on_when_the_pack_is_back(
    store: Store, filled: dict[str, Path], lose: Lose, database_url: str, databases: Any, template: str, tmp_path: Path
) -> None:
    """[REB-10], also where the pack was there and damaged before, and where one process accepted what another need not."""
    before = seen(store.bucket("things"))
    store.close()
    url = databases.url(databases.create(template))
    whole = {name: path.read_bytes() for name, path in filled.items()}
    damaged = {"body": LARGE // 2, "first": 60, "second": 60}
    for name, at in damaged.items():
        flip(filled[name], at)
    for name in damaged:
        with pytest.raises(errors.MissingBlock):
            Store.rebuild(database=url, blobs=tmp_path / "blobs", hash_all=True)
        with pytest.raises(errors.Conflict, match="is being rebuilt"):
            mstbucket.open(database=url, blobs=tmp_path / "blobs")  # [REB-2]
        filled[name].write_bytes(whole[name])
    again, report = lose(store, database=url)
    assert report.damaged == {}
    assert seen(again.bucket("things")) == before


def test_every_damaged_byte_of_metadata_is_found_or_does_no_harm(
    store: Store, filled: dict[str, Path], lose: Lose, databases: Any, template: str, tmp_path: Path
) -> None:
    """[REB-3] [REB-7]: what comes back is either all that was, or refused."""
    before = seen(store.bucket("things"))
    store.close()
    path = filled["second"]
    data = path.read_bytes()
    source = random.Random(7)
    refused = 0
    for at in sorted(source.sample(range(len(data)), 12)):
        flip(path, at)
        url = databases.url(databases.create(template))
        try:
            Store.rebuild(database=url, blobs=tmp_path / "blobs", hash_all=True)
        except errors.MissingBlock:
            refused += 1
        else:
            with mstbucket.open(database=url, blobs=tmp_path / "blobs", background=False) as again:
                assert seen(again.bucket("things")) == before
        path.write_bytes(data)
    assert refused > 0


def test_of_a_block_in_two_packs_the_good_one_is_taken(store: Store, filled: dict[str, Path], lose: Lose) -> None:
    """[REB-12]: bytes that came again are in another pack, while the damaged one is still there."""
    bucket = store.bucket("things")
    flip(filled["body"], LARGE // 2)
    with pytest.raises(errors.HashMismatch):
        bucket.get_object("large").read()  # which records the damage ([PUT-13])
    bucket.put_object("large", random.Random(1).randbytes(LARGE))
    bucket.flush()
    before = seen(bucket)
    again, report = lose(store)
    assert report.buckets[0].is_whole
    assert seen(again.bucket("things")) == before


def test_damaged_refs_are_named_and_the_newest_of_all_is_missed(
    store: Store, filled: dict[str, Path], lose: Lose, tmp_path: Path
) -> None:
    """[REB-4] [REB-8]"""
    older, newest = refs_of(tmp_path)
    whole = older.read_bytes()
    flip(older, 100)
    again, report = lose(store)
    assert list(report.invalid) == [older.relative_to(tmp_path / "blobs").as_posix()]
    assert [commit.seq for commit in again.bucket("things").log()] == [2]
    older.write_bytes(whole)
    flip(newest, 100)
    with pytest.raises(errors.MissingBlock, match=newest.name):
        lose(again)
    again, report = lose(again, accept_loss=True)
    assert report.buckets[0].seq == 1
    again.bucket("things").verify()


def test_a_ref_under_another_name_is_none(store: Store, filled: dict[str, Path], lose: Lose, tmp_path: Path) -> None:
    """[REB-4]: the newest commit cannot be replaced by a renamed older one."""
    older, _ = refs_of(tmp_path)
    (older.parent / older.name.replace("1-", "3-", 1)).write_bytes(older.read_bytes())
    with pytest.raises(errors.MissingBlock, match="0003-"):
        lose(store)


def test_a_newer_format_ends_the_rebuild(store: Store, filled: dict[str, Path], lose: Lose, tmp_path: Path) -> None:
    """[REB-4]"""
    from hashlib import sha256

    from mstbucket.core import car
    from mstbucket.core.cid import dag_cbor_cid, to_text

    _, newest = refs_of(tmp_path)
    block = newest.read_bytes()[59 + 38 :]
    assert sha256(block).digest() == newest.read_bytes()[59 + 6 : 59 + 38]
    newer = block.replace(b"\x67version\x01", b"\x67version\x02")
    cid = dag_cbor_cid(newer)
    name = f"{3:016x}-{to_text(cid)}.car"
    (newest.parent / name).write_bytes(car.header(cid) + car.section(cid, newer))
    with pytest.raises(errors.Unsupported, match="format version 2"):
        lose(store)


def test_a_database_with_something_in_it_is_refused(
    store: Store, filled: dict[str, Path], second_database_url: str, tmp_path: Path
) -> None:
    """[REB-1]"""
    store.close()
    with mstbucket.open(database=second_database_url, blobs=tmp_path / "others", background=False):
        pass
    with pytest.raises(errors.Conflict, match="has something in it"):
        Store.rebuild(database=second_database_url, blobs=tmp_path / "blobs")
    with pytest.raises(errors.NotFound, match="no blobs"):
        Store.rebuild(database=second_database_url, blobs=tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_rebuild_that_was_begun_is_of_one_store(
    store: Store, filled: dict[str, Path], second_store: Store, databases: Any, template: str, tmp_path: Path
) -> None:
    """[REB-1] [REB-2]: neither is another store rebuilt there, nor one made."""
    store.close()
    second_store.close()
    filled["first"].unlink()
    url = databases.url(databases.create(template))
    with pytest.raises(errors.MissingBlock):
        Store.rebuild(database=url, blobs=tmp_path / "blobs")
    with pytest.raises(errors.Conflict, match="was begun in this database"):
        Store.rebuild(database=url, blobs=tmp_path / "blobs-2")
    with pytest.raises(errors.Conflict, match="is being rebuilt"):
        mstbucket.open(database=url, blobs=tmp_path / "fresh")
    assert not (tmp_path / "fresh").exists()


def test_an_encrypted_store_needs_its_key(database_url: str, databases: Any, template: str, tmp_path: Path) -> None:
    """[REB-1]: and a rebuild with another one changes nothing."""
    key, other = tmp_path / "key", tmp_path / "other"
    key.write_text("ab" * 32)
    other.write_text("cd" * 32)
    with mstbucket.open(database=database_url, blobs=tmp_path / "blobs", encryption=key, background=False) as store:
        bucket = store.create_bucket("things")
        bucket.put_object("a", bytes(100_000))
        bucket.flush()
    url = databases.url(databases.create(template))
    for wrong in (None, other):
        with pytest.raises(errors.WrongKey):
            Store.rebuild(database=url, blobs=tmp_path / "blobs", encryption=wrong)
    Store.rebuild(database=url, blobs=tmp_path / "blobs", encryption=key)
    with mstbucket.open(database=url, blobs=tmp_path / "blobs", encryption=key, background=False) as store:
        assert store.bucket("things").get_object("a").read() == bytes(100_000)
        assert store.bucket("things").verify().objects == 1
        store.bucket("things").put_object("b", bytes(100_000))
        store.bucket("things").flush()
    assert not [path for path in packs_of(tmp_path) if path.suffix != ".aes"]


def test_two_branches_of_one_identity_become_two_buckets(store: Store, bucket: Bucket, lose: Lose, tmp_path: Path) -> None:
    """[REB-5] [REB-9]"""
    bucket.put_object("a", b"1")
    bucket.flush()
    bucket.export_car(tmp_path / "export.car")
    mirror = store.import_car(tmp_path / "export.car", "mirror")
    mirror.put_object("a", b"of the mirror")
    mirror.flush()
    for n in range(3):
        bucket.put_object("a", b"of the first, %d" % n)
        bucket.flush()
    again, report = lose(store)
    names = {rebuilt.name: rebuilt.named for rebuilt in report.buckets}
    assert "things" in names
    assert len(names) == 2
    bodies = {again.bucket(name).get_object("a").read() for name in names}
    assert bodies == {b"of the mirror", b"of the first, 2"}
    for name in names:
        again.bucket(name).verify()


def test_a_collection_after_an_accepted_loss_says_what_is_lost_and_removes_nothing(
    store: Store, filled: dict[str, Path], lose: Lose, tmp_path: Path
) -> None:
    """[GC-5] [REB-8]: once the key is given up, it collects again."""
    bucket = store.bucket("things")
    large = random.Random(2).randbytes(3 << 20)
    before = set(packs_of(tmp_path))
    bucket.put_object("larger", large)
    bucket.flush()
    bucket.delete_object("small/2")
    bucket.flush()
    root = bucket.head_object("larger").content
    for pack in set(packs_of(tmp_path)) - before:
        if len(pack.read_bytes()) > len(large):
            pack.unlink()
    again, report = lose(store, accept_loss=True)
    assert report.buckets[0].hurt == ("larger",)
    bucket = again.bucket("things")
    bucket.put_object("garbage", b"g" * 70_000)
    bucket.delete_object("garbage")
    blobs = packs_of(tmp_path)
    for force in (False, True):
        with pytest.raises(errors.MissingBlock, match=f"nothing was collected.*{root}.*repair_lost"):
            again.collect(force=force, grace=0)
    assert packs_of(tmp_path) == blobs
    assert again.repair_lost("things", accept_loss=True).repaired > 0
    bucket.flush()
    with pytest.raises(errors.MissingBlock, match="nothing was collected"):  # [CHECK-23] the commit before needs it, too
        again.collect(force=True, grace=0)
    assert packs_of(tmp_path) != []
    assert again.repair_lost("things", accept_loss=True).repaired == 1
    assert again.collect(force=True, grace=0).freed.blocks > 0
    assert bucket.get_object("small/1").read() == b"another"
    assert len(bucket.get_object("large").read()) == LARGE
    assert [item.key for item in bucket.objects()] == sorted({"large", *(f"small/{n}" for n in range(50) if n != 2)})
    assert again.check("proof").clean
