"""Writing the packs of a store again in the encoding that it has by now ([STO-1], [STO-2]).

Each pack gets a new blob:

    1. The blob is registered as pending. The plain CAR streams into it from the old blob, and every block is hashed.
    2. The blob is made durable. One short transaction makes it the pack's blob, and dooms the old one.
    3. The old blob is deleted.

The index knows a block by its pack and its place in the plain CAR. So no row of `blocks` changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from mstbucket.blobs.base import BlobWriter
from mstbucket.core.car_reader import CarReader
from mstbucket.errors import CorruptionError, FormatError, NotFound
from mstbucket.index import packs
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.encoding import forget_key
from mstbucket.services.blocks.registered import PackMoved, RegisteredPack, remove_doomed
from mstbucket.services.blocks.state import reencode_state
from mstbucket.services.policy.access_keys import reseal
from mstbucket.services.tree.refs import reencode_refs
from mstbucket.services.upkeep.compact import remove_healed

_PAGE: Final = 1000  # packs asked for at a time


@dataclass(slots=True)
class ReencodeReport:
    """What was done.

    Attributes:
        packs: how many were written again.
        before, after: their bytes in the blob store.
        damaged: packs and published commits that could not be read, by name, and why. They were left as they are.
    """

    packs: int = 0
    before: int = 0
    after: int = 0
    damaged: dict[str, str] = field(default_factory=dict)


def reencode(context: Context, progress: Callable[[int], object] | None) -> ReencodeReport:
    """Write every pack again that is not of the kind of new ones; see `Store.reencode`."""
    report = ReencodeReport()
    last = 0
    while batch := packs.of_other_kind(context.db, context.encoding.kind, last, _PAGE):
        for number, name, size in batch:
            try:
                after = _one(context, number, name)
            except PackMoved:
                continue
            except (CorruptionError, FormatError, NotFound) as error:
                report.damaged[name] = str(error)
                continue
            if after is None:
                continue
            report.packs += 1
            report.before += size
            report.after += after
            if progress is not None:
                progress(report.before)
        last = batch[-1].id
    for name in remove_healed(context):
        report.damaged.pop(name, None)
    report.damaged |= reencode_refs(context) | reencode_state(context)
    reseal(context)
    if not report.damaged:
        forget_key(context.db, context.blobs)
    return report


def _one(context: Context, number: int, name: str) -> int | None:
    """Write one pack again. Returns the size of its new blob, or None if there is no pack of that name any more."""

    def copy(stream: BinaryIO) -> int:
        with RegisteredPack(context) as new:
            for _ in CarReader(_Copying(stream, new.writer())):
                pass  # the reader hashes every block
            new.seal()
            context.db.run(lambda connection: new.replace(connection, number, name))
            new.keep()
        return new.size

    size = context.blocks.of_pack(name, copy)
    if size is not None:
        remove_doomed(context, [name])
    return size


class _Copying:
    """A stream whose every byte also goes into a blob."""

    def __init__(self, stream: BinaryIO, writer: BlobWriter) -> None:
        self._stream = stream
        self._writer = writer

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._writer.write(data)
        return data
