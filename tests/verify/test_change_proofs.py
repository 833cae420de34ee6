"""Change proofs: they prove what a comparison of two dictionaries gives, and no change of theirs proves anything else."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mstbucket
from mstbucket.core import car, commit_fields
from mstbucket.core import commit as commits
from mstbucket.core import statement as statements
from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.car_reader import CarReader
from mstbucket.core.change_statement import Change, ChangesQuestion
from mstbucket.core.cid import dag_cbor_cid, raw_cid, to_text
from mstbucket.core.commit import Commit
from mstbucket.core.keys import version_key
from mstbucket.core.mst.build import build
from mstbucket.core.statement import KeyQuestion, Statement
from mstbucket.errors import (
    CorruptionError,
    ExtraBlock,
    FormatError,
    InvalidBlock,
    InvalidInput,
    MissingBlock,
    NoSuchCommit,
    OtherCommit,
    Unsupported,
    Untrue,
)
from mstbucket.limits import CHANGES_STATEMENT_MAX
from mstbucket.services.tree.prove import prove_changes
from mstbucket.verify.node import key_height

Pairs = dict[bytes, bytes]
BUCKET = commit_fields.bucket_id(bytes(16))
VALUES = [dag_cbor_cid(b"manifest %d" % n) for n in range(3)]
# Keys of all heights up to 6, many of the higher ones among them: that is where trees are cut and grow together.
MANY = [b"k/%05d" % n for n in range(12_000)]
KEYS = sorted(key for height in range(7) for key in [key for key in MANY if key_height(key) == height][:14])


def committed(
    blocks: MemoryBlocks, seq: int, objects: Pairs, versions: Pairs, prev: bytes | None = None, **more: Any
) -> bytes:
    roots = [build(sorted(pairs.items()), blocks.put) for pairs in (objects, versions)]
    if seq > 1 and prev is None:
        prev = dag_cbor_cid(b"some commit before")
    commit = Commit(
        BUCKET, "photos", seq, roots[0], seq, len(objects), 0, versions=roots[1] if versions else None, prev=prev,
        config=commit_fields.config("Enabled"),
    )  # fmt: skip
    block = commits.encode(replace(commit, **more))
    blocks.put(dag_cbor_cid(block), block)
    return dag_cbor_cid(block)


def proof_of(blocks: MemoryBlocks, since: bytes, commit: bytes) -> bytes:
    out = io.BytesIO()
    prove_changes(blocks, since, blocks, commit, out)
    return out.getvalue()


def checked(data: bytes, commit: bytes, since: bytes | None = None) -> mstbucket.ProvedChanges:
    proved = mstbucket.check_proof(
        io.BytesIO(data), to_text(commit), since=None if since is None else to_text(since)
    )
    assert proved.changes is not None
    return proved.changes


def differing(old: Pairs, new: Pairs) -> list[tuple[bytes, bytes | None, bytes | None]]:
    """The oracle."""
    return [(key, old.get(key), new.get(key)) for key in sorted(old | new) if old.get(key) != new.get(key)]


def as_texts(found: Sequence[Change]) -> list[tuple[str, str | None, str | None]]:
    text = lambda cid: None if cid is None else to_text(cid)  # noqa: E731
    return [(key.decode(), text(old), text(new)) for key, old, new in found]


pairs = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=60)
few = st.dictionaries(st.sampled_from(KEYS), st.sampled_from([None, *VALUES]), max_size=8)


def changed(old: Pairs, changes: Mapping[bytes, bytes | None]) -> Pairs:
    return {key: value for key, value in (old | dict(changes)).items() if value is not None}


@settings(max_examples=150)
@given(old=pairs, changes=few, versions=pairs, of_versions=few, at=st.integers(0, 1 << 16))
def test_a_proof_says_what_two_dictionaries_say(
    old: Pairs, changes: dict[bytes, bytes | None], versions: Pairs, of_versions: dict[bytes, bytes | None], at: int
) -> None:
    """[PROOF-9] [PROOF-11] and with a block left out it says nothing ([PROOF-2], [PROOF-12])."""
    numbered = [{version_key(key, 7): value for key, value in some.items()} for some in (versions, of_versions)]
    new, later = changed(old, changes), changed(numbered[0], numbered[1])
    blocks = MemoryBlocks()
    since = committed(blocks, 1, old, numbered[0])
    commit = committed(blocks, 5, new, later)
    data = proof_of(blocks, since, commit)
    found = checked(data, commit, since)
    assert [(one.key, one.old, one.new) for one in found.objects] == as_texts(differing(old, new))
    shown = [(version_key(one.key.encode(), one.sequence or 0), one.old, one.new) for one in found.versions]
    assert [(key.decode(), *rest) for key, *rest in shown] == as_texts(differing(numbered[0], later))
    assert (found.since, found.since_seq, found.is_next) == (to_text(since), 1, False)
    root, sections = parts(data)
    at %= len(sections)
    with pytest.raises(MissingBlock):
        checked(joined(root, sections[:at] + sections[at + 1 :]), commit)


@settings(max_examples=150)
@given(old=pairs, new=pairs, data=st.data())
def test_no_other_list_of_changes_is_proved_by_any_blocks(old: Pairs, new: Pairs, data: Any) -> None:
    """[PROOF-11] A change left out, added, or with other values: the blocks that its check asks for are all there."""
    blocks = MemoryBlocks()
    since, commit = committed(blocks, 1, old, {}), committed(blocks, 2, new, {})
    true = differing(old, new)
    forged = {key: (was, now) for key, was, now in true}
    for key in data.draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3)):
        some = st.sampled_from([None, *VALUES])
        forged[key] = (data.draw(some), data.draw(some))
        if data.draw(st.booleans()):
            del forged[key]
    stated = tuple((key, was, now) for key, (was, now) in sorted(forged.items()) if was != now)
    if stated == tuple(true):
        checked(made_for(blocks, commit, ChangesQuestion(since, stated, ())), commit)
        return
    with pytest.raises(Untrue):
        made_for(blocks, commit, ChangesQuestion(since, stated, ()))


def made_for(blocks: MemoryBlocks, commit: bytes, question: ChangesQuestion) -> bytes:
    """The file of a statement, true or not, with every block that its check asks for."""
    from mstbucket.services.tree.prove import prove

    out = io.BytesIO()
    prove(blocks, commit, question, out)
    return out.getvalue()


def parts(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    reader = CarReader(io.BytesIO(data))
    return reader.root, [(cid, block) for cid, block, _ in reader]


def joined(root: bytes, blocks: Sequence[tuple[bytes, bytes]]) -> bytes:
    return car.header(root) + b"".join(car.section(cid, block) for cid, block in blocks)


# --- what somebody might do to a change proof ---

OLD = dict.fromkeys(KEYS[::2], VALUES[0])
NEW = changed(OLD, {KEYS[0]: None, KEYS[4]: VALUES[1], KEYS[-1]: VALUES[2], KEYS[3]: VALUES[0]})
KEPT = version_key(KEYS[0], 5)


@pytest.fixture(scope="module")
def blocks() -> MemoryBlocks:
    """Two commits, one after the other: of the objects one is removed, one is another, two are new; a version is kept."""
    return MemoryBlocks()


@pytest.fixture(scope="module")
def since(blocks: MemoryBlocks) -> bytes:
    return committed(blocks, 1, OLD, {})


@pytest.fixture(scope="module")
def commit(blocks: MemoryBlocks, since: bytes) -> bytes:
    return committed(blocks, 2, NEW, {KEPT: VALUES[0]}, prev=since)


@pytest.fixture(scope="module")
def good(blocks: MemoryBlocks, since: bytes, commit: bytes) -> bytes:
    return proof_of(blocks, since, commit)


def stated(good: bytes) -> ChangesQuestion:
    question = statements.decode(parts(good)[1][0][1]).question
    assert isinstance(question, ChangesQuestion)
    return question


def with_statement(good: bytes, commit: bytes, question: ChangesQuestion) -> bytes:
    block = statements.encode(Statement(commit, question))
    root = dag_cbor_cid(block)
    return joined(root, [(root, block), *parts(good)[1][1:]])


def test_a_commit_that_names_the_other_as_the_one_before_it_is_the_next(good: bytes, commit: bytes, since: bytes) -> None:
    """[PROOF-10]"""
    found = checked(good, commit, since)
    assert found.is_next
    assert [(one.old is None, one.new is None) for one in found.objects] == [
        (False, True), (True, False), (False, False), (True, False)
    ]  # fmt: skip
    assert [(one.key, one.sequence) for one in found.versions] == [(KEYS[0].decode(), 5)]


CHANGED_LISTS: dict[str, Any] = {
    "one left out": lambda objects: objects[1:],
    "the last left out": lambda objects: objects[:-1],
    "all left out": lambda _: (),
    "one added that changed nothing that is there": lambda objects: sorted([*objects, (KEYS[6], VALUES[1], VALUES[0])]),
    "one added for a key that neither has": lambda objects: sorted([*objects, (KEYS[5], None, VALUES[0])]),
    "a removal of a key that neither had": lambda objects: sorted([*objects, (KEYS[5], VALUES[0], None)]),
    "a removal of a key that is there": lambda objects: sorted([*objects, (KEYS[6], VALUES[0], None)]),
    "another old value": lambda objects: [(objects[0][0], VALUES[2], None), *objects[1:]],
    "another new value": lambda objects: [*objects[:-1], (objects[-1][0], None, VALUES[0])],
    "a removal stated as a change": lambda objects: [(objects[0][0], VALUES[0], VALUES[1]), *objects[1:]],
    "a change stated as a removal": lambda objects: [*objects[:2], (KEYS[4], VALUES[0], None), objects[3]],
    "an old value where there was none": lambda objects: [*objects[:-1], (objects[-1][0], VALUES[0], objects[-1][2])],
    "no old value where there was one": lambda objects: [objects[0], objects[1], (KEYS[4], None, VALUES[1]), objects[3]],
    "a change for another key": lambda objects: [*objects[:-1], (KEYS[-1] + b"x", None, VALUES[2])],
}


@pytest.mark.parametrize("name", CHANGED_LISTS)
def test_another_list_of_changes_is_not_proved(
    blocks: MemoryBlocks, good: bytes, commit: bytes, name: str
) -> None:
    """[PROOF-11] neither by the blocks of the true one, nor by those that it would need itself."""
    question = stated(good)
    forged = replace(question, objects=tuple(CHANGED_LISTS[name](question.objects)))
    with pytest.raises((Untrue, MissingBlock, ExtraBlock)):
        checked(with_statement(good, commit, forged), commit)
    with pytest.raises(Untrue):
        made_for(blocks, commit, forged)
    with pytest.raises(Untrue):
        made_for(blocks, commit, replace(question, versions=()))
    with pytest.raises(Untrue):
        made_for(blocks, commit, replace(question, versions=((KEPT, VALUES[1], VALUES[0]),)))


def test_the_two_trees_cannot_be_exchanged(good: bytes, commit: bytes) -> None:
    """[PROOF-9] each key is of its tree."""
    question = stated(good)
    with pytest.raises(InvalidInput):
        with_statement(good, commit, ChangesQuestion(question.since, question.versions, question.objects))


UNORDERED: dict[str, Any] = {
    "out of order": lambda objects: objects[::-1],
    "twice": lambda objects: [objects[0], *objects],
    "no change": lambda objects: [(objects[0][0], VALUES[0], VALUES[0]), *objects[1:]],
    "nothing to nothing": lambda objects: [(objects[0][0], None, None), *objects[1:]],
    "an empty key": lambda objects: [(b"", None, VALUES[0]), *objects],
    "a key too long": lambda objects: [*objects, (b"z" * 1025, None, VALUES[0])],
    "a key with NUL": lambda objects: [*objects, (b"z\0", None, VALUES[0])],
    "a key that is no UTF-8": lambda objects: [*objects, (b"\xff", None, VALUES[0])],
    "a manifest that is raw": lambda objects: [*objects, (b"z", None, raw_cid(b""))],
    "a manifest that is no CID": lambda objects: [*objects, (b"z", None, b"x" * 36)],
}


@pytest.mark.parametrize("name", UNORDERED)
def test_a_list_that_is_none_is_no_statement(good: bytes, commit: bytes, monkeypatch: Any, name: str) -> None:
    """[PROOF-9] whoever writes it cannot, and whoever reads it refuses."""
    question = stated(good)
    forged = replace(question, objects=tuple(UNORDERED[name](question.objects)))
    with pytest.raises(InvalidInput):
        statements.encode(Statement(commit, forged))
    block = statement_of({"objects": [list(change) for change in forged.objects]}, commit, question)
    root = dag_cbor_cid(block)
    with pytest.raises(InvalidBlock, match="statement"):
        checked(joined(root, [(root, block), *parts(good)[1][1:]]), commit)


FIELDS: dict[str, tuple[dict[str, Any], Any]] = {
    "another version": ({"proof": 2}, Unsupported),
    "a field more": ({"more": 1}, InvalidBlock),
    "a prefix too": ({"prefix": ""}, InvalidBlock),
    "no versions": ({"versions": None}, InvalidBlock),
    "objects are a text": ({"objects": "abc"}, InvalidBlock),
    "objects are numbers": ({"objects": [1]}, InvalidBlock),
    "a change of two": ({"objects": [[b"a", None]]}, InvalidBlock),
    "a change of four": ({"objects": [[b"a", None, None, None]]}, InvalidBlock),
    "a key as text": ({"objects": [["a", None, VALUES[0]]]}, InvalidBlock),
    "a manifest as text": ({"objects": [[b"a", None, "x" * 36]]}, InvalidBlock),
    "a manifest as bytes": ({"objects": [[b"a", None, bytearray(VALUES[0])]]}, InvalidBlock),
    "since as text": ({"since": "x" * 36}, InvalidBlock),
    "since as null": ({"since": None}, InvalidBlock),
    "since as raw": ({"since": raw_cid(b"")}, InvalidBlock),
    "the commit as number": ({"commit": 5}, InvalidBlock),
}


@pytest.mark.parametrize("name", FIELDS)
def test_another_field_is_refused(good: bytes, commit: bytes, name: str) -> None:
    """[PROOF-3] [PROOF-9]"""
    fields, error = FIELDS[name]
    block = statement_of(fields, commit, stated(good))
    root = dag_cbor_cid(block)
    with pytest.raises(error):
        checked(joined(root, [(root, block), *parts(good)[1][1:]]), commit)


def statement_of(fields: dict[str, Any], commit: bytes, question: ChangesQuestion) -> bytes:
    """The block of a statement with other fields; bytes of 36 are links, and a bytearray is bytes."""
    from mstbucket.core import dagcbor

    def value(item: Any) -> Any:
        if isinstance(item, bytes) and len(item) == 36:
            try:
                return dagcbor.Link(dagcbor.check_cid(item))
            except FormatError:
                return item
        if isinstance(item, bytearray):
            return bytes(item)
        return [value(one) for one in item] if isinstance(item, (list, tuple)) else item

    plain = {
        "proof": 1, "since": question.since, "commit": commit, "objects": question.objects, "versions": question.versions,
    } | fields  # fmt: skip
    return dagcbor.encode({name: value(item) for name, item in plain.items()})


def test_other_blocks_prove_nothing(blocks: MemoryBlocks, good: bytes, commit: bytes, since: bytes) -> None:
    """[PROOF-2] missing, twice, exchanged, foreign, one too many; every byte changed."""
    root, sections = parts(good)
    foreign = (dag_cbor_cid(b"\xa0"), b"\xa0")
    for at in range(len(sections)):
        before, here, after = sections[:at], sections[at], sections[at + 1 :]
        for wrong in (
            before + after, [*before, here, here, *after], [*before, foreign, here, *after], [*before, foreign, *after],
            [*after[:1], here, *before[1:], *after[1:]],
        ):  # fmt: skip
            if wrong != sections:
                with pytest.raises((MissingBlock, ExtraBlock)):
                    checked(joined(root, wrong), commit)
    # A node that the changes do not touch, in its place among the others.
    other = next(cid for cid in blocks if cid not in dict(sections))
    with pytest.raises((MissingBlock, ExtraBlock)):
        checked(joined(root, [*sections, (other, blocks.get(other))]), commit)


@settings(max_examples=200)
@given(data=st.data())
def test_no_changed_byte_proves_anything(good: bytes, commit: bytes, data: Any) -> None:
    wrong = bytearray(good)
    wrong[data.draw(st.integers(0, len(wrong) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises((FormatError, CorruptionError, Unsupported)):
        checked(bytes(wrong), commit)


def test_other_commits_are_refused(blocks: MemoryBlocks, good: bytes, commit: bytes, since: bytes) -> None:
    """[PROOF-8] [PROOF-10]"""
    with pytest.raises(OtherCommit, match="earlier commit"):
        checked(good, commit, commit)
    with pytest.raises(OtherCommit):
        checked(good, since, since)
    twin = committed(blocks, 2, NEW, {KEPT: VALUES[0]}, prev=since, time=9)  # the same state, by somebody else
    with pytest.raises(OtherCommit):
        checked(made_for(blocks, twin, stated(good)), commit)
    earlier = committed(blocks, 1, OLD, {}, time=9)
    assert not checked(made_for(blocks, commit, replace(stated(good), since=earlier)), commit).is_next
    with pytest.raises(OtherCommit):
        checked(made_for(blocks, commit, replace(stated(good), since=earlier)), commit, since)


def test_the_commits_are_of_one_bucket_and_in_their_order(
    blocks: MemoryBlocks, good: bytes, commit: bytes, since: bytes
) -> None:
    """[PROOF-10]"""
    question = stated(good)
    undone = ChangesQuestion(
        commit, tuple((key, new, old) for key, old, new in question.objects),
        tuple((key, new, old) for key, old, new in question.versions),
    )  # fmt: skip
    with pytest.raises(Untrue, match="no later one"):
        made_for(blocks, since, undone)
    with pytest.raises(Untrue, match="no later one"):
        proof_of(blocks, commit, since)
    other = committed(blocks, 1, OLD, {}, bucket=commit_fields.bucket_id(b"x" * 16))
    with pytest.raises(Untrue, match="another"):
        made_for(blocks, commit, replace(question, since=other))
    with pytest.raises(Untrue, match="no later one"):
        made_for(blocks, commit, ChangesQuestion(commit, (), ()))


def test_an_earlier_commit_is_only_asked_of_changes(forge: Any) -> None:
    commit = forge.bucket({b"a": forge.manifest(b"x")})
    data = made_for(forge, commit, KeyQuestion("a"))  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="leave it out"):
        mstbucket.check_proof(io.BytesIO(data), to_text(commit), since=to_text(commit))


def test_a_node_at_a_wrong_place_proves_nothing(forge: Any, keys_of_height: Any) -> None:
    """[PROOF-12] Every node that is read is judged: here a key hides on the wrong side of its parent's."""
    value, high = forge.value({}), keys_of_height(1, 1, b"m")[0]
    there, hidden = keys_of_height(0, 1, b"a")[0], keys_of_height(0, 1, b"z")[0]
    since = forge.commit(forge.tree({high: value}), 1, 0)
    for keys in ([there], [there, hidden]):
        tree = forge.keyed(forge.keyed(None, [(key, value, None) for key in keys]), [(high, value, None)])
        block = commits.encode(replace(commits.decode(forge.get(since)), seq=2, tree=tree, prev=since))
        forge.put(dag_cbor_cid(block), block)
        question = ChangesQuestion(since, ((there, None, value),), ())
        if hidden not in keys:
            checked(made_for(forge, dag_cbor_cid(block), question), dag_cbor_cid(block))
            continue
        for stated in (question, replace(question, objects=tuple((key, None, value) for key in keys))):
            with pytest.raises(Untrue, match="not between the keys of its parents"):
                made_for(forge, dag_cbor_cid(block), stated)


def test_more_changes_than_a_statement_holds_are_refused() -> None:
    """[PROOF-9] on the way, before they are all gathered; and so is the block."""
    blocks = MemoryBlocks()
    keys = [b"%06d" % n + b"x" * 1000 for n in range(1100)]
    since = committed(blocks, 1, {}, {})
    commit = committed(blocks, 2, dict.fromkeys(keys, VALUES[0]), {})
    with pytest.raises(Unsupported, match="more than one proof holds"):
        proof_of(blocks, since, commit)
    with pytest.raises(Unsupported, match="export a delta"):
        statements.encode(Statement(commit, ChangesQuestion(since, tuple((key, None, VALUES[0]) for key in keys), ())))
    with pytest.raises(InvalidBlock, match="more than"):
        statements.decode(bytes(CHANGES_STATEMENT_MAX + 1))
    some = keys[:900]
    commit = committed(blocks, 2, dict.fromkeys(some, VALUES[0]), {})
    assert len(checked(proof_of(blocks, since, commit), commit).objects) == 900


def test_equal_trees_take_no_node(blocks: MemoryBlocks, since: bytes) -> None:
    """[PROOF-12]"""
    commit = committed(blocks, 2, OLD, {}, prev=since, tags={"a": "b"})
    data = proof_of(blocks, since, commit)
    assert len(parts(data)[1]) == 3
    assert checked(data, commit, since).objects == ()


GOLDEN = Path(__file__).parents[2] / "fixtures" / "change-proofs"
INDEX: dict[str, dict[str, Any]] = json.loads((GOLDEN / "index.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(INDEX))
def test_a_golden_change_proof_is_made_again_and_proves_what_the_index_says(name: str, generators: Any) -> None:
    maker = generators("generate_change_proofs")
    data, made = maker.make(name)
    assert (GOLDEN / f"{name}.car").read_bytes() == data
    expected = INDEX[name]
    proved = mstbucket.check_proof(GOLDEN / f"{name}.car", expected["commit"], since=expected["since"])
    assert proved == made
    assert maker.entry(name, data, proved) == expected
    assert sorted(INDEX) == sorted(path.stem for path in GOLDEN.glob("*.car"))


# --- through a store ---


def test_a_bucket_proves_what_its_diff_says(store: mstbucket.Store) -> None:
    """[PROOF-9] against `diff`, and the versions against the listing of them."""
    bucket = store.create_bucket("things")
    bucket.put_bucket_versioning("Enabled")
    bucket.put_objects(mstbucket.PutRequest(f"k/{n:04}", b"%d" % n) for n in range(800))
    first = bucket.flush()
    bucket.put_objects(mstbucket.PutRequest(f"k/{n:04}", b"again") for n in range(0, 800, 37))
    bucket.flush()
    bucket.delete_objects([f"k/{n:04}" for n in range(5, 800, 91)])
    bucket.put_object("new", b"n")
    last = bucket.flush()
    bucket.put_object("later", b"not in the commit")
    out = io.BytesIO()
    found = bucket.prove_changes(first.seq, last.seq, out)
    out.seek(0)
    assert mstbucket.check_proof(out, last.cid, since=first.cid) == found
    assert found.changes is not None
    manifest = lambda info: None if info is None else info.manifest  # noqa: E731
    assert [(one.key, one.old, one.new) for one in found.changes.objects] == [
        (one.key, manifest(one.old), manifest(one.new)) for one in bucket.diff(first.seq, last.seq)
    ]
    with bucket.at(last.seq) as view:
        shown = view.list_object_versions(max_keys=1000).versions
    kept = [item.key for item in shown if not item.is_latest or item.delete_marker]
    assert [one.key for one in found.changes.versions] == kept
    assert not found.changes.is_next


def test_what_cannot_be_asked_is_refused(store: mstbucket.Store, tmp_path: Path) -> None:
    """[PROOF-10] and no file is left."""
    bucket = store.create_bucket("things")
    bucket.put_object("a", b"1")
    first = bucket.flush()
    bucket.put_object("b", b"1")
    bucket.flush()
    target = tmp_path / "proof.car"
    for names, error in (((2, 1), InvalidInput), ((1, 1), InvalidInput), ((1, 9), NoSuchCommit)):
        with pytest.raises(error):
            bucket.prove_changes(*names, target)
        assert not target.exists()
    found = bucket.prove_changes(1, 2, target)
    assert found.changes is not None
    assert (found.changes.is_next, found.changes.since) == (True, first.cid)
    assert mstbucket.check_proof(target, found.commit) == found
