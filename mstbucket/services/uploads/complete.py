"""Completing a multipart upload: compose its body from the chunks there are, then one short transaction.

    1. The list of parts is checked against the rows: order, ETags, sizes. No lock is held.
    2. The body is composed. New nodes, and chunks that had to be cut anew, go into a registered pack, durably.
    3. One transaction: barrier, the upload's row locked, every part still the one that was composed, blocks, object,
       dirty row, the answer into the upload's row, its parts removed.

Of two completions one makes the object, and the other, if it asks for the same, gets the same answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mstbucket.core.body_builder import Body
from mstbucket.core.cid import RAW_PREFIX, to_text
from mstbucket.core.compose import DIGEST, Composer
from mstbucket.core.keys import encode_key
from mstbucket.core.manifest import Manifest
from mstbucket.core.s3rules.conditions import Expected
from mstbucket.core.s3rules.part_checksums import check_object, of_object
from mstbucket.core.s3rules.parts import StoredPart, checked_names, chosen, digest_of_names, object_etag
from mstbucket.core.s3rules.versions import ENABLED
from mstbucket.errors import ConditionalRequestConflict, Conflict
from mstbucket.index import parts as part_rows
from mstbucket.index import uploads
from mstbucket.index.buckets import bucket_id
from mstbucket.index.damage import any_damaged
from mstbucket.index.locks import lock_completed
from mstbucket.index.objects import NewObject, add_objects
from mstbucket.index.parts import PartChunks
from mstbucket.index.tx import Tx, inside
from mstbucket.index.uploads import Answer, UploadRow
from mstbucket.model.objects import EMPTY, PutResult
from mstbucket.model.uploads import NamedPart
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.error_context import error_context
from mstbucket.services.blocks.incoming import Incoming, repeating
from mstbucket.services.blocks.suspects import read_suspects
from mstbucket.services.objects.put import put_result
from mstbucket.services.objects.versioning import new_id
from mstbucket.services.uploads.uploads import no_such_upload

ATTEMPTS: Final = 5  # a completion that finds a part replaced this often gives up: somebody uploads without end
_FETCH: Final = 64  # parts whose digests are fetched at a time: 10 MiB at most


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a completion asks for: a digest of its list of parts, and what has to be under the key."""

    digest: bytes
    expectation: Expected


def complete(
    context: Context,
    bucket: str,
    key: str,
    upload_id: str,
    parts: Sequence[NamedPart],
    checksums: Mapping[str, str],
    expectation: Expected,
) -> PutResult:
    """Make the object of the parts; see `Bucket.complete_multipart_upload`."""
    encode_key(key)
    named = checked_names(parts)
    asked = _Asked(digest_of_names(named), expectation)
    for attempt in range(1, ATTEMPTS + 1):
        with context.db.snapshot() as connection:  # one view: a completion in between would have removed the parts
            upload = uploads.find(connection, bucket_id(connection, bucket), key, upload_id)
            if upload is None:
                raise no_such_upload(bucket, key, upload_id)
            if upload.answer is not None:
                return _repeated(upload, asked.digest, bucket, key)
            stored = part_rows.of_numbers(connection, upload_id, [number for number, _, _ in named])
            damage = any_damaged(connection)
        kept = chosen(named, stored)
        # [SUM-9] of the parts' checksums: no byte is read
        whole = of_object(upload.checksum, [part.checksums or EMPTY for part in kept], [part.size for part in kept])
        check_object(checksums, whole)
        try:
            return repeating(_Completion(context, bucket, key, upload, asked, kept, whole, damage).run)
        except _Replaced as error:
            if attempt == ATTEMPTS:
                if not expectation.anything:  # [COND-10]
                    raise ConditionalRequestConflict(str(error)) from error
                raise
    raise AssertionError("the last attempt returns or raises")


class _Replaced(Conflict):
    """A part was uploaded again after the body was composed of the one before."""


def _repeated(upload: UploadRow, asked: bytes, bucket: str, key: str) -> PutResult:
    """[MPU-9] The same list of parts gives the answer of the first time; another one finds no open upload."""
    if upload.answer is None or upload.asked != asked:
        raise no_such_upload(bucket, key, upload.id)
    size, etag, content, manifest, checksums, version_id = upload.answer
    return PutResult(key, size, etag, to_text(content), to_text(manifest), checksums or EMPTY, version_id)


class _Completion:
    """One attempt at completing."""

    def __init__(
        self,
        context: Context,
        bucket: str,
        key: str,
        upload: UploadRow,
        asked: _Asked,
        parts: list[StoredPart],
        checksums: Mapping[str, str],
        damage: bool,
    ) -> None:
        self._context = context
        self._damage = damage  # whether any pack is known to be damaged
        self._bucket = bucket
        self._key = key
        self._upload = upload
        self._asked = asked
        self._parts = parts
        self._checksums = checksums
        self._pack: Incoming | None = None

    def run(self) -> PutResult:
        """Compose and record; `_Replaced` if a part changed meanwhile, and then nothing has happened."""
        try:
            with error_context(self._context, self._bucket, self._key):
                body = self._compose()
            m = self._manifest(body)
            if self._pack is not None:
                self._pack.seal()
            answer, made = inside(self._context.db, self._bucket, lambda tx: self._record(tx, m))
            if self._pack is not None and made:
                self._pack.keep()
        except BaseException as error:
            self._close(error)
            raise
        self._close(None)
        return answer

    def _close(self, error: BaseException | None) -> None:
        pack, self._pack = self._pack, None
        if pack is not None:
            pack.__exit__(None if error is None else type(error), error, None)

    def _put(self, cid: bytes, block: bytes) -> None:
        if self._pack is None:
            self._pack = Incoming(self._context)
        self._pack.add(cid, block)

    def _compose(self) -> Body:
        composer = Composer(self._context.blocks, self._put)
        for size, digests in self._chunks():
            composer.add(size, digests)
        body = composer.finish()
        if self._pack is not None and composer.kept is not None:
            # The database may hold a short last part. A flush moves single-block bodies to a pack, but no chunks of larger
            # ones. So this chunk goes with the nodes; else the blob store alone would not have the whole body.
            for cid, block in self._context.blocks.inline_bodies({composer.kept}).items():
                self._put(cid, block)
        return body

    def _chunks(self) -> Iterator[PartChunks]:
        """Size and chunks of each part, a page at a time; no transaction is open meanwhile."""
        for start in range(0, len(self._parts), _FETCH):
            page = self._parts[start : start + _FETCH]
            found = part_rows.chunks_of(self._context.db, self._upload.id, page)
            if len(found) != len(page):
                raise self._replaced()
            if self._damage:  # [PUT-20]
                digests = b"".join(part.digests for part in found)
                cids = [RAW_PREFIX + digests[at : at + DIGEST] for at in range(0, len(digests), DIGEST)]
                read_suspects(self._context, cids)
            yield from found

    def _manifest(self, body: Body) -> Manifest:
        upload, parts, now = self._upload, self._parts, self._context.db.now_ms()
        return Manifest(
            content=body.root,
            size=body.size,
            etag=object_etag(parts),  # [MPU-11]
            content_type=upload.content_type,
            created=now,
            modified=now,
            sha256=parts[0].sha256 if len(parts) == 1 else None,  # [MPU-11] else no single pass saw the whole body
            checksums=self._checksums,
            headers=upload.headers or EMPTY,
            metadata=upload.metadata or EMPTY,
            tags=upload.tags or EMPTY,
            parts=tuple(part.size for part in parts),
        )

    def _record(self, tx: Tx, m: Manifest) -> tuple[PutResult, bool]:
        """The transaction ([MPU-10]): the answer, and whether it was this one that made the object."""
        upload = uploads.hold(tx, self._key, self._upload.id)
        if upload is None:
            raise no_such_upload(self._bucket, self._key, self._upload.id)
        if upload.answer is not None:  # another completion was first
            return _repeated(upload, self._asked.digest, self._bucket, self._key), False
        # The rows of the parts have held the chunks all the time ([MPU-12]).
        if part_rows.count_unchanged(tx, upload.id, self._parts) != len(self._parts):
            raise self._replaced()
        if self._pack is not None:
            self._pack.record(tx, tx.seq)
        tx.expect(self._key, self._asked.expectation)  # [COND-6] blocks first, then the key ([PUT-9])
        m = replace(m, version_id=new_id(tx.versioning))
        new = NewObject.of(self._key, m)
        add_objects(tx, [new])
        if tx.versioning == ENABLED:
            lock_completed(tx, upload.id, m.version_id)
        answer = put_result(new, tx.versioning)
        assert m.content is not None
        kept = Answer(answer.size, answer.etag, m.content, new.cid, m.checksums, answer.version_id)
        uploads.complete(tx, upload.id, m.modified, self._asked.digest, kept)
        part_rows.remove_all(tx, upload.id)
        return answer, True

    def _replaced(self) -> _Replaced:
        return _Replaced(f"a part of upload {self._upload.id} was uploaded again during the completion: repeat the call")
