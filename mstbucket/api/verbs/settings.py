"""The verbs of a store on its settings, and on what they are about: what is in no commit yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mstbucket.api.arguments import verbs
from mstbucket.index import settings
from mstbucket.later import later
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.model.settings import StoreSettings, Unflushed, Usage
    from mstbucket.services.upkeep.settings import change
else:
    change = later("mstbucket.services.upkeep.settings", "change")


@verbs
class Settings:
    """The verbs of a `Store` on its settings."""

    _context: Context

    def set(self, setting: str, value: int | None) -> StoreSettings:
        """Set one of the store's settings, durably and for every process, and return all of them.

        Flushes in the background follow within seconds; `inline_max` counts for stores that are opened afterwards.

        Args:
            setting: `flush_age` (seconds), `flush_keys` or `inline_max` (bytes); see `StoreSettings`.
            value: None for the default.

        Raises:
            InvalidInput: there is no such setting, or its bounds forbid the value; the message says why.
        """
        return change(self._context.db, setting, value)

    def settings(self) -> StoreSettings:
        """Return the settings of the store, which count for every process that works with it; None is the default.

        Raises:
            StorageError: the database failed. Repeat the call.
        """
        return settings.read(self._context.db)

    def unflushed(self) -> Unflushed:
        """Return how much is in the database and in no commit yet, and the age of the oldest of it.

        With the database it would be lost: `Bucket.flush` brings it into a commit.

        Raises:
            StorageError: the database failed. Repeat the call.
        """
        return settings.unflushed(self._context.db)

    def usage(self) -> Usage:
        """Return what the database takes on the server's disk, and what each bucket holds.

        Every version of every object is counted, so it takes seconds where there are millions. What the blobs take: `space`.
        """
        return settings.usage(self._context.db)
