"""The head of a folder of files: what is written is read again, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mstbucket import errors
from mstbucket.core.cid import DAG_CBOR_PREFIX
from mstbucket.core.commit_fields import bucket_id
from mstbucket.core.file_head import ChainFile, FileHead, decode, encode
from mstbucket.limits import COMMIT_SEQ_MAX, FILE_BEFORE_MAX, FILE_DELTAS_MAX, FILE_HEAD_MAX

CIDS = st.binary(min_size=32, max_size=32).map(DAG_CBOR_PREFIX.__add__)
HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
FILES = st.builds(ChainFile, st.integers(1, 1000), CIDS, st.integers(0, 1 << 50), HASHES)


@st.composite
def heads(draw: st.DrawFn) -> FileHead:
    files = draw(st.lists(FILES, min_size=1, max_size=5, unique_by=lambda file: file.seq))
    files.sort(key=lambda file: file.seq)
    before = draw(st.sets(st.tuples(st.integers(0, 1000), CIDS), max_size=5))
    earlier = sorted((one for one in before if 0 < one[0] < files[-1].seq), reverse=True)
    identity = bucket_id(draw(st.binary(min_size=16, max_size=16)))
    return FileHead(identity, draw(st.sampled_from(("things", "a.b-c.1"))), tuple(earlier), tuple(files))


@given(heads())
def test_what_is_written_is_read_again(head: FileHead) -> None:
    """[FOLD-5] [FOLD-3] And the names of the files say which commits they are of."""
    assert decode(encode(head), "the head") == head
    names = [head.file_name(index) for index in range(len(head.files))]
    assert names[0].startswith(f"full-{head.files[0].seq}-b")
    for name, (base, file) in zip(names[1:], zip(head.files, head.files[1:], strict=False), strict=True):
        assert name.startswith(f"delta-{base.seq}-{file.seq}-b")
    assert len(set(names)) == len(names)


@given(heads(), st.data())
def test_a_changed_text_is_refused_or_says_something_else(head: FileHead, data: st.DataObject) -> None:
    """[FOLD-5] No two texts say the same, and what is raised is declared."""
    text = bytearray(encode(head))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        read = decode(bytes(text), "the head")
    except (errors.FormatError, errors.Unsupported):
        return
    assert encode(read) == bytes(text)
    assert (read == head) == (bytes(text) == encode(head))


@given(st.binary(max_size=300))
def test_any_bytes_raise_what_is_declared(data: bytes) -> None:
    """[FOLD-5]"""
    with pytest.raises((errors.FormatError, errors.Unsupported)):
        decode(data, "the head")


def test_the_longest_head_fits() -> None:
    """[FOLD-7] [FOLD-8] With as many commits and files as a writer names, all of the longest form."""
    cid = DAG_CBOR_PREFIX + b"\xff" * 32
    files = tuple(ChainFile(COMMIT_SEQ_MAX - FILE_DELTAS_MAX + n, cid, 10**18, "f" * 64) for n in range(FILE_DELTAS_MAX + 1))
    before = tuple((COMMIT_SEQ_MAX - 1 - n, cid) for n in range(FILE_BEFORE_MAX))
    text = encode(FileHead("a" * 26, "n" * 63, before, files))
    assert len(text) <= FILE_HEAD_MAX // 3
    decode(text, "the head")
    with pytest.raises(errors.FormatError, match="bytes"):
        decode(text + b"#" * FILE_HEAD_MAX, "the head")
