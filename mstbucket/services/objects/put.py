"""Put: make the body durable, then make the object visible in one short transaction ([PUT-1] to [PUT-8]).

A single small body takes the shortest way: one statement, which is one round trip and one commit; those of several threads
at once leave together (`put_together`).
Everything else goes by batches. Those blocks of the bodies that the store does not have yet go into the pack of the batch,
or, where they are few and small, into Postgres. Then one transaction makes all objects of the batch visible.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from mstbucket.core.cid import to_text
from mstbucket.core.manifest import Manifest
from mstbucket.core.s3rules.conditions import ANYTHING, Expected, expected
from mstbucket.core.s3rules.digests import NOTHING, claims
from mstbucket.core.s3rules.metadata import DEFAULT_TYPE, check_request, lower_names
from mstbucket.core.s3rules.retention import Lock, lock_wanted
from mstbucket.core.s3rules.tags import tags_of
from mstbucket.core.s3rules.versions import ENABLED
from mstbucket.errors import BlocksMoved, MstBucketError
from mstbucket.index.locks import VersionToLock, lock_new_versions
from mstbucket.index.objects import NewObject, add_bodies, add_objects
from mstbucket.index.rows import shown_version
from mstbucket.index.small_puts import SmallPut
from mstbucket.index.tx import Tx, inside
from mstbucket.limits import MIB
from mstbucket.model.objects import PutRequest, PutResult
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.incoming import Incoming, repeating
from mstbucket.services.objects.put_together import put_small
from mstbucket.services.objects.read_body import BodyRead, read_body
from mstbucket.services.objects.versioning import new_id, with_cached_versioning

BATCH_OBJECTS: Final = 4000  # objects of one transaction and of one pack: 100,000 small objects are 25 packs
BATCH_BYTES: Final = 64 * MIB  # a batch is closed after this much, so that its pack is easy to move around
PACK_BYTES: Final = MIB  # from this sum on the small bodies of a batch go to a pack; a smaller file would not pay

#: An object that was stored, and the state of versioning of its bucket.
_Made = tuple[NewObject, str | None]


def put_one(context: Context, bucket: str, request: PutRequest) -> PutResult:
    """Store one object, durably and at once visible; see `Bucket.put_object`."""

    def put() -> PutResult:
        with _Batch(context, bucket) as batch:
            batch.add(request)
            return put_result(*batch.commit()[0])

    again = isinstance(request.body, (bytes, bytearray, memoryview, os.PathLike))
    return repeating(put) if again else put()


def put_many(
    context: Context, bucket: str, requests: Iterable[PutRequest], stored: Callable[[PutResult], object] | None
) -> int:
    """Store many objects, a batch at a time; see `Bucket.put_objects`."""
    count = 0
    rest = iter(requests)
    request = next(rest, None)
    while request is not None:
        with _Batch(context, bucket) as batch:
            while request is not None and batch.takes(request):
                try:
                    batch.add(request)
                except MstBucketError as error:
                    error.about(bucket=bucket, key=request.key)
                    raise
                request = next(rest, None)
            made = batch.commit()
        count += len(made)
        if stored is not None:
            for new, versioning in made:
                stored(put_result(new, versioning))
    return count


class _Batch:
    """The objects of one transaction. Two of them with one key are put in the order in which they were added."""

    def __init__(self, context: Context, bucket: str) -> None:
        self._context = context
        self._bucket = bucket
        self._pack: Incoming | None = None
        self._objects: list[tuple[str, Manifest]] = []
        self._keys: set[str] = set()
        self._expected: dict[str, Expected] = {}
        self._locks: dict[int, Lock] = {}  # by the place of the object in `_objects`
        self._small: dict[bytes, bytes] = {}  # small bodies by their CIDs
        self._bytes = 0

    def takes(self, request: PutRequest) -> bool:
        """Whether there is room, and no condition of the request is about an object of this batch."""
        if len(self._objects) >= BATCH_OBJECTS or self._bytes >= BATCH_BYTES:
            return False
        conditional = request.if_match is not None or request.if_none_match is not None
        return not conditional or request.key not in self._keys

    def add(self, request: PutRequest) -> None:
        """Read the body to its end. A request that raises leaves nothing behind."""
        check_request(request)
        expectation = expected(request.if_match, request.if_none_match)
        lock = lock_wanted(request)
        claimed = claims(request)
        body = read_body(request.body, self._open_pack, claimed.algorithms, self._context.inline_max)
        if request.checksums_behind is not None:
            claimed = claimed.also(request.checksums_behind())
        checksums = {} if claimed is NOTHING else claimed.check(f"the body of {request.key!r}", body.etag, body.digests)
        self._keys.add(request.key)
        if expectation is not ANYTHING:
            self._expected[request.key] = expectation
        if body.inline is not None:
            self._small[body.content] = body.inline
        self._bytes += body.size
        if lock is not None:
            self._locks[len(self._objects)] = lock
        self._objects.append((request.key, _manifest(request, body, checksums, self._context.db.now_ms())))

    def commit(self) -> list[_Made]:
        """Make the batch durable and visible, all of it or nothing."""
        try:
            if len(self._objects) == 1 and self._pack is None and not self._locks:
                return [with_cached_versioning(self._context, self._bucket, self._put_small)]
            return self._put_batch()
        except BlocksMoved:
            if self._pack is not None:
                raise
            self._open_pack()  # [PUT-13] for small bodies that are in a damaged pack
            return self._put_batch()

    def _open_pack(self) -> Incoming:
        if self._pack is None:
            self._pack = Incoming(self._context)
        return self._pack

    def _put_small(self, versioning: str | None) -> _Made:
        [new] = _new_objects(self._objects, versioning)
        assert new.manifest.content is not None
        put = SmallPut(new, self._small[new.manifest.content], self._expected.get(new.key, ANYTHING))
        put_small(self._context, self._bucket, put, versioning)
        return new, versioning

    def _put_batch(self) -> list[_Made]:
        if self._pack is not None or sum(map(len, self._small.values())) >= PACK_BYTES:
            pack = self._open_pack()
            pack.add_all(self._small)  # all in memory already
            self._small = {}
            pack.seal()
        if self._pack is None:
            return inside(self._context.db, self._bucket, self._record)
        return self._pack.commit(lambda: inside(self._context.db, self._bucket, self._record))

    def _record(self, tx: Tx) -> list[_Made]:
        """The transaction; repeated as a whole when two of them have waited for each other."""
        if self._pack is not None:
            self._pack.record(tx, tx.seq)
        elif self._small:
            add_bodies(tx, self._small)
        if len(self._objects) > 1:  # [GC-21] a body of several objects came once, so nobody has found its row
            times = Counter(m.content for _, m in self._objects)
            tx.touch([content for content, number in times.items() if content is not None and number > 1])
        for key in sorted(self._expected, key=str.encode):  # [PUT-9] the order in which rows are locked
            tx.expect(key, self._expected[key])
        objects = _new_objects(self._objects, tx.versioning)
        for part in _rounds(objects) if tx.versioning == ENABLED else (objects,):
            add_objects(tx, part)
        locks = [(objects[at], wanted) for at, wanted in self._locks.items()]
        lock_new_versions(tx, [VersionToLock(new.key, new.manifest.version_id, wanted) for new, wanted in locks])
        return [(new, tx.versioning) for new in objects]

    def __enter__(self) -> _Batch:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._pack is not None:
            self._pack.__exit__(*error)


def _new_objects(objects: list[tuple[str, Manifest]], versioning: str | None) -> list[NewObject]:
    """The objects with their CIDs; each is a version with an id of its own where versioning is enabled."""
    if versioning == ENABLED:
        objects = [(key, replace(m, version_id=new_id(versioning))) for key, m in objects]
    return [NewObject.of(key, m) for key, m in objects]


def _rounds(objects: list[NewObject]) -> Iterable[list[NewObject]]:
    """The objects in rounds, one after the other. A key comes once in a round, so each object becomes a version."""
    rounds: list[dict[str, NewObject]] = []
    times: dict[str, int] = {}
    for new in objects:
        n = times[new.key] = times.get(new.key, -1) + 1
        if n == len(rounds):
            rounds.append({})
        rounds[n][new.key] = new
    return (list(part.values()) for part in rounds)


def _manifest(request: PutRequest, body: BodyRead, checksums: Mapping[str, str], now: int) -> Manifest:
    return Manifest(
        content=body.content,
        size=body.size,
        etag=body.etag,
        content_type=request.content_type or DEFAULT_TYPE,
        created=now,
        modified=now,
        sha256=body.sha256,
        checksums=checksums,
        headers=lower_names(request.headers),
        metadata=lower_names(request.metadata),
        tags=tags_of(request) if request.tags else {},
    )


def put_result(new: NewObject, versioning: str | None) -> PutResult:
    """What a caller is told of an object that was stored in a bucket of this state."""
    m = new.manifest
    assert m.content is not None and m.size is not None and m.etag is not None  # what is put is never a delete marker
    version_id = shown_version(versioning, m.version_id)
    return PutResult(new.key, m.size, m.etag, to_text(m.content), to_text(new.cid), m.checksums, version_id)
