"""Names of blobs: the grammar both ways, and names that nobody has had before."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.blobs.names import check_name, is_name, is_pack, pack_name, parse_ref, ref_name
from mstbucket.core.cid import raw_cid, to_text
from mstbucket.errors import InvalidInput
from mstbucket.limits import BLOB_NAME_MAX, SEQ_MAX

IDENTITY = "aaaqeayeaudaocajbifqydiob4"
CID = to_text(raw_cid(b""))

anything = st.text(st.sampled_from("ab09._-/A \n\0ä"), max_size=12) | st.text(max_size=12)


@given(anything | st.text("a/", min_size=190, max_size=210))
@settings(max_examples=500, deadline=None)
def test_a_name_is_what_the_specification_says(name: str) -> None:
    """[BLOB-1] against the rule written out segment by segment"""
    segments = name.split("/")
    expected = len(name) <= BLOB_NAME_MAX and all(
        segment != "" and segment[0] != "." and set(segment) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")
        for segment in segments
    )
    assert is_name(name) == expected
    if expected:
        assert check_name(name) == name
    else:
        with pytest.raises(InvalidInput, match="no blob name"):
            check_name(name)


def test_a_long_name_is_not_repeated_in_full_in_the_message() -> None:
    """[BLOB-1]"""
    with pytest.raises(InvalidInput) as caught:
        check_name("a" * 100_000)
    assert len(str(caught.value)) < 500


def test_pack_names_are_new_and_spread_over_256_folders() -> None:
    """[BLOB-3] 128 random bits: two equal ones among 2,000 would not happen in the age of the universe"""
    names = [pack_name() for _ in range(2_000)]
    assert len(set(names)) == len(names)
    assert all(is_name(name) and is_pack(name) for name in names)
    assert len({name[:9] for name in names}) > 200
    assert re.fullmatch(r"packs/([0-9a-f]{2})/\1[0-9a-f]{30}\.car", names[0])


@pytest.mark.parametrize(
    "name",
    ["packs/readme", "packs/ab/cd" + "0" * 30 + ".car", "packs/ab/ab" + "0" * 29 + ".car", "packs/ab/ab" + "0" * 30],
    ids=["something else", "in another's folder", "too short", "without a suffix"],
)
def test_what_is_no_pack(name: str) -> None:
    """[BLOB-3]"""
    assert is_name(name)
    assert not is_pack(name)


@given(st.integers(0, SEQ_MAX), st.integers(0, SEQ_MAX))
@settings(deadline=None)
def test_refs_are_listed_from_the_oldest_to_the_newest(one: int, two: int) -> None:
    """[BLOB-3] the order of names is that of sequence numbers"""
    names = [ref_name(IDENTITY, seq, CID) for seq in (one, two)]
    assert [parse_ref(name) for name in names] == [(IDENTITY, one, CID), (IDENTITY, two, CID)]
    assert (names[0] < names[1]) == (one < two)


@pytest.mark.parametrize(
    ("identity", "seq", "commit"),
    [
        ("photos", 1, CID),
        (IDENTITY.upper(), 1, CID),
        (IDENTITY, -1, CID),
        (IDENTITY, SEQ_MAX + 1, CID),
        (IDENTITY, 2**64, CID),
        (IDENTITY, 1, CID[:-1]),
        (IDENTITY, 1, CID + "/.."),
        ("..", 1, CID),
    ],
)
def test_what_names_no_commit_is_refused(identity: str, seq: int, commit: str) -> None:
    """[BLOB-1]"""
    with pytest.raises(InvalidInput, match="identity, number and CID"):
        ref_name(identity, seq, commit)


@given(anything)
@settings(deadline=None)
def test_foreign_names_are_no_refs(name: str) -> None:
    """[BLOB-1]"""
    assert parse_ref(f"refs/{name}") is None
