"""The one place where a row of `objects` and a manifest meet: the row is the cached manifest, column for field."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mstbucket.core import cid as cids
from mstbucket.core.cid import RAW_PREFIX
from mstbucket.core.manifest import Manifest
from mstbucket.core.s3rules.versions import NULL_VERSION
from mstbucket.core.times import moment
from mstbucket.model.objects import EMPTY, ObjectInfo

# What a row says shorter than a manifest does: SQL's `etag_text` and `sha256_of` read the same.
_DIGEST: Final = 16  # bytes of MD5
_MARK: Final = b"\xff"  # no byte of UTF-8
_NO_DIGEST: Final = b""

#: The columns a manifest is made of, in the order `manifest_of` takes them.
MANIFEST_COLUMNS = (
    "content, size, etag, content_type, created, modified, sha256, checksums, headers, metadata, tags, parts, version_id"
)


def manifest_of(row: Sequence[Any]) -> Manifest:
    """The manifest whose fields are `row`, given in the order of MANIFEST_COLUMNS."""
    content, size, etag, content_type, created, modified, sha256, checksums, headers, metadata, tags, parts, version = row
    return Manifest(
        content=content,
        size=size,
        etag=None if etag is None else etag_of(etag),
        content_type=content_type,
        created=modified if created is None else created,
        modified=modified,
        sha256=sha256_of(content, sha256),
        checksums=checksums or EMPTY,
        headers=headers or EMPTY,
        metadata=metadata or EMPTY,
        tags=tags or EMPTY,
        parts=tuple(parts or ()),
        version_id=version,
        delete_marker=content is None,
    )


def etag_column(etag: str) -> bytes:
    """An ETag as its column has it: a digest in hex as its bytes, all else as text; one of as many bytes with a mark."""
    if len(etag) == 2 * _DIGEST:
        try:
            digest = bytes.fromhex(etag)
        except ValueError:
            return etag.encode()
        if digest.hex() == etag:  # and not in capitals, or with blanks
            return digest
    text = etag.encode()
    return _MARK + text if len(text) == _DIGEST else text


def etag_of(column: bytes) -> str:
    """What `etag_column` has made the column of."""
    return column.hex() if len(column) == _DIGEST else column.removeprefix(_MARK).decode()


def sha256_column(content: bytes | None, sha256: bytes | None) -> bytes | None:
    """The digest of a body as its column has it: None where a raw content says it, empty where there is none beside one."""
    if content is None or not content.startswith(RAW_PREFIX):
        return sha256
    if sha256 is None:
        return _NO_DIGEST
    return None if content[len(RAW_PREFIX) :] == sha256 else sha256


def sha256_of(content: bytes | None, column: bytes | None) -> bytes | None:
    """What `sha256_column` has made the column of."""
    if column is not None:
        return None if column == _NO_DIGEST else column
    return content[len(RAW_PREFIX) :] if content is not None and content.startswith(RAW_PREFIX) else None


def created_column(created: int, modified: int) -> int | None:
    """The time of creation as its column has it: None where it is that of the last change."""
    return None if created == modified else created


def json_of(mapping: Mapping[str, str]) -> str | None:
    """A map as the text of its jsonb column; an empty map is an absent one, as in the manifest ([MAN-5])."""
    return json.dumps(dict(mapping), ensure_ascii=False) if mapping else None


def shown_version(versioning: str | None, version_id: str | None) -> str | None:
    """A version's id as S3 shows it: none in a bucket that never had versions, "null" for the null version ([VSN-2])."""
    return None if versioning is None else version_id or NULL_VERSION


def info_of(
    key: str, manifest: bytes, m: Manifest, versioning: str | None, lock: tuple[str | None, int | None, bool | None]
) -> ObjectInfo:
    """What a user sees of one object of a bucket with this state of versioning; its lock: mode, until, legal hold."""
    mode, until, hold = lock
    assert m.content is not None and m.size is not None and m.etag is not None  # never of a marker
    return ObjectInfo(
        key=key,
        size=m.size,
        etag=m.etag,
        last_modified=moment(m.modified),
        content=cids.to_text(m.content),
        manifest=cids.to_text(manifest),
        content_type=m.content_type,
        sha256=None if m.sha256 is None else m.sha256.hex(),
        headers=m.headers,
        metadata=m.metadata,
        tags=m.tags,
        checksums=m.checksums,
        parts=tuple(m.parts),
        version_id=shown_version(versioning, m.version_id),
        object_lock_mode=mode,
        object_lock_retain_until=None if until is None else moment(until),
        object_lock_legal_hold=bool(hold),
    )
