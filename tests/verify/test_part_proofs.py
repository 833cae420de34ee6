"""Parts of a bucket as files: they hold all that is under a prefix and nothing else, and are taken for no whole bucket."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mstbucket
from mstbucket.core import car, dagcbor
from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import dag_cbor_cid, from_text, raw_cid
from mstbucket.errors import (
    CorruptionError,
    ExtraBlock,
    ForeignCar,
    FormatError,
    InvalidBlock,
    InvalidInput,
    MissingBlock,
    OtherCommit,
    Unsupported,
)

GOLDEN = Path(__file__).parents[2] / "fixtures" / "part-proofs"
INDEX: dict[str, dict[str, Any]] = json.loads((GOLDEN / "index.json").read_text(encoding="utf-8"))
MIB = 1 << 20


@pytest.fixture(scope="module")
def bucket(databases: Any, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[mstbucket.Bucket]:
    """Some folders with versions and delete markers in them, and a body of several chunks."""
    url, blobs = databases.url(databases.create(template)), tmp_path_factory.mktemp("parts") / "blobs"
    with mstbucket.open(database=url, blobs=blobs, background=False) as store:
        made = store.create_bucket("things")
        made.put_bucket_versioning("Enabled")
        some = [f"{folder}{name}" for folder in ("a/", "a0", "b/", "bé/") for name in range(40)]
        made.put_objects(mstbucket.PutRequest(key, key.encode()) for key in some)
        made.put_objects(mstbucket.PutRequest(key, b"again") for key in some[::7])
        made.delete_objects(some[::11])
        made.put_object("b/large", bytes(range(256)) * 4096 * 2 + b"end")
        made.flush()
        made.put_object("a/later", b"not in the commit")
        yield made


def head(bucket: mstbucket.Bucket) -> str:
    commit = bucket.head_commit()
    assert commit is not None
    return commit.cid


def of_part(bucket: mstbucket.Bucket, prefix: str) -> bytes:
    out = io.BytesIO()
    bucket.export_part(prefix, out)
    return out.getvalue()


def checked(data: bytes, commit: str) -> mstbucket.ProvedPart:
    found = mstbucket.check_proof(io.BytesIO(data), commit).part
    assert found is not None
    return found


def sections(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    reader = CarReader(io.BytesIO(data))
    return reader.root, [(cid, block) for cid, block, _ in reader]


def joined(root: bytes, blocks: list[tuple[bytes, bytes]]) -> bytes:
    return car.header(root) + b"".join(car.section(cid, block) for cid, block in blocks)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prefix=st.text(st.sampled_from("/ab01é"), max_size=3))
def test_a_part_holds_what_the_bucket_has_under_the_prefix(bucket: mstbucket.Bucket, prefix: str) -> None:
    """[PROOF-13] against the listings, and the bytes of every body."""
    data = of_part(bucket, prefix)
    found = checked(data, head(bucket))
    with bucket.at(head(bucket)) as view:
        objects = list(view.objects(prefix))
        versions = view.list_object_versions(prefix, max_keys=1000).versions
        there = {raw_cid(view.get_object(one.key).read()) for one in objects if one.size <= MIB}
    assert (found.prefix, found.objects, found.bytes) == (prefix, len(objects), sum(one.size for one in objects))
    assert found.versions == len([one for one in versions if not one.is_latest or one.delete_marker])
    assert there <= {cid for cid, _ in sections(data)[1]}


def test_a_part_costs_what_is_in_it(bucket: mstbucket.Bucket) -> None:
    """[PROOF-13] Subtrees on both sides are passed over."""
    assert len(of_part(bucket, "a/7")) < len(of_part(bucket, "a/")) < len(of_part(bucket, "a")) < len(of_part(bucket, ""))
    assert checked(of_part(bucket, "none"), head(bucket)).objects == 0


def test_a_part_of_an_earlier_commit(bucket: mstbucket.Bucket) -> None:
    out = io.BytesIO()
    with bucket.at(1) as view:
        report = view.export_part("a/", out)
    root, blocks = sections(out.getvalue())
    assert (from_text(report.root), report.blocks, report.bytes) == (root, len(blocks), len(out.getvalue()))
    assert checked(out.getvalue(), head(bucket)).objects


def test_a_part_without_a_block_or_with_one_too_many_is_refused(bucket: mstbucket.Bucket) -> None:
    """[PROOF-2] every block left out, doubled, or another in its place."""
    root, blocks = sections(of_part(bucket, "b/1"))
    for at in range(len(blocks)):
        before, here, after = blocks[:at], blocks[at], blocks[at + 1 :]
        for wrong in ([*before, *after], [*before, (raw_cid(b"x"), b"x"), *after], [*before, here, here, *after]):
            with pytest.raises((MissingBlock, ExtraBlock)):
                checked(joined(root, wrong), head(bucket))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_changed_byte_is_accepted(bucket: mstbucket.Bucket, data: Any) -> None:
    wrong = bytearray(of_part(bucket, "b/1"))
    wrong[data.draw(st.integers(0, len(wrong) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises((FormatError, CorruptionError, Unsupported)):
        checked(bytes(wrong), head(bucket))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"part": "b/"}, MissingBlock), ({"part": "b/11"}, (MissingBlock, ExtraBlock)),
        ({"part": "zz"}, (MissingBlock, ExtraBlock)),
        ({"part": 1}, InvalidBlock), ({"part": "a\0"}, InvalidBlock), ({"part": None}, InvalidBlock),
        ({"delimiter": "/"}, InvalidBlock), ({"key": "b/1"}, InvalidBlock), ({"proof": 2}, Unsupported),
    ],
    ids=repr,
)  # fmt: skip
def test_another_statement_needs_other_blocks(bucket: mstbucket.Bucket, change: dict[str, Any], error: Any) -> None:
    """[PROOF-3] [PROOF-13]"""
    _, blocks = sections(of_part(bucket, "b/1"))
    block = dagcbor.encode(dagcbor.decode(blocks[0][1]) | change)
    root = dag_cbor_cid(block)
    with pytest.raises(error):
        checked(joined(root, [(root, block), *blocks[1:]]), head(bucket))


def test_a_part_is_not_taken_for_a_bucket(bucket: mstbucket.Bucket, store: mstbucket.Store) -> None:
    """[PROOF-14] nor is any other proof, whoever is asked; the message says what it is, and what to do."""
    part = of_part(bucket, "a/")
    for read in (lambda data: mstbucket.verify_car(data), lambda data: store.import_car(data, "made")):
        with pytest.raises(ForeignCar, match=r"prefix 'a/': 'check-proof' checks it"):
            read(io.BytesIO(part))
    key = io.BytesIO()
    bucket.prove_key("a/1", key)
    with pytest.raises(ForeignCar, match="no whole bucket, but a proof"):
        mstbucket.verify_car(io.BytesIO(key.getvalue()))
    assert store.list_buckets() == []


def test_what_cannot_be_asked_is_refused(bucket: mstbucket.Bucket, tmp_path: Path) -> None:
    """[PROOF-13]"""
    for prefix in ("a\0", "\ud800", "x" * 20_000):
        with pytest.raises(InvalidInput):
            bucket.export_part(prefix, tmp_path / "part.car")
    assert not (tmp_path / "part.car").exists()
    with pytest.raises(OtherCommit):
        checked(of_part(bucket, "a/"), "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm")
    with pytest.raises(InvalidInput, match="name the one that you know"):
        mstbucket.check_proof(io.BytesIO(of_part(bucket, "a/")))


@pytest.mark.parametrize("name", sorted(INDEX))
def test_a_golden_part_is_made_again_and_proves_what_the_index_says(name: str, generators: Any) -> None:
    maker = generators("generate_part_proofs")
    data, found = maker.make(name)
    assert (GOLDEN / f"{name}.car").read_bytes() == data
    proved = mstbucket.check_proof(GOLDEN / f"{name}.car", INDEX[name]["commit"])
    assert proved == found
    assert maker.entry(name, data, proved) == INDEX[name]
    assert sorted(INDEX) == sorted(path.stem for path in GOLDEN.glob("*.car"))
