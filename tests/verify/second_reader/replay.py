"""Trees, and a whole file in its order, from 03-tree.md, 07-car.md and 11-verification.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from .blocks import CBOR, MIB, Breach, Link, bad, cbor, cid_form, false, no, varint
from .formats import children, commit, file_node, height_of, manifest


class Refused(Exception):
    """The verdict, and the byte of the file where it was come to."""

    def __init__(self, class_: str, byte: int, why: str) -> None:
        super().__init__(f"{class_} at {byte}: {why}")
        self.class_, self.byte = class_, byte


def key_height(key: bytes) -> int:
    return (256 - int.from_bytes(sha256(key).digest(), "big").bit_length()) // 2


def check_key(key: bytes, versions: bool) -> None:
    if versions:
        bad(len(key) >= 17 and key[-17] == 0 and all(c in b"0123456789abcdef" for c in key[-16:]), "KEY-5")
        bad(int(key[-16:], 16) >= 2**63, "KEY-6")
        key = key[:-17]
    bad(1 <= len(key) <= 1024 and 0 not in key, "KEY-2 KEY-3")
    try:
        key.decode()
    except UnicodeDecodeError:
        no("malformed", "KEY-1")


@dataclass
class Reader:
    """The replay of one file."""

    data: bytes
    at: int = 0
    last: int = 0
    seen: dict[bytes, Any] = field(default_factory=dict)
    live: list[tuple[bytes, dict[str, Any]]] = field(default_factory=list)
    old: list[tuple[bytes, dict[str, Any]]] = field(default_factory=list)

    def header(self) -> bytes:
        try:
            length, start = varint(self.data, 0)
            bad(0 < length <= 65_536, "CAR-3")
        except Breach as breach:
            raise Refused("malformed", 0, str(breach)) from None
        if start + length > len(self.data):
            raise Refused("malformed", len(self.data), "CAR-8")
        try:
            value = cbor(self.data[start : start + length])
            bad(type(value) is dict and value.keys() == {"roots", "version"}, "CAR-1")
            bad(type(value["version"]) is int and value["version"] == 1 and type(value["roots"]) is list, "CAR-1")
            bad(all(isinstance(root, Link) for root in value["roots"]), "CAR-1")
        except Breach as breach:
            raise Refused("malformed", start, str(breach)) from None
        self.at = start + length
        roots = value["roots"]
        if len(roots) != 1 or roots[0].cid[:4] != CBOR:
            raise Refused("malformed", 0, "CAR-2 VER-1")
        return bytes(roots[0].cid)

    def section(self) -> tuple[bytes, bytes, int, int] | None:
        """CID, block, its first byte, and the end of the next section, which is judged as a container."""
        if self.at == len(self.data):
            return None
        try:
            length, start = varint(self.data, self.at)
            bad(36 <= length <= 2 * MIB + 36, "CAR-5")
            bad(start + length <= len(self.data), "CAR-8")
            cid, block = self.data[start : start + 36], self.data[start + 36 : start + length]
            bad(cid_form(cid), "CAR-6")
            false(sha256(block).digest() == cid[4:], "CAR-7")
        except Breach as breach:
            raise Refused(breach.args[0], self.at, str(breach)) from None
        return cid, block, start + 36, start + length

    def take(self, cid: bytes) -> bytes:
        found = self.section()
        if found is None:
            raise Refused("missing", self.last, "VER-18")
        if found[0] != cid:
            raise Refused("extra" if found[0] in self.seen else "missing", found[2], "VER-18")
        self.last, self.at = found[2], found[3]
        return found[1]

    def file(self) -> dict[str, int]:
        root = self.header()
        block = self.take(root)
        try:
            made = commit(block)
            self.tree(made["tree"].cid, None, b"", None, self.live, versions=False)
            if "versions" in made:
                self.tree(made["versions"].cid, None, b"", None, self.old, versions=True)
                self.history()
            rest = self.section()
            if rest is not None:
                raise Refused("extra", rest[2], "VER-18")
            size = sum(m["size"] for _, m in self.live)
            false((made["objects"], made["bytes"]) == (len(self.live), size), "VER-19")
        except Breach as breach:
            raise Refused(breach.args[0], self.last, str(breach)) from None
        return {"objects": len(self.live), "bytes": size, "versions": len(self.old)}

    def tree(self, cid: bytes, height: int | None, low: bytes, high: bytes | None, pairs: Any, versions: bool) -> None:
        keys, links, values, height = self.node(self.take(cid), height, low, high, versions)
        bounds = [low, *keys, high]
        for n, key in enumerate(keys):
            if links[n + 1] is not None:
                self.tree(links[n + 1], height - 1, key, bounds[n + 2], pairs, versions)
            self.value(key, values[n], pairs, versions)
        if links[0] is not None:
            self.tree(links[0], height - 1, low, bounds[1], pairs, versions)

    def node(self, block: bytes, height: int | None, low: bytes, high: bytes | None, versions: bool) -> Any:
        bad(len(block) <= MIB, "MST-10")
        value = cbor(block)
        bad(type(value) is dict and value.keys() == {"e", "l"} and type(value["e"]) is list, "MST-3")
        bad(len(value["e"]) <= 8192, "MST-10")
        keys: list[bytes] = []
        links = [self.subtree(value["l"])]
        values = []
        for entry in value["e"]:
            bad(type(entry) is dict and entry.keys() == {"k", "p", "t", "v"}, "MST-3")
            bad(type(entry["k"]) is bytes and type(entry["p"]) is int and isinstance(entry["v"], Link), "MST-3")
            bad(entry["v"].cid[:4] == CBOR, "VER-4")
            before = keys[-1] if keys else b""
            bad(0 <= entry["p"] <= min(len(before), 1041) and len(entry["k"]) <= 1041, "MST-4 VER-5")
            key = before[: entry["p"]] + entry["k"]
            bad(key != b"", "KEY-2")
            false(not keys or key > before, "MST-7")
            bad(entry["p"] == len(before) or key[entry["p"]] != before[entry["p"]], "VER-7")
            keys.append(key)
            links.append(self.subtree(entry["t"]))
            values.append(entry["v"].cid)
        for key in keys:
            check_key(key, versions)
        if height is None:
            false(bool(keys) or links[0] is None, "VER-11")
            height = key_height(keys[0]) if keys else 0
        else:
            false(bool(keys) or links[0] is not None, "VER-11")
        false(all(key_height(key) == height for key in keys), "VER-9")
        false(height > 0 or links == [None] * len(links), "VER-10")
        false(all(low < key and (high is None or key < high) for key in keys), "VER-8")
        return keys, links, values, height

    def subtree(self, link: Any) -> bytes | None:
        bad(link is None or (isinstance(link, Link) and link.cid[:4] == CBOR), "VER-4")
        return None if link is None else bytes(link.cid)

    def value(self, key: bytes, cid: bytes, pairs: Any, versions: bool) -> None:
        if cid in self.seen:
            bad(type(self.seen[cid]) is dict, "a body block for a manifest")
            m, new = self.seen[cid], False
        else:
            m, new = manifest(self.take(cid)), True
            self.seen[cid] = m
        false(versions or "delete_marker" not in m, "VER-15")
        pairs.append((key, m))
        if not new or "delete_marker" in m:
            return
        content = m["content"].cid
        false(m["size"] > MIB or m.get("sha256", content[4:]) == content[4:], "VER-16")
        for one, size, height in self.body(content, m["size"], height_of(m["size"])):
            false(self.seen[one] == (size, height), "VER-17")

    def body(self, cid: bytes, size: int, height: int) -> Iterator[tuple[bytes, int, int]]:
        if cid not in self.seen:
            block = self.take(cid)
            if height == 0:
                false(len(block) == size, "BODY-3")
                self.seen[cid] = (size, 0)
            else:
                cids, found, at = file_node(block)
                false((found, at) == (size, height), "BODY-10")
                self.seen[cid] = (size, height)
                for child, below in zip(cids, children(size, height), strict=True):
                    yield from self.body(child, below, height - 1)
        yield cid, size, height

    def history(self) -> None:
        """VER-21. Where in the file it is noticed is not looked for here."""
        current = {key for key, _ in self.live}
        named = [(key, m.get("version_id")) for key, m in self.live]
        newest: dict[bytes, tuple[int, dict[str, Any]]] = {}
        for stored, m in self.old:
            key, seq = stored[:-17], 2**64 - 1 - int(stored[-16:], 16)
            if seq == 2**63 - 1:
                no("unsupported", "VER-21")
            named.append((key, m.get("version_id")))
            if key not in newest or seq > newest[key][0]:
                newest[key] = (seq, m)
        false(len(named) == len(set(named)), "VER-21")
        false(all(key in current or "delete_marker" in m for key, (_, m) in newest.items()), "VER-21")


def verify(data: bytes) -> dict[str, int]:
    """Return the figures of an export, or raise `Refused`."""
    return Reader(data).file()
