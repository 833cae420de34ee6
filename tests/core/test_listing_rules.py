"""[LIST-5] [VSN-11] What a listing needs no database for: tokens, version id markers, common prefixes."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mstbucket.core.s3rules.listing import (
    LastItem,
    common_prefix,
    page_size,
    read_token,
    read_version_marker,
    write_token,
    write_version_marker,
)
from mstbucket.errors import InvalidInput, InvalidToken
from mstbucket.limits import LIST_KEYS_MAX, SEQ_MAX

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
NARROW = st.text("a/-", max_size=6)


@given(st.builds(LastItem, TEXTS, st.booleans()))
def test_a_token_gives_its_item_back(item: LastItem) -> None:
    assert read_token(write_token(item)) == item


@given(st.builds(LastItem, TEXTS, st.booleans()), st.data())
def test_a_token_with_one_character_changed_is_refused(item: LastItem, data: st.DataObject) -> None:
    token = write_token(item)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("abcXYZ019-_=~é").filter(lambda c: c != token[at]))
    damaged = token[:at] + other + token[at + 1 :]
    with suppress(InvalidToken):
        assert read_token(damaged) == item  # base64 has spare bits at its end: the same bytes in other letters


@pytest.mark.parametrize("token", ["", "=", "a", "AAAA", "é", "kkkkkkkk"])
def test_what_no_call_has_written_is_no_token(token: str) -> None:
    with pytest.raises(InvalidToken):
        read_token(token)


@given(TEXTS, NARROW)
def test_what_follows_a_common_prefix_is_past_everything_below_it(prefix: str, below: str) -> None:
    assert prefix + below <= LastItem(prefix, True).past
    assert LastItem(prefix, False).past == prefix


@given(NARROW, NARROW, st.none() | st.sampled_from(["", "/", "-", "//", "a/"]))
def test_a_common_prefix_is_the_shortest_that_ends_with_the_delimiter(key: str, prefix: str, delimiter: str | None) -> None:
    slow = None
    if delimiter and key.startswith(prefix):
        ends = range(len(prefix) + len(delimiter), len(key) + 1)
        slow = next((key[:end] for end in ends if key[:end].endswith(delimiter)), None)
    assert common_prefix(key, prefix, delimiter) == slow


@given(st.none() | st.text("abc@-_", min_size=1, max_size=10).filter(lambda text: text != "null"), st.integers(0, SEQ_MAX))
def test_a_version_marker_gives_id_and_place_back(version_id: str | None, seq: int) -> None:
    assert read_version_marker(write_version_marker(version_id, seq)) == (version_id, seq)


@pytest.mark.parametrize("text", ["abc", "@0000000000000001", "abc@1", "abc@000000000000000G", f"abc@{SEQ_MAX + 1:016x}"])
def test_a_plain_version_id_names_no_place(text: str) -> None:
    assert read_version_marker(text) is None


@pytest.mark.parametrize(
    ("asked", "size"), [(0, 0), (1, 1), (LIST_KEYS_MAX, LIST_KEYS_MAX), (LIST_KEYS_MAX + 1, LIST_KEYS_MAX)]
)
def test_a_page_holds_what_is_asked_for_up_to_the_most(asked: int, size: int) -> None:
    assert page_size("max_keys", asked) == size


def test_a_negative_page_is_refused_by_the_name_of_its_argument() -> None:
    with pytest.raises(InvalidInput, match="max_parts is -1"):
        page_size("max_parts", -1)
