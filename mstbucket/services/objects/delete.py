"""Delete: remove an object, put a delete marker on top of it, or remove one version for good ([VSN-5], [VSN-6])."""

from __future__ import annotations

from collections.abc import Sequence

from mstbucket.core import manifest as manifests
from mstbucket.core.cid import dag_cbor_cid
from mstbucket.core.keys import encode_key
from mstbucket.core.manifest import Manifest
from mstbucket.core.s3rules.conditions import Expected
from mstbucket.core.s3rules.versions import stored_id
from mstbucket.errors import AccessDenied, InvalidRequest
from mstbucket.index.objects import delete_objects
from mstbucket.index.rows import shown_version
from mstbucket.index.tx import Tx, inside
from mstbucket.index.versions import delete_version, put_marker
from mstbucket.model.objects import DeleteFailure, DeleteReport, DeleteResult
from mstbucket.services.blocks.context import Context
from mstbucket.services.objects.versioning import new_id

#: What to delete: a key, and the id of a version as it was given, or None for a delete without one.
Item = tuple[str, str | None]

#: What became of it.
Outcome = DeleteResult | DeleteFailure


def delete_one(context: Context, bucket: str, item: Item, expectation: Expected, bypass: bool) -> DeleteResult:
    """Delete one object or version, if the current object is what is expected; see `Bucket.delete_object`.

    With `bypass`, a retention in governance mode does not refuse.
    """
    key, version_id = item
    encode_key(key)
    if version_id is not None:
        stored_id(version_id)
        if not expectation.anything:
            raise InvalidRequest("conditions of a delete are about the current object: leave out the version id, or them")

    now = context.db.now_ms()

    def work(tx: Tx) -> Outcome:
        tx.expect(key, expectation)
        [outcome] = _delete(tx, [item], now, bypass)
        return outcome

    result = inside(context.db, bucket, work)
    if isinstance(result, DeleteFailure):
        raise result.error
    return result


def delete_many(context: Context, bucket: str, items: Sequence[Item], bypass: bool) -> DeleteReport:
    """Delete up to 1,000 objects and versions in one transaction; see `Bucket.delete_objects`."""
    for key, version_id in items:
        encode_key(key)
        if version_id is not None:
            stored_id(version_id)

    now = context.db.now_ms()
    outcomes = inside(context.db, bucket, lambda tx: _delete(tx, items, now, bypass))
    return DeleteReport(
        tuple(outcome for outcome in outcomes if isinstance(outcome, DeleteResult)),
        tuple(outcome for outcome in outcomes if isinstance(outcome, DeleteFailure)),
    )


def _delete(tx: Tx, items: Sequence[Item], now: int, bypass: bool) -> list[Outcome]:
    """Inside the transaction: what became of each, in the order of *items*. What a lock refuses stays as it is."""
    if tx.versioning is None and all(version_id is None for _, version_id in items):
        gone = delete_objects(tx, [key for key, _ in items])
        return [DeleteResult(key, None, False, key in gone) for key, _ in items]
    results: dict[int, Outcome] = {}
    for place in sorted(range(len(items)), key=lambda i: items[i][0].encode()):  # [PUT-9] keys are locked in their order
        key, version_id = items[place]
        if version_id is not None:
            results[place] = _delete_version(tx, key, version_id, bypass)
        elif tx.versioning is None:
            results[place] = DeleteResult(key, None, False, bool(delete_objects(tx, [key])))
        else:
            results[place] = _put_marker(tx, key, now)
    return [results[place] for place in range(len(items))]


def _delete_version(tx: Tx, key: str, version_id: str, bypass: bool) -> Outcome:
    marker, refused = delete_version(tx, key, version_id, bypass)
    if refused is not None:
        return DeleteFailure(key, version_id, AccessDenied(f"version {version_id!r} of {key!r} {refused}: it stays"))
    return DeleteResult(key, version_id, bool(marker), marker is not None)


def _put_marker(tx: Tx, key: str, now: int) -> DeleteResult:
    version = new_id(tx.versioning)
    marker = Manifest(None, None, None, None, now, now, version_id=version, delete_marker=True)
    existed = put_marker(tx, key, marker, dag_cbor_cid(manifests.encode(marker)))
    return DeleteResult(key, shown_version(tx.versioning, version), True, existed)
