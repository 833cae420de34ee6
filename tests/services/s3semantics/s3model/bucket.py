"""A bucket: for every key the list of its versions, the newest last. Everything else follows from that list."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from s3model.conditions import check_read, check_source, check_write
from s3model.errors import Refused
from s3model.ranges import part_span, span
from s3model.uploads import Uploads
from s3model.values import Deleted, Said, Version, single

NULL = "null"


class Bucket(Uploads):
    """One bucket. `versioning` is None as long as nobody has ever set it, "Enabled" or "Suspended" afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.versioning: str | None = None
        self.history: dict[str, list[Version]] = {}
        self.tags: dict[str, str] = {}
        self.given: set[str] = set()  # every version id that was ever given out here

    # --- versions ---

    def set_versioning(self, status: str) -> None:
        if status not in ("Enabled", "Suspended"):
            raise Refused("InvalidArgument")
        self.versioning = status

    def current(self, key: str) -> Version | None:
        """The object under the key: the newest version, unless that is a delete marker."""
        newest = self.history.get(key, [None])[-1]
        return None if newest is None or newest.marker else newest

    def find(self, key: str, version_id: str | None = None) -> Version:
        """The object that a request names."""
        if version_id is None:
            current = self.current(key)
            if current is None:
                raise Refused("NoSuchKey")
            return current
        for version in self.history.get(key, []):
            if version.id == version_id:
                if version.marker:
                    raise Refused("MethodNotAllowed")
                return version
        raise Refused("NoSuchVersion")

    def visible_id(self, version: Version) -> str | None:
        """What x-amz-version-id says: nothing in a bucket that never had versions."""
        return None if self.versioning is None else version.id

    def add(self, key: str, version: Version, given: str | None) -> Version:
        """Put a version on top. `given` is the id that the store gave it."""
        versions = self.history.setdefault(key, [])
        if self.versioning == "Enabled":
            assert given not in (None, "", NULL), f"{key!r} got the version id {given!r} in an Enabled bucket"
            assert given not in self.given, f"the version id {given!r} was given out twice"
            self.given.add(given)
            version = replace(version, id=given)
        else:
            # A bucket that is not Enabled has one version of a key that it writes: the null version, which is replaced.
            assert given == (None if self.versioning is None else NULL), f"{key!r} got the version id {given!r}"
            versions[:] = [old for old in versions if old.id != NULL]
            version = replace(version, id=NULL)
        versions.append(version)
        return version

    def learn(self, key: str, version_id: str, modified: datetime) -> None:
        """Take over the time that the store gave a version; afterwards it may not say another one."""
        versions = self.history[key]
        for at, version in enumerate(versions):
            if version.id == version_id:
                assert version.modified in (None, modified), f"the time of {key!r} {version_id!r} has changed"
                versions[at] = replace(version, modified=modified)

    # --- writing ---

    def put(
        self,
        key: str,
        body: bytes,
        said: Said,
        given: str | None,
        *,
        checksums: Mapping[str, str] | None = None,
        content_md5: str | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Version:
        if content_md5 is not None and content_md5 != b64encode(hashlib.md5(body).digest()).decode():
            raise Refused("BadDigest")
        check_write(self.current(key), if_match, if_none_match)
        return self.add(key, single(body, said, checksums), given)

    def delete(
        self,
        key: str,
        version_id: str | None,
        given: str | None,
        *,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Deleted:
        check_write(self.current(key), if_match, if_none_match)
        versions = self.history.get(key, [])
        if version_id is not None:
            gone = [version for version in versions if version.id == version_id]
            self._keep(key, [version for version in versions if version.id != version_id])
            return Deleted(key, version_id, any(version.marker for version in gone))
        if self.versioning is None:
            self._keep(key, [])
            return Deleted(key, None, False)
        marker = self.add(key, Version("", marker=True), given)
        return Deleted(key, marker.id, True)

    def copy(
        self,
        source: Bucket,
        source_key: str,
        source_version_id: str | None,
        key: str,
        given: str | None,
        *,
        new: Said | None,
        new_tags: Mapping[str, str] | None,
        if_match: str | None = None,
        if_none_match: str | None = None,
        source_conditions: Mapping[str, str | float | None] | None = None,
    ) -> Version:
        """`new` and `new_tags` are given where the directive of metadata, or of tags, is REPLACE.

        Of several reasons to refuse S3 does not say which comes first; here the target's conditions do.
        """
        if source is self and source_key == key and source_version_id is None and new is None:
            raise Refused("InvalidRequest")
        check_write(self.current(key), if_match, if_none_match)
        try:
            was = source.find(source_key, source_version_id)
        except Refused as refused:
            # "You are not allowed to specify a delete marker as a version for the x-amz-copy-source."
            raise Refused("InvalidRequest") if refused.code == "MethodNotAllowed" else refused from None
        check_source(was, **(source_conditions or {}))
        said = was.said if new is None else replace(new, tags=was.said.tags)
        said = said if new_tags is None else replace(said, tags=new_tags)
        return self.add(key, replace(was, said=said, modified=None), given)

    def tag(self, key: str, version_id: str | None, tags: Mapping[str, str]) -> None:
        """Replace the tags of one version; no new version comes of it."""
        was = self.find(key, version_id)
        versions = self.history[key]
        versions[versions.index(was)] = replace(was, said=replace(was.said, tags=tags))

    def _keep(self, key: str, versions: list[Version]) -> None:
        if versions:
            self.history[key] = versions
        else:
            self.history.pop(key, None)

    # --- reading ---

    def read(
        self,
        key: str,
        version_id: str | None = None,
        wanted: str | None = None,
        part_number: int | None = None,
        **conditions: str | float | None,
    ) -> bytes:
        """The bytes of an object, of a range of it, or of one of its parts."""
        version = self.find(key, version_id)
        check_read(version, **conditions)
        if part_number is not None:
            start, stop = part_span(part_number, version.parts or (len(version.body),))
        else:
            start, stop = span(wanted, len(version.body))
        return version.body[start:stop]

    def bucket_tags(self) -> dict[str, str]:
        if not self.tags:
            raise Refused("NoSuchTagSet")
        return self.tags
