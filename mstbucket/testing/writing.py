"""The part of the contract of blob stores that is about writing."""

from __future__ import annotations

import random
from array import array
from typing import Any

import pytest

from mstbucket.blobs.base import BlobInfo, BlobStore
from mstbucket.errors import BlobExists, InvalidInput, NoSuchBlob
from mstbucket.testing.medium import BlobMedium, in_threads, streaming


class BlobWritingContract:
    """What a `BlobStore` has to do when it is written to."""

    @pytest.fixture
    def medium(self) -> BlobMedium:
        """The medium under test: empty."""
        raise NotImplementedError("override the fixture `medium`")

    @pytest.fixture
    def blobs(self, medium: BlobMedium) -> BlobStore:
        """A store on that medium."""
        return medium.open()

    @pytest.mark.parametrize("size", [0, 1, 1000, 3_000_000])
    def test_what_is_put_is_on_the_medium_and_comes_back(self, medium: BlobMedium, size: int) -> None:
        """[BLOB-4]"""
        data = random.Random(size).randbytes(size)
        blobs = medium.open()
        blobs.put("packs/aa/one.car", data)
        assert medium.read("packs/aa/one.car") == data
        for store in (blobs, medium.open()):
            assert store.get_range("packs/aa/one.car", 0, size) == data
            assert store.head("packs/aa/one.car") == BlobInfo("packs/aa/one.car", size)

    def test_putting_the_same_bytes_again_is_harmless(self, blobs: BlobStore) -> None:
        """[BLOB-2]"""
        blobs.put("refs/a", b"first")
        blobs.put("refs/a", b"first")
        assert blobs.get_range("refs/a", 0, 5) == b"first"

    @pytest.mark.parametrize("other", [b"other", b"", b"first and more"])
    def test_putting_other_bytes_is_refused_and_changes_nothing(self, blobs: BlobStore, other: bytes) -> None:
        """[BLOB-2]"""
        blobs.put("refs/a", b"first")
        for write in (blobs.put, blobs.put_if_absent, streaming(blobs)):
            with pytest.raises(BlobExists, match="refs/a"):
                write("refs/a", other)
        assert blobs.head("refs/a").size == 5
        assert blobs.get_range("refs/a", 0, 5) == b"first"

    def test_put_if_absent_is_refused_also_for_the_same_bytes(self, blobs: BlobStore) -> None:
        """[BLOB-2]"""
        blobs.put_if_absent("refs/a", b"first")
        with pytest.raises(BlobExists, match="refs/a"):
            blobs.put_if_absent("refs/a", b"first")

    def test_of_many_who_put_at_once_one_wins(self, medium: BlobMedium) -> None:
        """[BLOB-2]"""
        for number in range(10):
            won: list[int] = []
            name = f"refs/{number}"

            def contend(me: int, name: str = name, won: list[int] = won) -> None:
                try:
                    medium.open().put_if_absent(name, bytes([me]) * 10_000)
                except BlobExists:
                    return
                won.append(me)

            in_threads(contend, range(6))
            assert len(won) == 1
            assert medium.read(name) == bytes(won) * 10_000

    def test_a_stream_of_pieces_is_one_blob(self, medium: BlobMedium) -> None:
        """[BLOB-4]"""
        numbers: Any = memoryview(array("I", [1, 2]))
        pieces = [b"", b"bytes", bytearray(b"bytearray"), memoryview(b"memory")[1:], numbers, b""]
        whole = b"".join(bytes(piece) for piece in pieces)
        with medium.open().open_write("packs/a") as writer:
            for piece in pieces:
                writer.write(piece)
            assert writer.commit() == len(whole)
        assert medium.read("packs/a") == whole

    def test_nothing_is_visible_before_commit(self, medium: BlobMedium) -> None:
        """[BLOB-4]"""
        blobs = medium.open()
        writer = blobs.open_write("packs/a")
        writer.write(b"x" * 2_000_000)
        for store in (blobs, medium.open()):
            assert list(store.list()) == []
            with pytest.raises(NoSuchBlob, match="packs/a"):
                store.head("packs/a")
            with pytest.raises(NoSuchBlob, match="packs/a"):
                store.get_range("packs/a", 0, 1)
        writer.commit()
        assert [info.name for info in medium.open().list()] == ["packs/a"]

    def test_what_is_aborted_leaves_nothing(self, medium: BlobMedium) -> None:
        """[BLOB-4]"""
        blobs = medium.open()
        writer = blobs.open_write("packs/a")
        writer.write(b"x" * 100)
        writer.abort()
        writer.abort()
        with blobs.open_write("packs/b") as left:
            left.write(b"x")
        with pytest.raises(TypeError), blobs.open_write("packs/c") as broken:
            broken.write("text")  # type: ignore[arg-type]
        assert list(blobs.list()) == []
        blobs.put("packs/a", b"again")
        assert medium.read("packs/a") == b"again"

    def test_a_writer_that_has_ended_is_of_no_use(self, blobs: BlobStore) -> None:
        """[BLOB-4]"""
        committed, aborted = blobs.open_write("packs/a"), blobs.open_write("packs/b")
        committed.commit()
        committed.abort()
        aborted.abort()
        for writer in (committed, aborted):
            with pytest.raises(InvalidInput, match="packs/"):
                writer.write(b"x")
            with pytest.raises(InvalidInput, match="packs/"):
                writer.commit()
        assert [info.name for info in blobs.list()] == ["packs/a"]

    def test_of_two_writers_of_one_name_the_first_to_commit_wins(self, medium: BlobMedium) -> None:
        """[BLOB-2]"""
        one, two = medium.open().open_write("packs/a"), medium.open().open_write("packs/a")
        one.write(b"one")
        two.write(b"two")
        two.commit()
        with pytest.raises(BlobExists):
            one.commit()
        assert medium.read("packs/a") == b"two"
