"""What a replay needs of a manifest: four fields, read strictly, without making the other ten.

Nearly all manifests have one of a few shapes, and the bytes of such a shape are fixed but for the fields. One pattern
reads them in a quarter of the time of a decoder. It accepts only what `core.manifest.decode` accepts. Every other manifest
goes to that decoder.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from mstbucket.core.cid import CID, DAG_PB_PREFIX, RAW_PREFIX
from mstbucket.core.dagcbor import LINK_HEAD, head
from mstbucket.core.manifest import decode
from mstbucket.limits import CHUNK_SIZE, OBJECT_SIZE_MAX


class Content(NamedTuple):
    """Where the body of an object is, all None for a delete marker; and its version id, None for the null version.

    `sha256` is None where the manifest has none.
    """

    root: CID | None
    size: int | None
    sha256: bytes | None
    version_id: str | None


_SHORT: Final = rb"([\x60-\x77]|\x78[\x18-\xff])"  # the head of a text below 256 bytes, shortest form
_TIME: Final = rb"\x1b\0\0(?!\0\0).{6}"  # milliseconds from 1970 plus 50 days on, to 10,889
_SIZES: Final = {  # an integer from 0 to 2^48 in its shortest form, by the bytes it takes
    1: rb"[\x00-\x17]",
    2: rb"\x18[\x18-\xff]",
    3: rb"\x19(?!\0)..",
    5: rb"\x1a(?!\0\0).{4}",
    9: rb"\x1b\0\0(?!\0\0).{6}",
}
_TYPE: Final = b"\x6ccontent_type"
# Fields in their one order [MAN-3]; texts in printable ASCII, so that only their lengths remain to be checked.
_PLAIN: Final = re.compile(
    rb"(?s)([\xa6-\xa8])"
    rb"\x64etag" + _SHORT + rb"([ !#-~]+)"
    rb"\x64size(" + b"|".join(_SIZES.values()) + rb")"
    rb"(?:\x66sha256\x58\x20(.{32}))?"
    rb"\x67content" + re.escape(LINK_HEAD) + rb"(.{36})"
    rb"\x67created" + _TIME + rb"\x68modified" + _TIME + rb"(?:\x6aversion_id" + _SHORT + rb"([ -~]+))?"
    + _TYPE + _SHORT + rb"([ -~]*)"
)
_HEADS: Final = tuple(head(3, n) for n in range(256))
_SHAPES_MAX: Final = 64  # patterns kept; a bucket has a few shapes, and a hostile one makes no more than this
_shapes: dict[int, re.Pattern[bytes]] = {}  # by the length of the block
_content = tuple.__new__  # a named tuple made by its name takes twice as long




def read(block: bytes) -> Content:
    """Return what *block*, a manifest, says of its object's body.

    Raises:
        InvalidBlock: it is no strict manifest; as `core.manifest.decode`.
    """
    known = _shapes.get(len(block))
    match = None if known is None else known.fullmatch(block)
    if match is not None:
        size_item, sha256, root = match.groups()
        size = size_item[0] if len(size_item) == 1 else int.from_bytes(size_item[1:], "big")
        if root[:4] == (RAW_PREFIX if size <= CHUNK_SIZE else DAG_PB_PREFIX) and size <= OBJECT_SIZE_MAX:
            return _content(Content, (root, size, sha256, None))
    return _read(block)


def _read(block: bytes) -> Content:
    match = _PLAIN.fullmatch(block) if len(block) < 1024 else None
    if match is not None:
        count, etag_head, etag, size_item, sha256, root, version_head, version, type_head, content_type = match.groups()
        size = size_item[0] if len(size_item) == 1 else int.from_bytes(size_item[1:], "big")
        if (
            count[0] == 0xA6 + (sha256 is not None) + (version is not None)
            and len(etag) < 256
            and etag_head == _HEADS[len(etag)]
            and len(content_type) < 256
            and type_head == _HEADS[len(content_type)]
            and (version is None or (len(version) < 256 and version_head == _HEADS[len(version)] and version != b"null"))
            and root[:4] == (RAW_PREFIX if size <= CHUNK_SIZE else DAG_PB_PREFIX)
            and size <= OBJECT_SIZE_MAX
        ):
            if version is None and sha256 is not None:
                _remember(match)
            return Content(root, size, sha256, None if version is None else version.decode())
    manifest = decode(block)
    return Content(manifest.content, manifest.size, manifest.sha256, manifest.version_id)


def _remember(match: re.Match[bytes]) -> None:
    """Keep a pattern for manifests that differ from the one of *match* in values only. It leaves no lengths to check."""
    block, etag, size = match.string, match[3], match[4]
    if len(_shapes) < _SHAPES_MAX and len(block) not in _shapes:
        _shapes[len(block)] = re.compile(
            rb"(?s)" + re.escape(block[: match.start(3)]) + rb"[ !#-~]{%d}" % len(etag) + rb"\x64size(" + _SIZES[len(size)]
            + rb")" + re.escape(block[match.end(4) : match.start(5)]) + rb"(.{32})"
            + re.escape(block[match.end(5) : match.start(6)]) + rb"(.{36})\x67created" + _TIME + rb"\x68modified" + _TIME
            + re.escape(block[match.start(9) - len(_TYPE) :])
        )  # fmt: skip
