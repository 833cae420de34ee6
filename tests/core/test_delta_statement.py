"""The statement of a delta: one form, and nothing else is taken for it."""

from __future__ import annotations

from dataclasses import replace

import dag_cbor
import pytest

from mstbucket.core.cid import dag_cbor_cid, raw_cid, to_text
from mstbucket.core.commit import EMPTY_TREE, Commit, check_later
from mstbucket.core.commit_fields import bucket_id
from mstbucket.core.delta_statement import DeltaStatement, decode, encode
from mstbucket.errors import InvalidBlock, Unsupported, Untrue
from mstbucket.limits import STATEMENT_BLOCK_MAX

BASE, COMMIT = dag_cbor_cid(b"\xa0"), dag_cbor_cid(b"\x80")
STATEMENT = DeltaStatement(BASE, COMMIT)
FIRST = Commit(bucket=bucket_id(bytes(16)), name="n", seq=1, tree=EMPTY_TREE, time=0, objects=0, bytes=0)


def test_the_bytes_are_those_of_the_specification() -> None:
    """[DELTA-2] Field by field, as its example has them."""
    block = encode(STATEMENT)
    assert block == (
        b"\xa3\x64base\x78\x3b" + to_text(BASE).encode() + b"\x65delta\x01\x66commit\xd8\x2a\x58\x25\x00" + COMMIT
    )
    assert decode(block) == STATEMENT
    assert len(block) <= STATEMENT_BLOCK_MAX


def test_what_is_none_is_told_from_what_is_a_bad_one() -> None:
    """[DELTA-1] [DELTA-2] Other blocks are no statement; a later version, other fields and other forms are refused."""
    large = dag_cbor.encode({"delta": 1, "x": "y" * STATEMENT_BLOCK_MAX})
    for other in (b"\xa0", b"\x80", dag_cbor.encode({"delta": "1"}), large):
        assert decode(other) is None
    good = dag_cbor.decode(encode(STATEMENT))
    assert isinstance(good, dict)
    with pytest.raises(Unsupported):
        decode(dag_cbor.encode(good | {"delta": 2}))
    for bad in (
        {"more": 1},
        {"base": good["commit"]},
        {"commit": good["base"]},
        {"base": to_text(raw_cid(b""))},
        {"base": to_text(BASE).upper()},
        {"base": "bafy"},
        {"base": 1},
    ):
        with pytest.raises(InvalidBlock):
            decode(dag_cbor.encode(good | bad))
    for missing in ("base", "commit"):
        with pytest.raises(InvalidBlock):
            decode(dag_cbor.encode({name: value for name, value in good.items() if name != missing}))


def test_a_delta_leads_to_a_later_state_of_the_same_bucket() -> None:
    """[DELTA-3]"""
    second = replace(FIRST, seq=2, prev=BASE)
    check_later(FIRST, second)
    check_later(FIRST, replace(second, seq=9))
    for base, commit in ((FIRST, FIRST), (second, FIRST), (FIRST, replace(second, bucket=bucket_id(b"1" * 16)))):
        with pytest.raises(Untrue):
            check_later(base, commit)
