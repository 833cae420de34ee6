"""What a store does to its packs, and frames made and read by it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from mstbucket.blobs.names import Kind
from mstbucket.core.checksums import checksum
from mstbucket.errors import BrokenFrame, InvalidInput, Unsupported, WrongKey
from mstbucket.limits import FRAMES_MAX
from mstbucket.packs.frames.crypto import BlobCipher, DataKey
from mstbucket.packs.frames.format import Entry, Frame, Trailer
from mstbucket.packs.frames.zstd import Compressor, decompress


@dataclass(frozen=True, slots=True)
class Encoding:
    """What is done to new packs: a zstd level or None, the data key or None. Old packs stay as they are.

    Attributes:
        encrypts: whether the key is for new packs too, and not only for old ones that are to be decrypted.
    """

    level: int | None = None
    key: DataKey | None = field(default=None)
    encrypts: bool = True

    @property
    def kind(self) -> Kind:
        """The same without its particulars, as names of blobs tell it."""
        compressed = Kind.PLAIN if self.level is None else Kind.ZSTD
        return compressed | Kind.AES if self.key is not None and self.encrypts else compressed

    def encoder(self, kind: Kind, blob: bytes) -> Encoder:
        """What makes the frames of one new blob with that identity; it is never used for a second one."""
        if kind & ~self.kind:
            raise InvalidInput(f"a blob of kind {int(kind)} cannot be made by an encoding of kind {int(self.kind)}")
        level = self.level if Kind.ZSTD in kind else None
        cipher = self.key.cipher(kind, blob) if self.key is not None and Kind.AES in kind else None
        return Encoder(kind, blob, None if level is None else Compressor(level), cipher, self.key)


class Encoder:
    """Makes the frames of one blob in their order, for one thread at a time."""

    def __init__(
        self, kind: Kind, blob: bytes, compressor: Compressor | None, cipher: BlobCipher | None, key: DataKey | None
    ) -> None:
        self._kind = kind
        self._blob = blob
        self._compressor = compressor
        self._cipher = cipher
        self._key = key
        self._number = 0
        self.plain_size = 0
        self.entries: list[Entry] = []

    def encode(self, plain: bytes) -> bytes:
        """The next frame, as it is to be stored ([FRAME-1])."""
        number = self._number
        if number >= FRAMES_MAX:
            raise Unsupported(f"a pack holds at most {FRAMES_MAX} frames: begin another one")
        self._number = number + 1  # [FRAME-11] before it is used: an attempt that fails has had its nonce too
        data = plain if self._compressor is None else self._compressor.compress(plain)
        if self._cipher is not None:
            data = self._cipher.seal(number, self.plain_size, len(plain), data)
        self.entries.append(Entry(len(data), len(plain), checksum(data)))
        self.plain_size += len(plain)
        return data

    def trailer(self) -> bytes:
        """What stands behind the last frame. Nothing can be encoded afterwards."""
        trailer = Trailer(self._kind, tuple(self.entries), self._blob)
        self._number = FRAMES_MAX
        if self._cipher is not None and self._key is not None:
            trailer = self._cipher.sign(Trailer(self._kind, tuple(self.entries), self._blob, self._key.id))
        return trailer.encode()


def decoder(kind: Kind, blob: bytes, key: DataKey | None, name: str) -> Decoder:
    """What reads the frames of one blob; thread-safe.

    Raises:
        WrongKey: the blob is encrypted, and there is no key.
    """
    if Kind.AES not in kind:
        return Decoder(kind, None, name)
    if key is None:
        raise WrongKey(f"{name} is encrypted: open the store with its key")
    return Decoder(kind, key.cipher(kind, blob), name)


class Decoder:
    """Reads frames of one blob, in any order; thread-safe."""

    __slots__ = ("_cipher", "_name", "_zstd")

    def __init__(self, kind: Kind, cipher: BlobCipher | None, name: str) -> None:
        self._cipher = cipher
        self._zstd = Kind.ZSTD in kind
        self._name = name

    def decode(self, frame: Frame, data: bytes | memoryview) -> bytes:
        """The plain bytes of a frame from what is stored of it.

        Raises:
            BrokenFrame: they are not those of that frame, or not as many as the index says.
        """
        try:
            if self._cipher is not None:
                data = self._cipher.open(frame.number, frame.start, frame.length, data)
            plain = decompress(data, frame.length) if self._zstd else bytes(data)
            if len(plain) != frame.length:  # [FRAME-5]
                raise BrokenFrame(f"it has {len(plain)} bytes instead of {frame.length}")
        except BrokenFrame as error:
            what = f"frame {frame.number} of pack {self._name}, {frame.stored_length} bytes at {frame.stored_start}"
            raise BrokenFrame(f"{what}: {error}").about(pack=self._name, offset=frame.stored_start) from error
        return plain
