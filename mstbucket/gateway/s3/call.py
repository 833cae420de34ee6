"""One call of an operation: what its handler works on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from mstbucket import Bucket, BucketView, Store
from mstbucket.api.digests import check_digests
from mstbucket.errors import InvalidRequest
from mstbucket.gateway.auth.keyring import Keyring
from mstbucket.gateway.auth.rights import Known, Rights
from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.s3 import xml_in
from mstbucket.gateway.s3.needs import PAST
from mstbucket.gateway.views import Held, Views
from mstbucket.gateway.wire.content import CHECKSUM, Content, trailer_names
from mstbucket.gateway.wire.request import Request
from mstbucket.limits import LIST_KEYS_MAX, XML_MAX

ALGORITHMS: Final = ("crc32", "crc32c", "crc64nvme", "sha1", "sha256")
_HANDLES_MAX: Final = 1024


@dataclass(slots=True)
class Site:
    """What all calls of a process share: the store, and what it is to the outside."""

    store: Store
    region: str
    domain: str | None
    encrypts: bool
    known: Known
    keyring: Keyring
    views: Views
    handles: dict[str, Bucket] = field(default_factory=dict)

    def bucket(self, name: str) -> Bucket:
        """A handle of a bucket. It may be kept: each use of it finds the bucket by its name anew."""
        handle = self.handles.get(name)
        if handle is None:
            handle = self.store.bucket(name)
            if len(self.handles) >= _HANDLES_MAX:
                self.handles.clear()
            self.handles[name] = handle
        return handle


@dataclass(slots=True)
class Call:
    """One call.

    Attributes:
        bucket_name, key: what the path names.
        rights: what the caller may do.
        content: the body.
        held: the view of a commit, once a handler has read from it.
    """

    site: Site
    request: Request
    bucket_name: str
    key: str
    rights: Rights
    content: Content
    held: Held | None = None

    @property
    def store(self) -> Store:
        """The store."""
        return self.site.store

    @property
    def bucket(self) -> Bucket:
        """The bucket; it may be gone by now."""
        return self.site.bucket(self.bucket_name)

    @property
    def reading(self) -> Bucket | BucketView:
        """What a read reads from: the bucket, or its state at the commit that a header names ([GW-34])."""
        named = self.header(PAST)
        if named is None:
            return self.bucket
        if self.held is None:
            self.held = self.site.views.open(self.bucket, named)
        return self.held.view

    def require(self, action: str, bucket: str, key: str, version_id: str | None = None) -> None:
        """Raise unless the caller may do one more thing, such as read the source of a copy."""
        self.rights.require(action, bucket, key, version_id)

    # --- query and headers ---

    def query(self, name: str) -> str | None:
        """A parameter of the query."""
        return self.request.query.get(name)

    def header(self, name: str) -> str | None:
        """A header."""
        return self.request.header(name)

    def number(self, name: str, otherwise: int) -> int:
        """A parameter as a number from 0 on."""
        text = self.query(name)
        if text is None or text == "":
            return otherwise
        if re.fullmatch("[0-9]{1,10}", text) is None or int(text) > 2**31 - 1:
            raise Refused("InvalidArgument", f"Provided {name} not an integer or within integer range",
                          ArgumentName=name, ArgumentValue=text[:100])  # fmt: skip
        return int(text)

    def page(self, name: str) -> int:
        """How many entries a page may have."""
        return min(self.number(name, LIST_KEYS_MAX), LIST_KEYS_MAX)

    @property
    def version_id(self) -> str | None:
        """The version that the query names; an empty name is refused."""
        version_id = self.query("versionId")
        if version_id == "":
            raise Refused("InvalidArgument", "Version id cannot be the empty string", ArgumentName="versionId")
        return version_id

    def moment(self, name: str) -> datetime | None:
        """The date in a header. As RFC 9110 says, a text that is no date does not count."""
        text = self.header(name)
        if text is None:
            return None
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

    def truth(self, name: str) -> bool:
        """Whether a header is `true`."""
        return (self.header(name) or "").lower() == "true"

    # --- what is said of the body ---

    @property
    def checksums(self) -> dict[str, str]:
        """The checksums that stand before the body, base64 by algorithm.

        Raises:
            InvalidRequest: more than one.
        """
        headers = self.request.headers
        found = {name: headers[CHECKSUM + name] for name in ALGORITHMS if CHECKSUM + name in headers}
        if len(found) + len(self._trailing()) > 1:
            raise InvalidRequest("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
        return found

    def _trailing(self) -> list[str]:
        names = [name.removeprefix(CHECKSUM) for name in trailer_names(self.request) if name.startswith(CHECKSUM)]
        if any(name not in ALGORITHMS for name in names):
            raise Refused("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
        return names

    @property
    def checksum_algorithm(self) -> str | None:
        """The algorithm of the checksum to keep, if its value comes behind the body or not at all."""
        return next(iter(self._trailing()), self.header("x-amz-sdk-checksum-algorithm"))

    def checksums_behind(self) -> Callable[[], Mapping[str, str]] | None:
        """Gives the checksums behind the body, once it has ended; None where none were announced."""
        return self.content.checksums_behind if self._trailing() else None

    def xml(self, root: str) -> xml_in.Node:
        """The document in the body, after its digests were compared."""
        body = self.document()
        if not body:
            raise Refused("MissingRequestBodyError", "Request Body is empty")
        return xml_in.parse(body, root)

    def document(self) -> bytes:
        """A short body, after its digests were compared."""
        before = self.checksums
        body = self.content.whole(XML_MAX)
        check_digests(body, content_md5=self.header("content-md5"), checksums=before or self.content.checksums_behind())
        return body
