"""Exports: one whole bucket passes; anything less, more or else is refused, and never by accident."""

from __future__ import annotations

import io
import re
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mstbucket
from mstbucket.core import car as cars
from mstbucket.core import commit as commits
from mstbucket.core import commit_fields, dagcbor, varint
from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import dag_cbor_cid, raw_cid, to_text
from mstbucket.core.commit import EMPTY_TREE
from mstbucket.core.keys import version_key
from mstbucket.core.manifest import Manifest
from mstbucket.errors import (
    CorruptionError,
    ExtraBlock,
    ForeignCar,
    FormatError,
    HashMismatch,
    InvalidBlock,
    InvalidCar,
    InvalidInput,
    MissingBlock,
    StorageError,
    Unsupported,
    Untrue,
)
from mstbucket.limits import MIB
from mstbucket.spill.seen import SeenNumbers
from mstbucket.verify import replay
from mstbucket.verify.car import CarReport, verify_car
from mstbucket.verify.event import Kind
from mstbucket.verify.replay import Replay

DECLARED = (FormatError, CorruptionError)


def verify(data: bytes) -> CarReport:
    return verify_car(io.BytesIO(data))


def plain(forge: Any, count: int = 9) -> bytes:
    """A bucket with shared manifests, a shared body, an empty body, versions and delete markers."""
    objects = {b"k%02d" % n: forge.manifest(b"body %d" % (n // 2), created=n // 3) for n in range(count)}
    objects[b"empty"] = forge.manifest(b"")
    objects["schlüssel".encode()] = objects[b"k00"]
    versions = {
        version_key(b"k00", 1): forge.manifest(b"older", version_id="a"),
        version_key(b"k00", 2): forge.marker(version_id="b"),
        version_key(b"z", 7): forge.marker(),
    }
    return forge.bucket(objects, versions)


def test_a_bucket_passes_and_its_figures_are_counted(forge: Any) -> None:
    """[VER-19] [CAR-11]"""
    root = plain(forge)
    report = verify(forge.car(root))
    assert report == CarReport(
        root=root,
        commit=commits.decode(forge.get(root)),
        blocks=len(forge.order(root)),
        nodes=report.nodes,
        objects=11,
        versions=3,
        bytes=6 * 10,
        widest=report.widest,
    )
    assert set(forge.order(root)) == set(forge.blocks)
    assert report.commit.signature == "absent"


def test_an_empty_bucket_passes(forge: Any) -> None:
    root = forge.bucket({})
    assert verify(forge.car(root)).blocks == 2
    assert commits.decode(forge.get(root)).tree == EMPTY_TREE


@settings(deadline=None, max_examples=25)
@given(
    st.dictionaries(st.integers(0, 99), st.integers(0, 12), max_size=40),
    st.dictionaries(st.tuples(st.integers(0, 9), st.integers(0, 99)), st.integers(-1, 12), max_size=15),
)
def test_any_bucket_passes(forge_type: Any, live: dict[int, int], old: dict[tuple[int, int], int]) -> None:
    """Numbers stand for bodies, so that many are shared, between the trees too; -1 is a delete marker."""
    forge = forge_type()
    objects = {b"key/%d" % key: forge.manifest(b"%d" % body * body) for key, body in live.items()}
    old |= {(key, 100): -1 for key, _ in old if key not in live}
    versions = {
        version_key(b"key/%d" % key, seq): forge.marker(seq, f"{seq}")
        if body < 0
        else forge.manifest(b"%d" % body * body, version_id=f"{seq}")
        for (key, seq), body in old.items()
    }
    root = forge.bucket(objects, versions)
    report = verify(forge.car(root))
    assert (report.objects, report.versions, report.blocks) == (len(live), len(old), len(forge.order(root)))


# A version: its key, its sequence, its id (0 is the null version), and whether it is a delete marker.
VERSIONS = st.dictionaries(
    st.tuples(st.integers(0, 30), st.integers(0, 40)), st.tuples(st.integers(0, 25), st.booleans()), max_size=80
)


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(st.integers(0, 30), st.integers(0, 25), max_size=30), VERSIONS, st.booleans(), st.data())
def test_a_history_passes_if_it_is_one(
    forge_type: Any, live: dict[int, int], old: dict[tuple[int, int], tuple[int, bool]], mend: bool, data: Any
) -> None:
    """[VSN-2] [VSN-4] [VER-21] Against the definition, on trees of several levels; equal manifests come in many places."""
    forge = forge_type()
    if mend:  # until nothing is wrong but, perhaps, one thing
        ids = set(live.items())
        for place, (name, _) in list(old.items()):
            if (place[0], name) in ids:
                del old[place]
            ids.add((place[0], name))
        for key in {key for key, _ in old} - live.keys():
            newest = max(seq for other, seq in old if other == key)
            old[key, newest] = (old[key, newest][0], True)
        if old and data.draw(st.booleans()):
            place = data.draw(st.sampled_from(sorted(old)))
            name, marker = old[place]
            old[place] = data.draw(st.sampled_from([(name, not marker), (live.get(place[0], 3), marker)]))
    name_of = lambda name: f"id {name}" if name else None  # noqa: E731
    objects = {b"%02d" % key: forge.manifest(b"x", version_id=name_of(name)) for key, name in live.items()}
    versions = {
        version_key(b"%02d" % key, seq): (forge.marker if marker else forge.manifest)(
            *(() if marker else (b"x",)), version_id=name_of(name)
        )
        for (key, seq), (name, marker) in old.items()
    }
    names = [*live.items(), *((key, name) for (key, _), (name, _) in old.items())]
    newest = {key: max(seq for other, seq in old if other == key) for key, _ in old}
    ids_differ = len(names) == len(set(names)) or not old
    topped = all(key in live or old[key, seq][1] for key, seq in newest.items())
    source = forge.car(forge.bucket(objects, versions))
    if ids_differ and topped:
        assert verify(source).versions == len(old)
    else:
        with pytest.raises(Untrue, match=r"two (null versions|versions of one id)|above them"):
            verify(source)


# --- events ----------------------------------------------------------------------------------------------------------


def test_the_events_are_the_file_and_the_keys(forge: Any) -> None:
    """What an importer builds on: every block where it is, and every key with its manifest."""
    root = plain(forge)
    data = forge.car(root)
    blocks, found = [], {Kind.OBJECT: {}, Kind.VERSION: {}}  # type: ignore[var-annotated]
    manifests: dict[bytes, Manifest | None] = {}
    with Replay(CarReader(io.BytesIO(data))) as events:
        assert events.commit.objects == 11
        for event in events:
            if event.block is not None:
                assert data[event.offset : event.offset + len(event.block)] == event.block
                blocks.append((event.cid, event.block))
            if event.key is not None:
                found[event.kind][event.key] = event.cid
                manifests.setdefault(event.cid, event.manifest())
                assert event.block is not None or event.manifest() is None
        assert list(events) == []
        assert events.blocks == len(blocks)
    assert blocks == [(cid, forge.get(cid)) for cid in forge.order(root)]
    commit = commits.decode(forge.get(root))
    assert found == {Kind.OBJECT: pairs(forge, commit.tree), Kind.VERSION: pairs(forge, commit.versions)}
    assert None not in manifests.values()


def pairs(forge: Any, root: bytes) -> dict[bytes, bytes]:
    found = {}
    stack = [root]
    while stack:
        cid = stack.pop()
        left, entries = forge.read(forge.get(cid))
        children = [left, *(after for _, after in entries)]
        values = [link for link in forge.links(cid) if link not in children]
        found |= dict(zip((key for key, _ in entries), values, strict=True))
        stack += [child for child in children if child is not None]
    return found


def test_progress_is_told(forge: Any) -> None:
    told: list[int] = []
    data = forge.car(plain(forge))
    verify_car(io.BytesIO(data), told.append)
    assert told == [97]  # the first block; the next report would come after thousands


# --- less, more, otherwise -------------------------------------------------------------------------------------------


def test_a_file_cut_at_every_byte_is_refused(forge: Any) -> None:
    """[VER-18] [CAR-8] At a section boundary, too."""
    data = forge.car(plain(forge, 2))
    verify(data)
    for at in range(len(data)):
        with pytest.raises((InvalidCar, MissingBlock)):
            verify(data[:at])


def test_every_flipped_bit_is_noticed(forge: Any) -> None:
    """[VER-18] Every single bit of a whole export."""
    data = forge.car(forge.bucket({b"a": forge.manifest(b"one")}))
    for at in range(len(data)):
        for bit in range(8):
            wrong = bytearray(data)
            wrong[at] ^= 1 << bit
            with pytest.raises(DECLARED):
                verify(bytes(wrong))


def test_each_block_missing_repeated_swapped_or_foreign_is_noticed(forge: Any) -> None:
    """[VER-18] One change to the list of blocks, at every place of it."""
    root = plain(forge, 6)
    order = forge.order(root)
    stray = forge.body(b"nobody links here")
    verify(forge.car(root, order))
    for at in range(len(order)):
        with pytest.raises(MissingBlock):
            verify(forge.car(root, order[:at] + order[at + 1 :]))
        for again in (order[at], order[0], order[-1], stray):
            for place in (at, at + 1, len(order)):
                with pytest.raises((MissingBlock, ExtraBlock)):
                    verify(forge.car(root, [*order[:place], again, *order[place:]]))
        for other in range(at):
            swapped = list(order)
            swapped[at], swapped[other] = swapped[other], swapped[at]
            with pytest.raises((MissingBlock, ExtraBlock)):
                verify(forge.car(root, swapped))


def test_errors_say_which_block_and_where(forge: Any) -> None:
    """[VER-18]"""
    root = plain(forge)
    order = forge.order(root)
    data = forge.car(root)
    with pytest.raises(ExtraBlock, match=rf"at byte {len(data) + 37} is not part of the bucket, or came before"):
        verify(data + cars.section(raw_cid(b"x"), b"x"))
    with Replay(CarReader(io.BytesIO(data))) as events:
        found = [(event.offset, len(event.block)) for event in events if event.block is not None]
    with pytest.raises(MissingBlock, match=rf"bafyrei\w+ is missing: at byte {sum(found[2]) + 37}"):
        verify(forge.car(root, [*order[:3], forge.body(b"stray"), *order[3:]]))
    with pytest.raises(ExtraBlock, match="came before"):
        verify(forge.car(root, [*order[:9], order[5], *order[9:]]))
    with pytest.raises(MissingBlock, match=rf"the file ends after the one at byte {found[-2][0]}"):
        verify(forge.car(root, order[:-1]))


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_any_mutation_is_noticed(forge_type: Any, data: Any) -> None:
    """Bytes overwritten, inserted, removed, moved: an error of ours, or the same file."""
    forge = forge_type()
    good = forge.car(plain(forge, 5))
    wrong = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(wrong)))
        length = data.draw(st.integers(0, 80))
        what = data.draw(st.sampled_from(["overwrite", "insert", "remove", "copy"]))
        noise = data.draw(st.binary(min_size=1, max_size=8))
        if what == "overwrite":
            wrong[at : at + len(noise)] = noise
        elif what == "insert":
            wrong[at:at] = noise
        elif what == "remove":
            del wrong[at : at + length]
        else:
            start = data.draw(st.integers(0, len(wrong)))
            wrong[at:at] = wrong[start : start + length]
    if bytes(wrong) == good:
        return
    with pytest.raises((*DECLARED, Unsupported)):
        verify(bytes(wrong))


# --- good blocks that are not true -----------------------------------------------------------------------------------


def one(forge: Any, manifest: bytes, **totals: Any) -> bytes:
    """A bucket of one key, its totals as given."""
    return forge.commit(forge.tree({b"k": manifest}), totals.get("objects", 1), totals.get("size", 3))


@pytest.mark.parametrize(("objects", "size"), [(0, 3), (2, 3), (1, 2), (1, 4), (0, 0)])
def test_totals_that_are_not_true(forge: Any, objects: int, size: int) -> None:
    """[VER-19]"""
    assert verify(forge.car(one(forge, forge.manifest(b"abc")))).bytes == 3
    with pytest.raises(Untrue, match="the commit states"):
        verify(forge.car(one(forge, forge.manifest(b"abc"), objects=objects, size=size)))


def test_a_delete_marker_among_the_objects(forge: Any) -> None:
    """[VER-15] New, and as one that came before: in this order the tree of objects has two keys with it."""
    marker = forge.marker()
    for keys in ([b"k"], [b"k", b"l"]):
        root = forge.commit(forge.tree(dict.fromkeys(keys, marker)), len(keys), 0)
        with pytest.raises(Untrue, match="delete marker"):
            verify(forge.car(root))


def test_a_sha256_that_is_not_the_bodys(forge: Any) -> None:
    """[VER-16]"""
    right = raw_cid(b"abc")[4:]
    verify(forge.car(one(forge, forge.manifest(b"abc", sha256=right))))
    with pytest.raises(Untrue, match=r"sha256.*noticed at byte"):
        verify(forge.car(one(forge, forge.manifest(b"abc", sha256=right[::-1]))))


def test_sizes_of_a_shared_body_are_checked_for_each_manifest(forge: Any) -> None:
    """[VER-17] The second manifest states another size for the block that the first one brought."""
    first, second = forge.manifest(b"abc"), forge.manifest(b"abc", size=4, etag="x")
    for size, keys in ((7, {b"a": first, b"b": second}), (7, {b"a": second, b"b": first})):
        with pytest.raises(Untrue, match=r"3 bytes"):
            verify(forge.car(forge.commit(forge.tree(keys), 2, size)))


def test_a_value_that_is_no_manifest(forge: Any) -> None:
    for value in (EMPTY_TREE, forge.value({"a": 1}), forge.commit(forge.tree({}), 0, 0)):
        with pytest.raises(InvalidBlock, match=r"noticed at byte"):
            verify(forge.car(one(forge, value)))


def test_a_file_of_something_else_is_called_foreign_and_not_damaged(forge: Any) -> None:
    """[VER-22] Roots of UnixFS, of bytes, of a bare tree, of a manifest, of other values; CIDs that are not read here."""
    large = forge.body(bytes(3 * MIB))
    roots = [
        forge.body(b"raw"), large, forge.tree({}), forge.tree({b"k": forge.manifest(b"x")}), forge.manifest(b"x"),
        forge.value([]), forge.value({"a": 1}), forge.value("text"),
    ]  # fmt: skip
    for root in roots:
        with pytest.raises(ForeignCar, match=f"no bucket export: its root is {to_text(root)}"):
            verify(forge.car(root))
    digest = raw_cid(b"x")[4:]
    for cid, text in (
        (b"\x12\x20" + digest, "Qm"),  # CIDv0
        (b"\x01\xa9\x02\x12\x20" + digest, "b"),  # dag-json
        (b"\x01\x71\x13\x40" + digest + digest, "b"),  # sha2-512
        (b"\x01\x55\x00\x02hi", "b"),  # the bytes themselves
    ):
        link = b"\xd8\x2a" + dagcbor.encode(b"\0" + cid)
        head = b"\xa2\x65roots\x81" + link + b"\x67version\x01"
        with pytest.raises(ForeignCar, match=f"no bucket export: its root is {text}"):
            verify(varint.encode(len(head)) + head)


def test_a_root_that_was_to_be_a_commit_is_damaged_and_says_where(forge: Any) -> None:
    """[VER-18] [VER-22] With one offset, of the file; texts are those of this program."""
    good = dagcbor.decode(forge.get(plain(forge)))
    block = forge.get(plain(forge))
    wrong = [dagcbor.encode(good | {"seq": 0}), dagcbor.encode({name: good[name] for name in good if name != "version"})]
    wrong += [dagcbor.encode(good | {"more": 1}), block.replace(b"cseq\x01", b"cseq\x18\x01")]
    wrong += [block + b"\0", block[:-1], b""]
    for one in wrong:
        forge.put(dag_cbor_cid(one), one)
        with pytest.raises(InvalidBlock) as caught:
            verify(forge.car(dag_cbor_cid(one), [dag_cbor_cid(one)]))
        said = str(caught.value)
        assert re.search(r"noticed at byte 9[67] of the file", said)
        assert said.count("at byte") == 1
        assert "\n" not in said


class Broken:
    """A stream that fails at its n-th reading."""

    def __init__(self, data: bytes, at: int, what: Any) -> None:
        self.data, self.at, self.what = io.BytesIO(data), at, what

    def read(self, size: int) -> Any:
        self.at -= 1
        if self.at >= 0:
            return self.data.read(min(size, 50))
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


@pytest.mark.parametrize("at", [0, 1, 5])
def test_a_stream_that_fails_is_a_declared_error(forge: Any, at: int) -> None:
    data = forge.car(plain(forge))
    for what, error in (
        (OSError(5, "Input/output error"), StorageError), (ValueError("closed"), InvalidInput), ("text", InvalidInput),
        (None, InvalidInput), (bytearray(b"x"), InvalidInput),
    ):  # fmt: skip
        with pytest.raises(error):
            mstbucket.verify_car(Broken(data, at, what))  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        mstbucket.verify_car(5)  # type: ignore[arg-type]
    closed = io.BytesIO(data)
    closed.close()
    with pytest.raises(InvalidInput, match="closed"):
        mstbucket.verify_car(closed)


def test_a_root_that_is_not_there(forge: Any) -> None:
    """[VER-18]"""
    root = plain(forge)
    with pytest.raises(MissingBlock):
        verify(cars.header(root))
    with pytest.raises(MissingBlock):
        verify(forge.car(root, forge.order(root)[1:]))


def test_a_tree_that_is_wrong_in_a_good_file(forge: Any, keys_of_height: Any) -> None:
    """The judge sits in the replay: a node that only its place makes wrong, and a node linked to twice."""
    value = forge.manifest(b"abc")
    (top,), (stray,) = keys_of_height(1, 1, b"m"), keys_of_height(0, 1, b"a")
    child = forge.keyed(None, [(stray, value, None)])
    root = forge.commit(forge.keyed(None, [(top, value, child)]), 2, 6)
    with pytest.raises(Untrue, match=r"between.*noticed at byte"):
        verify(forge.car(root))
    root = forge.commit(forge.keyed(child, [(top, value, child)]), 3, 9)
    with pytest.raises((Untrue, MissingBlock)):
        verify(forge.car(root))


def test_the_two_trees_may_not_be_one(forge: Any) -> None:
    tree = forge.tree({b"k": forge.manifest(b"abc")})
    with pytest.raises((InvalidBlock, MissingBlock)):
        verify(forge.car(forge.commit(tree, 1, 3, versions=tree, config=commit_fields.config("Enabled"))))


def test_a_manifest_of_the_bytes_of_a_body(forge: Any) -> None:
    """The same bytes under two codecs are two blocks, and both are in the file."""
    manifest = forge.manifest(b"abc")
    forge_objects = {b"a": manifest, b"b": forge.manifest(forge.get(manifest))}
    root = forge.bucket(forge_objects)
    assert verify(forge.car(root)).blocks == len(forge.order(root)) == len(set(forge.order(root)))


# --- bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory_max", [1, 5, 50])
def test_the_verdict_is_the_same_with_the_set_on_disk(
    forge: Any, monkeypatch: pytest.MonkeyPatch, memory_max: int
) -> None:
    """[VER-20]"""
    monkeypatch.setattr(replay, "SeenNumbers", lambda: SeenNumbers(memory_max))
    root = plain(forge, 60)
    order = forge.order(root)
    report = verify(forge.car(root))
    assert (report.objects, report.blocks) == (62, len(order))
    for at in range(0, len(order), 7):
        with pytest.raises(MissingBlock):
            verify(forge.car(root, order[:at] + order[at + 1 :]))
        with pytest.raises((MissingBlock, ExtraBlock)):
            verify(forge.car(root, [*order[: at + 1], order[at], *order[at + 1 :]]))


def test_a_small_file_that_declares_much_allocates_little(forge: Any) -> None:
    """[CAR-5] 182 bytes that declare a section of 2**40 bytes behind a commit's beginning."""
    data = cars.header(plain(forge)) + varint.encode(2**40)
    data += bytes(182 - len(data))
    tracemalloc.start()
    try:
        with pytest.raises(InvalidCar):
            verify(data)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


def test_a_wrong_hash_is_noticed_where_it_is(forge: Any) -> None:
    root = plain(forge)
    data = bytearray(forge.car(root))
    data[-1] ^= 1
    with pytest.raises(HashMismatch, match="at byte"):
        verify(bytes(data))


def test_a_newer_format_says_so(forge: Any) -> None:
    block = forge.get(plain(forge)).replace(b"gversion\x01", b"gversion\x02")
    forge.put(dag_cbor_cid(block), block)
    with pytest.raises(Unsupported, match="version 2"):
        verify(forge.car(dag_cbor_cid(block), [dag_cbor_cid(block)]))


def test_whatever_is_wrong_in_the_header_is_at_its_first_byte(forge: Any) -> None:
    """[CAR-13] A reader that decodes in another order finds another byte, so none of them is named."""
    good = forge.car(forge.bucket({}))
    for place in (*range(1, 14), *range(50, 59)):  # those of the CID make another root
        for changed in (good[place] ^ 1, good[place] ^ 0x60):
            with pytest.raises(InvalidCar, match="at byte 1\\)"):
                verify(good[:place] + bytes([changed]) + good[place + 1 :])
