"""Two buckets of a real store beside two of the model of S3, and what it means that they agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import md5
from typing import Any, Final

import s3model
from s3model import (
    Bucket,
    Pages,
    Refused,
    Service,
    chunks,
    key_items,
    marked_items,
    part_items,
    part_pages,
    upload_items,
    version_items,
)

import mstbucket

PART_SIZE_MIN: Final = 20  # of every part but the last; S3's 5 MiB would make every example slow
OTHER: Final = md5(b"of no body here").hexdigest()


class Pair:
    """Buckets `x` and `y`, each real and as the model has it.

    `uploads` are all that were ever begun: bucket, key, id, and the ETags of the parts that were ever sent, by number.
    """

    names: Iterator[str]
    open_store: Callable[[int], mstbucket.Store]

    def start(self) -> None:
        """Open the first place, with two empty buckets."""
        self.place = 0
        self.store = self.open_store(0)
        self.service = Service()
        self.real: dict[str, mstbucket.Bucket] = {}
        self.uploads: list[tuple[str, str, str, dict[int, str]]] = []
        for letter in "xy":
            self.new_bucket(letter)

    @property
    def model(self) -> dict[str, Bucket]:
        return self.service.buckets

    def new_bucket(self, letter: str) -> None:
        self.real[letter] = self.store.create_bucket(next(self.names))
        self.service.create(letter).part_size_min = PART_SIZE_MIN

    def agree(self, real: Callable[[], Any], model: Callable[[Any], Any]) -> tuple[Any, Any] | None:
        """Ask both. None where both refuse with the same code; what the two answer where neither does."""
        result, refused = None, None
        try:
            result = real()
        except mstbucket.errors.MstBucketError as error:
            refused = error
        try:
            wanted = model(result)
        except Refused as error:
            due = error
        else:
            if refused is not None:
                raise AssertionError("S3 does not refuse this") from refused
            return result, wanted
        assert refused is not None, f"S3 refuses this with {due.code}; the store answered {result!r}"
        assert (refused.code, refused.status) == (due.code, due.status)
        return None

    def stored(self, letter: str, key: str, real: Callable[[], Any], model: Callable[[str | None], Any]) -> None:
        both = self.agree(real, lambda result: model("?" if result is None else result.version_id))
        if both is not None:
            self.check_put(letter, *both)
        self.look(letter, key)

    def check_put(self, letter: str, result: Any, version: Any) -> None:
        assert (result.etag, result.size) == (version.etag, len(version.body))
        assert result.version_id == self.model[letter].visible_id(version)
        assert result.checksums == version.checksums

    def look(self, letter: str, key: str) -> None:
        """The versions of a key, newest first, are those of the model, which learns the times of the new ones."""
        page = self.real[letter].list_object_versions(key)
        found = [version for version in page.versions if version.key == key]
        assert [(version.version_id, version.delete_marker) for version in found] == [
            (version.id, version.marker) for version in reversed(self.model[letter].history.get(key, []))
        ]
        first = self.real[letter].list_objects(key, max_keys=1).contents  # of the keys that start with it it is the first
        assert (first[:1] != () and first[0].key == key) == (self.model[letter].current(key) is not None)
        for version in found:
            self.model[letter].learn(key, version.version_id, version.last_modified)

    def shown(self, letter: str) -> dict[str, Any]:
        """All that is seen of a bucket; it is what is seen of the model."""
        found = s3model.shown(self.real[letter])
        assert found == s3model.shown(self.model[letter])
        return found

    def compare_listings(self, letter: str, prefix: str, delimiter: str | None, after: str) -> None:
        model = self.model[letter]
        keys = [text for text, _ in key_items(model, prefix, delimiter, after)]
        marked = [text for text, _ in marked_items(model, prefix, delimiter, after)]
        versions = [(text, version and version.id) for text, version, _ in version_items(model, prefix, delimiter)]
        uploads = upload_items(model, prefix, delimiter)
        for size in range(1, max(len(keys), len(versions), len(uploads)) + 2):
            pages = Pages(self.real[letter], prefix, delimiter, size)
            assert [*pages.v2(after or None)] == chunks(keys, size)
            assert [*pages.v1(after or None)] == chunks(marked, size)
            assert [*pages.versions()] == chunks(versions, size)
            assert [*pages.uploads()] == chunks(uploads, size)
        for upload_id, upload in model.open.items():
            parts = part_items(model, upload_id)
            for size in range(1, len(parts) + 2):
                assert [*part_pages(self.real[letter], upload.key, upload_id, size)] == chunks(parts, size)

    def conditions(self, letter: str, key: str, match: str | None, none_match: str | None) -> dict[str, Any]:
        """If-Match and If-None-Match of ETags that are those of the object there, or are not."""
        current = self.model[letter].current(key)
        etag = OTHER if current is None else current.etag
        asked = {"if_match": match, "if_none_match": none_match}
        return {name: text and text.format(etag, OTHER) for name, text in asked.items()}

    def key(self, letter: str, there: str | int) -> str:
        """A key that is in the bucket, where a number was drawn."""
        keys = sorted(self.model[letter].history) or ["a"]
        return keys[there % len(keys)] if isinstance(there, int) else there

    def version_id(self, letter: str, key: str, which: int | None) -> str | None:
        if which is None:
            return None
        there = [version.id for version in reversed(self.model[letter].history.get(key, []))]
        ids = [*there, *there, "null", "no-such-version"]
        return ids[which % len(ids)]

    def modified(self, letter: str, key: str, version_id: str | None) -> datetime:
        for version in reversed(self.model[letter].history.get(key, [])):
            if version.modified is not None and version_id in (None, version.id):
                return version.modified
        return datetime.now(UTC)

    def upload(self, at: int) -> tuple[str, str, str, dict[int, str]]:
        """One of the last uploads begun; one that never was where there is none."""
        return self.uploads[-1 - at % len(self.uploads)] if self.uploads else ("x", "a", "0" * 44, {})
