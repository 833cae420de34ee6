"""What can be seen of a bucket through S3's verbs: of one that is judged, and of the model, in the same words.

The functions call the verbs and read attributes of what they return. They know nothing else of the package.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from s3model.bucket import Bucket
from s3model.listing import key_items, version_items
from s3model.values import Version

Seen = dict[str, Any]


def code_of(call: Callable[[], Any]) -> Any:
    """What a call returns; or the code that it is refused with, by the model or by the store."""
    try:
        return call()
    except Exception as error:
        if not hasattr(error, "code"):
            raise
        return error.code


def shown(bucket: Any) -> Seen:
    """Everything that S3 shows of a bucket: of a real one, or of the model."""
    return _of_model(bucket) if isinstance(bucket, Bucket) else _of_store(bucket)


def _of_store(bucket: Any) -> Seen:
    versions = bucket.list_object_versions()
    objects = bucket.list_objects()
    assert not versions.is_truncated
    assert not objects.is_truncated
    names = [(v.key, v.version_id) for v in versions.versions]
    names += [(key, None) for key in dict.fromkeys(v.key for v in versions.versions)]
    return {
        "versioning": bucket.get_bucket_versioning(),
        "tags": code_of(bucket.get_bucket_tagging),
        "objects": [(o.key, o.size, o.etag, o.last_modified, *_summed(o)) for o in objects.contents],
        "versions": [
            (v.key, v.version_id, v.is_latest, v.delete_marker, v.size, v.etag, v.last_modified, *_summed(v))
            for v in versions.versions
        ],
        **{what: {name: code_of(partial(ask, bucket, *name)) for name in names} for what, ask in _ASKED.items()},
    }


def _summed(item: Any) -> tuple[list[str], str | None]:
    """What a listing says of checksums: by which algorithms, and what they are of."""
    return sorted(item.checksum_algorithms), item.checksum_type


def _read(bucket: Any, key: str, version_id: str | None) -> bytes:
    with bucket.get_object(key, version_id=version_id) as reader:
        return bytes(reader.read())


def head_of(info: Any) -> Seen:
    """An answer to head_object."""
    return {
        "id": info.version_id,
        "size": info.size,
        "etag": info.etag,
        "modified": info.last_modified,
        "type": info.content_type,
        "metadata": dict(info.metadata),
        "headers": dict(info.headers),
        "tags": dict(info.tags),
        "parts": tuple(info.parts),
        "checksums": dict(info.checksums),
        "checksum_type": info.checksum_type,
    }


def _head(bucket: Any, key: str, version_id: str | None) -> Seen:
    return head_of(bucket.head_object(key, version_id=version_id))


def _tagging(bucket: Any, key: str, version_id: str | None) -> dict[str, str]:
    return dict(bucket.get_object_tagging(key, version_id=version_id))


def _attributes(bucket: Any, key: str, version_id: str | None) -> tuple[Any, ...]:
    found = bucket.get_object_attributes(key, version_id=version_id)
    return found.etag, found.size, dict(found.checksums), tuple(found.parts), found.storage_class


_ASKED: Final = {"heads": _head, "bodies": _read, "tagging": _tagging, "attributes": _attributes}


def _of_model(bucket: Bucket) -> Seen:
    versions = [(key, version, latest) for key, version, latest in version_items(bucket, "", None) if version is not None]
    names: list[tuple[str, str | None]] = [(key, version.id) for key, version, _ in versions]
    names += [(key, None) for key in dict.fromkeys(key for key, _, _ in versions)]
    found = {name: code_of(partial(bucket.find, *name)) for name in names}

    def each(what: Callable[[Version], Any]) -> dict[tuple[str, str | None], Any]:
        return {name: what(version) if isinstance(version, Version) else version for name, version in found.items()}

    return {
        "versioning": bucket.versioning,
        "tags": code_of(bucket.bucket_tags),
        "objects": [
            (key, len(v.body), v.etag, v.modified, sorted(v.checksums), v.checksum_type)
            for key, v in key_items(bucket, "", None) if v is not None
        ],
        "versions": [
            (key, v.id, latest, v.marker, None if v.marker else len(v.body), None if v.marker else v.etag, v.modified,
             sorted(v.checksums), v.checksum_type)
            for key, v, latest in versions
        ],
        "heads": each(lambda version: model_head(bucket, version)),
        "bodies": each(lambda version: version.body),
        "tagging": each(lambda version: dict(version.said.tags)),
        "attributes": each(
            lambda version: (version.etag, len(version.body), dict(version.checksums), version.parts, "STANDARD")
        ),
    }


def model_head(bucket: Bucket, version: Version) -> Seen:
    """What head_object has to answer."""
    return {
        "id": bucket.visible_id(version),
        "size": len(version.body),
        "etag": version.etag,
        "modified": version.modified,
        "type": version.said.content_type,
        "metadata": dict(version.said.metadata),
        "headers": dict(version.said.headers),
        "tags": dict(version.said.tags),
        "parts": version.parts,
        "checksums": dict(version.checksums),
        "checksum_type": version.checksum_type,
    }
