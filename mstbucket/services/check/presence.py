"""Level `presence`, the blobs: every row has its blob with its size, and every blob a row ([CHECK-6]).

Names are merged as they come from both sides. What looks wrong is asked for again, by name: a pack that was compacted, or
written again, between the two questions is not told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mstbucket.blobs.base import BlobInfo, BlobStore
from mstbucket.blobs.identity import read_identity
from mstbucket.blobs.names import KEYS, PACKS, REFS, STORE, is_key, is_pack, parse_ref, parse_secret_ref
from mstbucket.core.cid import to_text
from mstbucket.errors import FormatError, HashMismatch, NoSuchBlob
from mstbucket.index import check_rows, encoding
from mstbucket.index.check_rows import PackRow
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.state import deleted_commits
from mstbucket.services.check.found import Part
from mstbucket.services.tree.publish import ref_blob
from mstbucket.services.tree.refs import REFS_KEPT

_PAGE: Final = 1000


def check_blobs(context: Context) -> Part:
    """Compare the blobs with the rows, both ways; no byte of a pack is read."""
    part = Part()
    _check_identity(context, part)
    _check_packs(context, part)
    _check_refs(context, part)
    key = encoding.read(context.db).key
    if key is not None and _head(context.blobs, key.blob) is None and _same_key(context, key.blob):
        said = f"the blob {key.blob} with the wrapped key is gone: a lost database could not be made again"
        part.add("presence.key", said, blob=key.blob)
    for prefix, known in ((PACKS, is_pack), (REFS, _is_ref), (KEYS, is_key)):
        for info in context.blobs.list(prefix):
            if not known(info.name):
                part.add("presence.blob-foreign", f"{info.name} has no name that this store gives", blob=info.name)
    return part


def _is_ref(name: str) -> bool:
    return parse_ref(name) is not None or parse_secret_ref(name) is not None


def _same_key(context: Context, blob: str) -> bool:
    key = encoding.read(context.db).key
    return key is not None and key.blob == blob


def _check_identity(context: Context, part: Part) -> None:
    try:
        found = read_identity(context.blobs)
    except (FormatError, HashMismatch) as error:
        part.add("presence.identity", str(error), blob=STORE)
        return
    if found != context.identity:
        part.add("presence.identity", f"the blobs say that they are of store {found}, and the database is of "
                 f"{context.identity}", blob=STORE)  # fmt: skip


def _check_packs(context: Context, part: Part) -> None:
    rows, blobs = _rows(context), (info for info in context.blobs.list(PACKS) if is_pack(info.name))
    row, blob = next(rows, None), next(blobs, None)
    while row is not None or blob is not None:
        if blob is None or (row is not None and row.name < blob.name):
            assert row is not None
            _check_row(context, part, row, None)
            row = next(rows, None)
        elif row is None or blob.name < row.name:
            _check_unknown(context, part, blob.name)
            blob = next(blobs, None)
        else:
            _check_row(context, part, row, blob.size)
            row, blob = next(rows, None), next(blobs, None)


def _rows(context: Context) -> Iterator[PackRow]:
    after = ""
    while page := check_rows.packs_behind(context.db, after, _PAGE):
        yield from page
        after = page[-1].name


def _check_row(context: Context, part: Part, row: PackRow, size: int | None) -> None:
    if row.state != "ready" or size == row.size:
        return
    info = _head(context.blobs, row.name)  # a listing may be older than the row
    now = check_rows.pack_named(context.db, row.name)
    if now is None or now.state != "ready":
        return
    if info is None:
        part.add("presence.pack-lost", f"pack {row.name} is gone: restore it, or find its blocks elsewhere", blob=row.name)
    elif info.size != now.size:
        said = f"pack {row.name} has {info.size} bytes, and had {now.size} when it was written: restore it"
        part.add("presence.pack-size", said, blob=row.name)


def _check_unknown(context: Context, part: Part, name: str) -> None:
    """[PUT-2] A row comes before its blob, and [STO-4] goes after it: so the row is asked for first, then the blob."""
    if check_rows.pack_named(context.db, name) is None and _head(context.blobs, name) is not None:
        said = f"no row knows pack {name}: no object needs it, and nobody will remove it"
        part.add("presence.blob-unknown", said, blob=name)


def _check_refs(context: Context, part: Part) -> None:
    listed: set[str] = set()
    of: str | None = None
    for bucket, identity, seq, cid in check_rows.newest_published(context.db, REFS_KEPT):
        if identity != of:
            of, listed = identity, set()
            for info in context.blobs.list(f"{REFS}{identity}/"):
                listed.add(info.name)
            _check_ahead(context, part, identity, listed)
        names = set(_names(context, identity, seq, cid))
        if names & listed or any(_head(context.blobs, name) is not None for name in names):
            continue
        newest = check_rows.newest_number(context.db, identity)
        if newest is not None and newest - REFS_KEPT < seq and check_rows.is_published(context.db, identity, seq, cid):
            part.add("presence.ref-lost", f"commit {seq}, {to_text(cid)}, is not published any more", bucket=bucket,
                     commit=cid, blob=min(names))  # fmt: skip


def _names(context: Context, identity: str, seq: int, cid: bytes) -> Iterator[str]:
    """The names that the ref of a commit may have: a store that was encrypted later has both kinds."""
    yield f"{REFS}{identity}/{seq:016x}-{to_text(cid)}.car"
    if context.encoding.key is not None:
        name, _ = ref_blob(context, identity, seq, cid, b"")
        yield name


def _check_ahead(context: Context, part: Part, identity: str, listed: set[str]) -> None:
    """A ref above every commit: the database is older than the blobs, as one that was restored from a copy is."""
    # After the listing: [FLUSH-9] a commit is published when it stands.
    newest = check_rows.newest_number(context.db, identity)
    if newest is None:
        return
    ahead = {name: seq for name in listed if (seq := _number(name)) > newest}
    if ahead:  # [REB-24] the refs of a bucket that was deleted stay, and those of a bucket that was fetched may be ahead
        newest = max([newest, *_numbers_of_deleted(context, identity, ahead)])
    for name, seq in ahead.items():
        if seq > newest:
            said = f"{name} publishes commit {seq}, and the newest here is {newest}"
            part.add("presence.ref-ahead", f"{said}: the database is older than the blobs", blob=name)


def _number(name: str) -> int:
    ref = parse_ref(name) or parse_secret_ref(name)
    return 0 if ref is None else ref[1]


def _numbers_of_deleted(context: Context, identity: str, ahead: dict[str, int]) -> Iterator[int]:
    """The numbers, among these refs, of the last commits of deleted buckets with that identity."""
    for commit in deleted_commits(context, identity):
        yield from (seq for name, seq in ahead.items() if name in set(_names(context, identity, seq, commit)))


def _head(blobs: BlobStore, name: str) -> BlobInfo | None:
    try:
        return blobs.head(name)
    except NoSuchBlob:
        return None
