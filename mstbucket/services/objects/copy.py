"""Copy: another object with the same body, by S3's directives; no byte is moved, and none read but what may be damaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from mstbucket.core.keys import encode_key
from mstbucket.core.manifest import Manifest
from mstbucket.core.s3rules.conditions import Conditions, Expected
from mstbucket.core.s3rules.metadata import DEFAULT_TYPE, check_request, lower_names
from mstbucket.core.s3rules.retention import lock_wanted
from mstbucket.core.s3rules.tags import tags_of
from mstbucket.core.s3rules.versions import stored_id
from mstbucket.errors import Conflict, CorruptionError, FormatError, InvalidInput, InvalidRequest
from mstbucket.index.buckets import bucket_id
from mstbucket.index.damage import any_damaged
from mstbucket.index.find import find_row
from mstbucket.index.locks import VersionToLock, lock_new_versions
from mstbucket.index.objects import NewObject, add_objects
from mstbucket.index.tx import Tx, inside
from mstbucket.limits import COPY_SIZE_MAX
from mstbucket.model.objects import PutRequest, PutResult
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.suspects import read_suspects
from mstbucket.services.objects.put import put_result
from mstbucket.services.objects.read import Source, blocks_of_body, of_object
from mstbucket.services.objects.versioning import new_id

DIRECTIVES: Final = ("COPY", "REPLACE")
ATTEMPTS: Final = 5  # of a copy whose source is overwritten each time between the look at its body and the transaction


class Directives(NamedTuple):
    """Where a copy takes metadata and tags from ([ATTR-4])."""

    metadata: str
    tagging: str


def copy(
    context: Context,
    source: Source,
    bucket: str,
    request: PutRequest,
    directives: Directives,
    wanted: Conditions,
    expectation: Expected,
) -> PutResult:
    """Make `request.key` an object with the source's body; see `Bucket.copy_object`. The request's body is not read."""
    encode_key(source.key)
    if source.version_id is not None:
        stored_id(source.version_id)
    # [ATTR-5] a copy of a version onto its own key is a change: the version becomes the current one again
    if source == Source(bucket, request.key, None) and directives.metadata == "COPY":
        raise InvalidRequest(
            f"copying {source.key!r} onto itself without changing its metadata is no copy: use "
            "metadata_directive='REPLACE', another key, or put_object_tagging for new tags"
        )

    def look(tx: Tx) -> Manifest:
        number = bucket_id(tx.connection, source.bucket)
        if (source.bucket, source.key) == (bucket, request.key):
            tx.hold(request.key)  # else a change of the metadata could undo what is written meanwhile
        # Read behind the barrier: what the source row names cannot be collected before this transaction ends.
        was = find_row(tx.connection, number, source.bucket, source.key, source.version_id).manifest
        if was.delete_marker:
            raise InvalidRequest(f"version {source.version_id!r} of {source} is a delete marker: there is nothing to copy")
        wanted.check_source(was.etag or "", was.modified, str(source))
        return was

    return copy_found(context, source, look, bucket, request, directives, expectation)


def copy_found(
    context: Context,
    source: Source,
    look: Callable[[Tx], Manifest],
    bucket: str,
    request: PutRequest,
    directives: Directives,
    expectation: Expected,
) -> PutResult:
    """Make `request.key` an object with the body that a manifest names.

    Args:
        look: gives the manifest of the source inside the transaction. What it names must not be collected before the end.
    """
    check_request(request)
    lock = lock_wanted(request)
    check_directives(request, *directives)
    now = context.db.now_ms()

    sound: bytes | None = None  # the body that was looked at

    def work(tx: Tx) -> PutResult:
        tx.expect(request.key, expectation)
        was = look(tx)
        if was.content != sound and any_damaged(tx.connection):
            raise _Unread(was)
        assert was.content is not None
        tx.touch([was.content])  # [GC-21] the body has another life
        m = replace(_made(was, request, now, *directives), version_id=new_id(tx.versioning))
        new = NewObject.of(request.key, m)
        add_objects(tx, [new])  # its parts too [ATTR-6]
        if lock is not None:
            lock_new_versions(tx, [VersionToLock(request.key, m.version_id, lock)])
        return put_result(new, tx.versioning)

    for _ in range(ATTEMPTS):
        try:
            return inside(context.db, bucket, work)
        except _Unread as found:
            check_body(context, source, found.manifest)
            sound = found.manifest.content
    raise Conflict(f"{source} was overwritten again and again while it was looked at for damage: repeat the call")


class _Unread(Exception):
    """Some pack is damaged, and the body of the source has not been looked at. No transaction waits for that."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest


def check_body(context: Context, source: Source, manifest: Manifest) -> None:
    """Refuse a body that cannot be read as far as damage is known of ([PUT-20]).

    Raises:
        CorruptionError: a block of it is missing or damaged; the message names the object.
    """
    assert manifest.content is not None
    try:
        for cids in blocks_of_body(context.blocks, manifest.content, manifest.size or 0):
            read_suspects(context, cids)
    except (CorruptionError, FormatError) as error:
        raise of_object(error, source.bucket, source.key) from error


def _made(source: Manifest, request: PutRequest, now: int, metadata_directive: str, tagging_directive: str) -> Manifest:
    """The manifest of the copy ([ATTR-4], [ATTR-6])."""
    if (source.size or 0) > COPY_SIZE_MAX:  # [ATTR-8]
        raise InvalidRequest(
            f"the object to copy has {source.size} bytes, and one copy takes at most {COPY_SIZE_MAX}: "
            "copy it in parts, by a multipart upload"
        )
    m = replace(source, created=now, modified=now)
    if metadata_directive == "REPLACE":
        m = replace(
            m,
            content_type=request.content_type or DEFAULT_TYPE,
            headers=lower_names(request.headers),
            metadata=lower_names(request.metadata),
        )
    return replace(m, tags=tags_of(request)) if tagging_directive == "REPLACE" else m


def check_directives(request: PutRequest, metadata_directive: str, tagging_directive: str) -> None:
    """Refuse an unknown directive, and values that the directive would not look at ([ATTR-4])."""
    for name, directive in (("metadata", metadata_directive), ("tagging", tagging_directive)):
        if directive not in DIRECTIVES:
            raise InvalidInput(f"{name}_directive is {directive!r}; it has to be 'COPY' or 'REPLACE'")
    said = request.content_type is not None or request.metadata or request.headers
    if metadata_directive == "COPY" and said:  # [ATTR-4] S3 would drop them without a word
        raise InvalidInput("content_type, metadata and headers count only with metadata_directive='REPLACE'")
    if tagging_directive == "COPY" and request.tags:
        raise InvalidInput("tags count only with tagging_directive='REPLACE'")
