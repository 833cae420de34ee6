"""What is stored beside the bytes of a file: the file itself has only bytes and a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mstbucket.core.s3rules.metadata import RESPONSE_HEADERS, check_request
from mstbucket.errors import InvalidInput
from mstbucket.files.types import guess_type
from mstbucket.model.objects import EMPTY, ObjectInfo, PutRequest
from mstbucket.model.streams import Readable


@dataclass(frozen=True, slots=True)
class Extras:
    """What was asked for. For what is None, the object that is replaced decides, or the end of the key.

    Attributes:
        content_type, metadata, headers, tags: as for `Bucket.put_object`.
    """

    content_type: str | None = None
    metadata: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None
    tags: Mapping[str, str] | None = None

    def check(self) -> None:
        """Refuse what no object could have.

        Raises:
            InvalidInput: and its kinds, as for `Bucket.put_object`.
        """
        check_request(self.request("every object", b""))
        unknown = sorted({name.lower() for name in self.headers or EMPTY} - set(RESPONSE_HEADERS))
        if unknown:
            raise InvalidInput(f"{unknown[0]!r} is no header that is kept: those are {', '.join(RESPONSE_HEADERS)}")

    def request(self, key: str, body: bytes | Readable, replaced: ObjectInfo | None = None) -> PutRequest:
        """The request that stores *body* under *key*, in the place of *replaced* where only bytes are to change."""
        # [SYNC-17] a file cannot say these, so nobody has said that they are to change
        kind, metadata, headers, tags = (
            (guess_type(key), EMPTY, EMPTY, EMPTY)
            if replaced is None
            else (replaced.content_type, replaced.metadata, replaced.headers, replaced.tags)
        )
        return PutRequest(
            key,
            body,
            kind if self.content_type is None else self.content_type,
            metadata if self.metadata is None else self.metadata,
            headers if self.headers is None else self.headers,
            tags if self.tags is None else self.tags,
        )


NO_EXTRAS: Final = Extras()
