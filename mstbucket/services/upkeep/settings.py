"""The settings of a store, checked before they are recorded ([REB-30])."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mstbucket.errors import InvalidInput
from mstbucket.index import settings as row
from mstbucket.limits import FLUSH_AGE_MAX, FLUSH_AGE_MIN, FLUSH_KEYS_MAX, FLUSH_KEYS_MIN, INLINE_MAX
from mstbucket.model.settings import StoreSettings
from mstbucket.pg.database import Database

#: The least and the largest value of each setting, and why there is nothing beyond it.
BOUNDS: Final = {
    "flush_age": (FLUSH_AGE_MIN, FLUSH_AGE_MAX, "seconds: the background looks no more often, and what no commit has is "
                  "lost with the database"),
    "flush_keys": (FLUSH_KEYS_MIN, FLUSH_KEYS_MAX, "keys: fewer write the way to the root of the tree for each, and one "
                   "commit folds no more"),
    "inline_max": (0, INLINE_MAX, "bytes: larger bodies cost the database more than a file does"),
}  # fmt: skip


def change(db: Database, name: str, value: int | None) -> StoreSettings:
    """Set one of the settings, durably; None is the default. What is set then.

    Raises:
        InvalidInput: there is no such setting, or the value is out of its bounds.
    """
    if name not in BOUNDS:
        raise InvalidInput(f"there is no setting {name!r}; there are {', '.join(BOUNDS)}")
    least, most, why = BOUNDS[name]
    if value is not None and not least <= value <= most:
        raise InvalidInput(f"{name}={value} is out of bounds: {least} to {most} {why}")
    settings = replace(row.read(db), **{name: value})
    row.write(db, settings)
    return settings
