"""What an error is about stands in fields, so that no program has to read messages."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mstbucket import errors
from mstbucket.core import car_reader
from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.cid import raw_cid, to_text, verify_block
from mstbucket.errors import CorruptionError, HashMismatch, InvalidCar, MissingBlock, MstBucketError
from mstbucket.verify.car import verify_car

CLASSES = [getattr(errors, name) for name in errors.__all__]
EXPORTS = Path(__file__).parents[1] / "fixtures" / "exports"
CID = raw_cid(b"a body")


def made(kind: type[MstBucketError]) -> MstBucketError:
    return kind("it's gone", 7) if kind is InvalidCar else kind("it's gone")


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_takes_every_field_and_its_message_stays(kind: type[MstBucketError]) -> None:
    error = made(kind)
    message = str(error)
    assert (error.bucket, error.key, error.cid, error.pack) == (None, None, None, None)
    assert error.about(bucket="photos", key="a", cid=CID, pack="packs/00/x.car", offset=7) is error
    assert (error.bucket, error.key, error.cid, error.pack, error.offset) == (
        "photos", "a", to_text(CID), "packs/00/x.car", 7,
    )  # fmt: skip
    assert str(error) == message


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind is not InvalidCar])
def test_fields_are_still_there_when_the_error_comes_from_another_process(kind: type[MstBucketError]) -> None:
    back = pickle.loads(pickle.dumps(made(kind).about(bucket="photos", offset=0)))
    assert (type(back), str(back), back.bucket, back.offset) == (kind, "it's gone", "photos", 0)


@given(st.binary(min_size=1, max_size=40))
def test_a_cid_has_the_same_text_here_as_everywhere(cid: bytes) -> None:
    assert MissingBlock("it's gone").about(cid=cid).cid == to_text(cid)


def test_who_was_nearer_to_the_fault_knew_better() -> None:
    error = MissingBlock("it's gone").about(key="near", offset=0)
    error.about(bucket="photos", key="far", offset=9)
    assert (error.bucket, error.key, error.offset) == ("photos", "near", 0)


def test_an_error_made_of_another_is_about_the_same_but_for_what_it_says_itself() -> None:
    inner = HashMismatch("inside").about(key="inner", cid=CID, offset=1)
    inner.blocks = (CID,)
    outer = CorruptionError("outside").about(inner, offset=2)
    assert (outer.key, outer.cid, outer.offset, outer.blocks) == ("inner", to_text(CID), 2, (CID,))
    assert errors.FormatError("of another group").about(outer).cid == to_text(CID)


def test_a_block_that_is_not_the_one_named_is_named() -> None:
    with pytest.raises(HashMismatch) as caught:
        verify_block(CID, b"another")
    assert caught.value.cid == to_text(CID)
    with pytest.raises(MissingBlock) as missing:
        MemoryBlocks({}).get(CID)
    assert missing.value.cid == to_text(CID)


def test_a_damaged_file_says_which_block_is_wrong_and_where_its_section_starts() -> None:
    whole = next(path for path in sorted(EXPORTS.rglob("*.car")) if path.stat().st_size > 1000).read_bytes()
    *_, (last, _, at) = car_reader.CarReader(io.BytesIO(whole))
    with pytest.raises(HashMismatch) as caught:
        verify_car(io.BytesIO(whole[:-1] + bytes([whole[-1] ^ 1])))
    assert caught.value.cid == to_text(last)
    assert caught.value.offset is not None
    assert whole[caught.value.offset : at].endswith(last)  # a length and the CID, before the block
    with pytest.raises(MissingBlock) as missing:
        verify_car(io.BytesIO(whole[: caught.value.offset]))
    assert missing.value.cid == to_text(last)
    assert missing.value.offset is not None
