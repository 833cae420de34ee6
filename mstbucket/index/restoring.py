"""What a restore asks of the index: the current objects of some keys, and the keys that no commit has as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.core.manifest import Manifest
from mstbucket.index.rows import MANIFEST_COLUMNS, manifest_of
from mstbucket.pg.binary import text_array

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

_CURRENT: Final = f"SELECT key, manifest, {MANIFEST_COLUMNS} FROM objects WHERE bucket = %s AND key = ANY (%s)"


class Current(NamedTuple):
    """A current object: the CID of its manifest, and the manifest."""

    cid: bytes
    manifest: Manifest


def current_objects(connection: Connection, bucket: int, keys: Sequence[str]) -> dict[str, Current]:
    """Those of the keys that have a current object, with it."""
    rows = connection.execute(_CURRENT, (bucket, text_array(keys)), binary=True)
    return {key: Current(cid, manifest_of(columns)) for key, cid, *columns in rows}


def dirty_keys(connection: Connection, bucket: int, prefix: str, limit: int) -> list[str]:
    """The first *limit* keys with a prefix that were written since the newest commit, in order."""
    query = "SELECT key FROM dirty WHERE bucket = %s AND key >= %s AND starts_with(key, %s) ORDER BY key LIMIT %s"
    return [key for (key,) in connection.execute(query, (bucket, prefix, prefix, limit))]
