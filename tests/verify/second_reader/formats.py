"""Commits, manifests and the nodes of bodies, from 06-commit.md, 04-manifest.md and 05-body.md."""

from __future__ import annotations

import base64
from typing import Any

from .blocks import CBOR, EMPTY_TREE, MIB, PB, RAW, Link, bad, cbor, cid_form, false, no, varint, varint_bytes

TEXTS = {"checksums", "headers", "metadata", "tags"}
HEADERS = {"cache-control", "content-disposition", "content-encoding", "content-language", "expires"}
OBJECT = {"etag": str, "size": int, "content": "link", "created": int, "modified": int, "content_type": str}
MARKER = {"created": int, "modified": int, "delete_marker": bool}
COMMIT = {
    "seq": int, "name": str, "time": int, "tree": "link", "bytes": int, "bucket": str, "config": dict, "objects": int,
    "version": int,
}  # fmt: skip


def is_a(value: Any, kind: Any) -> bool:
    return isinstance(value, Link) if kind == "link" else type(value) is kind


def fields(value: Any, wanted: dict[str, Any], optional: dict[str, Any]) -> None:
    bad(type(value) is dict, "no map")
    bad(wanted.keys() <= value.keys() <= wanted.keys() | optional.keys(), "fields")
    for name, one in value.items():
        bad(is_a(one, (wanted | optional)[name]), f"type of {name}")
        bad(type(one) is not int or 0 <= one < 2**63, f"range of {name}")
        bad(type(one) is not str or "\0" not in one, f"NUL in {name}")


def texts(value: dict[str, Any]) -> None:
    bad(len(value) > 0 and "" not in value, "MAN-5")
    bad(all(type(v) is str and "\0" not in k + v for k, v in value.items()), "MAN-5")


def commit(block: bytes) -> dict[str, Any]:
    bad(len(block) <= 65_536, "COM-2")
    c = cbor(block)
    bad(type(c) is dict and type(c.get("version")) is int, "COM-4")
    if c["version"] != 1:
        no("unsupported", "COM-4")
    optional = {"key": bytes, "sig": bytes, "prev": str, "forked": str, "merged": str, "message": str, "tags": dict}
    fields(c, COMMIT, {**optional, "versions": "link"})
    identity = c["bucket"].upper().encode("ascii", "replace")
    bad(len(identity) == 26 and c["bucket"][-1:] in "aeimquy4" and c["bucket"] == c["bucket"].lower(), "COM-3")
    bad(all(byte in b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" for byte in identity), "COM-3")
    bad(1 <= len(c["name"].encode()) <= 255, "COM-5")
    if "tags" in c:
        texts(c["tags"])
    bad(1 <= c["seq"] < 2**53, "COM-6")
    bad(c["tree"].cid[:4] == CBOR and ("versions" not in c or c["versions"].cid[:4] == CBOR), "COM-7")
    bad("versions" not in c or c["versions"].cid != EMPTY_TREE, "COM-7")
    bad(("prev" in c) == (c["seq"] > 1), "COM-8")
    bad("forked" not in c or c["seq"] == 1, "COM-21")
    bad("merged" not in c or c["seq"] > 1, "COM-22")
    for name, clause in (("prev", "COM-8"), ("forked", "COM-21"), ("merged", "COM-22")):
        if name in c:
            text = c[name]
            bad(text[:1] == "b" and len(text) == 59, clause)
            try:
                cid = base64.b32decode(text[1:].upper() + "=" * 6)
            except ValueError:
                no("malformed", clause)
            bad(text == "b" + base64.b32encode(cid).decode().rstrip("=").lower() and cid[:4] == CBOR, "CID-4")
    bad(1 <= len(c.get("message", "m").encode()) <= 4096 and "\0" not in c.get("message", ""), "COM-23")
    bad(("key" in c) == ("sig" in c) and len(c.get("key", bytes(32))) == 32, "COM-10")
    bad(len(c.get("sig", bytes(64))) == 64, "COM-10")
    config = c["config"]
    bad(config.keys() - {"versioning"} == {"chunk", "layout"}, "COM-9")
    bad(type(config["chunk"]) is int and type(config["layout"]) is str, "COM-9")
    bad("versioning" not in config or config["versioning"] in ("Enabled", "Suspended"), "COM-12")
    if (config["chunk"], config["layout"]) != (MIB, "unixfs-v1-2025"):
        no("unsupported", "COM-9")
    false("versions" not in c or "versioning" in config, "COM-14")
    if sum(len((k + v).encode()) for k, v in c.get("tags", {}).items()) > 61_440:
        no("unsupported", "COM-14")
    return dict(c)


def manifest(block: bytes) -> dict[str, Any]:
    bad(len(block) <= MIB, "MAN-2")
    m = cbor(block)
    bad(type(m) is dict, "MAN-1")
    optional: dict[str, Any] = {"version_id": str}
    if "delete_marker" in m:
        fields(m, MARKER, optional)
        bad(m["delete_marker"], "MAN-12")
    else:
        fields(m, OBJECT, optional | {"parts": list, "sha256": bytes} | dict.fromkeys(TEXTS, dict))
        bad(m["size"] <= 50_000 * 2**30, "MAN-7")
        bad(m["content"].cid[:4] == (RAW if m["size"] <= MIB else PB), "MAN-6")
        bad(m["etag"] != "" and '"' not in m["etag"], "MAN-8")
        bad(len(m.get("sha256", bytes(32))) == 32, "MAN-9")
        for name in TEXTS & m.keys():
            texts(m[name])
        bad(m.get("headers", {}).keys() <= HEADERS, "MAN-10")
        parts = m.get("parts", [m["size"]])
        bad(1 <= len(parts) <= 10_000 and all(type(n) is int and n >= 0 for n in parts), "MAN-13")
        bad(sum(parts) == m["size"], "MAN-13")
    if "version_id" in m:
        bad(1 <= len(m["version_id"].encode()) <= 1024 and m["version_id"] != "null", "MAN-11")
    return dict(m)


def full(height: int) -> int:
    return MIB * 1024**height


def height_of(size: int) -> int:
    return next(h for h in range(5) if full(h) >= size)


def children(size: int, height: int) -> list[int]:
    each = full(height - 1)
    return [min(each, size - at) for at in range(0, size, each)]


def total(size: int, height: int) -> int:
    """Bytes of all blocks of a subtree, repeated ones each time; the CIDs do not matter."""
    if height == 0:
        return size
    sizes = children(size, height)
    known = {n: total(n, height - 1) for n in set(sizes)}
    return len(node([bytes(36)] * len(sizes), size, height)) + sum(known[n] for n in sizes)


def node(cids: list[bytes], size: int, height: int) -> bytes:
    sizes = children(size, height)
    tsizes = {n: varint_bytes(total(n, height - 1)) for n in set(sizes)}
    out = b""
    for cid, n in zip(cids, sizes, strict=True):
        link = b"\x0a\x24" + cid + b"\x12\x00\x18" + tsizes[n]
        out += b"\x12" + varint_bytes(len(link)) + link
    data = b"\x08\x02\x18" + varint_bytes(size) + b"".join(b"\x20" + varint_bytes(n) for n in sizes)
    return out + b"\x0a" + varint_bytes(len(data)) + data


def file_node(block: bytes) -> tuple[list[bytes], int, int]:
    """CIDs, size and height of a node that is as BODY-9 wants it."""
    bad(len(block) <= 262_144, "BODY-11")
    cids, at = [], 0
    while block[at : at + 1] == b"\x12":
        length, start = varint(block, at + 1)
        cids.append(block[start + 2 : start + 38])
        at = start + length
    bad(0 < len(cids) <= 1024 and all(cid_form(cid) for cid in cids), "BODY-4 BODY-5")
    bad(block[at : at + 1] == b"\x0a", "BODY-5")
    _, start = varint(block, at + 1)
    bad(block[start : start + 3] == b"\x08\x02\x18", "BODY-12")
    size, _ = varint(block, start + 3)
    bad(0 < size <= 50_000 * 2**30 and len({cid[:4] for cid in cids}) == 1, "BODY-8")
    for height in (1,) if cids[0][:4] == RAW else (2, 3):
        if cids[0][:4] != CBOR and len(children(size, height)) == len(cids) and node(cids, size, height) == block:
            return cids, size, height
    no("malformed", "BODY-9")
