"""The files view of a bucket: what is in it, in which order, and that it takes neither more memory nor other bytes."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mstbucket
from mstbucket import Bucket, KeepPolicy, Store, errors
from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import DAG_PB, codec, raw_cid, to_text
from mstbucket.core.unixfs_directory import node_kind
from mstbucket.files.paths import escape
from mstbucket.limits import CHUNK_SIZE, KIB, MIB
from mstbucket.services.tree import folders as folders_module
from mstbucket.services.tree.folders import Child, Folders, place_of

LARGE = bytes(range(256)) * (3 * CHUNK_SIZE // 256) + b"end"
BODIES = {
    "a": b"file", "a/b": b"in a folder beside it", "a//c": b"3", "..": b"4", "empty": b"", "large": LARGE,
    "same/1": b"same", "same/2": b"same", "twin/1": b"same", "twin/2": b"same", "x/y/z/deep": b"deep", "é/写真": b"5",
    "long" * 100: b"6", "long" * 100 + "/below": b"7",
}  # fmt: skip


@pytest.fixture
def filled(bucket: Bucket) -> Bucket:
    """A bucket with awkward keys, equal bodies, equal folders, and a body of several chunks."""
    for key, body in BODIES.items():
        bucket.put_object(key, body, content_type="text/x", metadata={"place": "pier"})
    bucket.flush()
    return bucket


def exported(bucket: Bucket | mstbucket.BucketView) -> tuple[bytes, mstbucket.FilesReport]:
    target = io.BytesIO()
    report = bucket.export_files(target)
    return target.getvalue(), report


# --- a reader that knows protobuf, and nothing of how folders are made ------------------------------------------------


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            assert key & 7 == 2
            size = varint()
            yield key >> 3, data[at : at + size]
            at += size


def links(block: bytes) -> list[tuple[bytes, bytes, int]]:
    """Name, CID and Tsize of each link of a node."""
    found = []
    for field, value in fields(block):
        if field == 2:
            assert isinstance(value, bytes)
            (_, cid), (_, name), (_, tsize) = fields(value)
            assert isinstance(cid, bytes)
            assert isinstance(name, bytes)
            assert isinstance(tsize, int)
            found.append((name, cid, tsize))
    return found


class View:
    """A files view, read whole."""

    def __init__(self, data: bytes) -> None:
        reader = CarReader(io.BytesIO(data))
        [self.root] = reader.roots
        sections = [(cid, block) for cid, block, _ in reader]
        self.order = [cid for cid, _ in sections]
        self.blocks = dict(sections)
        assert len(self.order) == len(self.blocks)
        assert all(sha256(block).digest() == cid[4:] for cid, block in sections)

    def size(self, cid: bytes) -> int:
        """Of all blocks from there on, as Tsize counts them; checked in every link below."""
        block = self.blocks[cid]
        if codec(cid) != DAG_PB:
            return len(block)
        below = 0
        for _, child, tsize in links(block):
            assert self.size(child) == tsize
            below += tsize
        return len(block) + below

    def walk(self, cid: bytes, done: dict[bytes, None]) -> dict[bytes, None]:
        """All that is reached, depth first."""
        if cid not in done:
            done[cid] = None
            for _, child, _ in links(self.blocks[cid]) if codec(cid) == DAG_PB else ():
                self.walk(child, done)
        return done

    def files(self, cid: bytes, path: str = "") -> Iterator[tuple[str, bytes]]:
        block = self.blocks[cid]
        kind = node_kind(block) if codec(cid) == DAG_PB else "file"
        for name, child, _ in links(block) if kind != "file" else ():
            if kind == "sharded directory" and len(name) == 2:
                yield from self.files(child, path)
            else:
                yield from self.files(child, f"{path}/{name[2 * (kind == 'sharded directory') :].decode()}")
        if kind == "file":
            yield path[1:], self.body(cid)

    def body(self, cid: bytes) -> bytes:
        if codec(cid) != DAG_PB:
            return self.blocks[cid]
        return b"".join(self.body(child) for _, child, _ in links(self.blocks[cid]))


def test_every_object_is_a_file_and_nothing_else_is_there(filled: Bucket) -> None:
    """[FILES-1] [FILES-2] [FILES-7] [FILES-8] [FILES-10] [BODY-7]"""
    data, report = exported(filled)
    view = View(data)
    paths = {key: "/".join(escape(key)) for key in BODIES}
    paths |= {"a/b": "%+a/b", "a//c": "%+a/%=/c"}
    found = dict(view.files(view.root))
    view_paths = list(found)
    below = found.pop(next(path for path in found if path.endswith("/below")))
    del paths["long" * 100 + "/below"]
    assert below == b"7"
    assert found == {path: BODIES[key] for key, path in paths.items()}
    assert view.order == [*view.walk(view.root, {})]
    view.size(view.root)
    assert (report.root, report.blocks, report.bytes) == (to_text(view.root), len(view.order), len(data))
    assert report.sha256 == sha256(data).hexdigest()
    head = filled.head_commit()
    assert head is not None
    assert report.commit == head.cid
    assert (report.files, report.escaped) == (len(BODIES), 5)
    names = [path.split("/") for path in view_paths]
    assert report.folders == 1 + len({tuple(path[:end]) for path in names for end in range(1, len(path))})
    assert report.renamed["a/b"] == "%+a/b"
    assert list(report.renamed) == ["..", "a//c", "a/b", "long" * 100, "long" * 100 + "/below"]


def test_keys_and_bodies_alone_decide(filled: Bucket, second_store: Store) -> None:
    """[FILES-9] In another store, with other metadata, by another way; delete markers and old versions are not in it."""
    data, report = exported(filled)
    other = second_store.create_bucket("elsewhere")
    other.put_bucket_versioning("Enabled")
    for key in reversed(BODIES):
        other.put_object(key, b"first")
        other.put_object(key, BODIES[key])
    other.put_object("gone", b"gone")
    other.delete_object("gone")
    other.flush()
    again, second = exported(other)
    assert again == data
    assert second.root == report.root
    assert second.commit != report.commit


def test_an_earlier_commit_has_its_own(filled: Bucket) -> None:
    data, _ = exported(filled)
    filled.put_object("later", b"later")
    filled.flush()
    assert exported(filled)[0] != data
    with filled.at(1) as view:
        assert exported(view)[0] == data


def test_an_empty_bucket_is_an_empty_folder(bucket: Bucket) -> None:
    """[FILES-2] [FILES-3] Its CID is the one that IPIP-0499 publishes."""
    with pytest.raises(errors.NoSuchCommit):
        exported(bucket)
    bucket.put_object("a", b"a")
    bucket.delete_object("a")
    bucket.flush()
    data, report = exported(bucket)
    assert report.root == "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
    assert (report.files, report.folders, report.blocks) == (0, 1, 1)
    assert View(data).blocks == {View(data).root: b"\x0a\x02\x08\x01"}


def test_it_is_no_export(filled: Bucket, second_store: Store, tmp_path: Path) -> None:
    """[FILES-12] [VER-22]"""
    path = tmp_path / "files.car"
    filled.export_files(path)
    with pytest.raises(errors.ForeignCar, match="file or folder of IPFS"):
        mstbucket.verify_car(path)
    with pytest.raises(errors.ForeignCar, match="file or folder of IPFS"):
        second_store.import_car(path)
    with open(path, "rb") as file:
        [root] = mstbucket.inspect_car(file).roots
    assert (root.kind, dict(root.about)) == ("unixfs", {"type": "directory"})


def test_a_body_that_is_damaged_leaves_no_file(filled: Bucket, tmp_path: Path) -> None:
    large = next(path for path in (tmp_path / "blobs").rglob("*") if path.is_file() and path.stat().st_size > CHUNK_SIZE)
    data = bytearray(large.read_bytes())
    data[len(data) // 2] ^= 1
    large.chmod(0o600)
    large.write_bytes(data)
    with pytest.raises(errors.CorruptionError):
        filled.export_files(tmp_path / "files.car")
    assert [path.name for path in tmp_path.iterdir()] == ["blobs"]


def test_what_it_reads_stays_meanwhile(filled: Bucket, open_store: Callable[[], Store]) -> None:
    """[PAST-3] The bucket is emptied, its commits are given up, and all is collected before the first byte is written."""
    data, _ = exported(filled)
    others = open_store()
    done: list[int] = []

    def meanwhile(_: int) -> None:
        if not done:
            done.append(1)
            bucket = others.bucket("things")
            for key in BODIES:
                bucket.delete_object(key)
            bucket.flush()
            bucket.put_retention(KeepPolicy(last=1))
            others.collect(force=True, grace=0)

    target = io.BytesIO()
    filled.export_files(target, progress=meanwhile)
    assert done
    assert target.getvalue() == data


# --- folders ----------------------------------------------------------------------------------------------------------


PATHS = st.lists(st.sampled_from([b"a", b"a!", b"b", b"c" * 200]), min_size=1, max_size=5).map(tuple)


def whole(folders: Folders, place: int) -> dict[bytes, object]:
    block, children = folders.node(place)
    listed: list[Child] = [*children]
    assert [cid for _, cid, _ in links(block)] == [link.cid for link in listed]
    names = [name for name, _, _ in links(block)]
    below = [link.size if link.place is None else whole(folders, link.place) for link in listed]
    return dict(zip(names, below, strict=True))


@settings(deadline=None, max_examples=150)
@given(st.sets(PATHS, max_size=25), st.sampled_from([1, 300, 1 << 20]))
def test_folders_are_those_of_a_dictionary(paths: set[tuple[bytes, ...]], memory: int) -> None:
    """[FILES-3] Whatever is held in memory. A path that leads on is no file."""
    paths = {path for path in paths if not any(other[: len(path)] == path and other != path for other in paths)}
    model: dict[bytes, object] = {}
    with Folders(memory, memory) as folders:
        for size, path in enumerate(sorted(paths)):
            folders.add(path, raw_cid(b"%d" % size), size)
            at = model
            for name in path[:-1]:
                at = at.setdefault(name, {})  # type: ignore[assignment]
            at[path[-1]] = size
        root = folders.end()
        assert whole(folders, place_of(root)) == model
        assert folders.count == 1 + len({path[:end] for path in paths for end in range(1, len(path))})


def test_a_folder_of_many_names_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """[FILES-11] Five thousand long names, under bounds of 64 and 256 KiB and under none, so to say."""
    # the hash of names is one of many small numbers, each of which would be traced
    monkeypatch.setattr(folders_module, "murmur3_64", lambda name: sha256(name).digest()[:8])

    def build(memory: int, run: int) -> tuple[bytes, int]:
        """The root, and the peak."""
        tracemalloc.reset_peak()
        with Folders(memory, run) as folders:
            for n in range(5_000):
                folders.add((b"folder", b"%06d" % n + b"-" * 240), raw_cid(b"x"), 1)
            return folders.end().cid, tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        root, little = build(64 * KIB, 256 * KIB)
        same, much = build(16 * MIB, 16 * MIB)
    finally:
        tracemalloc.stop()
    assert root == same
    assert little < 3 * MIB // 2 < 2 * MIB < much


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b", "same/", "long", ".", "é", "large", "nothing", "x/y/z/deep"])
def test_the_view_of_a_prefix_is_that_of_a_bucket_with_these_keys(filled: Bucket, store: Store, prefix: str) -> None:
    """[FILES-13] Byte for byte, where the keys around take names and where they do not; of a view of the past, too."""
    some = store.create_bucket("some")
    for key, body in BODIES.items():
        if key.startswith(prefix):
            some.put_object(key, body)
    some.flush()
    target = io.BytesIO()
    report = filled.export_files(target, prefix=prefix)
    data, expected = exported(some)
    assert target.getvalue() == data
    assert (report.root, report.files, report.folders, report.renamed) == (
        expected.root, expected.files, expected.folders, expected.renamed,
    )  # fmt: skip
    head = filled.head_commit()
    assert head is not None
    for key in BODIES:
        filled.delete_object(key)
    filled.flush()
    target = io.BytesIO()
    with filled.at(head.cid) as view:
        view.export_files(target, prefix=prefix)
    assert target.getvalue() == data


def test_a_prefix_that_no_key_can_have_is_refused(filled: Bucket, tmp_path: Path) -> None:
    """[FILES-13] Before a file is made."""
    with pytest.raises(errors.InvalidInput):
        filled.export_files(tmp_path / "files.car", prefix="a\0")
    assert not (tmp_path / "files.car").exists()
