"""What keys of a bucket are to hold, and what has to change for that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from mstbucket.core import manifest as manifests
from mstbucket.core.batches import in_batches
from mstbucket.core.cid import CID, to_text
from mstbucket.core.manifest import Manifest
from mstbucket.errors import Unsupported
from mstbucket.index import restoring
from mstbucket.index.commits import Head
from mstbucket.index.restoring import Current
from mstbucket.model.past import RestoreChange
from mstbucket.services.blocks.context import Context
from mstbucket.services.tree.fold import ASKED
from mstbucket.services.tree.snapshot import FLUSH_MANIFESTS

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a key is to hold: a manifest and its CID; both are None where the key is to hold no object."""

    key: str
    cid: CID | None
    manifest: Manifest | None


class Due(NamedTuple):
    """A key that has to change: what it has, and what it is to hold."""

    change: RestoreChange
    there: Current | None
    wanted: Wanted


def load(context: Context, pairs: Sequence[tuple[str, CID | None]], advice: str) -> list[Wanted]:
    """Read the manifests that keys are to hold.

    Raises:
        Unsupported: they are more than memory holds at once ([PAST-53]). The message ends with *advice*.
    """
    wanted: list[Wanted] = []
    held = 0
    for batch in in_batches(pairs, ASKED):
        blocks = context.blocks.get_many({cid for _, cid in batch if cid is not None})
        held += sum(map(len, blocks.values()))
        if held > FLUSH_MANIFESTS:
            raise Unsupported(f"the manifests that differ have more than {FLUSH_MANIFESTS:,} bytes, which is what one "
                              f"commit changes at once: {advice}")  # fmt: skip
        wanted += [Wanted(key, cid, None if cid is None else manifests.decode(blocks[cid])) for key, cid in batch]
    return wanted


def due(connection: Connection, head: Head, wanted: Sequence[Wanted]) -> Iterator[list[Due]]:
    """What has to change for keys to hold what they are to hold: some at a time, in the order of keys."""
    for batch in in_batches(sorted(wanted, key=lambda one: one.key.encode()), ASKED):
        current = restoring.current_objects(connection, head.bucket, [one.key for one in batch])
        part: list[Due] = []
        for one in batch:
            there = current.get(one.key)
            old = None if there is None else to_text(there.cid)
            if one.manifest is None:
                if there is not None:
                    part.append(Due(RestoreChange(one.key, old, None), there, one))
            elif there is None or not _is_same(there, one, head.versioning):
                part.append(Due(RestoreChange(one.key, old, to_text(one.cid or b"")), there, one))
        yield part


def _is_same(current: Current, wanted: Wanted, versioning: str | None) -> bool:
    """Whether an object is what it is to be. A version with another id that says the same is ([PAST-52])."""
    if current.cid == wanted.cid or versioning is None or wanted.manifest is None:
        return current.cid == wanted.cid
    return without_version(current.manifest) == without_version(wanted.manifest)


def without_version(manifest: Manifest) -> Manifest:
    """The manifest without its version id and its times, which belong to the version and not to the object."""
    return replace(manifest, version_id=None, created=0, modified=0)
