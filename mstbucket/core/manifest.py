"""Manifests: the block that the tree holds for each key, and everything S3 shows about the object.

The bytes are a pure function of the fields, written by hand in the one order DAG-CBOR allows. `encode` checks every
field while it writes; `decode` reads with the fast decoder, writes again and compares, so both sides have the same
rules and there is one spelling of every manifest. `spec/format/04-manifest.md` is normative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from mstbucket.core.cid import CID, CID_SIZE, DAG_PB_PREFIX, RAW_PREFIX, dag_cbor_cid, to_text
from mstbucket.core.dagcbor import INT_MAX, LINK_HEAD, decode_fast, head
from mstbucket.errors import InvalidBlock, InvalidInput
from mstbucket.limits import CHUNK_SIZE, MANIFEST_BLOCK_MAX, OBJECT_SIZE_MAX, PARTS_MAX, VERSION_ID_MAX

HEADERS: Final = frozenset(
    ("cache-control", "content-disposition", "content-encoding", "content-language", "expires"),
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """An object, or a delete marker; absent fields are None, empty maps and empty `parts`.

    Attributes:
        content: root CID of the body, raw up to one chunk, dag-pb above. None for a delete marker only.
        size: bytes of the body. None for a delete marker only.
        etag: as S3 shows it, without the quotes. None for a delete marker only.
        content_type: as S3 shows it. None for a delete marker only.
        created: when this version was written, milliseconds since 1970 UTC.
        modified: what S3 shows as Last-Modified, milliseconds since 1970 UTC.
        sha256: digest of the whole body, 32 bytes, where one pass saw it.
        checksums: S3's additional checksums, by algorithm in lower case (`crc32c`, ...), base64 as S3 shows them.
        headers: any of `HEADERS`, by name in lower case.
        metadata: user metadata, by name without `x-amz-meta-`.
        tags: the object's tags.
        version_id: as S3 shows it; None is S3's "null" version.
        delete_marker: True makes it a delete marker, which has `created`, `modified` and `version_id` only.
        parts: sizes of a multipart upload's parts, in order; they add up to `size`.
    """

    content: CID | None
    size: int | None
    etag: str | None
    content_type: str | None
    created: int
    modified: int
    sha256: bytes | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    version_id: str | None = None
    delete_marker: bool = False
    parts: Sequence[int] = ()


def _name(text: str) -> bytes:
    return head(3, len(text)) + text.encode()


# [MAN-3] by length, then by bytes: the order in which the fields stand below is the order in the block
_ETAG: Final = _name("etag")
_SIZE: Final = _name("size")
_TAGS: Final = _name("tags")
_PARTS: Final = _name("parts")
_SHA256: Final = _name("sha256") + head(2, 32)
_CONTENT: Final = _name("content") + LINK_HEAD
_CREATED: Final = _name("created")
_HEADERS: Final = _name("headers")
_METADATA: Final = _name("metadata")
_MODIFIED: Final = _name("modified")
_CHECKSUMS: Final = _name("checksums")
_VERSION_ID: Final = _name("version_id")
_CONTENT_TYPE: Final = _name("content_type")
_DELETE_MARKER: Final = _name("delete_marker") + b"\xf5"
_MAP_HEAD: Final = tuple(head(5, n) for n in range(24))
_FIELDS: Final = frozenset(Manifest.__slots__)


def encode(manifest: Manifest) -> bytes:
    """Return the block of *manifest*. Equal fields give equal bytes, whatever order its maps are in.

    Raises:
        InvalidInput: a field is missing, has another type, or a value outside its range; the message names it.
    """
    try:
        block = _encode_marker(manifest) if manifest.delete_marker is not False else _encode_object(manifest)
    except UnicodeEncodeError as error:  # [MAN-4]
        raise InvalidInput(f"a manifest's text {error.object[:60]!r} holds a lone surrogate; remove it") from None
    if len(block) > MANIFEST_BLOCK_MAX:  # [MAN-2]
        raise InvalidInput(f"a manifest has {len(block)} bytes, more than {MANIFEST_BLOCK_MAX}; shorten its metadata")
    return block


def decode(block: bytes) -> Manifest:
    """Return the manifest in *block*. Not checked here: that the content exists and has its size.

    Raises:
        InvalidBlock: not a map of the known fields, a field that `encode` refuses, or bytes that `encode` does not
            write. Get another copy; if its hash is right, the writer is at fault.
    """
    if len(block) > MANIFEST_BLOCK_MAX:  # [MAN-2] before anything is read
        raise InvalidBlock(f"a manifest has {len(block)} bytes, more than {MANIFEST_BLOCK_MAX}")
    try:
        manifest = _from_value(decode_fast(block))
        again = encode(manifest)
    except (InvalidBlock, InvalidInput) as error:
        raise InvalidBlock(f"manifest {to_text(dag_cbor_cid(block))}: {error}").about(cid=dag_cbor_cid(block)) from None
    if again != block:  # [MAN-1]
        raise InvalidBlock(
            f"manifest {to_text(dag_cbor_cid(block))} is not written as its fields demand"
        ).about(cid=dag_cbor_cid(block))
    return manifest


def _encode_object(m: Manifest) -> bytes:
    # [MAN-15] What a manifest has to have is asked for its type: None, for a field that is not there, is of none.
    size, content, etag = m.size, m.content, m.etag
    if type(size) is not int or not 0 <= size <= OBJECT_SIZE_MAX:  # [MAN-7]
        _refuse("size", size, f"an integer from 0 to {OBJECT_SIZE_MAX}")
    prefix = RAW_PREFIX if size <= CHUNK_SIZE else DAG_PB_PREFIX
    if type(content) is not bytes or len(content) != CID_SIZE or not content.startswith(prefix):  # [MAN-6]
        _refuse("content", content, f"a CID that starts {prefix.hex(' ')}, as a body of {size} bytes has")
    if type(etag) is not str or not etag or '"' in etag:  # [MAN-8]
        _refuse("etag", etag, "a text without quotes, not empty")
    out = [b"", _ETAG, _text("etag", etag), _SIZE, _uint("size", size)]
    if m.tags:
        out += (_TAGS, _map("tags", m.tags))
    if m.parts:
        out += (_PARTS, _parts(m.parts, size))
    if m.sha256 is not None:
        if type(m.sha256) is not bytes or len(m.sha256) != 32:  # [MAN-9]
            _refuse("sha256", m.sha256, "32 bytes")
        out += (_SHA256, m.sha256)
    out += (_CONTENT, content, _CREATED, _uint("created", m.created))
    if m.headers:
        out += (_HEADERS, _map("headers", m.headers))
        if not m.headers.keys() <= HEADERS:  # [MAN-10]
            _refuse("headers", ", ".join(m.headers.keys() - HEADERS), f"some of {', '.join(sorted(HEADERS))}")
    if m.metadata:
        out += (_METADATA, _map("metadata", m.metadata))
    out += (_MODIFIED, _uint("modified", m.modified))
    if m.checksums:
        out += (_CHECKSUMS, _map("checksums", m.checksums))
    if m.version_id is not None:
        out += (_VERSION_ID, _version_id(m.version_id))
    out += (_CONTENT_TYPE, _text("content_type", m.content_type))
    out[0] = _MAP_HEAD[len(out) >> 1]  # two items per field, and this one
    return b"".join(out)


def _encode_marker(m: Manifest) -> bytes:
    # [MAN-12] [MAN-15] as for an object
    if m.delete_marker is not True:
        _refuse("delete_marker", m.delete_marker, "true, or absent")
    for name in ("content", "size", "etag", "content_type", "sha256"):  # [MAN-12]
        if getattr(m, name) is not None:
            _refuse(name, getattr(m, name), "absent in a delete marker")
    for name in ("checksums", "headers", "metadata", "tags", "parts"):  # [MAN-12]
        if getattr(m, name):
            _refuse(name, getattr(m, name), "absent in a delete marker")
    out = [b"", _CREATED, _uint("created", m.created), _MODIFIED, _uint("modified", m.modified)]
    if m.version_id is not None:
        out += (_VERSION_ID, _version_id(m.version_id))
    out[0] = _MAP_HEAD[(len(out) >> 1) + 1]
    return b"".join((*out, _DELETE_MARKER))


def _uint(name: str, n: int) -> bytes:
    # [MAN-7] bool is an int in Python, and not in DAG-CBOR
    if type(n) is not int or not 0 <= n <= INT_MAX:
        _refuse(name, n, "an integer from 0 to 2^63 - 1")
    return head(0, n)


def _text(name: str, text: str | None) -> bytes:
    if type(text) is not str:
        _refuse(name, text, "a text")
    data = text.encode()
    if 0 in data:  # [MAN-4] Postgres holds no NUL in text, and a rebuild has to hold everything
        _refuse(name, text, "without NUL")
    return head(3, len(data)) + data


def _version_id(text: str) -> bytes:
    data = _text("version_id", text)
    if not text or text == "null" or len(text.encode()) > VERSION_ID_MAX:  # [MAN-11]
        _refuse("version_id", text, f"absent, or a text of 1 to {VERSION_ID_MAX} bytes other than 'null'")
    return data


def _map(name: str, texts: Mapping[str, str]) -> bytes:
    if not isinstance(texts, Mapping):
        _refuse(name, texts, "a map of texts")
    if "" in texts:  # [MAN-5]
        _refuse(name, texts, "a map without the empty name")
    items = sorted((_text(name, key), _text(name, value)) for key, value in texts.items())
    # [MAN-3] heads are minimal, so the order of encoded names is theirs by length, then by bytes
    return head(5, len(items)) + b"".join([part for item in items for part in item])


def _parts(parts: Sequence[int], size: int) -> bytes:
    if not isinstance(parts, (tuple, list)) or len(parts) > PARTS_MAX:  # [MAN-13]
        _refuse("parts", parts, f"a list of 1 to {PARTS_MAX} sizes")
    items = [_uint("parts", part) for part in parts]
    if sum(parts) != size:  # [MAN-13]
        _refuse("parts", f"a sum of {sum(parts)}", f"sizes that add up to {size}")
    return head(4, len(items)) + b"".join(items)


def _from_value(value: Any) -> Manifest:
    if type(value) is not dict:
        raise InvalidBlock("not a map")
    if not value.keys() <= _FIELDS:  # [MAN-14]
        raise InvalidBlock(f"unknown fields {sorted(value.keys() - _FIELDS)}: a newer program may have written it")
    return Manifest(
        content=value.get("content"),
        size=value.get("size"),
        etag=value.get("etag"),
        content_type=value.get("content_type"),
        created=value.get("created"),  # type: ignore[arg-type]  # `encode` checks every type
        modified=value.get("modified"),  # type: ignore[arg-type]
        sha256=value.get("sha256"),
        checksums=value.get("checksums") or {},
        headers=value.get("headers") or {},
        metadata=value.get("metadata") or {},
        tags=value.get("tags") or {},
        version_id=value.get("version_id"),
        delete_marker=value.get("delete_marker", False),
        parts=tuple(value["parts"]) if type(value.get("parts")) is list else value.get("parts", ()),
    )


def _refuse(name: str, value: object, wanted: str) -> NoReturn:
    # Only plain values are shown: the repr of a hostile block's nested lists would exhaust the stack.
    shown = repr(value)[:80] if value is None or isinstance(value, (int, str, bytes)) else type(value).__name__
    raise InvalidInput(f"a manifest's {name} is {shown}; it has to be {wanted}")
