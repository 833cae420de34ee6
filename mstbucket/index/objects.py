"""The rows of current objects: put, and removed where the bucket keeps no versions.

A row is what the bytes of the manifest will be made of at the flush.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.core import manifest as manifests
from mstbucket.core.cid import dag_cbor_cid
from mstbucket.core.manifest import Manifest
from mstbucket.core.s3rules.conditions import Expected
from mstbucket.index.rows import json_of
from mstbucket.index.tx import Tx, expectation
from mstbucket.pg import binary
from mstbucket.pg.queries import Call

if TYPE_CHECKING:
    from mstbucket.pg.database import Database


_PUT_INLINE: Final = Call.of(
    "put_inline", "text", "text", "bytea", "bytea", "bigint", "text", "text", "bigint", "bigint", "bytea", "jsonb", "jsonb",
    "jsonb", "jsonb", "bytea", "text[]", "text[]", "text", "text",
)  # fmt: skip

_int8: Final = Struct(">q").pack


class NewObject(NamedTuple):
    """An object that is about to be stored: its key, its manifest, and the CID of the manifest."""

    key: str
    manifest: Manifest
    cid: bytes

    @classmethod
    def of(cls, key: str, manifest: Manifest) -> NewObject:
        """With the CID that the manifest has."""
        return cls(key, manifest, dag_cbor_cid(manifests.encode(manifest)))


def put_inline(
    db: Database, bucket: str, new: NewObject, body: bytes, expected: Expected, versioning: str | None
) -> None:
    """Store an object and its small body, durably, in one statement.

    Args:
        new: made for a bucket whose versioning is in the state `versioning`.
        expected: what the key has to hold.

    Raises:
        NoSuchBucket: there is no such bucket.
        VersioningChanged: the bucket is in another state. Nothing was done.
        PreconditionFailed, NoSuchKey: the key is not as expected. Nothing was done.
        BlocksMoved: the body is a block of a damaged pack. Nothing was done.
    """
    m = new.manifest
    assert m.content is not None and m.size is not None and m.etag is not None and m.content_type is not None
    db.call(
        _PUT_INLINE,
        (
            bucket.encode(), new.key.encode(), new.cid, m.content, _int8(m.size), m.etag.encode(), m.content_type.encode(),
            _int8(m.created), _int8(m.modified), m.sha256, _jsonb(m.checksums), _jsonb(m.headers), _jsonb(m.metadata),
            _jsonb(m.tags), body, *expectation(expected), _text(versioning), _text(m.version_id),
        ),
    )  # fmt: skip


def _text(value: str | None) -> bytes | None:
    return None if value is None else value.encode()


def _jsonb(mapping: Mapping[str, str]) -> bytes | None:
    """[MAN-5] The leading byte is the version of the type's binary form."""
    text = json_of(mapping)
    return None if text is None else b"\x01" + text.encode()


def add_bodies(tx: Tx, bodies: Mapping[bytes, bytes]) -> None:
    """Put small bodies, by their CIDs, into rows of `blocks`; those that are there are kept from the next collection.

    Raises:
        BlocksMoved: one of them is in a damaged pack.
    """
    cids = sorted(bodies)
    texts = binary.bytea_array([bodies[cid] for cid in cids])
    tx.connection.execute("SELECT add_bodies(%s, %s, %s)", (tx.epoch, binary.bytea_array(cids), texts))


def add_objects(tx: Tx, objects: Sequence[NewObject]) -> None:
    """Insert the rows of objects whose bodies are there, and mark their keys dirty. Of one key the last one counts.

    What they replace is gone, or stays as a version where the bucket keeps versions ([VSN-5]).
    """
    by_key = {new.key: new for new in objects}  # a statement cannot touch one row twice
    last = [by_key[key] for key in sorted(by_key, key=str.encode)]  # [PUT-9] the order in which rows are locked
    made = [new.manifest for new in last]
    columns = (
        binary.text_array([new.key for new in last]),
        binary.bytea_array([new.cid for new in last]),
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
    tx.connection.execute(f"SELECT add_objects({', '.join(['%s'] * 16)})", (tx.bucket, tx.versioning, *columns))
    for new in last:
        if new.manifest.parts:  # at most one, of an upload or its copy; an array of arrays would have to be rectangular
            query = "UPDATE objects SET parts = %s WHERE bucket = %s AND key = %s"
            tx.connection.execute(query, (binary.bigint_array(new.manifest.parts), tx.bucket, new.key))


def delete_objects(tx: Tx, keys: Collection[str]) -> set[str]:
    """Remove the current objects of these keys from a bucket that never had versions; return the keys that had one."""
    query = "SELECT delete_objects(%s, %s)"
    return {key for (key,) in tx.connection.execute(query, (tx.bucket, binary.text_array(sorted(set(keys)))))}
