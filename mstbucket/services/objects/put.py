"""Put: make the body durable, then make the object visible in one short transaction ([PUT-1] to [PUT-8]).

A single small body takes the shortest way there is: one statement, `put_inline`, which is one round trip and one commit.
Everything else is gathered into batches: of the bodies what the store does not have yet into the batch's pack (or, a few
small ones, into Postgres), then one transaction for all of them. In both, the row is what the manifest's bytes will be
made of at the flush.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from mstbucket.core import manifest as manifests
from mstbucket.core.cid import dag_cbor_cid, to_text
from mstbucket.core.manifest import Manifest
from mstbucket.core.s3rules.conditions import ANYTHING, Expected, expected
from mstbucket.core.s3rules.digests import claims
from mstbucket.core.s3rules.metadata import DEFAULT_TYPE, check_request, lower
from mstbucket.core.s3rules.retention import LockWanted, lock_wanted
from mstbucket.core.s3rules.tags import tags_of
from mstbucket.core.s3rules.versions import ENABLED
from mstbucket.errors import BlocksMoved
from mstbucket.index.locks import VersionToLock, lock_new_versions
from mstbucket.index.rows import json_of, shown_version
from mstbucket.index.tx import Tx, expect, expectation
from mstbucket.limits import MIB
from mstbucket.model.objects import PutRequest, PutResult
from mstbucket.pg import binary
from mstbucket.pg.queries import one_row
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.incoming import Incoming, repeating
from mstbucket.services.objects.read_body import BodyRead, read_body
from mstbucket.services.objects.versioning import believing, new_id

BATCH_OBJECTS: Final = 4000  # objects of one transaction of a bulk put; its pack is one request: 25 for 100,000 small ones
BATCH_BYTES: Final = 64 * MIB  # after this much a batch is closed, so that its pack is of a size to move around
PACK_BYTES: Final = MIB  # small bodies of a batch go to a pack from this sum on; below, a file would not pay


def put_one(context: Context, bucket: str, request: PutRequest) -> PutResult:
    """Store one object, durably and at once visible; see `Bucket.put_object`."""

    def put() -> PutResult:
        with _Batch(context, bucket) as batch:
            batch.add(request)
            return batch.commit()[0]

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
                batch.add(request)
                request = next(rest, None)
            results = batch.commit()
        count += len(results)
        if stored is not None:
            for result in results:
                stored(result)
    return count


class _Batch:
    """Objects of one transaction. Two puts to the same key come one after the other, as they were added."""

    def __init__(self, context: Context, bucket: str) -> None:
        self._context = context
        self._bucket = bucket
        self._pack: Incoming | None = None
        self._objects: list[tuple[str, Manifest]] = []
        self._keys: set[str] = set()
        self._expected: dict[str, Expected] = {}
        self._locks: dict[int, LockWanted] = {}  # locks, by the place of their object
        self._small: dict[bytes, bytes] = {}
        self._bytes = 0

    def takes(self, request: PutRequest) -> bool:
        """Whether there is room, and the request's conditions are not about an object of this very batch."""
        if len(self._objects) >= BATCH_OBJECTS or self._bytes >= BATCH_BYTES:
            return False
        conditional = request.if_match is not None or request.if_none_match is not None
        return not conditional or request.key not in self._keys

    def add(self, request: PutRequest) -> None:
        """Read the body to its end. Nothing of a request that raises stays behind."""
        check_request(request)
        expectation = expected(request.if_match, request.if_none_match)
        lock = lock_wanted(request)
        claimed = claims(request)
        body = read_body(request.body, self._open_pack, claimed.algorithms)
        checksums = claimed.check(f"the body of {request.key!r}", body.etag, body.digests)
        self._keys.add(request.key)
        if not expectation.anything:
            self._expected[request.key] = expectation
        if body.inline is not None:
            self._small[body.content] = body.inline
        self._bytes += body.size
        if lock is not None:
            self._locks[len(self._objects)] = lock
        self._objects.append((request.key, _manifest(request, body, checksums, self._context.db.now_ms())))

    def commit(self) -> list[PutResult]:
        """Make the batch durable and visible, all of it or nothing."""
        try:
            if len(self._objects) == 1 and self._pack is None and not self._locks:
                return [believing(self._context, self._bucket, self._put_inline)]
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

    def _put_inline(self, versioning: str | None) -> PutResult:
        [(key, m, cid)] = _versions(self._objects, versioning)
        assert m.content is not None
        with self._context.db.connection() as connection:
            connection.execute(
                "SELECT put_inline(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    self._bucket, key, cid, m.content, m.size, m.etag, m.content_type, m.created, m.modified, m.sha256,
                    json_of(m.checksums), json_of(m.headers), json_of(m.metadata), json_of(m.tags),
                    self._small[m.content], *expectation(self._expected.get(key, ANYTHING)), versioning, m.version_id,
                ),
            )  # fmt: skip
        return result(key, m, cid, versioning)

    def _put_batch(self) -> list[PutResult]:
        if self._pack is not None or sum(map(len, self._small.values())) >= PACK_BYTES:
            pack = self._open_pack()
            for content, body in self._small.items():
                pack.add(content, body)
            self._small.clear()
            pack.seal()
        if self._pack is None:
            return self._context.db.run(self._record)
        return self._pack.commit(lambda: self._context.db.run(self._record))

    def _record(self, connection: Any) -> list[PutResult]:
        """The transaction; repeated as a whole when two of them have waited for each other."""
        bucket, epoch, versioning = one_row(connection, "SELECT * FROM enter(%s)", (self._bucket,))
        if self._pack is not None:
            self._pack.record(connection, epoch)
        elif self._small:
            contents = sorted(self._small)
            bodies = binary.bytea_array([self._small[content] for content in contents])
            connection.execute("SELECT add_bodies(%s, %s, %s)", (epoch, binary.bytea_array(contents), bodies))
        for key in sorted(self._expected, key=str.encode):  # [PUT-9] the order in which rows are locked
            expect(connection, bucket, key, self._expected[key])
        made = _versions(self._objects, versioning)
        for part in _rounds(made) if versioning == ENABLED else (made,):
            add_rows(connection, bucket, versioning, part)
        lock_new_versions(
            Tx(connection, bucket, epoch, versioning),
            [VersionToLock(made[at][0], made[at][1].version_id, lock) for at, lock in self._locks.items()],
        )
        return [result(key, m, cid, versioning) for key, m, cid in made]

    def __enter__(self) -> _Batch:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._pack is not None:
            self._pack.__exit__(*error)


#: An object about to be stored: its key, its manifest, and the manifest's CID.
Made = tuple[str, Manifest, bytes]


def _versions(objects: list[tuple[str, Manifest]], versioning: str | None) -> list[Made]:
    """The objects as versions of their own, where the bucket wants that."""
    if versioning == ENABLED:
        objects = [(key, replace(m, version_id=new_id(versioning))) for key, m in objects]
    return [(key, m, dag_cbor_cid(manifests.encode(m))) for key, m in objects]


def _rounds(made: list[Made]) -> Iterable[list[Made]]:
    """The objects in parts, one after the other, in each of which a key comes once: each of them becomes a version."""
    rounds: list[dict[str, Made]] = []
    times: dict[str, int] = {}
    for one in made:
        n = times[one[0]] = times.get(one[0], -1) + 1
        if n == len(rounds):
            rounds.append({})
        rounds[n][one[0]] = one
    return (list(part.values()) for part in rounds)


def add_rows(connection: Any, bucket: int, versioning: str | None, objects: list[Made]) -> None:
    """Insert the rows of objects whose bodies are there, and mark their keys dirty.

    What they replace is gone, or stays as a version where the bucket's state of *versioning* wants that ([VSN-5]).
    """
    last = {key: (m, cid) for key, m, cid in objects}  # a statement cannot touch one row twice
    last = {key: last[key] for key in sorted(last, key=str.encode)}  # [PUT-9] the order in which rows are locked
    made = [m for m, _ in last.values()]
    columns = (
        binary.text_array(list(last)),
        binary.bytea_array([cid for _, cid in last.values()]),
        binary.bytea_array([m.content for m in made]),
        binary.bigint_array([m.size or 0 for m in made]),
        binary.text_array([m.etag for m in made]),
        binary.text_array([m.content_type for m in made]),
        binary.bigint_array([m.created for m in made]),
        binary.bigint_array([m.modified for m in made]),
        binary.bytea_array([m.sha256 for m in made]),
        binary.jsonb_array([json_of(m.checksums) for m in made]),
        binary.jsonb_array([json_of(m.headers) for m in made]),
        binary.jsonb_array([json_of(m.metadata) for m in made]),
        binary.jsonb_array([json_of(m.tags) for m in made]),
        binary.text_array([m.version_id for m in made]),
    )
    connection.execute(f"SELECT add_objects({', '.join(['%s'] * 16)})", (bucket, versioning, *columns))
    for key, (m, _) in last.items():
        if m.parts:  # of one key by multipart, or its copy; an array of arrays would have to be rectangular
            query = "UPDATE objects SET parts = %s WHERE bucket = %s AND key = %s"
            connection.execute(query, (binary.bigint_array(m.parts), bucket, key))


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
        headers=lower(request.headers),
        metadata=lower(request.metadata),
        tags=tags_of(request),
    )


def result(key: str, m: Manifest, cid: bytes, versioning: str | None) -> PutResult:
    """What a caller is told of an object that was stored in a bucket of this state."""
    assert m.content is not None and m.size is not None and m.etag is not None  # what is put is never a delete marker
    version_id = shown_version(versioning, m.version_id)
    return PutResult(key, m.size, m.etag, to_text(m.content), to_text(cid), m.checksums, version_id)
