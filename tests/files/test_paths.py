"""Keys as paths: one path per key, always below the directory, and the key comes back ([CLI-10] to [CLI-14])."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.files.paths import NAME_MAX, escape, escape_segment, is_temporary, other_segment, temporary_name, unescape

# Keys out of what escapes are made of, so that nearly every example is a hard one.
HARD = st.lists(
    st.sampled_from(["/", "//", ".", "..", "%", "%=", "%+", "%~", "%2E", "%25", "%2F", "%41", "a", "A", "é", "\n", "\\"]),
    min_size=1,
    max_size=12,
).map("".join)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60)
LONG = st.builds(lambda unit, n, tail: (unit * n)[:1024] + tail, st.sampled_from(["a", "é", "写", "%", "😀", "%=", "."]),
                 st.integers(200, 1024), st.sampled_from(["", "/", "/x", "%"]))  # fmt: skip
KEYS = HARD | TEXT | LONG


def check_form(components: tuple[str, ...]) -> None:
    for component in components:
        assert component not in ("", ".", "..")
        assert "/" not in component
        assert "\0" not in component
        assert len(component.encode()) <= NAME_MAX


@settings(deadline=None, max_examples=400)
@given(KEYS)
def test_a_key_comes_back_from_its_path(key: str) -> None:
    """[CLI-10] every component is a safe name; the path gives the key."""
    components = escape(key)
    check_form(components)
    assert unescape(components) == key


LIKE_OURS = st.builds(
    lambda before, mark, dots, after: before + mark + dots + ".mstbucket-0123456789abcdef.partial" + after,
    st.sampled_from(["", "a/", "a" * 238, "a" * 240, "%" * 80, "é" * 120, "/"]),
    st.sampled_from(["", "%=", "%+", "%~", "%~%~"]),
    st.sampled_from(["", "/"]),
    st.sampled_from(["", "/x", "a" * 300]),
)


@settings(deadline=None, max_examples=400)
@given(KEYS | LIKE_OURS)
def test_no_key_has_a_name_of_ours_in_its_path(key: str) -> None:
    """[CLI-16] a key that only looks like one comes back as any other does."""
    for components in (escape(key), tuple(name for segment in key.split("/") for name in other_segment(segment))):
        assert not any(is_temporary(name.encode()) for name in components)
        assert unescape(components) == key
    assert is_temporary(temporary_name())


@settings(deadline=None, max_examples=200)
@given(LONG)
def test_a_long_segment_is_cut_as_late_as_can_be(key: str) -> None:
    """[CLI-12] [CLI-13] No piece could take what the next one starts with; together they are the escape."""
    segment = key.replace("/", "") * 2
    for names, mark in ((escape_segment("%=" + segment), "%="), (other_segment(segment), "%+")):
        assert [name[:2] for name in names] == ["%~"] * (len(names) - 1) + [mark]
        pieces = [name[2:] for name in names]
        for piece, after in itertools.pairwise(pieces):
            first = after[:3] if after[0] == "%" else after[0]
            assert len(piece.encode()) <= 240 < len((piece + first).encode())
        assert len(names) == 1 or len(pieces[-1].encode()) <= 240
        assert len(names) > 1 or len(names[0].encode()) <= NAME_MAX


@settings(deadline=None, max_examples=400)
@given(st.lists(KEYS, min_size=2, max_size=2, unique=True))
def test_different_keys_have_different_paths(keys: list[str]) -> None:
    """[CLI-10] the escape is injective."""
    assert escape(keys[0]) != escape(keys[1])


@settings(deadline=None, max_examples=400)
@given(KEYS, st.data())
def test_any_mix_of_the_two_forms_gives_the_key(key: str, data: st.DataObject) -> None:
    """[CLI-13] each segment may be in either form; whichever was written, the key comes back."""
    components = tuple(
        component
        for segment in key.split("/")
        for component in (other_segment if data.draw(st.booleans()) else escape_segment)(segment)
    )
    check_form(components)
    assert unescape(components) == key


@settings(deadline=None, max_examples=400)
@given(st.lists(KEYS.filter(lambda key: "/" not in key), min_size=2, max_size=2, unique=True))
def test_the_other_form_is_unique_where_case_and_normalisation_do_not_count(segments: list[str]) -> None:
    """[CLI-13] two segments never share the other form, also on file systems that fold names."""
    first, second = (tuple(unicodedata.normalize("NFC", c).casefold() for c in other_segment(s)) for s in segments)
    assert first != second


@settings(deadline=None, max_examples=400)
@given(st.lists(KEYS.flatmap(lambda key: st.sampled_from(escape(key))).filter(bool), min_size=1, max_size=4))
def test_reading_any_path_gives_a_key_whose_path_gives_that_key(components: list[str]) -> None:
    """[CLI-14] whatever lies in a directory has one key, and that key survives going out and in again."""
    key = unescape(components)
    assert unescape(escape(key)) == key


@pytest.mark.parametrize(
    ("key", "components"),
    [
        pytest.param("a/b.txt", ("a", "b.txt"), id="a plain key is a plain path"),
        pytest.param("100% sure: a\\b", ("100% sure: a\\b",), id="percent, colon and backslash stay as they are"),
        pytest.param("写真/é", ("写真", "é"), id="any script stays as it is"),
        pytest.param("a//b", ("a", "%=", "b"), id="an empty segment"),
        pytest.param("/a", ("%=", "a"), id="a leading slash"),
        pytest.param("a/", ("a", "%="), id="a trailing slash, the marker of a folder"),
        pytest.param("../../x", ("%=%2E%2E", "%=%2E%2E", "x"), id="segments of two dots"),
        pytest.param(".", ("%=%2E",), id="a dot"),
        pytest.param("...", ("...",), id="three dots are a name like any"),
        pytest.param("%=", ("%=%25=",), id="what looks like an escape is escaped"),
        pytest.param("a\nb", ("a\nb",), id="a line break is a character of a file name"),
        pytest.param("a" * 255, ("a" * 255,), id="255 bytes fit"),
        pytest.param("a" * 256, ("%~" + "a" * 240, "%=" + "a" * 16), id="256 bytes are cut"),
    ],
)
def test_forms(key: str, components: tuple[str, ...]) -> None:
    """[CLI-11] [CLI-12] exactly these forms."""
    assert escape(key) == components
    assert unescape(components) == key


@pytest.mark.parametrize(
    "name",
    [
        "%~dp0",
        "%=a",
        "%=%41",
        "%=%2e%2e",
        "%=%2",
        "%=%FF",
        "%=a%2Fb",
        "%+A",
        "%+%61",
        "%+%00",
        "%~",
        "%2E%2E",
        "a%20b",
        "%3D",
    ],
)
def test_a_name_that_no_copy_out_writes_stands_for_itself(name: str) -> None:
    """[CLI-14] ordinary names are never changed on the way in."""
    assert unescape((name,)) == name
    assert unescape(("d", name, "e")) == f"d/{name}/e"


def test_the_other_form_in_full() -> None:
    """[CLI-13] lower-case letters, digits, hyphen and underscore stay; the rest is hexadecimal UTF-8."""
    assert other_segment("Readme-1_é.md") == ("%+%52eadme-1_%C3%A9%2Emd",)
