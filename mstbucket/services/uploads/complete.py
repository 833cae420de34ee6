"""Completing a multipart upload: compose its body from the chunks there are, then one short transaction.

    1. The list of parts is checked against the rows: order, ETags, sizes. No lock is held.
    2. The body is composed. New nodes, and chunks that had to be cut anew, go into a registered pack, durably.
    3. One transaction: barrier, the upload's row locked, every part still the one that was composed, blocks, object,
       dirty row, the answer into the upload's row, its parts removed.

Of two completions one makes the object, and the other, if it asks for the same, gets the same answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Final

from mstbucket.core.cid import to_text
from mstbucket.core.compose import Composer
from mstbucket.core.keys import encode_key
from mstbucket.core.manifest import Manifest
from mstbucket.core.s3rules.conditions import Expected
from mstbucket.core.s3rules.versions import ENABLED
from mstbucket.core.unixfs import Body
from mstbucket.errors import (
    ConditionalRequestConflict,
    Conflict,
    EntityTooLarge,
    EntityTooSmall,
    InvalidInput,
    InvalidPart,
    InvalidPartOrder,
)
from mstbucket.index.buckets import bucket_id
from mstbucket.index.locks import lock_completed
from mstbucket.index.objects import NewObject, add_objects
from mstbucket.index.rows import json_of
from mstbucket.index.tx import Tx, expect
from mstbucket.limits import CHUNK_SIZE, OBJECT_SIZE_MAX, PART_SIZE_MIN, PARTS_MAX, PUT_SIZE_MAX
from mstbucket.model.objects import EMPTY, PutResult
from mstbucket.model.uploads import NamedPart
from mstbucket.pg import binary
from mstbucket.pg.queries import one_row
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.error_context import error_context
from mstbucket.services.blocks.incoming import Incoming, repeating
from mstbucket.services.objects.put import put_result
from mstbucket.services.objects.versioning import new_id
from mstbucket.services.uploads.part_checksums import Kind, check_named, check_object, of_object
from mstbucket.services.uploads.uploads import checked_id, no_such_upload

ATTEMPTS: Final = 5  # a completion that finds a part replaced this often gives up: somebody uploads without end
_FETCH: Final = 64  # parts whose digests are fetched at a time: 10 MiB at most


@dataclass(frozen=True, slots=True)
class _Upload:
    """The row of an upload; `answer` is None while it is open."""

    id: str
    headers: tuple[Any, ...]
    kind: Kind
    asked: bytes | None
    answer: tuple[Any, ...] | None


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The rows of the parts that make the object, in order."""

    numbers: list[int]
    generations: list[int]
    sizes: list[int]
    md5s: list[bytes]
    sha256s: list[bytes]
    checksums: list[Mapping[str, str] | None]


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
    wanted = _checked(parts)
    asked = _Asked(
        hashlib.sha256("".join(f"{number} {etag}\n" for number, etag, _ in wanted).encode()).digest(), expectation
    )
    for attempt in range(1, ATTEMPTS + 1):
        with context.db.snapshot() as connection:  # one view: a completion in between would have removed the parts
            upload = _find(connection, bucket_id(connection, bucket), bucket, key, upload_id, "")
            if upload.answer is not None:
                return _repeated(upload, asked.digest, bucket, key)
            chosen = _choose(connection, upload_id, wanted)
        whole = of_object(upload.kind, [sums or EMPTY for sums in chosen.checksums], chosen.sizes)  # [SUM-9] read: nothing
        check_object(checksums, whole)
        try:
            return repeating(_Completion(context, bucket, key, upload, asked, chosen, whole).run)
        except _Replaced as error:
            if attempt == ATTEMPTS:
                if not expectation.anything:  # [COND-10]
                    raise ConditionalRequestConflict(str(error)) from error
                raise
    raise AssertionError("the last attempt returns or raises")


class _Replaced(Conflict):
    """A part was uploaded again after the body was composed of the one before."""


def _find(connection: Any, number: int, bucket: str, key: str, upload_id: str, lock: str) -> _Upload:
    query = f"""
        SELECT content_type, headers, metadata, tags, checksum_algorithm, checksum_type, asked,
               size, etag, content, manifest, checksums, version_id, completed
        FROM uploads
        WHERE id = %s AND bucket = %s AND key = %s {lock}
    """
    row = connection.execute(query, (checked_id(upload_id), number, key), binary=True).fetchone()
    if row is None:
        raise no_such_upload(bucket, key, upload_id)
    return _Upload(upload_id, row[:4], Kind(row[4], row[5]), row[6], None if row[13] is None else row[7:13])


def _repeated(upload: _Upload, asked: bytes, bucket: str, key: str) -> PutResult:
    """[MPU-9] the same list of parts gives the answer of the first time; another one finds no open upload."""
    if upload.answer is None or upload.asked != asked:
        raise no_such_upload(bucket, key, upload.id)
    size, etag, content, manifest, checksums, version_id = upload.answer
    return PutResult(key, size, etag, to_text(content), to_text(manifest), checksums or EMPTY, version_id)


# --- 1. what is asked for ------------------------------------------------------------------------------------------------


def _checked(parts: Sequence[NamedPart]) -> list[NamedPart]:
    """The list as it will be compared: numbers ascending, ETags without quotes."""
    wanted: list[NamedPart] = []
    for number, etag, checksums in parts:
        if wanted and number <= wanted[-1][0]:  # [MPU-6] strictly ascending
            raise InvalidPartOrder(f"part {number} comes after part {wanted[-1][0]}: name each once, in ascending order")
        quoted = len(etag) >= 2 and etag[0] == etag[-1] == '"'
        wanted.append((number, etag[1:-1] if quoted else etag, checksums))
    if not 1 <= len(wanted) <= PARTS_MAX:
        raise InvalidInput(f"an upload is completed with 1 to {PARTS_MAX} parts, not {'none' if not wanted else 'more'}")
    if not 1 <= wanted[0][0] <= wanted[-1][0] <= PARTS_MAX:
        raise InvalidPart(f"parts are numbered 1 to {PARTS_MAX}, and {wanted[0][0]} to {wanted[-1][0]} are named")
    if any(not etag.isascii() for _, etag, _ in wanted):
        raise InvalidPart("an ETag is text in ASCII, as upload_part returned it")
    return wanted


def _choose(connection: Any, upload_id: str, wanted: Sequence[NamedPart]) -> _Chosen:
    query = """
        SELECT number, generation, size, md5, sha256, checksums FROM parts
        WHERE upload = %s AND number = ANY (%s) ORDER BY number
    """
    numbers = binary.integer_array([number for number, _, _ in wanted])
    rows = {row[0]: row for row in connection.execute(query, (upload_id, numbers), binary=True)}
    for number, etag, checksums in wanted:  # [MPU-6]
        if number not in rows:
            raise InvalidPart(f"part {number} was not uploaded: list the parts, and complete with those there are")
        if rows[number][3].hex() != etag:
            raise InvalidPart(f"part {number} has the ETag {rows[number][3].hex()!r}, not {etag!r}: it was uploaded again")
        if checksums:
            check_named(number, checksums, rows[number][5] or EMPTY)
    for number, _, _ in wanted[:-1]:
        if rows[number][2] < PART_SIZE_MIN:  # [MPU-6]
            raise EntityTooSmall(f"part {number} has {rows[number][2]} bytes; all but the last need {PART_SIZE_MIN}")
    check_sizes([rows[number][2] for number, _, _ in wanted])
    columns = list(zip(*(rows[number] for number, _, _ in wanted), strict=True))
    return _Chosen(*(list(column) for column in columns))


def check_sizes(sizes: Sequence[int]) -> None:
    """Refuse parts of which no object can be made; nothing was read of them."""
    size = sum(sizes)
    if size > OBJECT_SIZE_MAX:
        raise EntityTooLarge(f"the parts have {size} bytes together; an object has up to {OBJECT_SIZE_MAX}")
    anew = sum(part for part, end in zip(sizes, accumulate(sizes), strict=True) if (end - part) % CHUNK_SIZE)
    if anew > PUT_SIZE_MAX:  # [MPU-22]
        raise EntityTooLarge(
            f"{anew} bytes would have to be cut anew, since parts before them have no whole number of MiB; up to "
            f"{PUT_SIZE_MAX} can be: send parts of whole MiB"
        )


# --- 2. and 3. -----------------------------------------------------------------------------------------------------------


class _Completion:
    """One attempt at completing."""

    def __init__(
        self,
        context: Context,
        bucket: str,
        key: str,
        upload: _Upload,
        asked: _Asked,
        chosen: _Chosen,
        checksums: Mapping[str, str],
    ) -> None:
        self._context = context
        self._bucket = bucket
        self._key = key
        self._upload = upload
        self._asked = asked
        self._chosen = chosen
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
            answer, made = self._context.db.run(lambda connection: self._record(connection, m))
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
        for size, digests in self._parts():
            composer.add(size, digests)
        body = composer.finish()
        if self._pack is not None and composer.kept is not None:
            # A short last part may be held in the database. A flush moves single-block bodies to a pack, not the chunks
            # of larger ones: this one has to go with the nodes, or the store alone would not have the whole body.
            for cid, block in self._context.blocks.inline_bodies({composer.kept}).items():
                self._put(cid, block)
        return body

    def _parts(self) -> Iterator[tuple[int, bytes]]:
        """Size and digests of each part, a page at a time; no transaction is open meanwhile."""
        query = """
            SELECT p.size, p.chunks FROM parts p JOIN unnest(%s, %s) AS w (number, generation)
                ON p.number = w.number AND p.generation = w.generation
            WHERE p.upload = %s ORDER BY p.number
        """
        chosen = self._chosen
        for start in range(0, len(chosen.numbers), _FETCH):
            numbers = chosen.numbers[start : start + _FETCH]
            pairs = (binary.integer_array(numbers), binary.bigint_array(chosen.generations[start : start + _FETCH]))
            with self._context.db.reading() as connection:
                rows = connection.execute(query, (*pairs, self._upload.id), binary=True).fetchall()
            if len(rows) != len(numbers):
                raise self._replaced()
            yield from rows

    def _manifest(self, body: Body) -> Manifest:
        chosen, now = self._chosen, self._context.db.now_ms()
        content_type, headers, metadata, tags = self._upload.headers
        digest = hashlib.md5(b"".join(chosen.md5s), usedforsecurity=False).hexdigest()
        return Manifest(
            content=body.root,
            size=body.size,
            etag=f"{digest}-{len(chosen.numbers)}",  # [MPU-11]
            content_type=content_type,
            created=now,
            modified=now,
            sha256=chosen.sha256s[0] if len(chosen.numbers) == 1 else None,  # [MPU-11] else no one pass saw it
            checksums=self._checksums,
            headers=headers or EMPTY,
            metadata=metadata or EMPTY,
            tags=tags or EMPTY,
            parts=tuple(chosen.sizes),
        )

    def _record(self, connection: Any, m: Manifest) -> tuple[PutResult, bool]:
        """The transaction ([MPU-10]): the answer, and whether it was this one that made the object."""
        number, epoch, versioning = one_row(connection, "SELECT * FROM enter(%s)", (self._bucket,))
        tx = Tx(connection, number, epoch, versioning)
        upload = _find(connection, number, self._bucket, self._key, self._upload.id, "FOR UPDATE")
        if upload.answer is not None:  # another completion was first
            return _repeated(upload, self._asked.digest, self._bucket, self._key), False
        self._check_parts(connection)
        if self._pack is not None:
            self._pack.record(connection, epoch)
        expect(connection, number, self._key, self._asked.expectation)  # [COND-6] blocks first, then the key ([PUT-9])
        m = replace(m, version_id=new_id(versioning))
        new = NewObject.of(self._key, m)
        add_objects(tx, [new])
        if versioning == ENABLED:
            lock_completed(tx, upload.id, m.version_id)
        answer = put_result(new, versioning)
        connection.execute(
            "UPDATE uploads SET completed = %s, asked = %s, size = %s, etag = %s, content = %s, manifest = %s,"
            " checksums = %s, version_id = %s WHERE id = %s",
            (
                m.modified, self._asked.digest, m.size, m.etag, m.content, new.cid, json_of(m.checksums), answer.version_id,
                upload.id,
            ),
        )
        connection.execute("DELETE FROM parts WHERE upload = %s", (upload.id,))
        return answer, True

    def _check_parts(self, connection: Any) -> None:
        """Under the upload's lock: the parts are those composed. Their rows have held the chunks all the time ([MPU-12])."""
        query = """
            SELECT count(*) FROM parts p JOIN unnest(%s, %s) AS w (number, generation)
                ON p.number = w.number AND p.generation = w.generation
            WHERE p.upload = %s
        """
        pairs = (binary.integer_array(self._chosen.numbers), binary.bigint_array(self._chosen.generations))
        if one_row(connection, query, (*pairs, self._upload.id))[0] != len(self._chosen.numbers):
            raise self._replaced()

    def _replaced(self) -> _Replaced:
        return _Replaced(f"a part of upload {self._upload.id} was uploaded again during the completion: repeat the call")
