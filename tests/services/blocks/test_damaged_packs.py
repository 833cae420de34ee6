"""Every way in which a pack can be damaged, against everybody who reads packs: an error at once, that says whose it is."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

import mstbucket
from mstbucket.core import car
from mstbucket.core.cid import from_text, raw_cid, to_text
from mstbucket.errors import (
    CorruptionError,
    FileNotPermitted,
    FormatError,
    HashMismatch,
    MissingBlock,
    MstBucketError,
    NoSuchFile,
    NotAFile,
    StorageError,
)
from mstbucket.limits import CHUNK_SIZE, PART_SIZE_MIN

CID: Final = re.compile(r"\bb[a-z2-7]{58}\b")
LARGE: Final = b"".join(n.to_bytes(4, "big") for n in range(700_000))  # 2.8 MB: three chunks and a node over them
SMALL: Final = b"a small body"


# --- what can happen to a pack -----------------------------------------------------------------------------------------


def cut(size: int) -> Callable[[Path], None]:
    return lambda pack: os.truncate(pack, size)


def sections(pack: bytes) -> list[tuple[bytes, int, int]]:
    """CID, offset of the block's first byte, and length, of every section."""
    start = len(car.header(raw_cid(b"")))
    return list(car.parse_window(pack[start:], start))


def flip(before: int) -> Callable[[Path], None]:
    """Change one bit of each section that has a block, so many bytes before the block's first."""

    def damage(pack: Path) -> None:
        data = bytearray(pack.read_bytes())
        for _, offset, length in sections(bytes(data)):
            if length:
                data[offset - before] ^= 1
        pack.write_bytes(data)

    return damage


def flip_header(pack: Path) -> None:
    data = bytearray(pack.read_bytes())
    data[20] ^= 1
    pack.write_bytes(data)


def become_directory(pack: Path) -> None:
    pack.unlink()
    pack.mkdir()


def swap(packs: list[Path]) -> None:
    contents = [pack.read_bytes() for pack in packs]
    for pack, content in zip(packs, contents[1:] + contents[:1], strict=True):
        pack.write_bytes(content)


def each(damage: Callable[[Path], object]) -> Callable[[list[Path]], None]:
    def all_of_them(packs: list[Path]) -> None:
        for pack in packs:
            damage(pack)

    return all_of_them


Damage = tuple[Callable[[list[Path]], None], type[Exception] | None, str]
DAMAGES: Final[dict[str, Damage]] = {
    "gone": (each(Path.unlink), MissingBlock, "is gone.*restore the pack"),
    "empty": (each(cut(0)), MissingBlock, "was cut to 0 bytes.*restore the pack"),
    "truncated behind the header": (each(cut(100)), MissingBlock, "was cut to 100 bytes.*restore the pack"),
    "a bit flipped in the header": (each(flip_header), None, ""),
    "a bit flipped in every section's CID": (each(flip(1)), None, ""),
    "a bit flipped in every section's length": (each(flip(37)), None, ""),
    "a bit flipped in every block": (each(flip(0)), HashMismatch, "get another copy"),
    "another pack's bytes": (swap, CorruptionError, "get another copy|restore the pack"),
    "a directory in its place": (each(become_directory), MissingBlock, "is gone.*restore the pack"),
    "unreadable": (each(lambda pack: pack.chmod(0)), StorageError, "cannot be opened at .*permission denied: check"),
}

# --- who reads packs -----------------------------------------------------------------------------------------------------


def read(bucket: mstbucket.Bucket, key: str, span: str | None = None) -> bytes:
    reader = bucket.get_object(key, range=span)
    first = reader.read(1)  # the first byte is an error already
    return first + reader.read()


def export(bucket: mstbucket.Bucket) -> bytes:
    out = io.BytesIO()
    bucket.export_car(out)
    return out.getvalue()


def copy_part(bucket: mstbucket.Bucket) -> str:
    upload = bucket.create_multipart_upload("copied")
    try:
        return bucket.upload_part_copy("copied", upload.id, 1, "large").etag
    finally:
        bucket.abort_multipart_upload("copied", upload.id)


def complete(bucket: mstbucket.Bucket) -> str:
    """A completion that has to cut anew what parts brought, whose boundary is no multiple of a chunk."""
    upload = bucket.list_multipart_uploads(prefix="composed").uploads[0]
    parts = bucket.list_parts("composed", upload.id).parts
    return bucket.complete_multipart_upload("composed", upload.id, [(part.number, part.etag) for part in parts]).content


#: Readers that change the bucket, and so can be called once only.
CHANGING: Final = ("flush, which needs old nodes", "multipart completion")

#: What is read, and the key that an error has to name, where it is about one object.
READERS: Final[dict[str, tuple[Callable[[mstbucket.Bucket], object], str | None]]] = {
    "get": (lambda bucket: read(bucket, "large"), "large"),
    "get a small body": (lambda bucket: read(bucket, "small"), "small"),
    "get a range": (lambda bucket: read(bucket, "large", f"bytes={CHUNK_SIZE + 5}-{CHUNK_SIZE + 9}"), "large"),
    "get the last bytes": (lambda bucket: read(bucket, "large", "bytes=-7"), "large"),
    "export": (export, None),
    "verify": (lambda bucket: bucket.verify().objects, None),
    "flush, which needs old nodes": (lambda bucket: bucket.flush().tree, None),
    "multipart copy": (copy_part, "large"),
    "multipart completion": (complete, "composed"),
}


@dataclass(frozen=True)
class Damaged:
    """A bucket that was flushed, and has something to flush, to read and to complete; and its packs, which are whole."""

    url: str
    path: Path

    @contextmanager
    def opened(self) -> Iterator[mstbucket.Bucket]:
        """The bucket, with no file open yet, and with connections enough for whatever comes."""
        with mstbucket.open(database=self.url, blobs=self.path, background=False) as store, ExitStack() as stack:
            for _ in range(4):
                stack.enter_context(store._context.db.reading())
            stack.close()
            yield store.bucket("things")


@pytest.fixture(scope="module")
def damaged(databases: Any, template: str, tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    made = Damaged(databases.url(databases.create(template)), tmp_path_factory.mktemp("damaged") / "blobs")
    with mstbucket.open(database=made.url, blobs=made.path, background=False) as store:
        bucket = store.create_bucket("things")
        bucket.put_object("large", LARGE)
        bucket.put_object("small", SMALL)
        for number in range(40):
            bucket.put_object(f"other/{number}", b"%d" % number)
        bucket.flush()
        for many in range(4):  # one for each damage that does not matter, and one to be left
            upload = bucket.create_multipart_upload("composed")
            for number in (1, 2):
                bucket.upload_part("composed", upload.id, number, bytes([2 * many + number]) * (PART_SIZE_MIN + 1))
    return made


@contextmanager
def as_nobody(packs: list[Path]) -> Iterator[None]:
    """Without the rights of an administrator, whom no permission stops; the folders may be entered by everybody."""
    if os.geteuid() != 0:
        yield
        return
    folders = {parent for pack in packs for parent in pack.parents if parent.stat().st_uid == 0 and parent != Path("/")}
    modes = {folder: folder.stat().st_mode & 0o7777 for folder in folders}
    for folder in folders:
        folder.chmod(modes[folder] | 0o055)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        for folder, mode in modes.items():
            folder.chmod(mode)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("reader", READERS)
def test_damage_is_an_error_at_once_or_no_matter_but_never_other_bytes(
    reader: str, damage: str, damaged: Damaged
) -> None:
    """[GET-1] [PACK-5] [PACK-6] [PACK-8] [BLOB-13] [FLUSH-3] [FLUSH-10] [EXP-1]"""
    work, key = READERS[reader]
    harm, kind, says = DAMAGES[damage]
    with damaged.opened() as bucket:
        bucket.put_object("dirty", damage.encode())
        commit = bucket.head_commit()
        good = None if reader in CHANGING else work(bucket)
    packs = sorted(damaged.path.rglob("packs/*/*.car"))
    whole = {pack: pack.read_bytes() for pack in packs}
    assert len(packs) >= 2
    with damaged.opened() as bucket:
        harm(packs)
        try:
            with as_nobody(packs) if damage == "unreadable" else nullcontext():
                if kind is None:
                    assert work(bucket) == good or reader in CHANGING
                    return
                with pytest.raises(kind) as caught:
                    work(bucket)
        finally:
            restore(whole)
        said = str(caught.value)
        assert re.search(says, said, re.DOTALL)
        assert any(str(pack.relative_to(pack.parents[2])) in said for pack in packs)
        if kind is not StorageError:
            assert "bucket 'things'" in said
            assert CID.search(said)
            assert key is None or repr(key) in said
        # Nothing came of it.
        assert bucket.head_commit() == commit
        assert sorted(damaged.path.rglob("packs/*/*.car")) == packs


def restore(whole: dict[Path, bytes]) -> None:
    for pack, content in whole.items():
        if pack.is_dir():
            pack.rmdir()
        pack.unlink(missing_ok=True)
        pack.write_bytes(content)


def test_with_the_packs_restored_it_is_as_if_nothing_had_been(damaged: Damaged) -> None:
    with damaged.opened() as bucket:
        assert read(bucket, "large") == LARGE
        complete(bucket)
        assert bucket.flush().objects == 44
        assert bucket.verify().dirty == 0


# --- damage of one block, of which everybody else has to say whose it is ------------------------------------------------


def block_of(bucket: mstbucket.Bucket, key: str, what: str) -> tuple[bytes, str]:
    """CID of a block that belongs to an object, and its text."""
    info = bucket.head_object(key)
    if what == "chunk":
        text = to_text(raw_cid(LARGE[CHUNK_SIZE : 2 * CHUNK_SIZE]))
    else:
        text = info.manifest if what == "manifest" else info.content
    return from_text(text), text


@pytest.mark.parametrize("call", [export, lambda bucket: bucket.verify()], ids=["export", "verify"])
@pytest.mark.parametrize(
    ("key", "what"), [("small", "manifest"), ("small", "body"), ("large", "node over the body"), ("large", "chunk")]
)
def test_one_damaged_block_of_a_bucket_is_named_with_its_object(
    call: Callable[[mstbucket.Bucket], object], key: str, what: str, damaged: Damaged
) -> None:
    """[GET-1]"""
    with damaged.opened() as bucket:
        cid, text = block_of(bucket, key, what)
        [pack] = [path for path in damaged.path.rglob("packs/*/*.car") if cid in path.read_bytes() and has(path, cid)]
        whole = pack.read_bytes()
        [at] = [offset for found, offset, _ in sections(whole) if found == cid]
        pack.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            said = f"bucket 'things', object '{key}': .*{text}.*{pack.name} at byte {at}"
            with pytest.raises(HashMismatch, match=said) as caught:
                call(bucket)
            error = caught.value
            assert (error.bucket, error.key, error.cid, error.offset) == ("things", key, text, at)
            assert error.pack is not None
            assert error.pack.endswith(pack.name)
        finally:
            pack.write_bytes(whole)


def has(pack: Path, cid: bytes) -> bool:
    return cid in [found for found, _, _ in sections(pack.read_bytes())]


# --- the file of an import -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "another pack's bytes"])
def test_a_damaged_file_is_not_imported(damage: str, damaged: Damaged, tmp_path: Path) -> None:
    """[IMP-1] [IMP-3]: an error that says what and where; no bucket, no pack."""
    file = tmp_path / "export.car"
    with damaged.opened() as bucket, mstbucket.open(
        database=damaged.url, blobs=damaged.path, background=False
    ) as store:
        bucket.export_car(file)
        packs = sorted(damaged.path.rglob("packs/*/*.car"))
        DAMAGES[damage][0]([file])
        with as_nobody([file]) if damage == "unreadable" else nullcontext(), pytest.raises(MstBucketError) as caught:
            store.import_car(file, "imported")
        expected = {"gone": NoSuchFile, "a directory in its place": NotAFile, "unreadable": FileNotPermitted}.get(damage)
        assert isinstance(caught.value, (FormatError, CorruptionError) if expected is None else expected)
        said = str(caught.value)
        assert (str(file) in said) if expected is not None else re.search(r"at byte \d+|b[a-z2-7]{58}", said)
        assert [info.name for info in store.list_buckets()] == ["things"]
        assert sorted(damaged.path.rglob("packs/*/*.car")) == packs
