"""What the store holds, by its last collection."""

from __future__ import annotations

from mstbucket.core.times import moment
from mstbucket.index import collection
from mstbucket.model.collection import Amount, CycleInfo, SpaceInfo
from mstbucket.services.blocks.context import Context


def space(context: Context) -> SpaceInfo:
    """See `Store.space`."""
    stored = collection.stored(context.db)
    last = collection.last(context.db)
    if last is None or last.ended is None:
        return SpaceInfo(stored.ready, None, None, stored.waiting, None)
    live = Amount(last.live_blocks or 0, last.live_bytes or 0)
    info = CycleInfo(
        moment(last.started),
        moment(last.ended),
        live,
        Amount(last.dead_blocks or 0, last.dead_bytes or 0),
        Amount(last.freed_blocks or 0, last.freed_bytes or 0),
        last.freed_packs or 0,
    )
    # [GC-16] Sweeps may have removed some of it: no more is left than there was when the packs were smallest.
    alive = min(live.bytes, stored.ready, last.stored or 0)
    return SpaceInfo(stored.ready, alive, stored.ready - alive, stored.waiting, info)
