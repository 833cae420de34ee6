"""Check a CAR without a store: what anybody can do who was handed one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from mstbucket.api.arguments import guarded
from mstbucket.api.trust import Demand, Trust
from mstbucket.core.cid import from_text
from mstbucket.files.whole import opened
from mstbucket.model.streams import Readable
from mstbucket.verify.car import CarReport
from mstbucket.verify.car import verify_car as _verify


@guarded
def verify_car(
    source: str | os.PathLike[str] | Readable,
    *,
    expect: str | None = None,
    trust: Trust | None = None,
    progress: Callable[[int], object] | None = None,
) -> CarReport:
    """Check a CAR of a bucket from end to end, needing nothing but the file; return what it holds.

    Every block is hashed; nothing is missing and nothing is extra; the order is the one there is; the trees are in their
    only form; manifests, sizes and totals are true. Memory stays bounded whatever the file says or holds.

    Args:
        source: path of the file, or an open binary file that is read once from where it stands.
        expect: CID of the commit that it has to be, as whoever published it told you on another way than the file.
        trust: who has to have signed it, and what it has to follow; checked first, and remembered when all else is true.
        progress: called now and then with the number of bytes read so far.

    Raises:
        FormatError: the bytes are not what the specification allows; `InvalidCar.offset` says where. `ForeignCar`: it is
            a CAR of something else than a bucket.
        CorruptionError: they are well-formed and untrue; the message names the block.
        WrongSignature, PinMismatch: it is not to be trusted, as `trust` has it.
        OtherCommit: it is not the commit that is expected.
        StorageError: the file cannot be read.
    """
    demand = Demand(trust)
    expected = None if expect is None else from_text(expect)
    with opened(source) as file:
        report = _verify(file, progress, expected, demand.accept)
    demand.remember()
    return replace(report, signer=demand.signer)
