"""Paging through the listings of a real bucket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def merged(keys: Sequence[str], prefixes: Sequence[str]) -> list[str]:
    """Keys and common prefixes of a page in one list; each of the two has to come in the order of UTF-8 bytes."""
    for texts in (keys, prefixes):
        assert list(texts) == sorted(texts, key=str.encode)
    return sorted([*keys, *prefixes], key=str.encode)


def numbered(named: Sequence[tuple[str, str]], prefixes: Sequence[str]) -> list[tuple[str, str | None]]:
    """The same where a key comes with the id of a version or of an upload. Those of one key stay as they came."""
    merged([key for key, _ in named], prefixes)
    return sorted([*named, *((text, None) for text in prefixes)], key=lambda item: item[0].encode())


class Pages:
    """Pages through the listings of a real bucket; each page as a list of items in order, as the model's `chunks` are.

    On the way it checks what has to hold for every page: next markers are there exactly where it is truncated.
    """

    def __init__(self, bucket: Any, prefix: str, delimiter: str | None, size: int) -> None:
        self._bucket = bucket
        self._size = size
        self._said = {"prefix": prefix, "delimiter": delimiter}

    def v2(self, start_after: str | None = None) -> Iterator[list[str]]:
        token = None
        while True:
            page = self._bucket.list_objects(
                **self._said, max_keys=self._size, start_after=start_after, continuation_token=token
            )
            yield merged([o.key for o in page.contents], page.common_prefixes)
            token = page.next_continuation_token
            assert page.is_truncated == (token is not None)
            if token is None:
                return

    def v1(self, marker: str | None = None) -> Iterator[list[str]]:
        while True:
            page = self._bucket.list_objects_v1(**self._said, max_keys=self._size, marker=marker)
            items = merged([o.key for o in page.contents], page.common_prefixes)
            yield items
            assert page.next_marker == (items[-1] if page.is_truncated and self._said["delimiter"] else None)
            if not page.is_truncated:
                return
            marker = items[-1]

    def versions(self, key_marker: str | None = None) -> Iterator[list[tuple[str, str | None]]]:
        version_id_marker = None
        while True:
            page = self._bucket.list_object_versions(
                **self._said, max_keys=self._size, key_marker=key_marker, version_id_marker=version_id_marker
            )
            yield numbered([(v.key, v.version_id) for v in page.versions], page.common_prefixes)
            key_marker, version_id_marker = page.next_key_marker, page.next_version_id_marker
            assert page.is_truncated == (key_marker is not None)
            assert page.is_truncated or version_id_marker is None
            if not page.is_truncated:
                return

    def uploads(self) -> Iterator[list[tuple[str, str | None]]]:
        key_marker = upload_id_marker = None
        while True:
            page = self._bucket.list_multipart_uploads(
                **self._said, max_uploads=self._size, key_marker=key_marker, upload_id_marker=upload_id_marker
            )
            yield numbered([(u.key, u.id) for u in page.uploads], page.common_prefixes)
            key_marker, upload_id_marker = page.next_key_marker, page.next_upload_id_marker
            assert page.is_truncated == (key_marker is not None)
            if not page.is_truncated:
                return


def part_pages(bucket: Any, key: str, upload_id: str, size: int) -> Iterator[list[tuple[int, str, int]]]:
    """(number, ETag, size) of the parts of an open upload, page by page."""
    marker = 0
    while True:
        page = bucket.list_parts(key, upload_id, part_number_marker=marker, max_parts=size)
        yield [(part.number, part.etag, part.size) for part in page.parts]
        marker = page.next_part_number_marker
        assert page.is_truncated == (marker is not None)
        if marker is None:
            return
