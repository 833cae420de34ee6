"""What names a commit: four forms that exclude each other ([PAST-20], [PAST-21])."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mstbucket.core.cid import dag_cbor_cid, to_text
from mstbucket.core.commit_names import OfCid, OfNumber, OfSnapshot, OfTime, check_snapshot_name, commit_name
from mstbucket.errors import InvalidInput

CID = dag_cbor_cid(b"a commit")


@pytest.mark.parametrize(
    ("given_", "named"),
    [
        (to_text(CID), OfCid(CID)),
        ("7", OfNumber(7)),
        ("007", OfNumber(7)),
        ("9223372036854775807", OfNumber(2**63 - 1)),
        (7, OfNumber(7)),
        ("1970-01-01T00:00:01Z", OfTime(1000)),
        ("1970-01-01 02:00:01.0019+02:00", OfTime(1001)),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), OfTime(0)),
        ("1969-12-31T23:59:59.9999Z", OfTime(-1)),
        ("before-migration", OfSnapshot("before-migration")),
        ("2026-11-26-evening", OfSnapshot("2026-11-26-evening")),
        ("v7", OfSnapshot("v7")),
        ("bafy", OfSnapshot("bafy")),
        ("١٢", OfSnapshot("١٢")),
    ],
    ids=str,
)
def test_each_form_is_told_by_its_look_alone(given_: str | int | datetime, named: object) -> None:
    """[PAST-20]"""
    assert commit_name(given_) == named


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        (-1, "numbered from 1"),
        ("1" * 20, "at most 19 digits"),
        ("1" * 5000, "at most 19 digits"),
        ("2026-11-26", "time zone"),
        ("2026-11-26T10:00", "time zone"),
        ("2026-13-26T10:00Z", "is no time"),
        ("2026-11-26 evening", "is no time"),
        (datetime(2026, 11, 26), "time zone"),
        ("b" + "a" * 58, "names no commit"),
        ("", "1 to 200"),
        ("x" * 201, "1 to 200"),
        ("a/b", "slash"),
        ("a@b", "slash"),
        ("a b", "slash"),
        ("a\nb", "slash"),
        ("a\ud800", "slash"),
    ],
    ids=ascii,
)
def test_what_has_a_form_and_no_meaning_is_refused(given_: str | int | datetime, said: str) -> None:
    """[PAST-20] [PAST-21]"""
    with pytest.raises(InvalidInput, match=said):
        commit_name(given_)


@pytest.mark.parametrize("name", [to_text(CID), "b" + "a" * 58, "0", "12", "2026-11-26", "2026-11-26T10:00Z", "2026-99-99"])
def test_a_snapshot_cannot_have_the_form_of_another_name(name: str) -> None:
    """[PAST-21]"""
    with pytest.raises(InvalidInput, match="has the form"):
        check_snapshot_name(name)


@given(st.text(max_size=70))
def test_a_text_is_the_name_of_a_snapshot_or_has_another_form_or_is_refused(text: str) -> None:
    """[PAST-20] [PAST-21]"""
    try:
        check_snapshot_name(text)
    except InvalidInput:
        with contextlib.suppress(InvalidInput):
            assert not isinstance(commit_name(text), OfSnapshot)
    else:
        assert commit_name(text) == OfSnapshot(text)


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)))
def test_a_time_loses_less_than_a_millisecond_and_never_gains(time: datetime) -> None:
    """[PAST-20] a commit of a later millisecond was not made at that time."""
    named = commit_name(time.replace(tzinfo=UTC))
    assert isinstance(named, OfTime)
    past = time.replace(tzinfo=UTC) - (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=named.ms))
    assert timedelta(0) <= past < timedelta(milliseconds=1)
