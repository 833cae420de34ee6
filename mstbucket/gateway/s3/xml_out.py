"""XML for answers: templates, and one place that escapes ([GW-4])."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

HEAD: Final = b'<?xml version="1.0" encoding="UTF-8"?>\n'
XMLNS: Final = "http://s3.amazonaws.com/doc/2006-03-01/"

# A reader of XML keeps tabs and LF inside elements. It would turn CR into LF.
_SPECIAL: Final = {ord(c): f"&#{ord(c)};" for c in map(chr, range(32)) if c not in "\t\n"} | {
    ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;", 0xFFFE: "&#xFFFE;", 0xFFFF: "&#xFFFF;",
}  # fmt: skip


def escape(value: object) -> str:
    """A value as the text of an element."""
    return str(value).translate(_SPECIAL)


def element(name: str, value: object | None) -> str:
    """An element with a text; nothing where there is no value."""
    if value is None:
        return ""
    text = ("true" if value else "false") if isinstance(value, bool) else escape(value)
    return f"<{name}>{text}</{name}>"


def group(name: str, *inside: str) -> str:
    """An element with elements."""
    return f"<{name}>{''.join(inside)}</{name}>"


def document(root: str, *inside: str) -> bytes:
    """A whole document."""
    return HEAD + f'<{root} xmlns="{XMLNS}">{"".join(inside)}</{root}>'.encode()


def error_document(code: str, message: str, resource: str, request: str, more: Mapping[str, str]) -> bytes:
    """S3's document of an error, which has no namespace."""
    told = "".join(element(name, value) for name, value in more.items())
    inside = element("Code", code) + element("Message", message) + told
    return HEAD + f"<Error>{inside}{element('Resource', resource)}{element('RequestId', request)}</Error>".encode()


def moment(when: datetime) -> str:
    """A time as S3 writes it in XML."""
    return when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def quoted(etag: str) -> str:
    """An ETag as HTTP writes it."""
    return f'"{etag}"'


def tag_set(tags: Mapping[str, str]) -> str:
    """Tags, in order of their keys."""
    return group("TagSet", *(group("Tag", element("Key", k), element("Value", v)) for k, v in sorted(tags.items())))


def checksum_elements(checksums: Mapping[str, str]) -> str:
    """One element for each checksum: `ChecksumCRC32C`."""
    return "".join(element(f"Checksum{name.upper()}", value) for name, value in checksums.items())


class KeyEncoding:
    """Keys in a listing: as they are, or as `encoding-type=url` wants them, which keeps what XML cannot hold ([GW-24])."""

    def __init__(self, url: bool) -> None:
        self._url = url

    def __call__(self, text: str) -> str:
        """The text as it goes into the listing, not escaped yet. S3 writes a space as plus, and keeps slashes."""
        return quote(text, safe="/-_.*").replace("%20", "+") if self._url else text

    def said(self) -> str:
        """The element by which the listing names the encoding."""
        return "<EncodingType>url</EncodingType>" if self._url else ""

    def prefixes(self, prefixes: Iterable[str]) -> str:
        """The common prefixes of a page."""
        return "".join(f"<CommonPrefixes><Prefix>{escape(self(one))}</Prefix></CommonPrefixes>" for one in prefixes)
