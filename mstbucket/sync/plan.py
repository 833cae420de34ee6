"""The plan: two sides in key order become steps, one look at each entry and no memory of those that are past. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from enum import Enum, auto
from typing import Final

from mstbucket.errors import Unsupported
from mstbucket.sync.entry import Compare, Copy, Delete, Entry, Same, Step, Why

SLACK: Final = 2000  # ms that two clocks and the ticks of file systems may be apart (FAT counts in two seconds)

_MD5: Final = re.compile(r"[0-9a-f]{32}")


class How(Enum):
    """What has to be equal: size and what the listings tell; size alone; size and the bytes."""

    QUICK = auto()
    SIZE = auto()
    CHECKSUM = auto()


class Kind(Enum):
    """What a side is."""

    LOCAL = auto()
    BUCKET = auto()
    S3 = auto()


#: None is equal, a reason is to be copied, and `Compare` has only the bytes to tell.
Verdict = Why | type[Compare] | None
Rule = Callable[[Entry, Entry], Verdict]


def plan(sources: Iterable[Entry], targets: Iterable[Entry], rule: Rule, *, delete: bool) -> Iterator[Step]:
    """Yield what makes the targets like the sources, in key order.

    Args:
        sources, targets: in strictly ascending order of their keys' UTF-8, filtered alike.
        rule: decides about two entries of one key; see `rule_for`.
        delete: what only the targets have is deleted; otherwise it is left alone.

    Raises:
        Unsupported: a side is not in that order, so nothing could be known to be absent.
    """
    left, right = _ordered(sources, "source"), _ordered(targets, "target")
    source, target = next(left, None), next(right, None)
    while source is not None or target is not None:
        # Texts compare by code points, which is the order of their UTF-8.
        if target is None or (source is not None and source.key < target.key):
            assert source is not None
            yield Copy(source, None, "new")
            source = next(left, None)
        elif source is None or target.key < source.key:
            if delete:  # [SYNC-10]
                yield Delete(target)
            target = next(right, None)
        else:
            verdict = rule(source, target)
            if verdict is None:
                yield Same(target)
            elif isinstance(verdict, str):
                yield Copy(source, target, verdict)
            else:
                yield Compare(source, target)
            source, target = next(left, None), next(right, None)


def _ordered(entries: Iterable[Entry], side: str) -> Iterator[Entry]:
    """[SYNC-2] Checked, since a side in another order would have keys taken for absent, and deleted."""
    last = None
    for entry in entries:
        if last is not None and entry.key <= last:
            raise Unsupported(
                f"the {side} lists {entry.key!r} behind {last!r}: only listings in the order of the keys' bytes can be "
                "compared (S3 directory buckets have none); use cp"
            )
        last = entry.key
        yield entry


def rule_for(source: Kind, target: Kind, how: How) -> Rule:
    """The rule for two kinds of sides; see [SYNC-3] to [SYNC-8]."""
    if how is How.SIZE:
        return _by_size
    quick = _by_times if Kind.LOCAL in (source, target) else _by_etags
    if source is Kind.LOCAL:
        quick = _by_touch

    def rule(one: Entry, other: Entry) -> Verdict:
        if one.size != other.size:  # [SYNC-3]
            return "size"
        if one.content is not None and other.content is not None:  # [SYNC-4] exact, and free
            return None if one.content == other.content else "content"
        return Compare if how is How.CHECKSUM else quick(one, other)  # [SYNC-5]

    return rule


def _by_size(source: Entry, target: Entry) -> Verdict:
    return None if source.size == target.size else "size"


def _by_touch(source: Entry, target: Entry) -> Verdict:
    """[SYNC-6] A file that nothing has touched since the object was put is what was put."""
    if source.touched is not None and source.touched + SLACK <= target.modified:
        return None
    return _by_times(source, target)


def _by_times(source: Entry, target: Entry) -> Verdict:
    """[SYNC-6], [SYNC-7] A file with exactly the object's time was copied out of it and not written since."""
    return None if source.modified == target.modified else Compare


def _by_etags(source: Entry, target: Entry) -> Verdict:
    """[SYNC-8] MD5s are compared; of others, only that they are equal says anything, and the times have to do."""
    if source.etag == target.etag and source.etag is not None:
        return None
    if _is_md5(source) and _is_md5(target):
        return "content"
    return by_time(source, target)


def by_time(source: Entry, target: Entry) -> Verdict:
    """[SYNC-8] What was written a while after the source was written last is a copy of it."""
    return None if source.modified + SLACK <= target.modified else "time"


def _is_md5(entry: Entry) -> bool:
    return entry.etag is not None and _MD5.fullmatch(entry.etag) is not None
