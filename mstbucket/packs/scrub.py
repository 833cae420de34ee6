"""Looking for damage in a blob store, without its database and, if it is encrypted, without its key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mstbucket.blobs.base import BlobInfo, BlobStore
from mstbucket.blobs.names import KEYS, PACKS, REFS, STATE, Kind, framed, is_key, is_ours, parse_ref
from mstbucket.core.car_reader import CarReader
from mstbucket.core.checksums import checksum
from mstbucket.core.cid import to_text
from mstbucket.errors import BrokenFrame, CorruptionError, FormatError, NoSuchBlob, StorageError
from mstbucket.packs.frames.crypto import DataKey
from mstbucket.packs.frames.data_keys import read_key
from mstbucket.packs.frames.format import Frame
from mstbucket.packs.frames.read import READ_MAX, Packs, TrailerIndex, read_trailer
from mstbucket.packs.streams import pack_stream


@dataclass(frozen=True, slots=True)
class Damage:
    """A blob that is not as it was written, and what is wrong with it."""

    name: str
    error: FormatError | CorruptionError | StorageError


@dataclass(frozen=True, slots=True)
class ScrubReport:
    """What was looked at: blobs and their bytes, and those that are damaged."""

    blobs: int
    bytes: int
    damaged: tuple[Damage, ...]


def scrub(
    blobs: BlobStore, key: DataKey | None = None, *, progress: Callable[[int], object] | None = None
) -> ScrubReport:
    """Read every pack, ref, wrapped key and blob of state of a blob store and report those that are damaged ([FRAME-17]).

    Nothing is changed. Blobs that go meanwhile are not damaged. Names of no blob of a store are passed over.

    Args:
        blobs: the blob store. It may be in use.
        key: of an encrypted store; without it the checksums of its frames are looked at and not what is in them.
        progress: called after each blob with the number of bytes looked at so far.

    Raises:
        StorageError: the blobs cannot be listed. One that cannot be read is reported as damaged.
    """
    packs = Packs(blobs, TrailerIndex(blobs, key), key)
    damaged: list[Damage] = []
    count = size = 0
    for prefix in (KEYS, STATE, PACKS, REFS):
        for info in blobs.list(prefix):
            if not is_ours(info.name):
                continue
            try:
                try:
                    _look(blobs, packs, key, info)
                except (FormatError, CorruptionError):  # [PACK-10]
                    packs.distrust(info.name)
                    _look(blobs, packs, key, info)
            except NoSuchBlob:
                continue
            except (FormatError, CorruptionError, StorageError) as error:
                damaged.append(Damage(info.name, error))
            count += 1
            size += info.size
            if progress is not None:
                progress(size)
    return ScrubReport(count, size, tuple(damaged))


def _look(blobs: BlobStore, packs: Packs, key: DataKey | None, info: BlobInfo) -> None:
    if is_key(info.name):
        read_key(blobs, info.name)
        return
    form = framed(info.name)
    if form is not None:
        _check_stored(blobs, info.name, key)
    if form is None or Kind.AES not in form[0] or key is not None:
        with pack_stream(packs, info.name) as stream:
            reader = CarReader(stream)
            for _ in reader:
                pass  # it hashes every block
            ref = parse_ref(info.name)
            if ref is not None and to_text(reader.root) != ref[2]:
                raise BrokenFrame(
                    f"{info.name} does not hold the commit that its name tells, but {to_text(reader.root)}"
                ).about(cid=reader.root, pack=info.name)


def _check_stored(blobs: BlobStore, name: str, key: DataKey | None) -> None:
    trailer = read_trailer(blobs, name, key)
    segment = trailer.segment(name)
    for run in _runs(list(segment.between(0, segment.stop))):
        start = run[0].stored_start
        data = blobs.get_range(name, start, run[-1].stored_start + run[-1].stored_length - start)
        for frame in run:
            at = frame.stored_start - start
            if checksum(data[at : at + frame.stored_length]) != trailer.entries[frame.number].checksum:
                raise BrokenFrame(
                    f"pack {name}: frame {frame.number} at byte {frame.stored_start} is damaged"
                ).about(pack=name, offset=frame.stored_start)


def _runs(frames: list[Frame]) -> Iterator[list[Frame]]:
    """Neighbours to be read at once."""
    run: list[Frame] = []
    for frame in frames:
        if run and frame.stored_start + frame.stored_length - run[0].stored_start > READ_MAX:
            yield run
            run = []
        run.append(frame)
    if run:
        yield run
