"""A forge of buckets and trees, right and wrong ones, made the slow and obvious way with nothing of `core.mst`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mstbucket.core import commit as commits
from mstbucket.core import commit_fields, dagcbor, manifest
from mstbucket.core.blocks import MemoryBlocks
from mstbucket.core.body_builder import BodyBuilder
from mstbucket.core.car import header, section
from mstbucket.core.cid import DAG_CBOR, DAG_PB, codec, dag_cbor_cid
from mstbucket.core.commit import Commit
from mstbucket.core.dagcbor import Link
from mstbucket.core.manifest import Manifest
from mstbucket.core.unixfs import decode_file

BUCKET = commit_fields.bucket_id(bytes(range(16)))


class Forge(MemoryBlocks):
    """Blocks in memory, and ways to make them."""

    __slots__ = ()

    # --- trees ---

    @staticmethod
    def height(key: bytes) -> int:
        bits = "".join(f"{byte:08b}" for byte in sha256(key).digest())
        return (len(bits) - len(bits.lstrip("0"))) // 2

    def value(self, block: Any) -> bytes:
        data = dagcbor.encode(block)
        self.put(dag_cbor_cid(data), data)
        return dag_cbor_cid(data)

    def node(self, left: bytes | None, entries: Sequence[tuple[Any, Any, Any, Any]]) -> bytes:
        """Put a node of entries (k, p, t, v) as given, right or wrong; bytes in t and v are links."""
        link = lambda item: Link(item) if isinstance(item, bytes) else item  # noqa: E731
        return self.value(
            {"e": [{"k": k, "p": p, "t": link(t), "v": link(v)} for k, p, t, v in entries], "l": link(left)}
        )

    def keyed(self, left: bytes | None, triples: Sequence[tuple[bytes, bytes, bytes | None]]) -> bytes:
        """Put a node of (key, value, subtree after it), its prefixes as they have to be, its keys as given."""
        entries, before = [], b""
        for key, value, after in triples:
            shared = 0
            while shared < min(len(before), len(key)) and before[shared] == key[shared]:
                shared += 1
            entries.append((key[shared:], shared, after, value))
            before = key
        return self.node(left, entries)

    def tree(self, pairs: Mapping[bytes, bytes], height: int | None = None) -> bytes:
        """Put the tree of *pairs*; with *height*, the subtree that has its root there."""
        keys = sorted(pairs)
        if height is None:
            height = max(map(self.height, keys), default=0)
        rows: list[tuple[bytes, bytes, bytes | None]] = []
        groups: list[list[bytes]] = [[]]
        for key in keys:
            if self.height(key) == height:
                groups.append([])
            else:
                groups[-1].append(key)
        below = [self.tree({k: pairs[k] for k in group}, height - 1) if group else None for group in groups]
        for key, after in zip([k for k in keys if self.height(k) == height], below[1:], strict=True):
            rows.append((key, pairs[key], after))
        return self.keyed(below[0], rows)

    def read(self, block: bytes) -> tuple[bytes | None, list[tuple[bytes, bytes | None]]]:
        """Return a node's left subtree, and its entries as (key, subtree after it)."""
        value = dagcbor.decode(block)
        cid = lambda link: None if link is None else link.cid  # noqa: E731
        entries, key = [], b""
        for entry in value["e"]:
            key = key[: entry["p"]] + entry["k"]
            entries.append((key, cid(entry["t"])))
        return cid(value["l"]), entries

    # --- buckets ---

    def body(self, data: bytes) -> bytes:
        builder = BodyBuilder()
        found = list(builder.feed(data))
        body = builder.finish()
        for cid, block in [*found, *body.blocks]:
            self.put(cid, block)
        return body.root

    def manifest(self, data: bytes, **fields: Any) -> bytes:
        """Put a body and its manifest; *fields* replace those of the manifest."""
        values: dict[str, Any] = {
            "content": self.body(data),
            "size": len(data),
            "etag": sha256(data).hexdigest()[:32],
            "content_type": "text/plain",
            "created": 1_700_000_000_000,
            "modified": 1_700_000_000_000,
        }
        return self.put_manifest(Manifest(**values | fields))

    def marker(self, time: int = 5, version_id: str | None = None) -> bytes:
        return self.put_manifest(Manifest(None, None, None, None, time, time, version_id=version_id, delete_marker=True))

    def put_manifest(self, value: Manifest) -> bytes:
        block = manifest.encode(value)
        self.put(dag_cbor_cid(block), block)
        return dag_cbor_cid(block)

    def commit(self, tree: bytes, objects: int, size: int, **fields: Any) -> bytes:
        block = commits.encode(Commit(BUCKET, "photos", 1, tree, 1_700_000_000_000, objects, size, **fields))
        self.put(dag_cbor_cid(block), block)
        return dag_cbor_cid(block)

    def bucket(self, objects: Mapping[bytes, bytes], versions: Mapping[bytes, bytes] | None = None) -> bytes:
        """Put the commit of keys and manifests; totals are counted from the manifests."""
        size = sum(manifest.decode(self.get(cid)).size or 0 for cid in objects.values())
        if not versions:
            return self.commit(self.tree(objects), len(objects), size)
        other, config = self.tree(versions), commit_fields.config("Suspended")
        return self.commit(self.tree(objects), len(objects), size, versions=other, config=config)

    # --- exports ---

    def links(self, cid: bytes) -> list[bytes]:
        """All links of a block, as encoded."""
        if codec(cid) == DAG_CBOR:
            return list(_links(dagcbor.decode(self.get(cid))))
        return [child for child, _ in decode_file(self.get(cid)).links] if codec(cid) == DAG_PB else []

    def order(self, root: bytes) -> list[bytes]:
        """The CIDs of an export: depth first, in the order of links as encoded, each once."""
        seen: dict[bytes, None] = {}
        stack = [root]
        while stack:
            cid = stack.pop()
            if cid not in seen:
                seen[cid] = None
                stack += reversed(self.links(cid))
        return list(seen)

    def car(self, root: bytes, order: Sequence[bytes] | None = None) -> bytes:
        cids = self.order(root) if order is None else order
        return header(root) + b"".join(section(cid, self.get(cid)) for cid in cids)


def _links(value: Any) -> Iterator[bytes]:
    if isinstance(value, Link):
        yield value.cid
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _links(item)


@pytest.fixture
def forge() -> Forge:
    return Forge()


@pytest.fixture
def keys_of_height() -> Any:
    """A function (height, count, prefix) that gives keys of one height, ascending."""

    def find(height: int, count: int, prefix: bytes = b"k") -> list[bytes]:
        found, n = [], 0
        while len(found) < count:
            key = prefix + b"%05d" % n
            if Forge.height(key) == height:
                found.append(key)
            n += 1
        return found

    return find


@pytest.fixture(scope="session")
def forge_type() -> type[Forge]:
    return Forge


@pytest.fixture(scope="session")
def generators() -> Iterator[Callable[[str], ModuleType]]:
    """A function that imports a generator of fixtures by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "fixtures"))
        yield importlib.import_module


@pytest.fixture(scope="session")
def second_reader() -> Iterator[ModuleType]:
    """The verifier that shares nothing with the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        yield importlib.import_module("second_reader")
