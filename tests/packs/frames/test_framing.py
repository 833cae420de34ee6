"""Writing frames: nonces that never come twice, failures that arrive, and nothing visible that is not whole."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.blobs.base import BlobStore, BlobWriter
from mstbucket.blobs.media.memory import MemoryBlobs
from mstbucket.blobs.names import Kind, framed, pack_name, parse_ref, parse_secret_ref, secret_ref_name
from mstbucket.core.cid import raw_cid, to_text
from mstbucket.errors import InvalidInput, StorageError, Unsupported
from mstbucket.limits import FRAMES_MAX, KIB, MIB
from mstbucket.packs.frames import crypto
from mstbucket.packs.frames import write as framing
from mstbucket.packs.frames.codec import Encoding
from mstbucket.packs.frames.crypto import DataKey, nonce
from mstbucket.packs.frames.read import Packs, TrailerIndex
from mstbucket.packs.frames.write import FrameWriter
from mstbucket.packs.plan import Location
from mstbucket.packs.write import PackWriter

KEY = DataKey(bytes(range(32)))
IDENTITY = "a" * 26
Write = Callable[[BlobStore, Encoding, list[bytes]], tuple[str, list[tuple[bytes, Location]], bytes]]


# --- nonces --------------------------------------------------------------------------------------------------------------


class Recording:
    """The real cipher, and every (key, nonce) with what was encrypted under it."""

    seen: dict[tuple[bytes, bytes], tuple[bytes, bytes]]

    def __init__(self, key: bytes, real: Any, seen: dict[tuple[bytes, bytes], tuple[bytes, bytes]]) -> None:
        self._key, self._real, self._seen = key, real, seen

    def encrypt(self, nonce: bytes, data: bytes, bound: bytes) -> bytes:
        before = self._seen.setdefault((self._key, nonce), (bytes(data), bound))
        assert before == (bytes(data), bound), "a nonce came twice for different things"
        return bytes(self._real.encrypt(nonce, data, bound))


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[bytes, bytes], tuple[bytes, bytes]]:
    """Everything that is encrypted from here on."""
    seen: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}
    real = crypto._aes
    monkeypatch.setattr(crypto, "_aes", lambda key: Recording(key, real(key), seen))
    return seen


def test_no_nonce_comes_twice_under_one_key(
    recorded: dict[tuple[bytes, bytes], tuple[bytes, bytes]], write_pack: Write
) -> None:
    """[FRAME-11]: many packs with the same content, refs published again, and all of it with one data key."""
    rng = random.Random(1)
    blocks = [rng.randbytes(30_000) for _ in range(20)]
    blobs = MemoryBlobs()
    for encoding in [Encoding(None, KEY), Encoding(1, KEY)] * 5:
        write_pack(blobs, encoding, blocks)
    packs = len(blobs.blobs)
    frames = len(recorded)
    assert packs == 10
    assert len({key for key, _ in recorded}) == packs
    assert len({(key, int.from_bytes(number)) for key, number in recorded}) == frames > 10 * packs
    for _ in range(3):  # [FRAME-14] the same content gives the same bytes, and that is the only repetition there is
        encoder = Encoding(3, KEY).encoder(Kind.AES, KEY.pseudonym(raw_cid(b"commit")))
        assert encoder.encode(b"commit") + encoder.trailer()
    assert len(recorded) == frames + 2


class Fickle:
    """The real cipher, which fails at some of its calls."""

    def __init__(self, real: Any, failing: set[int]) -> None:
        self._real, self._failing = real, failing
        self.nonces: list[bytes] = []

    def encrypt(self, nonce: bytes, data: bytes, bound: bytes) -> bytes:
        self.nonces.append(nonce)
        if len(self.nonces) in self._failing:
            raise MemoryError
        return bytes(self._real.encrypt(nonce, data, bound))


@given(st.integers(1, 30), st.sets(st.integers(1, 30)))
@settings(max_examples=40)
def test_an_attempt_that_failed_has_used_its_number(count: int, failing: set[int]) -> None:
    """[FRAME-11]"""
    real = crypto._aes
    with pytest.MonkeyPatch.context() as patch:
        made: list[Fickle] = []

        def make(key: bytes) -> Fickle:
            made.append(Fickle(real(key), failing))
            return made[-1]

        patch.setattr(crypto, "_aes", make)
        encoder = Encoding(None, KEY).encoder(Kind.AES, bytes(16))
        for number in range(count):
            try:
                encoder.encode(b"%d" % number)
            except MemoryError:
                assert number + 1 in failing
    assert [int.from_bytes(one) for one in made[0].nonces] == list(range(count))
    assert made[0].nonces == [nonce(number) for number in range(count)]


def test_frames_end_before_their_numbers_do() -> None:
    """[FRAME-11]: and nothing is encrypted behind the trailer."""
    encoder = Encoding(None, KEY).encoder(Kind.AES, bytes(16))
    encoder._number = FRAMES_MAX - 1
    encoder.encode(b"last")
    with pytest.raises(Unsupported, match="begin another"):
        encoder.encode(b"too many")
    other = Encoding(None, KEY).encoder(Kind.AES, bytes(16))
    other.encode(b"one")
    assert other.trailer() == other.trailer()
    with pytest.raises(Unsupported, match="begin another"):
        other.encode(b"two")


def test_keys_of_blobs_of_names_and_of_stores_are_different() -> None:
    """[FRAME-11]: HKDF gives each its own; checked against RFC 5869, test case 3 (no salt, no info), for its first block."""
    assert crypto._derive(bytes([0x0B] * 22), b"", b"").hex().startswith("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee187")
    data_keys = [KEY, DataKey(bytes(32)), DataKey.new(), DataKey.new()]
    assert len({key.id for key in data_keys}) == len({key.pseudonym(b"x") for key in data_keys}) == 4
    ciphers = [key.cipher(Kind.AES, blob) for key in data_keys for blob in (bytes(16), bytes(15) + b"\1")]
    assert len({cipher.seal(0, 0, 5, b"hello") for cipher in ciphers}) == 8


# --- names of refs ---------------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**63 - 1), st.binary(min_size=16, max_size=16))
@settings(max_examples=50)
def test_names_of_encrypted_refs(seq: int, pseudonym: bytes) -> None:
    """[FRAME-3], [FRAME-14], [BLOB-3]"""
    name = secret_ref_name(IDENTITY, seq, pseudonym)
    assert parse_secret_ref(name) == (IDENTITY, seq, pseudonym)
    assert parse_ref(name) is None
    assert framed(name) == (Kind.AES, pseudonym)
    assert framed(f"refs/{IDENTITY}/{seq:016x}-{to_text(raw_cid(b''))}.car") is None


@pytest.mark.parametrize(
    ("identity", "seq", "pseudonym"),
    [("x", 1, bytes(16)), (IDENTITY, -1, bytes(16)), (IDENTITY, 2**63, bytes(16)), (IDENTITY, 1, bytes(15))],
)
def test_what_names_no_encrypted_ref_is_refused(identity: str, seq: int, pseudonym: bytes) -> None:
    """[BLOB-1]"""
    with pytest.raises(InvalidInput, match="encrypted ref"):
        secret_ref_name(identity, seq, pseudonym)
    assert parse_secret_ref(f"refs/{IDENTITY}/{'f' * 16}-{'0' * 32}.car.aes") is None


# --- the writer -----------------------------------------------------------------------------------------------------------


class Failing(MemoryBlobs):
    """Fails at one of its writes, or at the commit, which is number 0."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at
        self.count = 0

    def open_write(self, name: str) -> BlobWriter:
        real = super().open_write(name)
        store = self

        class Writer(BlobWriter):
            def write(self, data: bytes | bytearray | memoryview) -> None:
                store.count += 1
                if store.count == store.at:
                    raise StorageError("the disk is full")
                real.write(data)

            def commit(self) -> int:
                if store.at == 0:
                    raise StorageError("the disk is full")
                return real.commit()

            def abort(self) -> None:
                real.abort()

        return Writer()


@pytest.mark.parametrize("at", [0, 1, 2, 5, 9, 14])
def test_a_failure_of_the_medium_arrives_and_nothing_is_visible(at: int) -> None:
    """[BLOB-4]: at the latest when the pack is committed."""
    blobs = Failing(at)
    name = pack_name(Kind.ZSTD)
    writer = FrameWriter(blobs.open_write(name), Encoding(1).encoder(Kind.ZSTD, bytes(16)))
    pack = PackWriter(writer, raw_cid(b""))
    threads = threading.active_count()
    with pytest.raises(StorageError, match="disk is full"), writer:  # noqa: PT012
        for _ in range(12):
            pack.add(raw_cid(bytes(MIB)), bytes(MIB))
        pack.finish()
        writer.commit()
    assert blobs.blobs == {}
    assert threading.active_count() <= threads
    for call in (writer.commit, lambda: writer.write(b"x")):
        with pytest.raises(InvalidInput, match="has ended"):
            call()
    writer.abort()


def test_what_is_given_is_the_callers_again(write_pack: Write) -> None:
    """A buffer that is used for the next piece meanwhile changes nothing of what was written."""
    blobs = MemoryBlobs()
    _, located, plain = write_pack(blobs, Encoding(), [bytes([n]) * 200_000 for n in range(9)])
    name = pack_name(Kind.ZSTD | Kind.AES)
    encoding = Encoding(1, KEY)
    writer = FrameWriter(blobs.open_write(name), encoding.encoder(*(framed(name) or (Kind.AES, b""))))
    buffer = bytearray(64 * KIB)
    for at in range(0, len(plain), len(buffer)):
        piece = plain[at : at + len(buffer)]
        buffer[: len(piece)] = piece
        writer.write(memoryview(buffer)[: len(piece)])
    buffer[:] = bytes(len(buffer))
    assert writer.commit() == len(blobs.blobs[name])
    assert Packs(blobs, TrailerIndex(blobs, KEY), KEY).get_range(name, 0, len(plain)) == plain
    assert writer.plain_size == len(plain) == located[-1][1].offset + 200_000


def test_frames_waiting_to_be_written_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """[BLOB-10]: a medium that is slow holds up the writer, and not the memory."""
    waiting: list[int] = []
    real = FrameWriter._give

    def give(self: FrameWriter, frame: bytes) -> None:
        real(self, frame)
        waiting.append(len(self._waiting))

    monkeypatch.setattr(FrameWriter, "_give", give)
    writer = FrameWriter(MemoryBlobs().open_write("packs/x"), Encoding(3).encoder(Kind.ZSTD, bytes(16)))
    pack = PackWriter(writer, raw_cid(b""))
    for _ in range(20):
        pack.add(raw_cid(bytes(MIB)), bytes(MIB))
    pack.finish()
    writer.commit()
    assert max(waiting) <= framing._AHEAD
