"""Conditional requests: RFC 9110, section 13, and what S3 answers where one is not met."""

from __future__ import annotations

from s3model.errors import Refused
from s3model.values import Version


def entity_tags(text: str) -> list[str]:
    """The ETags of a header, in quotes all of them; S3 takes them without as well."""
    tags = [tag.strip() for tag in text.split(",")]
    return [tag if tag == "*" or tag.startswith(('"', 'W/"')) else f'"{tag}"' for tag in tags]


def matches_strongly(text: str, etag: str) -> bool:
    """If-Match: a weak entity-tag is equal to nothing."""
    return bool({"*", f'"{etag}"'} & set(entity_tags(text)))


def matches_weakly(text: str, etag: str) -> bool:
    """If-None-Match: weak or strong makes no difference."""
    return bool({"*", f'"{etag}"', f'W/"{etag}"'} & set(entity_tags(text)))


def read_verdict(
    version: Version,
    if_match: str | None = None,
    if_none_match: str | None = None,
    if_modified_since: float | None = None,
    if_unmodified_since: float | None = None,
) -> int:
    """200, 304 or 412. The steps are those of section 13.2.2; times are seconds since 1970, compared in whole seconds."""
    assert version.modified is not None
    second = version.modified.timestamp() // 1
    if if_match is not None:
        if not matches_strongly(if_match, version.etag):
            return 412
    elif if_unmodified_since is not None and second > if_unmodified_since // 1:
        return 412
    if if_none_match is not None:
        if matches_weakly(if_none_match, version.etag):
            return 304
    elif if_modified_since is not None and second <= if_modified_since // 1:
        return 304
    return 200


def check_read(version: Version, **conditions: str | float | None) -> None:
    """Of a get or a head."""
    verdict = read_verdict(version, **conditions)  # type: ignore[arg-type]
    if verdict != 200:
        raise Refused("NotModified" if verdict == 304 else "PreconditionFailed")


def check_source(version: Version, **conditions: str | float | None) -> None:
    """Of a copy, which knows no 304."""
    if read_verdict(version, **conditions) != 200:  # type: ignore[arg-type]
        raise Refused("PreconditionFailed")


def check_write(current: Version | None, if_match: str | None, if_none_match: str | None) -> None:
    """Of a put, copy, delete or completion. `current` is None also where the newest version is a delete marker."""
    if if_match is not None:
        if current is None:
            raise Refused("NoSuchKey")
        if not matches_strongly(if_match, current.etag):
            raise Refused("PreconditionFailed")
    if if_none_match is not None and current is not None and matches_weakly(if_none_match, current.etag):
        raise Refused("PreconditionFailed")
