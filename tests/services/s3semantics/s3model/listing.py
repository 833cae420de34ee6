"""Listings, by looking at every key. A page is a slice of the whole."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

from s3model.bucket import Bucket
from s3model.values import Version

T = TypeVar("T")


def rolled_up(key: str, prefix: str, delimiter: str | None) -> str | None:
    """The common prefix that stands for a key: up to and with the first delimiter behind the prefix."""
    at = key.find(delimiter, len(prefix)) if delimiter else -1
    return None if at < 0 else key[: at + len(delimiter or "")]


def in_order(keys: Sequence[str], prefix: str) -> list[str]:
    """The keys with the prefix, in the order of their UTF-8 bytes."""
    return sorted((key for key in keys if key.startswith(prefix)), key=str.encode)


def key_items(bucket: Bucket, prefix: str, delimiter: str | None, after: str = "") -> list[tuple[str, Version | None]]:
    """ListObjectsV2: (key, object) or (common prefix, None), each once; `after` is start-after."""
    items: list[tuple[str, Version | None]] = []
    for key in in_order(list(bucket.history), prefix):
        current = bucket.current(key)
        if current is None or key.encode() <= after.encode():
            continue
        common = rolled_up(key, prefix, delimiter)
        if common is None:
            items.append((key, current))
        elif (common, None) not in items:
            items.append((common, None))
    return items


def marked_items(bucket: Bucket, prefix: str, delimiter: str | None, marker: str) -> list[tuple[str, Version | None]]:
    """ListObjects: only items that are themselves above the marker."""
    return [item for item in key_items(bucket, prefix, delimiter) if item[0].encode() > marker.encode()]


def version_items(
    bucket: Bucket, prefix: str, delimiter: str | None, key_marker: str = ""
) -> list[tuple[str, Version | None, bool]]:
    """ListObjectVersions: (key, version, is the latest) or (common prefix, None, False); the newest of a key first."""
    items: list[tuple[str, Version | None, bool]] = []
    for key in in_order(list(bucket.history), prefix):
        if key.encode() <= key_marker.encode():
            continue
        common = rolled_up(key, prefix, delimiter)
        if common is None:
            newest = bucket.history[key][-1]
            items += [(key, version, version is newest) for version in reversed(bucket.history[key])]
        elif (common, None, False) not in items:
            items.append((common, None, False))
    return items


def upload_items(bucket: Bucket, prefix: str, delimiter: str | None) -> list[tuple[str, str | None]]:
    """ListMultipartUploads: (key, upload id) or (common prefix, None); those of one key as their ids sort."""
    items: list[tuple[str, str | None]] = []
    there = sorted((upload.key.encode(), name) for name, upload in bucket.open.items())
    for key, name in ((key.decode(), name) for key, name in there):
        if not key.startswith(prefix):
            continue
        common = rolled_up(key, prefix, delimiter)
        if common is None:
            items.append((key, name))
        elif (common, None) not in items:
            items.append((common, None))
    return items


def part_items(bucket: Bucket, upload_id: str) -> list[tuple[int, str, int]]:
    """ListParts: (number, ETag, size), by number."""
    parts = sorted(bucket.open[upload_id].parts.items())
    return [(number, hashlib.md5(body).hexdigest(), len(body)) for number, body in parts]


def chunks(items: Sequence[T], size: int) -> list[list[T]]:
    """The pages of a listing. Only a listing without items has an empty page, and the last page is never truncated."""
    return [list(items[at : at + size]) for at in range(0, len(items), size)] or [[]]
