"""Packs as the CARs they hold, whatever was done to them: the reader's side of frames."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final, Protocol

from mstbucket.blobs.base import BlobInfo, BlobStore
from mstbucket.blobs.names import Kind, framed
from mstbucket.errors import BrokenFrame, StorageError, WrongKey
from mstbucket.limits import MIB
from mstbucket.packs.frames.codec import Decoder, decoder
from mstbucket.packs.frames.crypto import DataKey
from mstbucket.packs.frames.format import FOOT_SIZE, Frame, Segment, Trailer, decode_trailer, trailer_size
from mstbucket.packs.whole_range import read_range

READ_MAX: Final = 4 * MIB  # stored bytes of neighbouring frames fetched at once, where a medium wants no more
CACHE: Final = 4 * MIB  # plain bytes of frames that may be asked for again
_DECODERS: Final = 256  # blobs whose keys are held ready
_TAIL: Final = 64 * 1024  # read of a blob's end at first: the trailer of a pack of 4,000 frames


class FrameIndex(Protocol):
    """Says where the frames of a blob are."""

    def segment(self, name: str, start: int) -> Segment | None:
        """Frames of the blob in a row, among them the one that holds plain byte `start`; None behind the end."""

    def size(self, name: str) -> int:
        """Plain bytes of the blob."""


class Packs:
    """Packs and refs of a blob store, read as plain CARs: offsets are those in the CAR. Thread-safe.

    What `reader` needs of a `BlobStore`: `get_range` and `head`. A plain pack is passed through.

    Args:
        blobs: where the packs are.
        index: where their frames are.
        key: of an encrypted store.
    """

    def __init__(self, blobs: BlobStore, index: FrameIndex, key: DataKey | None) -> None:
        self.reading = blobs.reading
        self._most = max(READ_MAX, 2 * blobs.reading.limit)  # a planned read, and the rest of its first and last frame
        self._blobs = blobs
        self._index = index
        self._key = key
        self._lock = threading.Lock()  # over the three below, never while something is fetched
        self._decoders: OrderedDict[str, Decoder] = OrderedDict()
        self._plain: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._held = 0

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Return exactly `length` bytes of the CAR from byte `start`.

        Raises:
            NoSuchBlob, StorageError: as a blob store's own.
            MissingBlock: the blob was cut short.
            BrokenFrame: a frame does not decode to what the index says of it.
            WrongKey: it is encrypted, and there is no key.
        """
        if name.endswith(".car") or framed(name) is None:
            return self._blobs.get_range(name, start, length)
        parts: list[bytes] = []
        at, stop = start, start + length
        while at < stop:
            segment = self._index.segment(name, at)
            if segment is None:
                raise StorageError(f"pack {name} ends before byte {stop} of its CAR")
            upto = min(stop, segment.stop)
            for frame, plain in self._frames(name, list(segment.between(at, upto)), at, upto):
                if frame.start >= at and frame.stop <= upto:
                    parts.append(plain)
                else:
                    parts.append(plain[max(at - frame.start, 0) : upto - frame.start])
            at = upto
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def head(self, name: str) -> BlobInfo:
        """The name and the size of the CAR."""
        if name.endswith(".car") or framed(name) is None:
            return self._blobs.head(name)
        return BlobInfo(name, self._index.size(name))

    def distrust(self, name: str) -> None:
        """See `BlobStore`; its frames that are kept go too."""
        self._blobs.distrust(name)
        with self._lock:
            for key in [key for key in self._plain if key[0] == name]:
                self._held -= len(self._plain.pop(key))

    def _frames(self, name: str, frames: list[Frame], start: int, stop: int) -> list[tuple[Frame, bytes]]:
        """The plain bytes of neighbouring frames; those not kept are fetched together ([FRAME-13])."""
        found: dict[int, bytes] = {}
        with self._lock:
            for frame in frames:
                kept = self._plain.get((name, frame.number))
                if kept is not None:
                    found[frame.number] = kept
                    self._plain.move_to_end((name, frame.number))
        run: list[Frame] = []
        for frame in frames:
            end = frame.stored_start + frame.stored_length
            if run and (frame.number in found or end - run[0].stored_start > self._most):
                found.update(self._fetch(name, run))
                run = []
            if frame.number not in found:
                run.append(frame)
        if run:
            found.update(self._fetch(name, run))
        for frame in (frames[0], frames[-1]):
            if 2 * (min(frame.stop, stop) - max(frame.start, start)) < frame.length:
                self._keep(name, frame.number, found[frame.number])
        return [(frame, found[frame.number]) for frame in frames]

    def _fetch(self, name: str, run: list[Frame]) -> dict[int, bytes]:
        try:
            return self._decoded(name, run)
        except BrokenFrame:
            self.distrust(name)
            raise

    def _decoded(self, name: str, run: list[Frame]) -> dict[int, bytes]:
        decode = self._decoder(name).decode
        start = run[0].stored_start
        length = run[-1].stored_start + run[-1].stored_length - start
        if len(run) == 1:
            # Nothing here holds what was read. With three buffers of 1 MiB at once the allocator would give memory back
            # and fetch it again for every chunk. That takes as long as everything else (bench_frames).
            return {run[0].number: decode(run[0], read_range(self._blobs, name, start, length))}
        data = memoryview(read_range(self._blobs, name, start, length))
        plain: dict[int, bytes] = {}
        for frame in run:
            at = frame.stored_start - start
            plain[frame.number] = decode(frame, data[at : at + frame.stored_length])
        return plain

    def _keep(self, name: str, number: int, plain: bytes) -> None:
        """Keep a frame of which less than half was asked for: the next block asked for may be its neighbour."""
        with self._lock:
            if (name, number) not in self._plain:
                self._plain[name, number] = plain
                self._held += len(plain)
            while self._held > CACHE:
                _, gone = self._plain.popitem(last=False)
                self._held -= len(gone)

    def _decoder(self, name: str) -> Decoder:
        with self._lock:
            known = self._decoders.get(name)
            if known is not None:
                self._decoders.move_to_end(name)
                return known
        form = framed(name)
        assert form is not None
        made = decoder(form[0], form[1], self._key, name)
        with self._lock:
            self._decoders[name] = made
            while len(self._decoders) > _DECODERS:
                self._decoders.popitem(last=False)
        return made


class TrailerIndex:
    """The frames as the blobs' own trailers tell them: for a store whose database is lost. Not for hot paths."""

    def __init__(self, blobs: BlobStore, key: DataKey | None) -> None:
        self._blobs = blobs
        self._key = key
        self._segments: OrderedDict[str, Segment] = OrderedDict()
        self._lock = threading.Lock()

    def segment(self, name: str, start: int) -> Segment | None:
        """See `FrameIndex`. Raises what `read_trailer` does."""
        segment = self._whole(name)
        return segment if 0 <= start < segment.stop else None

    def size(self, name: str) -> int:
        """See `FrameIndex`."""
        return self._whole(name).stop

    def _whole(self, name: str) -> Segment:
        with self._lock:
            known = self._segments.get(name)
        if known is None:
            known = read_trailer(self._blobs, name, self._key).segment(name)
            with self._lock:
                self._segments[name] = known
                while len(self._segments) > 1 and sum(map(len, self._segments.values())) > _TAIL:
                    self._segments.popitem(last=False)
        return known


def read_trailer(blobs: BlobStore, name: str, key: DataKey | None) -> Trailer:
    """The trailer of a pack or ref that has one; with a key, proved to be the one that was written ([FRAME-9]).

    Raises:
        NoSuchBlob, StorageError: as of the blob store.
        FormatError, BrokenFrame: it is not a trailer, not that of this blob, or damaged.
        WrongKey: the blob was encrypted with another store's key.
    """
    form = framed(name)
    if form is None:
        raise BrokenFrame(f"{name} is not the name of a pack with frames")
    kind, blob = form
    size = blobs.head(name).size
    tail = blobs.get_range(name, max(size - _TAIL, 0), min(size, _TAIL))
    length = trailer_size(tail[-FOOT_SIZE:], size, name)
    data = tail[-length:] if length <= len(tail) else blobs.get_range(name, size - length, length)
    trailer = decode_trailer(data, size, name)
    if (trailer.kind, trailer.blob) != (kind, blob):
        raise BrokenFrame(f"{name} holds the frames of another pack, {trailer.blob.hex()} of kind {int(trailer.kind)}")
    if key is not None and Kind.AES in kind:
        if trailer.key != key.id:
            raise WrongKey(f"{name} is encrypted with the data key {trailer.key.hex()}; the one given is {key.id.hex()}")
        key.cipher(kind, blob).check(trailer, name)
    return trailer
