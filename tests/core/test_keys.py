"""Keys, version keys, prefixes and bucket names: spec/format/01-keys.md."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.core.keys import (
    check_bucket_name,
    decode_key,
    encode_key,
    prefix_end,
    split_version_key,
    version_key,
)
from mstbucket.errors import InvalidBucketName, InvalidKey, KeyTooLong

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=200)


@settings(deadline=None, max_examples=300)
@given(KEYS)
def test_every_key_comes_back_as_it_was(text: str) -> None:
    """[KEY-1] [KEY-4] the bytes are the text's UTF-8, nothing normalised."""
    key = encode_key(text)
    assert key == text.encode()
    assert decode_key(key) == text


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=40))
def test_bytes_are_a_key_only_if_encoding_gives_them(data: bytes) -> None:
    """[KEY-1] decode_key accepts exactly the image of encode_key."""
    try:
        text = decode_key(data)
    except InvalidKey:
        assert not data or 0 in data or "\ufffd" in data.decode(errors="replace")
    else:
        assert encode_key(text) == data


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a//b/../c/", id="slashes and dots stay"),
        pytest.param(" \t\r\n", id="blanks are a key"),
        pytest.param("e\u0301", id="a decomposed accent stays decomposed"),
        pytest.param("\u00e9", id="a composed accent stays composed"),
        pytest.param("\U0010ffff\ufffe\ufeff", id="noncharacters and the byte order mark stay"),
        pytest.param("k" * 1024, id="1,024 bytes of ASCII"),
        pytest.param("\u5199" * 341, id="1,023 bytes of three-byte characters"),
        pytest.param("\x01\x7f", id="control characters other than NUL"),
    ],
)
def test_kept_exactly(text: str) -> None:
    """[KEY-2] [KEY-4]"""
    assert decode_key(encode_key(text)) == text


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        pytest.param("", InvalidKey, "empty", id="the empty text"),
        pytest.param("a\0b", InvalidKey, "NUL", id="a NUL inside"),
        pytest.param("\ud800", InvalidKey, "surrogate at character 0", id="a lone high surrogate"),
        pytest.param("a\udfff", InvalidKey, "surrogate at character 1", id="a lone low surrogate"),
        pytest.param("k" * 1025, KeyTooLong, "1025 bytes", id="1,025 bytes of ASCII"),
        pytest.param("\u5199" * 342, KeyTooLong, "1026 bytes", id="342 characters of three bytes"),
    ],
)
def test_refused_texts(text: str, error: type[Exception], says: str) -> None:
    """[KEY-1] [KEY-2] [KEY-3]"""
    with pytest.raises(error, match=says):
        encode_key(text)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param(b"", InvalidKey, id="no bytes"),
        pytest.param(b"\xff", InvalidKey, id="a byte that UTF-8 never has"),
        pytest.param(b"\xc0\xaf", InvalidKey, id="an overlong slash"),
        pytest.param(b"\xed\xa0\x80", InvalidKey, id="a surrogate in three bytes"),
        pytest.param(b"\xf4\x90\x80\x80", InvalidKey, id="above U+10FFFF"),
        pytest.param(b"a\x00", InvalidKey, id="a NUL at the end"),
        pytest.param(b"k" * 1025, KeyTooLong, id="too long"),
    ],
)
def test_refused_bytes(data: bytes, error: type[Exception]) -> None:
    """[KEY-1] [KEY-2] [KEY-3]"""
    with pytest.raises(error):
        decode_key(data)


# --- version keys ----------------------------------------------------------------------------------------------------

SEQS = st.integers(0, 2**63 - 1)


@settings(deadline=None, max_examples=200)
@given(KEYS, SEQS)
def test_version_key_round_trip(text: str, seq: int) -> None:
    """[KEY-5]"""
    key = text.encode()
    stored = version_key(key, seq)
    assert stored == key + b"\0" + format(2**64 - 1 - seq, "016x").encode()
    assert split_version_key(stored) == (key, seq)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.text("a\x01\u5199", min_size=1, max_size=3), st.one_of(st.integers(0, 9), SEQS))))
def test_versions_sort_by_key_then_newest_first(pairs: list[tuple[str, int]]) -> None:
    """[KEY-5] the NUL sorts a key's versions before those of every longer key."""
    stored = sorted(version_key(text.encode(), seq) for text, seq in pairs)
    expected = sorted(((text.encode(), -seq) for text, seq in pairs))
    assert [split_version_key(one) for one in stored] == [(key, -minus) for key, minus in expected]


@pytest.mark.parametrize("seq", [-1, 2**63])
def test_sequences_outside_63_bits_are_refused(seq: int) -> None:
    """[KEY-6]"""
    with pytest.raises(InvalidKey, match="2\\^63"):
        version_key(b"k", seq)


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"0" * 16, id="digits alone"),
        pytest.param(b"\0" + b"f" * 16, id="an empty key"),
        pytest.param(b"key" + b"f" * 16, id="no NUL"),
        pytest.param(b"key\0" + b"F" * 16, id="upper-case digits"),
        pytest.param(b"key\0" + b"f" * 15, id="fifteen digits"),
        pytest.param(b"key\0" + b"f" * 17, id="seventeen digits"),
        pytest.param(b"key\0" + b"f" * 15 + b"g", id="a letter above f"),
        pytest.param(b"key\0" + b"f" * 15 + b"\n", id="a newline for the last digit"),
        pytest.param(b"k\0y\0" + b"f" * 16, id="a NUL in the key"),
        pytest.param(b"key\0" + b"7" + b"f" * 15, id="a sequence of 2^63"),
        pytest.param(b"\xff\0" + b"f" * 16, id="a key that is not UTF-8"),
    ],
)
def test_refused_version_keys(stored: bytes) -> None:
    """[KEY-3] [KEY-5] [KEY-6]"""
    with pytest.raises(InvalidKey):
        split_version_key(stored)


def test_the_longest_version_key_and_one_byte_more() -> None:
    """[KEY-2]"""
    assert split_version_key(version_key(b"k" * 1024, 7)) == (b"k" * 1024, 7)
    with pytest.raises(KeyTooLong, match="version key has 1042 bytes"):
        split_version_key(version_key(b"k" * 1025, 7))


# --- prefix_end ------------------------------------------------------------------------------------------------------

EDGES = "\0\x01a\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010fffe\U0010ffff"


def test_prefix_end_against_byte_order_on_every_short_text() -> None:
    """[KEY-7] over an alphabet of all edges of UTF-8: exactly the texts with the prefix lie below the end."""
    texts = ["".join(t) for n in range(4) for t in itertools.product(EDGES, repeat=n)]
    in_order = sorted((text.encode(), text) for text in texts)
    for prefix in (text for text in texts if len(text) < 3):
        end = prefix_end(prefix)
        start, limit = prefix.encode(), None if end is None else end.encode()
        inside = {text for data, text in in_order if start <= data and (limit is None or data < limit)}
        assert inside == {text for text in texts if text.startswith(prefix)}


def test_prefix_end_of_every_single_code_point() -> None:
    """[KEY-7] the successor of each code point is its neighbour among all of Unicode sorted as UTF-8 bytes."""
    points = [chr(n) for n in range(0x110000) if not 0xD800 <= n <= 0xDFFF]
    in_order = [data.decode() for data in sorted(point.encode() for point in points)]
    assert [prefix_end(point) for point in in_order] == [*in_order[1:], None]


@settings(deadline=None, max_examples=500)
@given(TEXT, TEXT)
def test_prefix_end_bounds_every_text_of_unicode(prefix: str, other: str) -> None:
    """[KEY-7]"""
    end = prefix_end(prefix)
    for text in (other, prefix + other):
        inside = prefix.encode() <= text.encode() and (end is None or text.encode() < end.encode())
        assert inside == text.startswith(prefix)


@settings(deadline=None, max_examples=300)
@given(TEXT, st.integers(1, 3), TEXT)
def test_prefix_end_is_the_least_bound(prefix: str, carried: int, other: str) -> None:
    """[KEY-7] no text without the prefix lies between the texts with it and the end."""
    prefix += "\U0010ffff" * carried
    end = prefix_end(prefix)
    for text in (other, prefix[:-1] + other):
        above_all = text.encode() > prefix.encode() and not text.startswith(prefix)
        if end is None:
            assert not above_all
        elif above_all:
            assert text.encode() >= end.encode()


def test_prefix_end_refuses_surrogates() -> None:
    """[KEY-1]"""
    with pytest.raises(InvalidKey, match="prefix"):
        prefix_end("a\ud912")


# --- bucket names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["abc", "a-b", "0.1", "my.bucket.of-2026", "a" * 63, "1.2.3", "1.2.3.4.5", "a--b", "team-1234-eu-an", "sthree"],
)
def test_good_bucket_names(name: str) -> None:
    """[KEY-8]"""
    check_bucket_name(name)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param("", "0 characters", id="empty"),
        pytest.param("ab", "2 characters", id="two characters"),
        pytest.param("a" * 64, "64 characters", id="64 characters"),
        pytest.param("Abc", "'Abc'", id="upper case"),
        pytest.param("a_b", "'a_b'", id="an underscore"),
        pytest.param("a/b", "'a/b'", id="a slash"),
        pytest.param("b\u00fccher", "b\u00fccher", id="a letter outside ASCII"),
        pytest.param("abc\n", "is not made", id="a newline at the end"),
        pytest.param("ab\u0661", "is not made", id="a digit outside ASCII"),
        pytest.param("-abc", "starting", id="starts with a hyphen"),
        pytest.param("abc-", "ending", id="ends with a hyphen"),
        pytest.param(".abc", "''", id="starts with a dot"),
        pytest.param("abc.", "''", id="ends with a dot"),
        pytest.param("a..b", "''", id="two dots together"),
        pytest.param("a.-b", "'-b'", id="a label that starts with a hyphen"),
        pytest.param("a-.b", "'a-'", id="a label that ends with a hyphen"),
        pytest.param("192.168.5.4", "IPv4", id="the form of an IPv4 address"),
        pytest.param("999.0.0.999", "IPv4", id="the form of an impossible IPv4 address"),
        pytest.param("xn--abc", "xn--", id="reserved prefix of punycode"),
        pytest.param("sthree-abc", "sthree-", id="reserved prefix sthree-"),
        pytest.param("sthree-configurator", "sthree-", id="reserved prefix sthree-configurator"),
        pytest.param("amzn-s3-demo-bucket", "amzn-s3-demo-", id="reserved prefix of the manual's examples"),
        pytest.param("abc-s3alias", "-s3alias", id="reserved suffix of access point aliases"),
        pytest.param("abc--ol-s3", "--ol-s3", id="reserved suffix of object lambda"),
        pytest.param("abc.mrap", ".mrap", id="reserved suffix of multi-region access points"),
        pytest.param("abc--x-s3", "--x-s3", id="reserved suffix of directory buckets"),
        pytest.param("abc--table-s3", "--table-s3", id="reserved suffix of table buckets"),
    ],
)
def test_refused_bucket_names(name: str, says: str) -> None:
    """[KEY-8]"""
    with pytest.raises(InvalidBucketName, match=says):
        check_bucket_name(name)
