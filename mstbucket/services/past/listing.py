"""The rows of listings, from the trees of a commit: as many nodes are read as the rows need ([PAST-32])."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from mstbucket.core.batches import in_batches
from mstbucket.core.dagcbor import decode_fast
from mstbucket.core.keys import check_text, prefix_end, split_version_key, version_key
from mstbucket.core.mst.cursor import Cursor
from mstbucket.core.mst.walk import get, walk_prefix
from mstbucket.core.s3rules.listing import LastItem, common_prefix
from mstbucket.index.listing import ListedObject, ObjectContent
from mstbucket.index.listing_versions import ListedVersion, Start
from mstbucket.limits import SEQ_MAX
from mstbucket.services.past.view import MANIFESTS, View

_CURRENT: Final = SEQ_MAX  # the place of the current object: no tree says more than that it is above all others
_PREFIX_CUT: Final = 1  # of a row that is a common prefix; any number but 0


def _start(prefix: str, after: str) -> bytes:
    """The least key, in either tree, of the keys with the prefix that are above *after*."""
    return max(prefix.encode(), after.encode() + b"\1") if after else prefix.encode()  # U+0001 is the least character


def _end(prefix: str) -> bytes | None:
    end = prefix_end(prefix)
    return None if end is None else end.encode()


def _past(folder: str) -> bytes:
    return LastItem(folder, is_prefix=True).past.encode()


def _read(view: View, cids: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    """What the manifests say, in their order."""
    for batch in in_batches(cids, MANIFESTS):
        found = view.blocks.get_many(set(batch))
        yield from (decode_fast(found[cid]) for cid in batch)


# --- objects ----------------------------------------------------------------------------------------------------------


def rows(view: View, prefix: str, delimiter: str | None, after: str, limit: int) -> list[ListedObject]:
    """The first `limit` keys and common prefixes above `after`, as `index.listing.list_objects` finds them."""
    cursor = Cursor(
        view.blocks, view.row.tree, _start(prefix, after), _end(prefix), expected=0 if delimiter else limit
    )
    items: list[tuple[str, bytes | None]] = []
    while len(items) < limit and (pair := cursor.next()) is not None:
        key = pair[0].decode()
        folder = common_prefix(key, prefix, delimiter)
        if folder is None:
            items.append((key, pair[1]))
        else:
            items.append((folder, None))
            cursor.seek(_past(folder))  # [LIST-4]
    read = _read(view, [cid for _, cid in items if cid is not None])
    return [
        ListedObject(text, 0, "", 0, None, _PREFIX_CUT) if cid is None else _listed(text, next(read)) for text, cid in items
    ]


def _listed(key: str, manifest: dict[str, Any]) -> ListedObject:
    return ListedObject(key, manifest["size"], manifest["etag"], manifest["modified"], manifest.get("checksums"), 0)


def contents(view: View, prefix: str) -> Iterator[ObjectContent]:
    """Every object whose key has the prefix, in order, with the CID of its body."""
    for key, m in _manifests(view, prefix):
        yield ObjectContent(key, m["size"], m["modified"], m["etag"], m["content"])


def objects(view: View, prefix: str) -> Iterator[ListedObject]:
    """The same, as a listing shows them."""
    return (_listed(key, manifest) for key, manifest in _manifests(view, prefix))


def _manifests(view: View, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    check_text("prefix", prefix)
    pairs = walk_prefix(view.blocks, view.row.tree, prefix.encode())
    for batch in in_batches(pairs, MANIFESTS):
        for (key, _), manifest in zip(batch, _read(view, [cid for _, cid in batch]), strict=True):
            yield key.decode(), manifest


# --- versions ---------------------------------------------------------------------------------------------------------


class _Item(NamedTuple):
    """A version, or a common prefix where `cid` is None."""

    key: str
    seq: int
    cid: bytes | None
    latest: bool


class TreeVersions:
    """The rows of a listing of versions; see `services.objects.list_versions.VersionRows`."""

    def __init__(self, view: View) -> None:
        self._view = view

    def first(self, prefix: str, delimiter: str | None, start: Start, limit: int) -> list[ListedVersion]:
        """The first `limit` versions and common prefixes from `start` on."""
        page: list[ListedVersion] = []
        if start.seq is not None and start.key.startswith(prefix):
            # One more than there may be: the version that the marker names is left out.
            rest = self._described(list(islice(self._behind(start.key, start.seq), limit + 1)))
            page = [row for row in rest if row.version_id != start.version_id][:limit]
        above = self._above(prefix, delimiter, start.key, 0 if delimiter else limit)
        return page + self._described(list(islice(above, limit - len(page))))

    def place(self, key: str, version_id: str | None) -> int | None:
        """The place of a version of a key by its stored id; None where there is none."""
        for batch in in_batches(self._behind(key, SEQ_MAX), MANIFESTS):
            for row in self._described(batch):
                if row.version_id == version_id:
                    return row.seq
        return None

    def _behind(self, key: str, seq: int) -> Iterator[_Item]:
        """The versions of a key at a place and behind it."""
        view, stored = self._view, key.encode()
        current = get(view.blocks, view.row.tree, stored) if stored else None
        if current is not None and seq >= _CURRENT:
            yield _Item(key, _CURRENT, current, True)
        if view.row.versions is None:
            return
        cursor = Cursor(view.blocks, view.row.versions, stored + b"\0", stored + b"\1")
        pair = cursor.next()
        newest = None if pair is None or current is not None else pair[0]
        if pair is not None and pair[0] < (from_ := version_key(stored, seq)):
            cursor.seek(from_)
            pair = cursor.next()
        while pair is not None:
            yield _Item(key, split_version_key(pair[0])[1], pair[1], pair[0] == newest)
            pair = cursor.next()

    def _above(self, prefix: str, delimiter: str | None, after: str, expected: int) -> Iterator[_Item]:
        """The versions of the keys above *after*: the keys of both trees, each with the versions of the other behind it."""
        view = self._view
        start, end = _start(prefix, after), _end(prefix)
        roots = [root for root in (view.row.tree, view.row.versions) if root is not None]
        cursors = [Cursor(view.blocks, root, start, end, expected=expected) for root in roots]
        ahead = [cursor.next() for cursor in cursors]
        before: bytes | None = None  # the key of the last item
        while any(ahead):
            # A key stands before the keys of its versions, which are longer.
            at = min((pair[0], number) for number, pair in enumerate(ahead) if pair is not None)[1]
            pair = ahead[at]
            assert pair is not None
            stored, seq = (pair[0], _CURRENT) if at == 0 else split_version_key(pair[0])
            key = stored.decode()
            folder = common_prefix(key, prefix, delimiter)
            if folder is None:
                yield _Item(key, seq, pair[1], stored != before)
                ahead[at] = cursors[at].next()
                before = stored
                continue
            yield _Item(folder, 0, None, False)
            past = _past(folder)
            for number, cursor in enumerate(cursors):
                here = ahead[number]
                if here is not None and here[0] < past:
                    cursor.seek(past)
                    ahead[number] = cursor.next()

    def _described(self, items: Sequence[_Item]) -> list[ListedVersion]:
        read = _read(self._view, [item.cid for item in items if item.cid is not None])
        return [
            ListedVersion(item.key, 0, None, None, None, 0, None, False, False, _PREFIX_CUT)
            if item.cid is None
            else _version(item, next(read))
            for item in items
        ]


def _version(item: _Item, manifest: dict[str, Any]) -> ListedVersion:
    return ListedVersion(
        item.key,
        item.seq,
        manifest.get("version_id"),
        manifest.get("size"),
        manifest.get("etag"),
        manifest["modified"],
        manifest.get("checksums"),
        manifest.get("delete_marker", False),
        item.latest,
        0,
    )
