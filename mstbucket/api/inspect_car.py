"""Look at any CAR without a store, and without trust."""

from __future__ import annotations

import os
from collections.abc import Callable

from mstbucket.api.arguments import guarded
from mstbucket.files.whole import opened
from mstbucket.model.streams import Readable
from mstbucket.verify.inspect import CarSummary
from mstbucket.verify.inspect import inspect_car as _inspect


@guarded
def inspect_car(
    source: str | os.PathLike[str] | Readable, *, progress: Callable[[int], object] | None = None
) -> CarSummary:
    """Tell what is in a CAR of any kind: its roots, its blocks by codec, sizes, duplicates, and the shape of its trees.

    Blocks are hashed, and what does not match is counted. Nothing else is checked: that a file is one whole bucket is for
    `verify_car` to say. Exports of other programs and repositories of atproto can be looked at too, as CARv1 or CARv2.
    Memory stays bounded whatever the file holds.

    Args:
        source: path of the file, or an open binary file that is read once from where it stands.
        progress: called now and then with the number of bytes read so far.

    Raises:
        InvalidCar: it is no CAR, or is damaged so that it cannot be read on; `offset` says where.
        StorageError: the file cannot be read.
    """
    with opened(source) as file:
        return _inspect(file, progress)
