"""The contract of blob stores as a test class."""

from __future__ import annotations

import random
import threading

import pytest

from mstbucket.blobs.base import BlobInfo, BlobStore
from mstbucket.errors import InvalidInput, NoSuchBlob, StorageError
from mstbucket.testing.medium import BlobMedium, in_threads, streaming
from mstbucket.testing.writing import BlobWritingContract

NOT_NAMES = {
    "nothing": "",
    "a leading slash": "/packs/a",
    "a trailing slash": "packs/",
    "a double slash": "packs//a",
    "a dot": ".",
    "the way out": "../a",
    "the way out in the middle": "packs/../../a",
    "a hidden file": ".a",
    "a hidden file in a folder": "packs/.a",
    "upper case": "packs/A",
    "a space": "packs/a b",
    "a backslash": "packs\\a",
    "a NUL": "packs/a\0",
    "a newline at the end": "packs/a\n",
    "not ASCII": "packs/ä",
    "a digit that is not ASCII": "packs/٣",
    "too long": "a" * 201,
}
FOREIGN = ["packs/UPPER.car", ".hidden", "packs/.writing-1", "packs/with blank.car", "lost+found/x", "Thumbs.db"]


class BlobStoreContract(BlobWritingContract):
    """Every test that a `BlobStore` has to pass. Inherit, and give it the fixture `medium`, fresh for each test."""

    # --- reading ---

    def test_every_range_of_a_small_blob(self, blobs: BlobStore) -> None:
        """[BLOB-7]"""
        data = bytes(range(9))
        blobs.put("packs/a", data)
        for start in range(12):
            for length in range(12):
                if length and start + length > len(data):
                    with pytest.raises(StorageError, match="packs/a"):
                        blobs.get_range("packs/a", start, length)
                else:
                    assert blobs.get_range("packs/a", start, length) == data[start : start + length]

    @pytest.mark.parametrize(("start", "length"), [(0, 2**40), (0, 2**70), (2**70, 1), (2**63 - 1, 2**63 - 1)])
    def test_a_range_beyond_all_bounds_is_too_long_and_allocates_nothing(
        self, blobs: BlobStore, start: int, length: int
    ) -> None:
        """[BLOB-7]"""
        blobs.put("packs/a", b"data")
        with pytest.raises(StorageError):
            blobs.get_range("packs/a", start, length)

    @pytest.mark.parametrize(("start", "length"), [(-1, 1), (0, -1), (-3, 3)])
    def test_a_range_below_zero_is_refused(self, blobs: BlobStore, start: int, length: int) -> None:
        """[BLOB-7]"""
        blobs.put("packs/a", b"data")
        with pytest.raises(InvalidInput):
            blobs.get_range("packs/a", start, length)

    @pytest.mark.parametrize("name", ["packs/b", "packs", "packs/a/b", "elsewhere/a"])
    def test_what_is_not_there_is_said_to_be_missing(self, blobs: BlobStore, name: str) -> None:
        """[BLOB-5]"""
        blobs.put("packs/a", b"data")
        for length in (0, 1):
            with pytest.raises(NoSuchBlob, match=name):
                blobs.get_range(name, 0, length)
        with pytest.raises(NoSuchBlob, match=name):
            blobs.head(name)

    def test_what_somebody_else_did_is_seen_at_once(self, medium: BlobMedium) -> None:
        """[BLOB-5] also by a store that has read the blob before"""
        one, two = medium.open(), medium.open()
        one.put("packs/a", b"data")
        assert two.get_range("packs/a", 0, 4) == one.get_range("packs/a", 0, 4) == b"data"
        two.delete("packs/a")
        with pytest.raises(NoSuchBlob):
            one.get_range("packs/a", 0, 4)
        medium.write("packs/a", b"raw")
        assert one.get_range("packs/a", 0, 3) == two.get_range("packs/a", 0, 3) == b"raw"
        medium.remove("packs/a")
        for store in (one, two):
            with pytest.raises(NoSuchBlob):
                store.get_range("packs/a", 0, 3)
            with pytest.raises(NoSuchBlob):
                store.head("packs/a")
            assert list(store.list()) == []

    # --- listing ---

    def test_a_listing_has_the_order_of_names_and_can_go_on_after_any(self, medium: BlobMedium) -> None:
        """[BLOB-8]"""
        names = ["a", "a-b", "a.b", "ab", "b/a", "b/a.car", "b/ab/c", "b/ab-/c", "b/ab0", "b-", "b0", "c/d/e/f", "z"]
        for name in names:
            medium.write(name, name.encode())
        blobs = medium.open()
        everything = [BlobInfo(name, len(name)) for name in sorted(names)]
        assert list(blobs.list()) == everything
        for after in ["", *names, "b", "b/", "b/ab", "b/ab/", "c/d/e", "~"]:
            for prefix in ["", "a", "b", "b/", "b/a", "b/ab/", "c/d/", "b/ab/c", "x"]:
                expected = [info for info in everything if info.name.startswith(prefix) and info.name > after]
                assert list(blobs.list(prefix, after)) == expected, (prefix, after)

    def test_foreign_files_are_passed_over_and_left_alone(self, medium: BlobMedium) -> None:
        """[BLOB-8]"""
        for name in FOREIGN:
            medium.write(name, b"foreign")
        medium.write("packs/a", b"")
        assert [info.name for info in medium.open().list()] == ["packs/a"]
        assert [medium.read(name) for name in FOREIGN] == [b"foreign"] * len(FOREIGN)

    def test_what_is_there_all_the_time_is_listed_once_while_others_come_and_go(self, blobs: BlobStore) -> None:
        """[BLOB-8]"""
        steady = [f"packs/{number:02x}/steady" for number in range(0, 256, 8)]
        for name in steady:
            blobs.put(name, b"")
        stop = threading.Event()

        def disturb(_: int) -> None:
            number = 0
            while not stop.is_set():
                name = f"packs/{number % 256:02x}/passing"
                blobs.put(name, b"")
                blobs.delete(name)
                number += 7

        def watch(_: int) -> None:
            try:
                for _ in range(10):
                    listed = [info.name for info in blobs.list("packs/")]
                    assert [name for name in listed if name.endswith("steady")] == steady
                    assert listed == sorted(set(listed))
            finally:
                stop.set()

        in_threads(lambda number: watch(number) if number == 0 else disturb(number), range(2))

    # --- deleting ---

    def test_a_delete_can_be_repeated_and_hits_nothing_else(self, medium: BlobMedium) -> None:
        """[BLOB-9]"""
        blobs = medium.open()
        for name in ("packs/a", "packs/ab", "packs/b"):
            blobs.put(name, b"data")
        blobs.delete("packs/a")
        blobs.delete("packs/a")
        blobs.delete("nowhere/at/all")
        blobs.delete("packs/b/c")
        blobs.delete("packs")
        assert [info.name for info in medium.open().list()] == ["packs/ab", "packs/b"]
        assert medium.read("packs/ab") == b"data"

    def test_many_are_deleted_at_once_also_if_some_are_gone(self, medium: BlobMedium) -> None:
        """[BLOB-9]"""
        blobs = medium.open()
        names = [f"packs/{number % 7}/{number}" for number in range(40)]
        for name in names:
            medium.write(name, b"data")
        blobs.delete_many(iter([*names[:30], "packs/gone", "gone/gone"]))
        blobs.delete_many([])
        assert [info.name for info in blobs.list()] == sorted(names[30:])

    # --- names and threads ---

    @pytest.mark.parametrize("name", NOT_NAMES.values(), ids=NOT_NAMES.keys())
    def test_a_name_that_cannot_be_is_refused_by_every_method(self, blobs: BlobStore, name: str) -> None:
        """[BLOB-1]"""
        for call in (
            lambda: blobs.put(name, b""),
            lambda: blobs.put_if_absent(name, b""),
            lambda: blobs.open_write(name),
            lambda: blobs.get_range(name, 0, 1),
            lambda: blobs.head(name),
            lambda: blobs.delete(name),
            lambda: blobs.delete_many([name]),
        ):
            with pytest.raises(InvalidInput, match="blob name"):
                call()

    def test_the_longest_name(self, blobs: BlobStore) -> None:
        """[BLOB-1]"""
        for name in ("a" * 200, "/".join(["a"] * 100) + "a"):
            blobs.put(name, b"data")
            assert blobs.get_range(name, 0, 4) == b"data"

    @pytest.mark.parametrize("seed", range(8))
    def test_any_sequence_of_calls_agrees_with_a_dictionary(self, medium: BlobMedium, seed: int) -> None:
        """[BLOB-2] [BLOB-5] [BLOB-7] [BLOB-8] [BLOB-9]"""
        rnd = random.Random(seed)
        stores = [medium.open(), medium.open()]
        model: dict[str, bytes] = {}
        names = [f"{a}/{b}" for a in "xyz" for b in ("a", "a.b", "c/d", "c-")]
        for _ in range(120):
            blobs, name, data = rnd.choice(stores), rnd.choice(names), rnd.randbytes(rnd.randrange(4))
            step = rnd.randrange(5)
            if step == 0 and model.get(name, data) == data:
                blobs.put(name, data)
                model[name] = data
            elif step == 1 and name not in model:
                streaming(blobs)(name, data)
                model[name] = data
            elif step == 2:
                blobs.delete(name)
                model.pop(name, None)
            elif step == 3 and name in model:
                assert blobs.get_range(name, 0, len(model[name])) == model[name]
            elif step == 4:
                found = {info.name: info.size for info in blobs.list(name[0])}
                assert found == {key: len(value) for key, value in model.items() if key[0] == name[0]}

    def test_threads_do_not_disturb_each_other(self, blobs: BlobStore) -> None:
        """[BLOB-5]"""

        def work(me: int) -> None:
            rnd = random.Random(me)
            for number in range(15):
                name = f"packs/{number}/{me}"
                data = bytes([me]) * rnd.randrange(1, 50_000)
                blobs.put(name, data)
                assert blobs.get_range(name, 0, len(data)) == data
                if number % 2:
                    blobs.delete(name)

        in_threads(work, range(6))
        assert len(list(blobs.list())) == 6 * 8
