"""One object, by the names that the user gave it on both sides: the same parts as for many, without a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mstbucket.api.bucket import Bucket
from mstbucket.core.keys import encode_key
from mstbucket.files.tree import Tree, write_named
from mstbucket.files.watched import Watched
from mstbucket.limits import COPY_SIZE_MAX
from mstbucket.model.objects import ObjectInfo, PutResult
from mstbucket.model.streams import Readable
from mstbucket.sync.extras import Extras
from mstbucket.sync.mover import Meter, Metered

if TYPE_CHECKING:
    from mstbucket.api.view import BucketView
    from mstbucket.model.uploads import Part
    from mstbucket.services.objects.reader import ObjectReader


def put_stream(bucket: Bucket, key: str, source: Readable, extras: Extras, meter: Meter) -> PutResult:
    """Store what *source* gives, to its end."""
    return bucket.put(extras.request(key, Metered(source, meter)))


def put_file(bucket: Bucket, key: str, path: str, extras: Extras, meter: Meter) -> PutResult:
    """Store one file; it may be a pipe, since it is the user who named it.

    Raises:
        Conflict: the file changed while it was read; nothing was stored ([PUT-14]).
        OSError: it cannot be opened or read.
    """
    encode_key(key)
    with open(path, "rb", buffering=0) as file:
        return put_stream(bucket, key, Watched(file, path), extras, meter)


def get_as(
    bucket: Bucket | BucketView, key: str, path: str, meter: Meter, version_id: str | None = None
) -> ObjectInfo:
    """Copy one object, or a version of it, to the file that *path* names; directories on the way to it are made.

    Raises:
        OSError: it cannot be written.
    """
    with bucket.get_object(key, version_id=version_id) as reader:
        write_named(path, meter.through(reader))
        return reader.info


def get_into(
    bucket: Bucket | BucketView, key: str, directory: str, meter: Meter, version_id: str | None = None
) -> tuple[ObjectInfo, str]:
    """Copy one object, or a version of it, into a directory, under the last segment of its key; second comes the path.

    Raises:
        OSError: it cannot be written.
    """
    with bucket.get_object(key, version_id=version_id) as reader, Tree(directory) as tree:
        return reader.info, write_into(tree, key.rpartition("/")[2], reader, meter)


def write_into(tree: Tree, key: str, reader: ObjectReader, meter: Meter) -> str:
    """Write the file of *key*, with the object's time, so that a sync need not read it ([SYNC-7]); returns its path."""
    return tree.write(key, meter.through(reader), round(reader.info.last_modified.timestamp() * 1000))


def copy_object(
    source: Bucket | BucketView, key: str, target: Bucket, to: str, size: int, version_id: str | None = None
) -> PutResult:
    """Copy one object, or a version of it, which has *size* bytes, with what goes with it; no byte of it is read or moved.

    But one of more than 5 GiB is read, and written only where the store does not have it.

    Raises:
        PreconditionFailed: one of more than 5 GiB was overwritten meanwhile; nothing was stored.
    """
    if size <= COPY_SIZE_MAX:
        return target.copy_object(key, to, source_bucket=source, source_version_id=version_id)
    info = source.head_object(key, version_id=version_id)
    upload = target.create_multipart_upload(
        to, content_type=info.content_type, metadata=info.metadata, headers=info.headers, tags=info.tags
    )
    try:
        parts: list[Part] = []
        for number, start in enumerate(range(0, info.size, COPY_SIZE_MAX), 1):
            span = f"bytes={start}-{min(start + COPY_SIZE_MAX, info.size) - 1}"
            # All parts are of one object.
            with source.get_object(key, version_id=version_id, range=span, if_match=info.etag) as reader:
                parts.append(target.upload_part(to, upload.id, number, reader))
        return target.complete_multipart_upload(to, upload.id, parts)
    except BaseException:
        target.abort_multipart_upload(to, upload.id)
        raise
