"""The rows of a bucket, made again from the trees of a commit, which are judged on the way ([REB-7])."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from mstbucket.core.batches import in_batches
from mstbucket.core.cid import CID
from mstbucket.core.commit import Commit
from mstbucket.core.keys import split_version_key
from mstbucket.errors import Untrue
from mstbucket.index import staging
from mstbucket.limits import KEY_MAX, VERSION_KEY_MAX
from mstbucket.services.blocks.blocks import StoreBlocks
from mstbucket.services.rebuild.presence import Presence
from mstbucket.verify.manifest import read as read_manifest
from mstbucket.verify.tree import verified_nodes

HURT_SHOWN: Final = 1000  # keys of lost bodies that a report names
_MANIFESTS: Final = 2000  # read by one question


class TreeRows:
    """Rows of one bucket, in the form of COPY; and what is missing of the bodies that they name.

    Attributes:
        objects, bytes: of the tree of objects, when it was read to its end.
        versions: entries of the other tree.
        hurt: keys whose bodies are not whole, HURT_SHOWN at most.
        hurt_count: how many there are.
    """

    def __init__(self, bucket: int, commit: Commit, blocks: StoreBlocks, presence: Presence) -> None:
        self._bucket = bucket
        self._commit = commit
        self._blocks = blocks
        self._presence = presence
        self.objects = self.bytes = self.versions = self.hurt_count = 0
        self.hurt: list[str] = []

    def object_rows(self) -> Iterator[bytes]:
        """Rows of `objects`, some joined.

        Raises:
            CorruptionError, FormatError: a node or a manifest is missing or wrong, or the totals of the commit are.
        """
        for key, cid, block in self._manifests(self._commit.tree, KEY_MAX, self._show_key):
            self.objects += 1
            yield staging.object_row(self._bucket, key, cid, block)
        if (self.objects, self.bytes) != (self._commit.objects, self._commit.bytes):  # [VER-19]
            raise Untrue(
                f"the commit states {self._commit.objects} objects of {self._commit.bytes} bytes; its tree has "
                f"{self.objects} of {self.bytes}"
            )

    def version_rows(self) -> Iterator[bytes]:
        """As `object_rows`, rows of `versions`."""
        if self._commit.versions is None:
            return
        size = self.bytes
        for stored, cid, block in self._manifests(self._commit.versions, VERSION_KEY_MAX, self._show_version):
            key, seq = split_version_key(stored)
            self.versions += 1
            yield staging.version_row(self._bucket, key, seq, cid, block)
        self.bytes = size

    def _manifests(
        self, root: CID, key_max: int, show: Callable[[bytes, str | None], str]
    ) -> Iterator[tuple[bytes, CID, bytes]]:
        """Keys with their manifests, judged; the bodies are looked up."""
        for pairs in in_batches(self._pairs(root, key_max), _MANIFESTS):
            found = self._blocks.get_many({cid for _, cid in pairs})
            bodies: dict[CID, list[tuple[bytes, str | None]]] = {}
            for key, cid in pairs:
                block = found[cid]
                content, size, _, version_id = read_manifest(block)
                if content is not None and size is not None:
                    bodies.setdefault(content, []).append((key, version_id))
                    self.bytes += size
                elif key_max == KEY_MAX:  # [VER-15]
                    raise Untrue(f"key {key[:60]!r} of the objects' tree has a delete marker").about(cid=cid)
                yield key, cid, block
            self._presence.note(found)
            for lost in self._presence.lost_bodies(list(bodies)):
                self.hurt_count += len(bodies[lost])
                self.hurt += [show(*one) for one in bodies[lost][: HURT_SHOWN - len(self.hurt)]]

    def _pairs(self, root: CID, key_max: int) -> Iterator[tuple[bytes, CID]]:
        for cid, _, node in verified_nodes(self._blocks, root, key_max=key_max):
            self._presence.note((cid,))
            yield from zip(node.keys, node.values, strict=True)

    @staticmethod
    def _show_key(key: bytes, version_id: str | None) -> str:
        return key.decode()

    @staticmethod
    def _show_version(stored: bytes, version_id: str | None) -> str:
        return f"{split_version_key(stored)[0].decode()}?versionId={version_id or 'null'}"
