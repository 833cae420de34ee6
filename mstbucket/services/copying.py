"""Copy: another object with the same body, by S3's directives; no byte of the body is read or moved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from mstbucket.core import manifest as manifests
from mstbucket.core.cid import dag_cbor_cid, to_text
from mstbucket.core.keys import encode_key
from mstbucket.core.manifest import Manifest
from mstbucket.errors import InvalidInput, InvalidRequest, NoSuchKey
from mstbucket.limits import COPY_SIZE_MAX
from mstbucket.model import PutRequest, PutResult
from mstbucket.pg.queries import one_row
from mstbucket.services.buckets import bucket_id, now_ms
from mstbucket.services.conditions import Conditions, Expected
from mstbucket.services.context import Context
from mstbucket.services.putting import DEFAULT_TYPE, add_rows, check, lower
from mstbucket.services.rows import MANIFEST_COLUMNS, manifest_of

DIRECTIVES: Final = ("COPY", "REPLACE")

_FIND: Final = f"SELECT {MANIFEST_COLUMNS} FROM objects WHERE bucket = %s AND key = %s"


def copy(
    context: Context,
    source_bucket: str,
    source_key: str,
    bucket: str,
    request: PutRequest,
    metadata_directive: str,
    tagging_directive: str,
    wanted: Conditions,
    expectation: Expected,
) -> PutResult:
    """Make `request.key` an object with the source's body; see `Bucket.copy_object`. The request's body is not read."""
    encode_key(source_key)
    check(request)
    _check_directives(request, metadata_directive, tagging_directive)
    if (source_bucket, source_key) == (bucket, request.key) and metadata_directive == "COPY":  # [ATTR-5]
        raise InvalidRequest(
            f"copying {source_key!r} onto itself without changing its metadata is no copy: use "
            "metadata_directive='REPLACE', another key, or put_object_tagging for new tags"
        )

    find = _FIND
    if (source_bucket, source_key) == (bucket, request.key):
        find += " FOR UPDATE"  # nothing that is written meanwhile may be undone by a change of the metadata

    def work(connection: Any) -> tuple[Manifest, bytes]:
        target, _ = one_row(connection, "SELECT * FROM enter(%s)", (bucket,))
        source = bucket_id(connection, source_bucket)
        expectation.require(connection, target, request.key)
        # Read behind the barrier: what the source row names cannot be collected before this transaction ends.
        row = connection.execute(find, (source, source_key), binary=True).fetchone()
        if row is None:
            raise NoSuchKey(f"there is no object {source_key!r} in bucket {source_bucket!r} to copy")
        was = manifest_of(row)
        wanted.check_source(was.etag or "", was.modified, f"object {source_key!r} of bucket {source_bucket!r}")
        m = _made(was, request, metadata_directive, tagging_directive)
        cid = dag_cbor_cid(manifests.encode(m))
        add_rows(connection, target, [(request.key, m, cid)])  # its parts too [ATTR-6]
        return m, cid

    m, cid = context.db.run(work)
    assert m.content is not None and m.size is not None and m.etag is not None  # rows of `objects` are never markers
    return PutResult(request.key, m.size, m.etag, to_text(m.content), to_text(cid), m.checksums)


def _made(source: Manifest, request: PutRequest, metadata_directive: str, tagging_directive: str) -> Manifest:
    """The manifest of the copy ([ATTR-4], [ATTR-6])."""
    if (source.size or 0) > COPY_SIZE_MAX:  # [ATTR-8]
        raise InvalidRequest(
            f"the object to copy has {source.size} bytes, and one copy takes at most {COPY_SIZE_MAX}: "
            "copy it in parts, by a multipart upload"
        )
    now = now_ms()
    m = replace(source, created=now, modified=now, version_id=None)
    if metadata_directive == "REPLACE":
        m = replace(
            m,
            content_type=request.content_type or DEFAULT_TYPE,
            headers=lower(request.headers),
            metadata=lower(request.metadata),
        )
    return replace(m, tags=dict(request.tags)) if tagging_directive == "REPLACE" else m


def _check_directives(request: PutRequest, metadata_directive: str, tagging_directive: str) -> None:
    for name, directive in (("metadata", metadata_directive), ("tagging", tagging_directive)):
        if directive not in DIRECTIVES:
            raise InvalidInput(f"{name}_directive is {directive!r}; it has to be 'COPY' or 'REPLACE'")
    said = request.content_type is not None or request.metadata or request.headers
    if metadata_directive == "COPY" and said:  # [ATTR-4] S3 would drop them without a word
        raise InvalidInput("content_type, metadata and headers count only with metadata_directive='REPLACE'")
    if tagging_directive == "COPY" and request.tags:
        raise InvalidInput("tags count only with tagging_directive='REPLACE'")
