"""The verbs of a store on its settings, and on what they are about: what is in no commit yet."""

from __future__ import annotations

from mstbucket.api.arguments import verbs
from mstbucket.index import settings
from mstbucket.model.settings import StoreSettings, Unflushed, Usage
from mstbucket.services.blocks.context import Context
from mstbucket.services.upkeep.settings import change


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
        """Return what is set; None is the default."""
        return settings.read(self._context.db)

    def unflushed(self) -> Unflushed:
        """Return how much the database has that no commit has, and how old the oldest of it is. It would be lost with it."""
        return settings.unflushed(self._context.db)

    def usage(self) -> Usage:
        """Return what the database takes on the server's disk, and what each bucket holds.

        Every version of every object is counted, so it takes seconds where there are millions. What the blobs take: `space`.
        """
        return settings.usage(self._context.db)
