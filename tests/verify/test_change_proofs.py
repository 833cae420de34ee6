"""Change proofs: they prove what a comparison of two dictionaries gives, and no change of theirs proves anything else."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mstbucket
from mstbucket.core import car
from mstbucket.core import commit as commits
from mstbucket.core import statement as statements
from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.car import CarReader
from mstbucket.core.change_statement import Change, ChangesQuestion
from mstbucket.core.cid import dag_cbor_cid, raw_cid, to_text
from mstbucket.core.commit import Commit
from mstbucket.core.keys import version_key
from mstbucket.core.mst.build import build
from mstbucket.core.statement import KeyQuestion, Statement
from mstbucket.errors import (
    ExtraBlock,
    FormatError,
    InvalidBlock,
    InvalidInput,
    MissingBlock,
    OtherCommit,
    Unsupported,
    Untrue,
)
from mstbucket.limits import CHANGES_STATEMENT_MAX
from mstbucket.services.tree.prove import prove_changes
from mstbucket.verify.node import key_height

Pairs = dict[bytes, bytes]
BUCKET = commits.bucket_id(bytes(16))
VALUES = [dag_cbor_cid(b"manifest %d" % n) for n in range(3)]
# Keys of all heights up to 6, many of the higher ones among them: that is where trees are cut and grow together.
MANY = [b"k/%05d" % n for n in range(12_000)]
KEYS = sorted(key for height in range(7) for key in [key for key in MANY if key_height(key) == height][:14])


def committed(blocks: MemoryBlocks, seq: int, objects: Pairs, versions: Pairs, prev: bytes | None = None, **more: Any) -> bytes:
    roots = [build(sorted(pairs.items()), blocks.put) for pairs in (objects, versions)]
    if seq > 1 and prev is None:
        prev = dag_cbor_cid(b"some commit before")
    commit = Commit(
        BUCKET, "photos", seq, roots[0], seq, len(objects), 0, versions=roots[1] if versions else None, prev=prev,
        config=commits.config("Enabled"),
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
@given(old=pairs, changes=few, versions=pairs, of_versions=few)
def test_a_proof_says_what_two_dictionaries_say(
    old: Pairs, changes: dict[bytes, bytes | None], versions: Pairs, of_versions: dict[bytes, bytes | None]
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
    for at in range(len(sections)):
        with pytest.raises(MissingBlock):
            checked(joined(root, sections[:at] + sections[at + 1 :]), commit)


@settings(max_examples=150)
@given(old=pairs, new=pairs, data=st.data())
def test_no_other_list_of_changes_is_proved_by_any_blocks(old: Pairs, new: Pairs, data: Any) -> None:
    """[PROOF-11] A change left out, added, or with other values: the blocks that its check asks for are all there."""
    blocks = MemoryBlocks()
    since, commit = committed(blocks, 1, old, {}), committed(blocks, 2, new, {})
    true = differing(old, new)
    forged = dict((key, (was, now)) for key, was, now in true)
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
