"""The verbs of a store on its packs, their encryption, and on who may sign requests to its gateway."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from mstbucket.api.arguments import verbs
from mstbucket.core.times import moment
from mstbucket.index.encoding import stop_encryption
from mstbucket.later import later
from mstbucket.packs.frames.data_keys import KeySource
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.encoding import rotate
from mstbucket.services.blocks.identity import ping

if TYPE_CHECKING:
    from mstbucket.api.access_keys import AccessKeys
    from mstbucket.services.upkeep.compact import CompactReport, compact
    from mstbucket.services.upkeep.reencode import ReencodeReport, reencode
else:
    AccessKeys = later("mstbucket.api.access_keys", "AccessKeys")
    compact = later("mstbucket.services.upkeep.compact", "compact")
    reencode = later("mstbucket.services.upkeep.reencode", "reencode")


@verbs
class Upkeep:
    """The verbs of a `Store` that are not about buckets."""

    _context: Context

    def rotate_key(self, encryption: KeySource) -> None:
        """Wrap the data key of an encrypted store with another key, durably; no pack is written again.

        From here on the store opens with the new key only. Who has it open goes on; who has the old key and a copy of
        the old wrapped key can read what they could read before.

        Args:
            encryption: the new key, as for `mstbucket.open`.

        Raises:
            InvalidInput: the store is not encrypted, or the new key is none.
        """
        rotate(self._context.db, self._context.blobs, self._context.encoding.key, encryption)

    def reencode(self, *, progress: Callable[[int], object] | None = None) -> ReencodeReport:
        """Write every pack again that is not encoded as new ones are, so that a change of settings reaches all of it.

        The settings are those of `mstbucket.open`: `compression=` and `encryption=` for on, `compression="none"` and
        `stop_encryption` for off. Objects, CIDs, commits and exports do not change. The store may be read and written
        meanwhile, by processes that were opened with the new settings; others still write packs of the old kind, or
        are refused if it is about encryption. Every block is verified on the way. Ended at any moment, the store is
        whole, and another call goes on with the rest. Needs room for one more pack, the largest.

        Args:
            progress: called after each pack with the bytes done so far, as they were stored before.

        Returns:
            What was done. Packs that are `damaged` were left as they are: restore them, and repeat the call.

        Raises:
            StorageError: the database or the blob store failed; repeat the call.
        """
        return reencode(self._context, progress)

    def stop_encryption(self) -> None:
        """Write new packs in plain from here on. Then open the store again, with its key, and call `reencode`.

        The key is forgotten by the first `reencode` that finds nothing encrypted any more. This object, and whoever has
        the store open, cannot write packs any more (`WrongKey`) until they open it again. Encryption can be switched on
        again when that `reencode` has ended. Repeating the call is harmless, as it is for a store that is not encrypted.

        Raises:
            StorageError: the database failed. Repeat the call.
        """
        stop_encryption(self._context.db)

    def compact(self) -> CompactReport:
        """Compact small packs into few large ones, and remove what crashes have left; see `spec/store/23-store.md`.

        The background work does that too, once there are enough of them. Safe beside readers and writers, repeatable,
        and nothing is lost wherever it ends. Does nothing while another process compacts.

        Raises:
            StorageError: the database or the blob store failed; repeat the call.
        """
        return compact(self._context)

    def ping(self) -> None:
        """Ask the database and the blob store for what is always there; nothing is read beyond it.

        Raises:
            StorageError: one of the two does not answer.
            NotFound, WrongPlace: it answers, and is not this store's any more.
        """
        ping(self._context.db, self._context.blobs, self._context.identity)

    def now(self) -> datetime:
        """The present by the database's clock, the only one that a store goes by; in UTC.

        The database is asked once a minute at most; in between this machine's ticks are counted, which nobody sets.

        Raises:
            StorageError: the database does not answer. Repeat the call.
        """
        return moment(self._context.db.now_ms())

    @property
    def access_keys(self) -> AccessKeys:
        """The keys that requests to the gateway are signed with."""
        return AccessKeys(self._context)

    @property
    def encrypts(self) -> bool:
        """Whether this object encrypts the packs that it writes."""
        return self._context.encoding.key is not None and self._context.encoding.encrypts
