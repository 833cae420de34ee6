"""Things taken some at a time: one question, or one transaction, for each list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

_Item = TypeVar("_Item")


def in_batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """The items, in lists of *size*; the last one may be shorter, and none is empty. They are taken as they are needed."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
