"""The rows of current objects: put, and removed where the bucket keeps no versions.

A row is what the bytes of the manifest will be made of at the flush.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from mstbucket.core import manifest as manifests
from mstbucket.core.cid import dag_cbor_cid
from mstbucket.core.manifest import Manifest
from mstbucket.index.rows import created_column, etag_column, json_of, sha256_column
from mstbucket.index.tx import Tx
from mstbucket.pg import binary


class NewObject(NamedTuple):
    """An object that is about to be stored: its key, its manifest, and the CID of the manifest."""

    key: str
    manifest: Manifest
    cid: bytes

    @classmethod
    def of(cls, key: str, manifest: Manifest) -> NewObject:
        """With the CID that the manifest has."""
        return cls(key, manifest, dag_cbor_cid(manifests.encode(manifest)))


def add_bodies(tx: Tx, bodies: Mapping[bytes, bytes]) -> None:
    """Put small bodies, by their CIDs, into rows of `blocks`; those that are there are kept from the next collection.

    Raises:
        BlocksMoved: one of them is in a damaged pack.
    """
    cids = sorted(bodies)
    texts = binary.bytea_array([bodies[cid] for cid in cids])
    tx.connection.execute("SELECT add_bodies(%s, %s, %s, %s)", (tx.epoch, tx.seq, binary.bytea_array(cids), texts))


def add_objects(tx: Tx, objects: Sequence[NewObject]) -> None:
    """Insert the rows of objects whose bodies are there, and mark their keys dirty. Of one key the last one counts.

    What they replace is gone, or stays as a version where the bucket keeps versions ([VSN-5]).
    """
    by_key = {new.key: new for new in objects}  # a statement cannot touch one row twice
    last = [by_key[key] for key in sorted(by_key, key=str.encode)]  # [PUT-9] the order in which rows are locked
    arguments = (tx.bucket, tx.versioning, *columns_of(last))
    tx.connection.execute(f"SELECT add_objects({', '.join(['%s'] * 16)})", arguments)
    for new in last:
        if new.manifest.parts:  # at most one, of an upload or its copy; an array of arrays would have to be rectangular
            query = "UPDATE objects SET parts = %s WHERE bucket = %s AND key = %s"
            tx.connection.execute(query, (binary.bigint_array(new.manifest.parts), tx.bucket, new.key))


def columns_of(last: Sequence[NewObject]) -> tuple[bytes, ...]:
    """The rows of objects, as the last arguments of SQL's `add_objects` and `put_group`."""
    made = [new.manifest for new in last]
    return (
        binary.text_array([new.key for new in last]),
        binary.bytea_array([new.cid for new in last]),
        binary.bytea_array([m.content for m in made]),
        binary.bigint_array([m.size or 0 for m in made]),
        binary.bytea_array([None if m.etag is None else etag_column(m.etag) for m in made]),
        binary.text_array([m.content_type for m in made]),
        binary.bigint_or_null_array([created_column(m.created, m.modified) for m in made]),
        binary.bigint_array([m.modified for m in made]),
        binary.bytea_array([sha256_column(m.content, m.sha256) for m in made]),
        binary.jsonb_array([json_of(m.checksums) for m in made]),
        binary.jsonb_array([json_of(m.headers) for m in made]),
        binary.jsonb_array([json_of(m.metadata) for m in made]),
        binary.jsonb_array([json_of(m.tags) for m in made]),
        binary.text_array([m.version_id for m in made]),
    )


def delete_objects(tx: Tx, keys: Collection[str]) -> set[str]:
    """Remove the current objects of these keys from a bucket that never had versions; return the keys that had one."""
    query = "SELECT delete_objects(%s, %s)"
    return {key for (key,) in tx.connection.execute(query, (tx.bucket, binary.text_array(sorted(set(keys)))))}
