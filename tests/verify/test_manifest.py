"""The replay's quick reader of manifests against the full one: it accepts nothing else, and gives the same fields."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.core.cid import DAG_PB_PREFIX, RAW_PREFIX
from mstbucket.core.manifest import Manifest, decode, encode
from mstbucket.errors import InvalidBlock
from mstbucket.verify import manifest as quick

TIMES = st.one_of(st.integers(0, 2**63 - 1), st.just(1_766_000_000_000), st.sampled_from([2**32 - 1, 2**32, 2**48]))
TEXTS = st.one_of(
    st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126, exclude_characters='"'), min_size=1),
    st.text(st.characters(codec="utf-8", exclude_characters='"\0'), min_size=1, max_size=40),
    st.sampled_from(["a" * n for n in (23, 24, 255, 256, 300)]),
    st.sampled_from(["dsize\x05", "dsize", "lcontent_typej", "fsha256X "]),
)


@st.composite
def manifests(draw: Any) -> Manifest:
    size = draw(st.one_of(st.sampled_from([0, 23, 24, 255, 256, 65535, 65536, 2**20, 2**20 + 1, 2**32, 50_000 * 2**30])))
    optional: dict[str, Any] = {}
    if draw(st.booleans()):
        optional["sha256"] = draw(st.binary(min_size=32, max_size=32))
    if draw(st.booleans()):
        optional["version_id"] = draw(TEXTS.filter(lambda text: text != "null"))  # which no manifest can have
    if draw(st.integers(0, 3)) == 0:
        optional["metadata"] = draw(st.dictionaries(TEXTS, TEXTS, max_size=2))
    prefix = RAW_PREFIX if size <= 2**20 else DAG_PB_PREFIX
    content = prefix + draw(st.binary(min_size=32, max_size=32))
    content_type = draw(st.one_of(st.just(""), TEXTS))
    return Manifest(content, size, draw(TEXTS), content_type, draw(TIMES), draw(TIMES), **optional)


def both(block: bytes) -> None:
    """Assert that the two readers agree on *block*."""
    try:
        full = decode(block)
    except InvalidBlock:
        with pytest.raises(InvalidBlock):
            quick.read(block)
        return
    assert quick.read(block) == (full.content, full.size, full.sha256, full.version_id)


@settings(deadline=None, max_examples=300)
@given(manifests())
def test_what_is_written_reads_the_same(value: Manifest) -> None:
    both(encode(value))


@settings(deadline=None, max_examples=400)
@given(manifests(), st.integers(0, 400), st.binary(max_size=4), st.integers(0, 4))
def test_what_is_changed_reads_the_same_or_is_refused_by_both(value: Manifest, at: int, new: bytes, cut: int) -> None:
    block = encode(value)
    both(block[:at] + new + block[at + cut :])


def test_every_byte_changed_every_way() -> None:
    """All 256 values at every byte of a plain manifest, the quick reader's own shape."""
    plain = Manifest(
        RAW_PREFIX + bytes(32), 300, "0" * 24, "text/plain", 2**41, 2**41, sha256=bytes(32), version_id="v" * 16
    )
    block = encode(plain)
    assert quick._PLAIN.fullmatch(block) is not None
    for at in range(len(block)):
        for byte in range(256):
            both(block[:at] + bytes([byte]) + block[at + 1 :])


def test_a_delete_marker_has_no_content() -> None:
    block = encode(Manifest(None, None, None, None, 1, 2, delete_marker=True))
    assert quick.read(block) == (None, None, None, None)


@pytest.mark.parametrize("size", [5, 24, 4096, 70_000, 2**20, 2**20 + 1, 2**33])
def test_a_shape_that_was_learnt_lets_nothing_else_through(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte, and every pair of heads, of a manifest whose shape is known."""
    monkeypatch.setattr(quick, "_shapes", {})
    prefix = RAW_PREFIX if size <= 2**20 else DAG_PB_PREFIX
    time = 1_766_000_000_000
    block = encode(Manifest(prefix + bytes(32), size, "e" * 30, "image/jpeg", time, time, sha256=bytes(range(32))))
    both(block)
    [(length, shape)] = quick._shapes.items()
    assert length == len(block)
    assert shape.fullmatch(block)
    for at in range(len(block)):
        for byte in {block[at] ^ 1 << bit for bit in range(8)} | {0, 0x17, 0x18, 0x22, 0x60, 0x7F, 0xFF}:
            both(block[:at] + bytes((byte,)) + block[at + 1 :])
    # the same length, with other lengths inside
    both(encode(Manifest(prefix + bytes(32), size, "e" * 29, "image/jpegs", time, time, sha256=bytes(32))))
    both(encode(Manifest(prefix + bytes(32), size, "e" * 30, "image/jpeh", time, time, sha256=bytes(32))))
    assert len(quick._shapes) == 1


def test_no_more_shapes_are_kept_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "_shapes", {})
    for length in range(quick._SHAPES_MAX + 20):
        both(encode(Manifest(RAW_PREFIX + bytes(32), 5, "e" * (length + 1), "", 2**41, 2**41, sha256=bytes(32))))
    assert len(quick._shapes) == quick._SHAPES_MAX
