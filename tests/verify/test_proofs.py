"""Proofs: what they prove is what the bucket has, they hold nothing else, and no change of theirs proves anything else."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mstbucket
from mstbucket.core import car, dagcbor
from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import dag_cbor_cid, from_text, raw_cid, to_text
from mstbucket.errors import (
    CorruptionError,
    ExtraBlock,
    FormatError,
    InvalidBlock,
    InvalidInput,
    InvalidRange,
    MissingBlock,
    NoSuchCommit,
    NoSuchKey,
    OtherCommit,
    Unsupported,
    Untrue,
)

KEYS = st.text(st.sampled_from("/ab0é"), min_size=1, max_size=5)
SHARED = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
MIB = 1 << 20


@pytest.fixture(scope="module")
def bucket(databases: Any, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[mstbucket.Bucket]:
    """All keys of one to three of a few characters, and some bodies of several chunks."""
    url, blobs = databases.url(databases.create(template)), tmp_path_factory.mktemp("proofs") / "blobs"
    with mstbucket.open(database=url, blobs=blobs, background=False) as store:
        made = store.create_bucket("things")
        some = [a + b + c for a in "/ab" for b in ("", "/", "a", "b", "é") for c in ("", "/", "0", "1", "2", "3", "a/x")]
        made.put_objects(mstbucket.PutRequest(key, key.encode()) for key in sorted(set(some)))
        made.put_object("large", bytes(range(256)) * 4096 * 3 + b"end", metadata={"a": "b"}, tags={"c": "d"})
        made.put_object("zeros", bytes(5 * MIB))
        made.put_object("nothing", b"")
        made.flush()
        made.put_object("later", b"not in the commit")
        yield made


def head(bucket: mstbucket.Bucket) -> str:
    commit = bucket.head_commit()
    assert commit is not None
    return commit.cid


def of_key(bucket: mstbucket.Bucket, key: str, **options: Any) -> bytes:
    out = io.BytesIO()
    bucket.prove_key(key, out, **options)
    return out.getvalue()


def of_page(bucket: mstbucket.Bucket, **options: Any) -> bytes:
    out = io.BytesIO()
    bucket.prove_page(out, **options)
    return out.getvalue()


def checked(data: bytes, commit: str, **options: Any) -> mstbucket.Proved:
    return mstbucket.check_proof(io.BytesIO(data), commit, **options)


@SHARED
@given(key=KEYS | st.sampled_from(["large", "zeros", "nothing", "later"]))
def test_a_key_is_proved_to_be_there_or_not(bucket: mstbucket.Bucket, key: str) -> None:
    """[PROOF-5] against the bucket itself."""
    found = checked(of_key(bucket, key), head(bucket))
    assert found.key == key
    there = key != "later" and any(item.key == key for item in bucket.objects(key))
    assert len(found.objects) == there
    if there:
        (one,), info = found.objects, bucket.head_object(key)
        assert (one.key, one.size, one.etag, one.last_modified) == (key, info.size, info.etag, info.last_modified)
        assert (one.metadata, one.tags) == (info.metadata, bucket.get_object_tagging(key))


@SHARED
@given(
    prefix=st.text(st.sampled_from("/abé"), max_size=3),
    delimiter=st.sampled_from([None, "/", "a", "0", "b/"]),
    start_after=st.text(st.sampled_from("/ab0é"), max_size=4),
    max_keys=st.integers(1, 40) | st.just(1000),
)
def test_a_page_is_proved_to_be_complete(
    bucket: mstbucket.Bucket, prefix: str, delimiter: str | None, start_after: str, max_keys: int
) -> None:
    """[PROOF-6] against the listing that S3's verb gives, page after page to the end of it."""
    commit = head(bucket)
    asked = {"prefix": prefix, "delimiter": delimiter, "max_keys": max_keys}
    page = bucket.list_objects(prefix, delimiter=delimiter, start_after=start_after or None, max_keys=max_keys)
    for _ in range(1000):
        found = checked(of_page(bucket, start_after=start_after, **asked), commit)
        contents = [item for item in page.contents if item.key != "later"]
        if len(contents) < len(page.contents):
            return  # the bucket has a newer key in this page, so the pages are cut at other places
        assert [(one.key, one.size, one.etag) for one in found.objects] == [(i.key, i.size, i.etag) for i in contents]
        assert found.common_prefixes == page.common_prefixes
        assert (found.next_start_after is not None) == page.is_truncated
        if found.next_start_after is None:
            return
        start_after = found.next_start_after
        page = bucket.list_objects(
            prefix, delimiter=delimiter, continuation_token=page.next_continuation_token, max_keys=max_keys
        )
    pytest.fail("the pages have no end")


def test_a_folder_costs_its_edges_and_not_its_keys(bucket: mstbucket.Bucket, store: mstbucket.Store) -> None:
    """[PROOF-6] a listing of folders with many keys reads few nodes."""
    wide = store.create_bucket("wide")
    wide.put_objects(mstbucket.PutRequest(f"{folder}/{n:04}", b"x") for folder in "abc" for n in range(2000))
    wide.flush()
    data = of_page(wide, delimiter="/")
    found = checked(data, head(wide))
    assert (found.common_prefixes, found.objects) == (("a/", "b/", "c/"), ())
    nodes = mstbucket.inspect_car(io.BytesIO(data)).nodes
    total = sum(count.nodes for count in nodes.values())
    assert total < 60  # of more than two thousand


@pytest.mark.parametrize("key", ["large", "zeros", "nothing", "a"])
def test_a_body_is_proved_whole(bucket: mstbucket.Bucket, key: str) -> None:
    """[PROOF-7]"""
    out = io.BytesIO()
    found = checked(of_key(bucket, key, body=True), head(bucket), output=out)
    assert out.getvalue() == bucket.get_object(key).read()
    assert found.body == (0, len(out.getvalue()))


@pytest.mark.parametrize(
    "asked",
    ["bytes=0-0", f"bytes={MIB - 1}-{MIB}", "bytes=-3", f"bytes={2 * MIB}-", "bytes=5-100000", f"bytes={MIB}-{2 * MIB - 1}"],
)
def test_a_range_takes_its_chunks_alone(bucket: mstbucket.Bucket, asked: str) -> None:
    """[PROOF-7]"""
    data, out = of_key(bucket, "large", range=asked), io.BytesIO()
    checked(data, head(bucket), output=out)
    assert out.getvalue() == bucket.get_object("large", range=asked).read()
    chunks = sum(cid[1] == 0x55 for cid, _, _ in CarReader(io.BytesIO(data)))
    assert chunks <= len(out.getvalue()) // MIB + 2


def test_what_cannot_be_asked_is_refused(bucket: mstbucket.Bucket, store: mstbucket.Store) -> None:
    """[PROOF-4]"""
    for wrong in (lambda: of_page(bucket, max_keys=0), lambda: of_page(bucket, max_keys=1001), lambda: of_key(bucket, ""),
                  lambda: of_key(bucket, "a\0"), lambda: of_page(bucket, prefix="\ud800")):  # fmt: skip
        with pytest.raises(InvalidInput):
            wrong()
    with pytest.raises(NoSuchKey):
        of_key(bucket, "later", body=True)
    with pytest.raises(InvalidRange):
        of_key(bucket, "a", range="bytes=1-")
    with pytest.raises(NoSuchCommit):
        of_key(store.create_bucket("fresh"), "a")
    with pytest.raises(InvalidInput, match="commit has to be a CID"):
        checked(of_key(bucket, "a"), "baf")


def test_another_commit_is_refused(bucket: mstbucket.Bucket) -> None:
    """[PROOF-8] before its block is read: the file ends behind the statement."""
    data = of_key(bucket, "a")
    (statement, block, _), *_ = CarReader(io.BytesIO(data))
    for short in (data, car.header(statement) + car.section(statement, block)):
        with pytest.raises(OtherCommit):
            checked(short, "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm")


GOLDEN = Path(__file__).parents[2] / "fixtures" / "proofs"
INDEX: dict[str, dict[str, Any]] = json.loads((GOLDEN / "index.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(INDEX))
def test_a_golden_proof_is_made_again_and_proves_what_the_index_says(name: str, generators: Any) -> None:
    maker = generators("generate_proofs")
    data, found = maker.make(name)
    assert (GOLDEN / f"{name}.car").read_bytes() == data
    assert maker.entry(name, data, found) == INDEX[name]
    proved = mstbucket.check_proof(GOLDEN / f"{name}.car", INDEX[name]["commit"])
    assert {one.key: one.cid for one in proved.objects} == INDEX[name]["objects"]
    assert sorted(INDEX) == sorted(path.stem for path in GOLDEN.glob("*.car"))


# --- what somebody might do to a proof ---


def parts(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    reader = CarReader(io.BytesIO(data))
    return reader.root, [(cid, block) for cid, block, _ in reader]


def joined(root: bytes, blocks: list[tuple[bytes, bytes]]) -> bytes:
    return car.header(root) + b"".join(car.section(cid, block) for cid, block in blocks)


PROOFS = {
    "there": lambda bucket: of_key(bucket, "a"),
    "absent": lambda bucket: of_key(bucket, "a000"),
    "body": lambda bucket: of_key(bucket, "large", body=True),
    "page": lambda bucket: of_page(bucket, prefix="a", delimiter="/"),
    "short page": lambda bucket: of_page(bucket, prefix="a", max_keys=3),
}


@pytest.mark.parametrize("name", PROOFS)
def test_a_proof_without_a_block_or_with_one_too_many_proves_nothing(bucket: mstbucket.Bucket, name: str) -> None:
    """[PROOF-2] every block left out, every two exchanged, every one doubled, one added at the end."""
    root, blocks = parts(PROOFS[name](bucket))
    commit = head(bucket)
    for at in range(len(blocks)):
        with pytest.raises(MissingBlock):
            checked(joined(root, blocks[:at] + blocks[at + 1 :]), commit)
        with pytest.raises((MissingBlock, ExtraBlock)):
            checked(joined(root, blocks[: at + 1] + blocks[at:]), commit)
        if at and blocks[at] != blocks[at - 1]:
            changed = [*blocks[: at - 1], blocks[at], blocks[at - 1], *blocks[at + 1 :]]
            with pytest.raises(MissingBlock):
                checked(joined(root, changed), commit)
    with pytest.raises(ExtraBlock):
        checked(joined(root, [*blocks, (raw_cid(b"x"), b"x")]), commit)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_changed_byte_proves_anything(bucket: mstbucket.Bucket, data: Any) -> None:
    good = bytearray(PROOFS[data.draw(st.sampled_from(["there", "absent", "page", "short page"]))](bucket))
    good[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises((FormatError, CorruptionError, Unsupported)):
        checked(bytes(good), head(bucket))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"key": "b"}, MissingBlock),
        ({"key": "a000"}, (MissingBlock, ExtraBlock)),
        ({"body": [0, 1]}, MissingBlock),
        ({"body": [0, 99]}, Untrue),
        ({"body": [0, 0]}, Untrue),
        ({"body": [1, 0]}, InvalidBlock),
        ({"body": [0]}, InvalidBlock),
        ({"body": "all"}, InvalidBlock),
        ({"proof": 2}, Unsupported),
        ({"proof": "1"}, InvalidBlock),
        ({"more": 1}, InvalidBlock),
        ({"prefix": ""}, InvalidBlock),
        ({"commit": None}, InvalidBlock),
        ({"commit": dagcbor.Link(raw_cid(b""))}, InvalidBlock),
        ({"key": 5}, InvalidBlock),
        ({"key": ""}, InvalidBlock),
    ],
    ids=repr,
)
def test_another_statement_needs_other_blocks(bucket: mstbucket.Bucket, change: dict[str, Any], error: Any) -> None:
    """[PROOF-3], [PROOF-4], [PROOF-7]"""
    _, blocks = parts(of_key(bucket, "a"))
    stated = dagcbor.decode(blocks[0][1]) | change
    block = dagcbor.encode(stated)
    root = dag_cbor_cid(block)
    with pytest.raises(error):
        checked(joined(root, [(root, block), *blocks[1:]]), head(bucket))


@pytest.mark.parametrize(
    "change",
    [
        {"max_keys": 0}, {"max_keys": 1001}, {"delimiter": ""}, {"start_after": ""}, {"delimiter": 1}, {"max_keys": True},
        {"prefix": None},
    ],
    ids=repr,
)  # fmt: skip
def test_a_page_that_no_listing_has_is_no_statement(bucket: mstbucket.Bucket, change: dict[str, Any]) -> None:
    """[PROOF-3], [PROOF-4]"""
    _, blocks = parts(of_page(bucket, prefix="a", max_keys=3))
    block = dagcbor.encode(dagcbor.decode(blocks[0][1]) | change)
    root = dag_cbor_cid(block)
    with pytest.raises(InvalidBlock):
        checked(joined(root, [(root, block), *blocks[1:]]), head(bucket))


def test_a_page_that_starts_after_all_of_its_prefix_takes_the_root_alone(bucket: mstbucket.Bucket) -> None:
    """[PROOF-6] Nothing is asked for, so every subtree is passed over."""
    for prefix, start_after in (("/a", "a"), ("a", "b"), ("a", "zz")):
        data = of_page(bucket, prefix=prefix, start_after=start_after)
        assert len(parts(data)[1]) == 3
        assert checked(data, head(bucket)).objects == ()


def test_a_manifest_that_contradicts_its_content_proves_nothing(forge: Any) -> None:
    """[PROOF-5] [VER-16] An export with it is refused, and so is a proof."""
    for digest, good in ((sha256(b"x").digest(), True), (bytes(32), False)):
        value = forge.manifest(b"x", sha256=digest)
        commit = forge.bucket({b"a": value})
        statement = dagcbor.encode({"proof": 1, "commit": dagcbor.Link(commit), "key": "a"})
        there = [(cid, forge.get(cid)) for cid in forge.order(commit) if cid[1] == 0x71]
        blocks = [(dag_cbor_cid(statement), statement), *there]
        data = joined(blocks[0][0], blocks)
        if good:
            assert [found.key for found in checked(data, to_text(commit)).objects] == ["a"]
        else:
            with pytest.raises(Untrue, match="another sha256"):
                checked(data, to_text(commit))


def test_an_export_is_no_proof_and_a_proof_no_export(bucket: mstbucket.Bucket) -> None:
    """[PROOF-1]"""
    out = io.BytesIO()
    bucket.export_car(out)
    with pytest.raises(InvalidBlock, match="no proof"):
        checked(out.getvalue(), head(bucket))
    with pytest.raises(FormatError):
        mstbucket.verify_car(io.BytesIO(of_key(bucket, "a")))


def test_a_lost_node_makes_no_proof(bucket: mstbucket.Bucket, store: mstbucket.Store, tmp_path: Any) -> None:
    lost = store.create_bucket("lost")
    lost.put_object("a", b"x")
    lost.flush()
    for pack in (tmp_path / "blobs" / "packs").rglob("*.car"):
        pack.write_bytes(b"")
    with pytest.raises((CorruptionError, mstbucket.errors.StorageError)):
        lost.prove_key("a", tmp_path / "proof.car")
    assert not (tmp_path / "proof.car").exists()


def test_the_figures_that_the_text_promises_hold(store: mstbucket.Store) -> None:
    """About 6 KB for a key among a million: at 3,000 keys it is less than half of that."""
    many = store.create_bucket("many")
    many.put_objects(mstbucket.PutRequest(f"key-{n:06}", b"x") for n in range(3000))
    commit = many.flush()
    sizes = [len(of_key(many, f"key-{n:06}")) for n in range(0, 3000, 100)]
    assert sum(sizes) / len(sizes) < 5000
    assert from_text(commit.cid)
