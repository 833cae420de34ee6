"""Who needs each block, by the commits and rows themselves: the oracle of what a sweep may decide ([GC-21], [GC-22])."""

from __future__ import annotations

from collections.abc import Callable

from collectstate import ask

import mstbucket
from mstbucket.core.cid import CID
from mstbucket.core.closure import closure, links_of
from mstbucket.core.dagcbor import decode_fast
from mstbucket.services.collection.mark import is_node_of_body
from mstbucket.spill.seen import Seen

Names = dict[CID, set[str]]


def assert_lives_are_marked(store: mstbucket.Store) -> None:
    """What two buckets need is shared, or sweeps decide for neither of the two; below a body that counts for its root."""
    unmarked = {bytes(cid) for (cid,) in ask(store, "SELECT cid FROM blocks WHERE born IS NOT NULL")}
    decided = {name for (name,) in ask(store, "SELECT name FROM buckets WHERE folded = seq")}
    named: Names = {}
    roots: set[CID] = set()
    for info in store.list_buckets():
        _commits(store, info.name, named, roots)
        _rows(store, info.name, named, roots)
    for cid, buckets in named.items():
        if cid in unmarked and len(buckets) > 1:
            assert not buckets & decided, f"{cid.hex()} is needed by {buckets}, unmarked, and {buckets & decided} are swept"
    above: dict[CID, set[CID]] = {}
    for root in roots:
        _below(store._context.blocks.get, root, root, above)
    for cid, over in above.items():
        alone = {root for root in over if root in unmarked and named[root] & decided}
        assert cid not in unmarked or not alone or len(over) == 1, f"{cid.hex()} is below {over}"


def _commits(store: mstbucket.Store, bucket: str, named: Names, roots: set[CID]) -> None:
    query = "SELECT c.cid FROM commits c JOIN buckets b ON b.id = c.bucket WHERE b.name = %s"
    for (commit,) in ask(store, query, bucket):
        with Seen() as seen:
            for cid, block in closure(store._context.blocks, bytes(commit), seen):
                if is_node_of_body(cid) or cid[1] == 0x55:
                    continue
                named.setdefault(cid, set()).add(bucket)
                content = decode_fast(block).get("content")
                if content is not None:
                    named.setdefault(content, set()).add(bucket)
                    roots.add(content)


def _rows(store: mstbucket.Store, bucket: str, named: Names, roots: set[CID]) -> None:
    for table in ("objects", "versions"):
        query = f"SELECT content FROM {table} o JOIN buckets b ON b.id = o.bucket WHERE b.name = %s AND content <> ''"
        for (content,) in ask(store, query, bucket):
            named.setdefault(bytes(content), set()).add(bucket)
            roots.add(bytes(content))


def _below(get: Callable[[CID], bytes], node: CID, root: CID, above: dict[CID, set[CID]]) -> None:
    if is_node_of_body(node):
        for link, _ in links_of(node, get(node)):
            above.setdefault(link, set()).add(root)
            _below(get, link, root, above)
