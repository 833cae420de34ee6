"""Joining an export and deltas from it, without a store."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO

from mstbucket.api.arguments import guarded
from mstbucket.files.whole import reading, written
from mstbucket.model.exports import ExportReport
from mstbucket.services.tree.join import join


@guarded
def join_cars(
    base: str | os.PathLike[str],
    delta: str | os.PathLike[str],
    target: str | os.PathLike[str] | BinaryIO,
    *,
    progress: Callable[[int], object] | None = None,
) -> ExportReport:
    """Make the export of a commit from that of an earlier one, and the delta between the two: the same file, byte for byte.

    Every block is hashed; that the outcome is a whole and true bucket, `verify_car` tells.

    Args:
        base: the file of `Bucket.export_car`, or of this function.
        delta: the file of `Bucket.export_delta`.
        target: a path, or a binary file open for writing. A file appears when it is complete, and replaces what was there.
        progress: called now and then with the length of the new file so far.

    Raises:
        OtherCommit: the delta is from another commit.
        InvalidCar, HashMismatch: one of the files is damaged, or is something else.
        MissingBlock: together they do not have all blocks of the commit.
        StorageError: a file cannot be read or written.
    """
    with reading(base) as older, reading(delta) as newer, written(target) as file:
        return join(older, newer, file, progress)
