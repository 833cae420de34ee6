"""Verify an export: that a CAR file is one whole bucket, and nothing but it."""

from __future__ import annotations

import builtins  # the field `bytes` hides the type inside the class
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import CID
from mstbucket.core.commit import Commit
from mstbucket.model.streams import Readable
from mstbucket.verify.replay import Replay, Sections

_EVERY: Final = 4096  # blocks or keys between two calls of *progress*


@dataclass(frozen=True, slots=True)
class CarReport:
    """An export that was verified.

    Attributes:
        root: CID of the commit.
        commit: what it says; its totals were counted and are true. About a signature say `commit.signature`.
        blocks, nodes: how many blocks there are, and how many of them are tree nodes.
        objects, versions: keys of the two trees.
        bytes: of the live objects' bodies, as S3 counts them.
        signer: the public key whose signature of the commit was checked; None where none was.
        widest: entries of the largest tree node; above `NODE_ENTRIES_WARN` somebody chose keys to make it so.
    """

    root: CID
    commit: Commit
    blocks: int
    nodes: int
    objects: int
    versions: int
    bytes: int
    widest: int
    signer: builtins.bytes | None = None


def verify_car(
    stream: Readable,
    progress: Callable[[int], object] | None = None,
    expected: CID | None = None,
    accept: Callable[[CID, Commit], object] | None = None,
) -> CarReport:
    """Check that *stream* is the export of one bucket, complete and with nothing else in it, and return its figures.

    What is checked, in which order, and what is not, is in `spec/format/11-verification.md`. One pass, without seeking.
    Memory is bounded; a set of the blocks seen, 16 bytes each, goes to temporary files when it is large. Nothing is changed.
    About 200,000 small blocks a second (`tests/bench/bench_car.py`).

    Args:
        stream: open for reading bytes, at the first byte of the file. The caller closes it.
        progress: called now and then with the byte offset reached.
        expected: the commit that it has to be; None for any.
        accept: called with the commit before anything else is looked at; what it raises is passed on.

    Raises:
        InvalidCar, HashMismatch, InvalidBlock, Untrue, MissingBlock, ExtraBlock: it is not; the message says at which
            byte that was noticed. Get another copy. If that is the same, its writer has to write it again.
        ForeignCar: it is a CAR of something else than a bucket.
        OtherCommit: it is not the commit that is expected.
        Unsupported: a newer program wrote it (update this one), or nothing could follow in the bucket.
        StorageError: the temporary directory failed. Free space there and repeat the call.
    """
    return verify_sections(CarReader(stream), progress, expected, accept)


def verify_sections(
    reader: Sections,
    progress: Callable[[int], object] | None = None,
    expected: CID | None = None,
    accept: Callable[[CID, Commit], object] | None = None,
) -> CarReport:
    """As `verify_car`, of sections whose blocks are hashed already."""
    with Replay(reader, expected) as replay:
        if accept is not None:
            accept(replay.root, replay.commit)
        for number, _ in enumerate(replay):
            if progress is not None and number % _EVERY == 0:
                progress(replay.offset)
        return CarReport(
            replay.root,
            replay.commit,
            replay.blocks,
            replay.nodes,
            replay.objects,
            replay.versions,
            replay.bytes,
            replay.widest,
        )
