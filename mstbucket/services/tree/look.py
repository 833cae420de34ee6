"""A look at single blocks, and at the way from a commit to a key."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from mstbucket.core import manifest
from mstbucket.core.cid import CID, dag_cbor_cid, to_text
from mstbucket.core.keys import decode_key, encode_key
from mstbucket.core.links import NamedLink, named_links
from mstbucket.core.mst.node import key_height, read_node
from mstbucket.core.mst.proof import prove
from mstbucket.errors import NoSuchBlock
from mstbucket.index import blocks as rows
from mstbucket.model.looks import PathNode, TreePath
from mstbucket.services.blocks.context import Context
from mstbucket.services.tree.held import holding_newest


def block(context: Context, cid: CID) -> bytes:
    """The block of *cid*, hashed.

    Raises:
        NoSuchBlock: the store has none of that CID.
        CorruptionError: it has one, which is lost or damaged.
    """
    if not rows.locate(context.db, [cid]):
        raise NoSuchBlock(
            f"the store has no block {to_text(cid)}: manifests and tree nodes are there from the flush that made them"
        ).about(cid=cid)
    return context.blocks.get(cid)


def links(context: Context, cid: CID) -> list[NamedLink]:
    """The links of the block of *cid*. Raises what `block` raises."""
    return named_links(cid, block(context, cid))


def path(context: Context, bucket: str, key: str) -> TreePath:
    """The way from the newest commit of the bucket to *key*, or to where it would stand.

    Raises:
        NoSuchBucket: there is none of that name.
        NoSuchCommit: the bucket was never flushed.
        CorruptionError: a node on the way is lost or damaged.
    """
    wanted = encode_key(key)
    with holding_newest(context, bucket) as (head, blocks):
        nodes, found = _way(prove(blocks, head.tree, wanted).nodes, wanted)
        body = None if found is None else manifest.decode(blocks.get(found))
    return TreePath(
        commit=to_text(head.cid),
        seq=head.seq,
        nodes=tuple(nodes),
        manifest=None if found is None else to_text(found),
        content=None if body is None or body.content is None else to_text(body.content),
        size=None if body is None else body.size,
    )


def _way(nodes: Sequence[bytes], key: bytes) -> tuple[list[PathNode], CID | None]:
    """The nodes as they are shown, from the root, and the value of the key; None where the last one does not hold it."""
    shown: list[PathNode] = []
    value: CID | None = None
    height = 0  # of a tree without keys
    for block in nodes:
        keys, values, _ = read_node(block)
        height = key_height(keys[0]) if keys else height
        at = bisect_left(keys, key)
        holds = at < len(keys) and keys[at] == key
        value = values[at] if holds else None
        after = keys[at + holds : at + holds + 1]
        shown.append(
            PathNode(
                cid=to_text(dag_cbor_cid(block)),
                height=height,
                entries=len(keys),
                size=len(block),
                before=decode_key(keys[at - 1]) if at else None,
                after=decode_key(after[0]) if after else None,
                holds=holds,
            )
        )
        height -= 1
    return shown, value
