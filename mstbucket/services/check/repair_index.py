"""Repair of the index: the rows of a bucket made again from the trees of its newest commit ([CHECK-21]).

Keys that changed since are left alone: their rows are the only ones who know. A page of keys is compared as a check does
it, and then repaired in one transaction, in which the commit cannot move and nobody else writes the keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from mstbucket.core import manifest as manifests
from mstbucket.core.batches import in_batches
from mstbucket.core.cid import CID, dag_cbor_cid
from mstbucket.core.keys import split_version_key
from mstbucket.core.manifest import Manifest
from mstbucket.core.mst.walk import walk
from mstbucket.errors import CommitMoved, InvalidInput, NoSuchCommit
from mstbucket.index import check_rows, deaths, repairs
from mstbucket.index.check_rows import KeptRow
from mstbucket.index.commits import read_head
from mstbucket.index.tx import Tx, enter
from mstbucket.limits import FINDINGS_MAX
from mstbucket.model.repairs import Loss, RepairReport
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.error_context import error_context

_PAGE: Final = 500  # keys of one transaction
_ATTEMPTS: Final = 10  # flushes that may come between


class Place(NamedTuple):
    """A key, or a version by its number; 0 for an object."""

    key: str
    seq: int
    versions: bool


class _Wrong(NamedTuple):
    """A row that is not what the tree says.

    Attributes:
        cid: of the manifest in the tree; None where the tree has none.
        loses: the row has a manifest that is in no tree.
    """

    place: Place
    cid: CID | None
    loses: bool


def repair_index(context: Context, bucket: str, accept_loss: bool) -> RepairReport:
    """Make the rows of a bucket what its trees say; see `Store.repair_index`."""
    for attempt in range(_ATTEMPTS):
        with context.db.reading() as connection:
            head = read_head(connection, bucket)
        if head.commit is None or head.tree is None:
            raise NoSuchCommit(f"bucket {bucket!r} has no commit to make its index from").about(bucket=bucket)
        try:
            with error_context(context, bucket):
                return _repair(context, bucket, head.bucket, head.commit, head.tree, head.versions, accept_loss)
        except CommitMoved:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _repair(
    context: Context, bucket: str, number: int, commit: CID, tree: CID, versions: CID | None, accept_loss: bool
) -> RepairReport:
    dirty = _Changed(context, bucket)
    losing = (one for one in _differences(context, number, tree, versions) if one.loses and not dirty.has(one.place))
    lost = tuple(_loss(bucket, one) for one in islice(losing, FINDINGS_MAX))
    if lost and not accept_loss:
        return RepairReport(False, 0, lost)
    repaired = 0
    for page in in_batches(_differences(context, number, tree, versions), _PAGE):
        blocks = context.blocks.get_many([one.cid for one in page if one.cid is not None])
        made = {cid: manifests.decode(block) for cid, block in blocks.items()}
        with context.db.transaction() as connection:
            tx = enter(connection, bucket)
            repaired += _write(tx, page, made, commit)
            deaths.leave_to_cycles(tx)
    return RepairReport(True, repaired, lost)


def _write(tx: Tx, page: list[_Wrong], made: dict[CID, Manifest], commit: CID) -> int:
    keys = sorted({one.place.key for one in page}, key=str.encode)
    for key in keys:  # [PUT-9]
        tx.hold(key)
    if repairs.newest_commit(tx) != commit:
        raise CommitMoved("a flush moved the commit while its index was repaired")
    objects, versions = repairs.changed_objects(tx, keys), repairs.changed_versions(tx, keys)
    count = 0
    for place, cid, _ in page:
        key, seq, is_version = place
        if (key, seq) in versions if is_version else key in objects:
            continue
        count += 1
        if is_version:
            if cid is None:
                repairs.remove_version(tx, key, seq)
            else:
                repairs.write_version(tx, key, seq, cid, made[cid])
        elif cid is None:
            repairs.remove_object(tx, key)
        else:
            repairs.write_object(tx, key, cid, made[cid])
    return count


class _Changed:
    """Which places are dirty, asked for a key at a time: only for those that differ."""

    def __init__(self, context: Context, bucket: str) -> None:
        self._context = context
        self._bucket = bucket

    def has(self, place: Place) -> bool:
        with self._context.db.transaction() as connection:
            tx = enter(connection, self._bucket)
            if place.versions:
                return (place.key, place.seq) in repairs.changed_versions(tx, [place.key])
            return place.key in repairs.changed_objects(tx, [place.key])


def _differences(context: Context, number: int, tree: CID, versions: CID | None) -> Iterator[_Wrong]:
    """Rows and changed rows that are not as in the trees. Versions first: an object is placed above those of its key."""
    past = iter(()) if versions is None else walk(context.blocks, versions)
    yield from _merged(_version_places(past), _all_rows(context, number, versions=True), versions=True)
    live = ((Place(key.decode(), 0, False), cid) for key, cid in walk(context.blocks, tree))
    yield from _merged(live, _all_rows(context, number, versions=False), versions=False)


def _version_places(entries: Iterable[tuple[bytes, CID]]) -> Iterator[tuple[Place, CID]]:
    for stored, cid in entries:
        key, seq = split_version_key(stored)
        yield Place(key.decode(), seq, True), cid


def _all_rows(context: Context, number: int, *, versions: bool) -> Iterator[KeptRow]:
    page_of = check_rows.versions_page if versions else check_rows.objects_page
    after = ("", 0)
    while page := page_of(context.db, number, after, _PAGE):
        yield from page
        after = (page[-1].key, page[-1].seq)


def _merged(entries: Iterator[tuple[Place, CID]], rows: Iterator[KeptRow], *, versions: bool) -> Iterator[_Wrong]:
    entry, row = next(entries, None), next(rows, None)
    while entry is not None or row is not None:
        here = None if row is None else Place(row.key, row.seq if versions else 0, versions)
        if here is None or (entry is not None and _order(entry[0]) < _order(here)):
            assert entry is not None
            yield _Wrong(entry[0], entry[1], False)
            entry = next(entries, None)
        elif entry is None or _order(here) < _order(entry[0]):
            yield _Wrong(here, None, True)
            row = next(rows, None)
        else:
            assert row is not None
            if row.cid != entry[1] or _made_of(row) != entry[1]:
                yield _Wrong(here, entry[1], row.cid != entry[1] and _made_of(row) == row.cid)
            entry, row = next(entries, None), next(rows, None)


def _order(place: Place) -> tuple[bytes, int]:
    return place.key.encode(), -place.seq


def _made_of(row: KeptRow) -> CID | None:
    """The manifest that the columns of a row give; None where they give none."""
    try:
        return dag_cbor_cid(manifests.encode(row.manifest))
    except InvalidInput:
        return None


def _loss(bucket: str, wrong: _Wrong) -> Loss:
    key, seq, versions = wrong.place
    shown = f"{key}@{seq}" if versions else key
    what = "the row goes, for the tree does not have the key" if wrong.cid is None else "the row names another manifest"
    return Loss(bucket, shown, what)
