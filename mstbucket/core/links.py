"""Where a block leads: its links with their places, for people who look. A walk over a bucket uses `closure`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from mstbucket.core import dagcbor, unixfs
from mstbucket.core.cid import CID, DAG_CBOR, DAG_PB, codec
from mstbucket.core.dagcbor import Link


class NamedLink(NamedTuple):
    """A link: where it stands in the block (`e/0/v`, or its number in a node of a body), and what it leads to."""

    place: str
    cid: CID


def named_links(cid: CID, block: bytes) -> list[NamedLink]:
    """The links of *block*, in the order in which it has them; none of a chunk.

    Raises:
        InvalidBlock: it is not what its codec says.
    """
    if codec(cid) == DAG_CBOR:
        return list(_of_value(dagcbor.decode(block), ""))
    if codec(cid) == DAG_PB:
        return [NamedLink(str(number), child) for number, (child, _) in enumerate(unixfs.decode_file(block).links)]
    return []


def _of_value(value: Any, place: str) -> Iterator[NamedLink]:
    if isinstance(value, Link):
        yield NamedLink(place, value.cid)
    elif isinstance(value, (dict, list)):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _of_value(item, f"{place}/{name}" if place else str(name))
