"""Keys: where they come from, what opens what, and that none is ever shown."""

from __future__ import annotations

import pickle
import traceback
from pathlib import Path

import pytest

from mstbucket.blobs.media.memory import MemoryBlobs
from mstbucket.blobs.names import is_key, key_name
from mstbucket.errors import BrokenFrame, FormatError, InvalidInput, MstBucketError, StorageError, Unsupported, WrongKey
from mstbucket.limits import WRAPPED_KEY_MAX
from mstbucket.packs.frames.codec import Encoding
from mstbucket.packs.frames.crypto import DataKey
from mstbucket.packs.frames.data_keys import (
    HeldKey,
    KeySource,
    find_key,
    key_wrapper,
    key_wrapper_of_environment,
    put_key,
    read_key,
    unwrapped,
)

SECRET = bytes(range(100, 132))
OTHER = bytes(range(50, 82))


class Service:
    """A key service as one might write it: it knows keys by number and hands none out."""

    def __init__(self, size: int = 0) -> None:
        self._known: dict[bytes, bytes] = {}
        self._size = size

    def wrap(self, key: bytes) -> bytes:
        wrapped = b"number %d" % len(self._known) + bytes(self._size)
        self._known[wrapped] = key
        return wrapped

    def unwrap(self, wrapped: bytes) -> bytes:
        if wrapped not in self._known:
            raise WrongKey("the service does not know this key")
        return self._known[wrapped]


def test_a_key_comes_from_a_file_a_variable_or_a_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    path.write_text(SECRET.hex() + "\n")
    monkeypatch.setenv("MY_KEY", SECRET.hex().upper())
    held = [key_wrapper(source) for source in (path, str(path), "env:MY_KEY")]
    assert held == [HeldKey(SECRET)] * 3
    service = Service()
    assert key_wrapper(service) is service


def test_the_environment_may_have_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[FRAME-15]"""
    for name in ("MSTBUCKET_KEY", "MSTBUCKET_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert key_wrapper_of_environment() is None
    (tmp_path / "key").write_text(OTHER.hex())
    monkeypatch.setenv("MSTBUCKET_KEY_FILE", str(tmp_path / "key"))
    assert key_wrapper_of_environment() == HeldKey(OTHER)
    monkeypatch.setenv("MSTBUCKET_KEY", SECRET.hex())
    assert key_wrapper_of_environment() == HeldKey(SECRET)


@pytest.mark.parametrize(
    "text", ["", SECRET.hex()[:-1], SECRET.hex() + "00", "z" * 64, "٣" * 64, " ".join("0" * 32), "é" * 64]
)
def test_what_is_no_key_is_refused_and_not_shown(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[FRAME-19]"""
    (tmp_path / "key").write_text(text)
    monkeypatch.setenv("MY_KEY", text)
    for source in (tmp_path / "key", "env:MY_KEY"):
        with pytest.raises(InvalidInput, match="64 hexadecimal digits") as caught:
            key_wrapper(source)
        assert not text or text not in "".join(traceback.format_exception(caught.value))


def test_no_file_no_variable_no_wrapper(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        key_wrapper(tmp_path / "nothing")
    with pytest.raises(StorageError, match="cannot be read"):
        key_wrapper(tmp_path)
    with pytest.raises(InvalidInput, match="is no path"):
        key_wrapper("nul\0byte")
    with pytest.raises(InvalidInput, match="has no variable NOBODY_HAS_THIS"):
        key_wrapper("env:NOBODY_HAS_THIS")
    with pytest.raises(InvalidInput, match="takes the path of a key file"):
        key_wrapper(7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrapper", [HeldKey(SECRET), Service(), Service(WRAPPED_KEY_MAX - 8)], ids=["a key", "a service", "a large one"]
)
def test_a_wrapped_key_is_found_in_the_blob_store(wrapper: KeySource) -> None:
    """[FRAME-10]"""
    blobs, key = MemoryBlobs(), DataKey.new()
    assert find_key(blobs, key_wrapper(wrapper)) is None
    blobs.blobs["keys/foreign"] = b"not ours"
    assert find_key(blobs, key_wrapper(wrapper)) is None
    name, wrapped = put_key(blobs, key_wrapper(wrapper), key)
    assert is_key(name)
    assert read_key(blobs, name) == (key.id, wrapped)
    found = find_key(blobs, key_wrapper(wrapper))
    assert found is not None
    assert (found[:2], found[2].id, found[2].exposed()) == ((name, wrapped), key.id, key.exposed())
    assert key.exposed() not in blobs.blobs[name]


def test_another_key_opens_nothing() -> None:
    """[FRAME-15]"""
    blobs, key = MemoryBlobs(), DataKey.new()
    _, wrapped = put_key(blobs, HeldKey(SECRET), key)
    with pytest.raises(WrongKey, match="not wrapped with this one"):
        find_key(blobs, HeldKey(OTHER))
    with pytest.raises(WrongKey, match="not the one"):
        unwrapped(HeldKey(OTHER), wrapped, key.id)
    for at in range(len(wrapped)):
        damaged = bytearray(wrapped)
        damaged[at] ^= 1
        with pytest.raises(WrongKey):
            unwrapped(HeldKey(SECRET), bytes(damaged), key.id)
    for short in (b"", b"short", wrapped[:27]):
        with pytest.raises(WrongKey):
            unwrapped(HeldKey(SECRET), short, key.id)
    with pytest.raises(WrongKey, match="did not give back"):
        unwrapped(HeldKey(SECRET), wrapped, bytes(8))


def test_two_keys_in_one_blob_store_each_open_with_their_own() -> None:
    """[FRAME-10]"""
    blobs = MemoryBlobs()
    one, two = DataKey.new(), DataKey.new()
    put_key(blobs, HeldKey(SECRET), one)
    put_key(blobs, HeldKey(OTHER), two)
    for secret, key in ((SECRET, one), (OTHER, two)):
        found = find_key(blobs, HeldKey(secret))
        assert found is not None
        assert found[2].id == key.id


class Broken(Service):
    """A service that gives back something else."""

    def unwrap(self, wrapped: bytes) -> bytes:
        return super().unwrap(wrapped)[::-1]


@pytest.mark.parametrize(
    ("wrapper", "error", "message"),
    [
        (Broken(), WrongKey, "did not give back"),
        (Service(WRAPPED_KEY_MAX), InvalidInput, "at most 8192 are kept"),
    ],
    ids=["gives another key back", "makes too much of it"],
)
def test_a_service_that_cannot_be_relied_on_is_refused_before_it_matters(
    wrapper: Service, error: type[MstBucketError], message: str
) -> None:
    """[FRAME-10]"""
    blobs = MemoryBlobs()
    with pytest.raises(error, match=message):
        put_key(blobs, wrapper, DataKey.new())
    assert blobs.blobs == {}


def test_a_damaged_key_blob_is_named() -> None:
    """[FRAME-10]"""
    blobs = MemoryBlobs()
    name, _ = put_key(blobs, HeldKey(SECRET), DataKey.new())
    good = blobs.blobs[name]
    for at in range(len(good)):
        blobs.blobs[name] = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        with pytest.raises((BrokenFrame, FormatError), match=name):
            read_key(blobs, name)
    for data in (b"", good[:20], good + bytes(WRAPPED_KEY_MAX), good[:-1]):
        blobs.blobs[name] = data
        with pytest.raises((BrokenFrame, FormatError), match=name):
            read_key(blobs, name)
    assert not is_key("keys/x")
    assert key_name() != key_name()


def test_keys_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """[FRAME-19]"""
    key = DataKey(SECRET)
    for shown in (repr(key), str(key), repr(Encoding(3, key)), repr(HeldKey(SECRET)), f"{[key]} {key!r:>9}"):
        assert SECRET.hex() not in shown
        assert repr(SECRET)[2:-1] not in shown
    with pytest.raises(Unsupported, match="not pickled"):
        pickle.dumps(key)
    monkeypatch.setenv("MY_KEY", SECRET.hex())
    with pytest.raises(WrongKey) as caught:
        unwrapped(key_wrapper("env:MY_KEY"), HeldKey(OTHER).wrap(SECRET), key.id)
    assert SECRET.hex() not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(WrongKey, match="has 32 bytes, this one 31"):
        DataKey(SECRET[1:])
