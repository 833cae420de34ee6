"""The library's calls, over HTTP: a store and its buckets that are boto3 before one gateway or several.

What the rows and the machine of `tests/services/s3semantics` call is here under the same names, with the same values and
errors, so that they run as they are. Each call goes to any of the gateways. What S3 has no word for (a flush, `verify`, the
many puts that fill a bucket, an object's manifest) is asked of the gateway's extension, or of the library beside it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.header import decode_header, make_header
from io import BufferedReader
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, unquote, urlencode
from xml.etree import ElementTree

import pytest
import shapes
from botocore.exceptions import ClientError, HTTPClientError, ParamValidationError
from httperrors import CannotSay, code_without_body, translated

import mstbucket

#: Sends `POST /BUCKET?mst-flush` to a gateway: status and body.
Flush = Callable[[Any, str], tuple[int, dict[str, Any]]]


def watch(client: Any) -> None:
    """Look at every answer of a client: its shape, and in a listing of versions the order, which boto3 loses."""

    def look(http_response: Any, parsed: Any, model: Any, **_: Any) -> None:
        if http_response.status_code >= 300:
            return
        shapes.check(model.name, parsed)
        body = b"" if model.has_streaming_output else http_response.content
        assert shapes.unknown(body, model) == []
        if model.name == "ListObjectVersions":
            kinds = [node.tag.rpartition("}")[2] + "s" for node in ElementTree.fromstring(body)]
            parsed["Order"] = [kind for kind in kinds if kind in ("Versions", "DeleteMarkers")]

    client.meta.events.register("after-call.s3", look)
    client.meta.events.register("before-call.s3", _expires)


def _expires(params: Any, context: Any, **_: Any) -> None:
    """`Expires` is a header of any text; boto3 takes a time only, so the text travels as a metadata until here."""
    text = params["headers"].pop("x-amz-meta-expires-here", None)
    if text is not None:
        params["headers"]["Expires"] = text


class HttpStore:
    """The store behind some gateways. Its buckets' names are under a prefix, so that many such stores share it."""

    def __init__(
        self, gateways: Sequence[Any], clients: Sequence[Any], library: mstbucket.Store, prefix: str, flush: Flush
    ) -> None:
        self.gateways = gateways
        self.clients = clients
        self.library = library
        self.prefix = prefix
        self.flush = flush
        self.chance = random.Random(prefix)
        self.made: set[str] = set()

    def create_bucket(self, name: str) -> Any:
        self.call("create_bucket", Bucket=self.prefix + name)
        self.made.add(name)
        return self.bucket(name)

    def bucket(self, name: str) -> Any:
        from httpbucket import HttpBucket

        self.call("head_bucket", Bucket=self.prefix + name)
        return HttpBucket(self, name)

    def delete_bucket(self, name: str) -> None:
        self.call("delete_bucket", Bucket=self.prefix + name)

    def list_buckets(self) -> list[Any]:
        """Those that were made here: others share the gateways."""
        asked: dict[str, Any] = {"Prefix": self.prefix} if self.prefix else {}
        names = [one["Name"].removeprefix(self.prefix) for one in self.call("list_buckets", **asked)["Buckets"]]
        return [SimpleNamespace(name=name) for name in names if name in self.made]

    def close(self) -> None:
        """The gateways go on."""

    def call(self, verb: str, **arguments: Any) -> Any:
        """The answer of any of the gateways, or the library's error."""
        said = {name: value for name, value in arguments.items() if value is not None}
        if any("\ud800" <= character <= "\udfff" for character in _texts(said)):
            raise CannotSay("a lone surrogate has no UTF-8")
        try:
            return getattr(self.chance.choice(self.clients), verb)(**said)
        except HTTPClientError as error:
            if "Invalid header" not in str(error):
                raise
            raise CannotSay("a header holds no line break") from error
        except ParamValidationError as error:
            raise CannotSay("boto3 takes no such argument") from error
        except ClientError as error:
            if not code_without_body(error):
                raise translated(error) from error
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        # A HEAD has no body, and so no code. A GET has, and it is refused with the same status.
        said.pop("ChecksumMode", None)
        with pytest.raises(mstbucket.errors.MstBucketError) as caught:
            self.call({"head_object": "get_object", "head_bucket": "list_objects_v2"}[verb], **said)
        assert caught.value.status == status
        raise caught.value


# --- values, in both directions -----------------------------------------------------------------------------------------

#: The headers that are kept with an object, as boto3 calls them.
HEADERS: Mapping[str, str] = {
    "cache-control": "CacheControl", "content-disposition": "ContentDisposition", "content-encoding": "ContentEncoding",
    "content-language": "ContentLanguage", "expires": "ExpiresString",
}  # fmt: skip

ALGORITHMS = frozenset({"crc32", "crc32c", "crc64nvme", "sha1", "sha256"})

_WRITTEN = "escaped:"  # longer than any text that the machine draws


def held(text: str) -> str:
    """A text in a header, which holds ASCII and no blanks at its ends: as a client has to write any other."""
    if "\r" in text or "\n" in text:
        raise CannotSay("a header holds no line break")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise CannotSay("a lone surrogate has no UTF-8")
    plain = text.isascii() and text.isprintable() and text == text.strip() and text != ""
    return text if plain else _WRITTEN + quote(text)


def meant(text: str) -> str:
    """What `held` wrote; or a text that came into the store by the library, as S3 shows it, by RFC 2047."""
    if text.startswith(_WRITTEN):
        return unquote(text.removeprefix(_WRITTEN))
    return str(make_header(decode_header(text))) if text.startswith("=?") else text


def _header(name: str) -> str:
    if name.lower() not in HEADERS:
        raise CannotSay(f"boto3 has no argument for a header {name}")
    return HEADERS[name.lower()]


def described(
    content_type: str | None = None, metadata: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None,
    tags: Any = None, storage_class: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What is said of an object that is made, as boto3's arguments."""
    if len({name.lower() for name in headers or ()}) < len(headers or ()):
        raise CannotSay("boto3 has one argument for a header")
    said: dict[str, Any] = {_header(name): held(text) for name, text in (headers or {}).items()}
    meta = {name: held(text) for name, text in (metadata or {}).items()}
    if "ExpiresString" in said:
        meta["expires-here"] = said.pop("ExpiresString")
    tagging = urlencode(tags) if tags else None
    return {**said, "ContentType": content_type, "Metadata": meta or None, "Tagging": tagging, "StorageClass": storage_class}


def second(when: datetime) -> datetime:
    """A time in whole seconds, which is all that HTTP tells; listings tell milliseconds."""
    return when.astimezone(UTC).replace(microsecond=0)


def bare(etag: str) -> str:
    """An ETag without its quotes, which S3 always writes, but for GetObjectAttributes."""
    assert etag[0] == etag[-1] == '"', etag
    return etag[1:-1]


def _texts(said: Any) -> str:
    """All text in the arguments of a call, as it is."""
    if isinstance(said, str):
        return said
    if isinstance(said, Mapping):
        return "".join(_texts(one) for pair in said.items() for one in pair)
    return "".join(map(_texts, said)) if isinstance(said, (list, tuple)) else ""


def lowered(name: str | None) -> str | None:
    """The name of an algorithm as the library writes it."""
    return None if name is None else name.lower()


def summed(given: Mapping[str, str] | None) -> dict[str, str]:
    """Checksums as boto3's arguments."""
    unknown = set(given or ()) - ALGORITHMS
    if unknown:
        raise CannotSay(f"boto3 has no checksum {sorted(unknown)[0]}")
    return {f"Checksum{name.upper()}": text for name, text in (given or {}).items()}


def sendable(body: Any) -> Any:
    """A body that boto3 can send as it is."""
    if isinstance(body, str) or not isinstance(body, (bytes, bytearray, BufferedReader)):
        raise CannotSay("boto3 reads a body to its end before it sends any of it")
    return body


def checksums_in(answer: Mapping[str, Any]) -> dict[str, str]:
    """The checksums in an answer."""
    return {
        name.removeprefix("Checksum").lower(): text
        for name, text in answer.items()
        if name.startswith("Checksum") and name not in ("ChecksumType", "ChecksumAlgorithm")
    }


def cid_of(answer: Mapping[str, Any]) -> str:
    """The CID of the body that an answer is about, which the gateway tells in a header of its own."""
    return str(answer["ResponseMetadata"]["HTTPHeaders"]["x-mst-cid"])


def tag_set(tags: Any) -> dict[str, Any]:
    """Tags as boto3 wants them."""
    pairs = tags.items() if isinstance(tags, Mapping) else tags
    return {"TagSet": [{"Key": key, "Value": value} for key, value in pairs]}
