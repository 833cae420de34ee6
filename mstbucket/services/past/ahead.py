"""The changes of many keys, made ready: their rows, and the bucket as it will be, which is folded before anybody waits."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mstbucket.core import manifest as manifests
from mstbucket.core.cid import dag_cbor_cid
from mstbucket.core.manifest import Manifest
from mstbucket.index import changing, staging
from mstbucket.index.changing import Place
from mstbucket.index.commits import Head
from mstbucket.model.past import RestoreChange
from mstbucket.services.objects.versioning import new_id
from mstbucket.services.past.wanted import Due, Wanted, due
from mstbucket.services.tree.import_rows import Spool
from mstbucket.services.tree.snapshot import Changes, ManifestBlock, Snapshot

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection


class Ahead:
    """What one snapshot of the bucket says has to change. A context manager: rows may be in temporary files.

    Attributes:
        seen: what was dirty in the snapshot.
        made: the changes, by their keys.
    """

    def __init__(self, seen: Snapshot) -> None:
        self.seen = seen
        self.made: dict[str, RestoreChange] = {}
        self._objects: dict[str, bytes | None] = dict(zip(seen.objects.keys, seen.objects.manifests, strict=True))
        self._versions: dict[tuple[str, int], bytes | None] = dict(
            zip(zip(seen.versions.keys, seen.versions.seqs, strict=True), seen.versions.manifests, strict=True)
        )
        self._blocks = dict(seen.blocks)
        self._stored: set[bytes] = set()
        self._steps, self._seen, self._fresh, self._markers = Spool(), Spool(), Spool(), Spool()

    def plan(self, connection: Connection, wanted: Sequence[Wanted]) -> None:
        """Find what has to change, in the snapshot."""
        for part in due(connection, self.seen.head, wanted):
            if self.seen.head.versioning is None:
                for one in part:
                    self._replace(one)
                continue
            places = changing.places(connection, self.seen.head.bucket, [one.wanted.key for one in part])
            for one in part:
                self._put_on_top(one, places[one.wanted.key])

    def snapshot(self) -> Snapshot:
        """The bucket as it will be, as a snapshot that a fold takes."""
        live, past = self.seen.objects, self.seen.versions
        keys = sorted(self._objects, key=str.encode)
        places = sorted(self._versions, key=lambda place: (place[0].encode(), -place[1]))
        return Snapshot(
            self.seen.head,
            Changes(live.root, keys=keys, manifests=[self._objects[key] for key in keys]),
            Changes(past.root, keys=[key for key, _ in places], seqs=[seq for _, seq in places],
                    manifests=[self._versions[place] for place in places]),
            self._blocks,
        )  # fmt: skip

    def forget_stored(self) -> None:
        """Forget the manifests that the store has: they are not written again."""
        for cid in self._stored:
            self._blocks.pop(cid, None)

    def stage(self, connection: Connection) -> None:
        """Take the rows into tables of the transaction."""
        for key, generation in zip(self.seen.objects.keys, self.seen.objects.generations, strict=True):
            self._seen.add(changing.seen_row(key, None, generation))
        past = self.seen.versions
        for key, seq, generation in zip(past.keys, past.seqs, past.generations, strict=True):
            self._seen.add(changing.seen_row(key, seq, generation))
        changing.stage(connection, *(one.pieces() for one in (self._steps, self._seen, self._fresh, self._markers)))

    def _replace(self, due: Due) -> None:
        """Where versioning was never set: the key gets the manifest that it had ([PAST-52])."""
        wanted = due.wanted
        self._step(due, None, None, None)
        self._objects[wanted.key] = wanted.cid
        if wanted.cid is not None and wanted.manifest is not None:
            self._stored.add(wanted.cid)
            self._put(wanted.key, wanted.cid, manifests.encode(wanted.manifest), wanted.manifest)

    def _put_on_top(self, due: Due, place: Place) -> None:
        """A new version with an id and times of its own, or a delete marker ([PAST-52]); what is there makes way."""
        _, there, wanted = due
        head = self.seen.head
        assert head.versioning is not None
        suspended = head.versioning == "Suspended"
        archive = place.seq if place.present and not (suspended and place.null) else None
        gone = place.null_seq if suspended else None
        self._step(due, archive, gone, place.next)
        if gone is not None:
            self._versions[wanted.key, gone] = None
        if archive is not None:
            assert there is not None
            self._versions[wanted.key, archive] = there.cid
            self._note(there.cid, manifests.encode(there.manifest), there.manifest)
        new = new_version(head, wanted)
        block = manifests.encode(new)
        cid = dag_cbor_cid(block)
        if wanted.manifest is not None:
            self._objects[wanted.key] = cid
            self._put(wanted.key, cid, block, new)
        else:
            self._objects[wanted.key] = None
            self._versions[wanted.key, place.next] = cid
            self._note(cid, block, new)
            self._markers.add(staging.version_row(head.bucket, wanted.key.encode(), place.next, cid, block))

    def _step(self, due: Due, archive: int | None, gone: int | None, number: int | None) -> None:
        key = due.wanted.key
        self.made[key] = due.change
        was = None if due.there is None else due.there.cid
        self._steps.add(changing.step_row(key, was, archive, gone, number))

    def _put(self, key: str, cid: bytes, block: bytes, manifest: Manifest) -> None:
        self._note(cid, block, manifest)
        self._fresh.add(staging.object_row(self.seen.head.bucket, key.encode(), cid, block))

    def _note(self, cid: bytes, block: bytes, manifest: Manifest) -> None:
        self._blocks[cid] = ManifestBlock(block, manifest.content, manifest.size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with closing(self._steps), closing(self._seen), closing(self._fresh), closing(self._markers):
            pass


def new_version(head: Head, wanted: Wanted) -> Manifest:
    """The manifest of the version that comes: of the object, or of a delete marker."""
    assert head.versioning is not None
    version, now = new_id(head.versioning), head.now
    if wanted.manifest is None:
        return Manifest(None, None, None, None, now, now, version_id=version, delete_marker=True)
    return replace(wanted.manifest, version_id=version, created=now, modified=now)
