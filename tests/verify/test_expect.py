"""A file is compared with the commit that its publisher told: [VER-33], [CLI-42]."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import mstbucket
from mstbucket.errors import InvalidInput, OtherCommit

EXPORTS = Path(__file__).parents[2] / "fixtures" / "exports"
ONE, EMPTY = EXPORTS / "one-object.car", EXPORTS / "empty.car"


def root_of(path: Path) -> str:
    return mstbucket.inspect_car(path).roots[0].cid


def test_the_commit_that_is_expected_passes() -> None:
    """[VER-33]"""
    assert mstbucket.verify_car(ONE, expect=root_of(ONE)).objects == 1


def test_another_commit_is_refused_after_the_header(store: mstbucket.Store) -> None:
    """[VER-33] a header is enough: the rest is not even there."""
    header = io.BytesIO(ONE.read_bytes()[:59])
    with pytest.raises(OtherCommit, match=root_of(ONE)):
        mstbucket.verify_car(header, expect=root_of(EMPTY))
    with pytest.raises(OtherCommit):
        store.import_car(ONE, expect=root_of(EMPTY))
    assert store.list_buckets() == []
    assert store.import_car(ONE, expect=root_of(ONE)).head_commit() is not None


@pytest.mark.parametrize("text", ["", "baf", "bafkreie", "Qm", "\ud800"])
def test_what_is_no_cid_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="expect has to be a CID"):
        mstbucket.verify_car(ONE, expect=text)
