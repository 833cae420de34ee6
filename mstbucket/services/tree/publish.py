"""Publishing: a small blob for each commit, by which a store is found again without its database ([FLUSH-9])."""

from __future__ import annotations

from mstbucket.blobs.names import Kind, ref_name, secret_ref_name
from mstbucket.core import car
from mstbucket.core.cid import to_text
from mstbucket.errors import BlobExists, CorruptionError, HashMismatch, OutcomeUnknown, StorageError
from mstbucket.index.commits import mark_published, unpublished
from mstbucket.index.state import kin_ahead
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.state import publish_state


def publish_refs(context: Context, bucket: str) -> None:
    """Write the refs/ blob of every commit of the bucket that has none yet; repeating it is harmless ([FLUSH-9]).

    The blob is a CAR of one block, the commit. With it the store alone, without the database, names its newest state.

    Raises:
        HashMismatch: there is a blob of that name, and it does not hold the commit.
    """
    for name in kin_ahead(context.db, bucket):  # [REB-26] else a rebuild would give them this commit
        publish_state(context, name)
    publish_state(context, bucket)  # [REB-22] first: a ref is not there without the locks of the versions in its commit
    for commit in unpublished(context.db, bucket):
        cid = commit.cid
        block = context.blocks.get(cid)
        name, data = ref_blob(context, commit.identity, commit.seq, cid, car.header(cid) + car.section(cid, block))
        try:
            context.blobs.put(name, data)
        except BlobExists as error:
            # [PACK-6] The name says what is in it. Commit and bucket are as they should be: only this blob is not.
            raise HashMismatch(
                f"blob {name} of bucket {bucket!r} does not read as commit {to_text(cid)}: check the medium; if the blob is "
                "damaged, remove it and flush again"
            ).about(bucket=bucket, cid=cid, pack=name) from error
        mark_published(context.db, commit)


def publish_made(context: Context, bucket: str, done: str) -> None:
    """As `publish_refs`, for a commit that was made by something else than a flush: *done* says what stands by now.

    Raises:
        OutcomeUnknown: the commit stands, and is not published. It must not look as if nothing had happened ([FLUSH-13]).
    """
    try:
        publish_refs(context, bucket)
    except (StorageError, CorruptionError) as error:
        raise OutcomeUnknown(
            f"{done}, whole and durable, but its commit could not be published in the blob store: flush the bucket, which "
            f"repeats that ({error})"
        ) from error


def ref_blob(context: Context, identity: str, seq: int, cid: bytes, data: bytes) -> tuple[str, bytes]:
    """Name and bytes of the blob that publishes a commit: the same ones every time, encrypted or not ([FRAME-14])."""
    key = context.encoding.key
    if key is None or not context.encoding.encrypts:
        return ref_name(identity, seq, to_text(cid)), data
    pseudonym = key.pseudonym(cid)
    encoder = context.encoding.encoder(Kind.AES, pseudonym)
    return secret_ref_name(identity, seq, pseudonym), encoder.encode(data) + encoder.trailer()
