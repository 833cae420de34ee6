"""Bytes that are not what the specification allows, and bytes that are well-formed but untrue."""

from __future__ import annotations

from typing import Self

from mstbucket.errors.root import MstBucketError


class FormatError(MstBucketError):
    """Bytes that are not what the specification allows. Get another copy, or another tool's opinion."""

    code = "InvalidFormat"
    status = 400


class InvalidCid(FormatError):
    """Not a CID of the form this project uses: CIDv1, raw / dag-pb / dag-cbor, sha2-256, 32 bytes."""


class InvalidBlock(FormatError):
    """A block that is not strict, canonical, or within limits. The message names the block's CID where known.

    `offset` is the byte of the block at which it was noticed, where that is known.
    """

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"{message} (at byte {offset})")
        self.message, self.offset = message, offset


class InvalidCar(FormatError):
    """A CAR file that breaks the container's rules. `offset` is the byte of the file at which it was noticed."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"{message} (at byte {offset})")
        self.offset = offset


class ForeignCar(FormatError):
    """A CAR file that is not the export of a bucket: its root is no commit. Perhaps an IPFS tool reads it."""


class CorruptionError(MstBucketError):
    """Bytes that are well-formed but untrue. Stop: nothing that depends on them can be trusted.

    Attributes:
        blocks: CIDs of the blocks that cannot be had, where a `pack` of a store is what is wrong; `cid` is the first.
    """

    code = "Corruption"
    status = 500
    blocks: tuple[bytes, ...] = ()

    def about(
        self,
        other: MstBucketError | None = None,
        *,
        bucket: str | None = None,
        key: str | None = None,
        cid: bytes | None = None,
        pack: str | None = None,
        offset: int | None = None,
    ) -> Self:
        """As of every error; `blocks` are those of *other*, too."""
        if not self.blocks and isinstance(other, CorruptionError):
            self.blocks = other.blocks
        return super().about(other, bucket=bucket, key=key, cid=cid, pack=pack, offset=offset)


class HashMismatch(CorruptionError):
    """A block's bytes do not hash to the CID it goes under."""


class MissingBlock(CorruptionError):
    """A block that something links to is not there. In a deliberately partial tree this means 'unknown', not 'absent'."""


class ExtraBlock(CorruptionError):
    """A complete CAR holds a block that its root does not reach, or holds one twice."""


class Untrue(CorruptionError):
    """A stated figure, order, or link contradicts the bytes it speaks of (sizes, totals, key order, heights)."""


class OtherCommit(CorruptionError):
    """The bytes are those of another commit than the one that was expected. Find out who gave you the file."""


class WrongSignature(CorruptionError):
    """A commit is not signed as it says, or as you demand. Do not use it, and ask whoever gave it to you."""


class PinMismatch(CorruptionError):
    """A commit cannot be what follows those that you accepted before: older, another, or signed by another key."""


class BrokenFrame(CorruptionError):
    """A frame of a pack does not decode to what the index says: changed, moved, or of another pack. Restore the pack."""
