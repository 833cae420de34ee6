"""What a request says before its body: method, raw path, query and headers, each decoded exactly once ([GW-2])."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from mstbucket.gateway.refusals import Refused

#: Two lines of one of these headers are two meanings: refused, never joined.
_ONCE: Final = frozenset({
    "host", "authorization", "content-length", "content-md5", "content-type", "expect", "if-match", "range",
    "transfer-encoding", "x-amz-content-sha256", "x-amz-copy-source", "x-amz-date", "x-amz-decoded-content-length",
    "x-mst-commit",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """The head of one request.

    Attributes:
        id: names it in its answer and in the log.
        path: as it came, without the query, not decoded.
        query: names and values, decoded; a name stands once.
        headers: names in lower case; the values as they came, one character a byte.
        secure: it came over TLS, or from this machine itself.
        tls: it came over TLS.
    """

    id: str
    method: str
    path: bytes
    query: Mapping[str, str]
    headers: Mapping[str, str]
    secure: bool
    client: str
    tls: bool = False

    def header(self, name: str) -> str | None:
        """The value of a header as text: as UTF-8 if it is that, else one character a byte."""
        value = self.headers.get(name)
        if value is None or value.isascii():
            return value
        try:
            return value.encode("latin-1").decode("utf-8")
        except UnicodeDecodeError:
            return value


def parse_query(raw: bytes) -> dict[str, str]:
    """The names and values of a query; a name without a value has an empty one.

    Raises:
        Refused: it is not UTF-8, or names something twice: which of the two counts would be a guess.
    """
    query: dict[str, str] = {}
    for pair in raw.split(b"&"):
        if not pair:
            continue
        name, _, value = (_text(part) for part in pair.replace(b"+", b" ").partition(b"="))
        if name in query:
            raise Refused("InvalidArgument", f"The query names {name!r} twice.")
        query[name] = value
    return query


def parse_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by their names in lower case; the values of several lines joined with commas.

    Raises:
        Refused: a header that may stand once stands twice.
    """
    headers: dict[str, str] = {}
    for name_bytes, value_bytes in raw:
        name, value = name_bytes.decode("latin-1").lower(), value_bytes.decode("latin-1").strip(" \t")
        if name in headers:
            if name in _ONCE:
                raise Refused("InvalidRequest", f"The header {name} stands twice.")
            value = f"{headers[name]},{value}"
        headers[name] = value
    return headers


def decode_path(raw: bytes) -> str:
    """A path, decoded once: `%2F` is a slash of the key, `+` a plus, `//` and `..` stay as they are."""
    return _text(raw)


def _text(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("InvalidURI", "Couldn't parse the specified URI: it is not UTF-8.") from None


def bucket_and_key(path: bytes, host: str, domain: str | None) -> tuple[str, str]:
    """The bucket and the key that a request is about; empty if it names none ([GW-3]).

    Args:
        path: as it came.
        host: of the header, with or without a port.
        domain: with one, `BUCKET.DOMAIN` names the bucket, and the whole path the key.
    """
    if not path.startswith(b"/"):
        raise Refused("InvalidURI", "Couldn't parse the specified URI: its path does not begin with a slash.")
    if domain is not None:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        bucket, dot, rest = name.lower().partition("." + domain)
        if dot and not rest and bucket:
            return bucket, decode_path(path[1:])
    bucket_bytes, _, key = path[1:].partition(b"/")
    return decode_path(bucket_bytes), decode_path(key)
