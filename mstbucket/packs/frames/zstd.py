"""zstd, and the only place that knows the library. Frames are independent, and none is believed about its size."""

from __future__ import annotations

import struct
import threading
from typing import Any, Final

from mstbucket.errors import BrokenFrame, InvalidInput, Unsupported
from mstbucket.limits import KIB, ZSTD_LEVEL_MAX

#: The zstd program's own. Nodes and manifests, being hashes, compress to 57 % at any level; text gains at higher ones.
LEVEL_DEFAULT: Final = 3

_SAMPLED: Final = 256 * KIB  # frames from here on are sampled first: what looks like noise is not tried in full
_SAMPLES: Final = 8
_SAMPLE: Final = 8 * KIB
_NOISE: Final = 0.98  # of its length; what samples compress to less is worth trying
_RAW_HEAD: Final = struct.Struct("<IBI")  # RFC 8878: magic, descriptor (one segment, 4 bytes of size), size
_RAW_BLOCK: Final = 128 * KIB  # the largest block there is

_local = threading.local()  # the library's objects are for one thread each


def parse_compression(text: str) -> int | None:
    """The level in a setting such as `zstd`, `zstd:9` or `none`; None for the last.

    Raises:
        InvalidInput: it is none of these.
    """
    name, colon, level = text.partition(":")
    if text == "none":
        return None
    if name != "zstd" or (colon and level not in map(str, range(1, ZSTD_LEVEL_MAX + 1))):
        raise InvalidInput(f"compression={text!r} is unknown: use 'zstd', 'zstd:1' to 'zstd:{ZSTD_LEVEL_MAX}', or 'none'")
    return int(level) if colon else LEVEL_DEFAULT


class Compressor:
    """Makes frames of one level, for one thread at a time."""

    def __init__(self, level: int) -> None:
        library = _library()
        self._compress = library.ZstdCompressor(level=level).compress
        self._try = library.ZstdCompressor(level=1).compress

    def compress(self, data: bytes) -> bytes:
        """A frame that states its size ([FRAME-4]). What does not compress grows by less than 40 bytes a MiB."""
        if len(data) >= _SAMPLED and self._is_noise(data):
            return stored(data)
        frame: bytes = self._compress(data)
        return frame

    def _is_noise(self, data: bytes) -> bool:
        step = len(data) // _SAMPLES
        sample = b"".join([data[at : at + _SAMPLE] for at in range(0, step * _SAMPLES, step)])
        return len(self._try(sample)) > _NOISE * len(sample)


def stored(data: bytes) -> bytes:
    """A frame of raw blocks, as it is: what the library would make of noise after looking at it in full."""
    parts: list[bytes | memoryview] = [_RAW_HEAD.pack(0xFD2FB528, 0xA0, len(data))]
    view = memoryview(data)
    for at in range(0, len(data), _RAW_BLOCK):
        block = view[at : at + _RAW_BLOCK]
        parts += ((len(block) << 3 | (at + _RAW_BLOCK >= len(data))).to_bytes(3, "little"), block)
    return b"".join(parts)


def decompress(frame: bytes | memoryview, size: int) -> bytes:
    """The `size` bytes of a frame.

    Raises:
        BrokenFrame: it is not exactly one frame that states that size, and holds as much.
    """
    library = _library()
    decoder: Any = getattr(_local, "decoder", None)
    if decoder is None:
        decoder = _local.decoder = library.ZstdDecompressor()
    try:
        # [FRAME-5] The library takes as much memory as the frame states, so that is looked at first.
        if library.frame_content_size(frame) != size:
            raise BrokenFrame(f"the frame does not state the {size} bytes that the index does")
        data: bytes = decoder.decompress(frame, max_output_size=size, allow_extra_data=False)
    except library.ZstdError as error:
        raise BrokenFrame(f"it does not decompress ({error})") from error
    if len(data) != size:
        raise BrokenFrame(f"it holds {len(data)} bytes instead of {size}")
    return data


def _library() -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise Unsupported("compressed packs need a library: in your clone, run pip install '.[zstd]'") from error
    return zstandard
