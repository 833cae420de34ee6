"""The plan: two sides in key order become steps, one look at each entry and no memory of those that are past. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from enum import Enum, auto
from typing import Final

from mstbucket.errors import Unsupported
from mstbucket.sync.entry import Clash, Compare, Copy, Delete, Entry, Same, Step, Why

CLASH_MAX: Final = 16  # files for one key that are kept in mind; each level of a path may have two forms ([CLI-13])
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
        if target is None or (source is not None and source[0].key < target[0].key):
            assert source is not None
            yield _copy(source)
            source = next(left, None)
        elif source is None or target[0].key < source[0].key:
            if delete:  # [SYNC-10]
                yield from map(Delete, target)
            target = next(right, None)
        else:
            yield _both(source, target, rule)
            source, target = next(left, None), next(right, None)


def copies(sources: Iterable[Entry]) -> Iterator[Step]:
    """Yield what copies every source, whatever the target has; of sources for one key none is copied."""
    return map(_copy, _ordered(sources, "source"))


_Same = tuple[Entry, ...]  # the entries of one side for one key: one, but for files that stand for the same


def _copy(sources: _Same) -> Step:
    return Copy(sources[0], None, "new") if len(sources) == 1 else Clash(sources)


def _both(sources: _Same, targets: _Same, rule: Rule) -> Step:
    if len(sources) > 1 or len(targets) > 1:  # [SYNC-16]
        return Clash(sources if len(sources) > 1 else targets)
    source, target = sources[0], targets[0]
    verdict = rule(source, target)
    if verdict is None:
        return Same(target)
    return Copy(source, target, verdict) if isinstance(verdict, str) else Compare(source, target)


def _ordered(entries: Iterable[Entry], side: str) -> Iterator[_Same]:
    """[SYNC-2] Checked, since a side in another order would have keys taken for absent, and deleted."""
    same: _Same = ()
    for entry in entries:
        if not same:
            same = (entry,)
        elif entry.key > same[0].key:
            yield same
            same = (entry,)
        elif entry.key == same[0].key and entry.path is not None:
            same = (*same, entry)[:CLASH_MAX]
        else:
            raise Unsupported(
                f"the {side} lists {entry.key!r} behind {same[-1].key!r}: only listings in the order of the keys' bytes "
                "can be compared (S3 directory buckets have none); use cp"
            )
    if same:
        yield same


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
    """[SYNC-6], [SYNC-7] A file whose time was set to the object's was copied out of it, and not written since.

    The time was set a while later, that is. A file may be written in the very millisecond of the object's put: then it has
    that time by chance.
    """
    file = source if source.touched is not None else target
    was_set = file.touched is not None and file.modified + SLACK <= file.touched
    return None if was_set and source.modified == target.modified else Compare


def _by_etags(source: Entry, target: Entry) -> Verdict:
    """[SYNC-8] MD5s are compared. Other ETags tell something only if they are equal; else the times decide."""
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
