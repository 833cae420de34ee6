"""Copying a blob store to another place, blob by blob and byte for byte ([STO-11] to [STO-14])."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from mstbucket.blobs.base import BlobInfo, BlobStore
from mstbucket.blobs.identity import put_identity, read_identity
from mstbucket.blobs.names import KEYS, REFS, STORE, is_ours
from mstbucket.errors import BlobExists, HashMismatch, NoSuchBlob, NotFound, WrongPlace
from mstbucket.limits import KIB, MIB

PIECE: Final = 8 * MIB  # read and written at a time
COMPARED: Final = 64 * KIB  # of the end of a blob that is there already: a small one whole, of frames all their checksums


@dataclass(slots=True)
class CopyReport:
    """What was done.

    Attributes:
        copied, bytes: blobs that were written to the target, and their bytes.
        present: blobs that the target had already.
        extra: blobs of the target that the source does not have (any more).
        removed: how many of these were removed.
    """

    copied: int = 0
    bytes: int = 0
    present: int = 0
    extra: int = 0
    removed: int = 0


def copy_blobs(
    source: BlobStore,
    target: BlobStore,
    progress: Callable[[int], object] | None = None,
    expect: Callable[[int, int], object] | None = None,
) -> CopyReport:
    """Copy every blob that `target` does not have, verified, and return what was done.

    Keys come first and refs last, so a target that has a ref has what the ref needs, as far as the source had it. What was
    copied is durable, read back, and compared with the source once more. Ended at any moment, another call copies the
    rest. The source may be in use: blobs that go meanwhile are passed over, and some that come meanwhile are left for the
    next call. The store's identity comes at the very end, so that a place which was never copied whole is nobody's.

    Args:
        source, target: where the blobs are, and where they are to be.
        progress: told the bytes copied so far, after each blob.
        expect: told before the first blob how many there are to copy, and their bytes: for a bar.

    Raises:
        NotFound: the source holds nothing; probably it is the wrong place.
        WrongPlace: the target has the blobs of another store. Nothing was copied: choose another target.
        BlobExists: the target has another blob under a name. Nothing of it is changed: choose another target.
        HashMismatch: what the target gives back is not what was written, or the source gives other bytes each time; the bad
            copy was removed. Repeat the call.
        StorageError: one of the media failed; repeat the call.
    """
    identity = _require_same(source, target)
    if expect is not None:
        expect(*_missing(source, target))
    report = CopyReport()
    empty = True
    for info in _in_order(source):
        empty = False
        try:
            if _is_there(source, target, info):
                report.present += 1
                continue
            _copy(source, target, info)
        except NoSuchBlob:
            continue  # deleted at the source since it was listed
        report.copied += 1
        report.bytes += info.size
        if progress is not None:
            progress(report.bytes)
    if empty:
        raise NotFound("there are no blobs at the source: it is not the place of a store's blobs, or the store is empty")
    if identity is not None:  # [STO-12] last: a place that was never copied whole is nobody's
        if read_identity(target) is None:
            put_identity(target, identity)
            report.copied += 1
            report.bytes += source.head(STORE).size
        else:
            report.present += 1
    report.extra = sum(1 for _ in _extra(source, target))
    return report


def remove_extra(source: BlobStore, target: BlobStore) -> int:
    """Remove the packs, refs and keys of `target` that `source` does not have, and return how many they were.

    For a target that was filled while the source was in use. What has no name of a store's blob is left alone.

    Raises:
        NotFound: the source holds nothing: everything would go.
        WrongPlace: the target has the blobs of another store.
        StorageError: one of the media failed; repeat the call.
    """
    _require_same(source, target)
    if not any(is_ours(info.name) for info in source.list()):
        raise NotFound("there are no blobs at the source: nothing is removed from the target")
    names = list(_extra(source, target))
    for start in range(0, len(names), 1000):
        target.delete_many(names[start : start + 1000])
    return len(names)


def _in_order(blobs: BlobStore) -> Iterator[BlobInfo]:
    """[STO-12]"""
    yield from (info for info in blobs.list(KEYS) if is_ours(info.name))
    yield from (info for info in blobs.list() if not info.name.startswith((KEYS, REFS)) and is_ours(info.name))
    yield from (info for info in blobs.list(REFS) if is_ours(info.name))


def _require_same(source: BlobStore, target: BlobStore) -> str | None:
    """The identity of the source's store. A target that is another's is refused before anything is done ([STO-13])."""
    here, there = read_identity(source), read_identity(target)
    if there is not None and there != here:
        whose = "no store that is known" if here is None else f"store {here}"
        raise WrongPlace(f"the target has the blobs of store {there}, and the source those of {whose}: name another target")
    return here


def _extra(source: BlobStore, target: BlobStore) -> Iterator[str]:
    """Names that only the target has."""
    return (info.name for info in _only_in(target, source))


def _missing(source: BlobStore, target: BlobStore) -> tuple[int, int]:
    """How many blobs are to be copied, and their bytes."""
    number = size = 0
    for info in _only_in(source, target):
        number, size = number + 1, size + info.size
    return number, size


def _only_in(one: BlobStore, other: BlobStore) -> Iterator[BlobInfo]:
    """The blobs of a store that *one* has and *other* has not; both listings are in the order of names."""
    rest = (info.name for info in other.list())
    there = next(rest, None)
    for info in one.list():
        while there is not None and there < info.name:
            there = next(rest, None)
        if there != info.name and is_ours(info.name):
            yield info


def _is_there(source: BlobStore, target: BlobStore, info: BlobInfo) -> bool:
    """Whether the target has the blob already ([STO-13]: by its size and its end)."""
    try:
        size = target.head(info.name).size
    except NoSuchBlob:
        return False
    length = min(COMPARED, info.size)
    place = (info.name, info.size - length, length)
    if size != info.size or target.get_range(*place) != source.get_range(*place):
        raise BlobExists(f"the target has another blob under the name {info.name}: is it the place of another store?")
    return True


def _copy(source: BlobStore, target: BlobStore, info: BlobInfo) -> None:
    for _ in range(2):  # [PACK-10] one wrong answer of the source is no reason to give up, and must not be kept for ever
        written = sha256()
        with target.open_write(info.name) as writer:
            for piece in _pieces(source, info):
                written.update(piece)
                writer.write(piece)
            size = writer.commit()
        try:
            # [STO-11]
            if (size, target.head(info.name).size, _digest(target, info)) != (info.size, info.size, written.digest()):
                raise HashMismatch(f"blob {info.name} was written to the target, and other bytes came back: check it")
            source.distrust(info.name)
            if _digest(source, info) == written.digest():
                return
        except BaseException:
            target.delete(info.name)
            raise
        target.delete(info.name)
    raise HashMismatch(f"blob {info.name} of the source reads differently each time: check the medium, and repeat the call")


def _digest(blobs: BlobStore, info: BlobInfo) -> bytes:
    read = sha256()
    for piece in _pieces(blobs, info):
        read.update(piece)
    return read.digest()


def _pieces(blobs: BlobStore, info: BlobInfo) -> Iterator[bytes]:
    for start in range(0, info.size, PIECE):
        yield blobs.get_range(info.name, start, min(PIECE, info.size - start))
