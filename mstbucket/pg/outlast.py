"""What is done again while the server goes away and comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from mstbucket.errors import StorageError
from mstbucket.pg.settings import RETURN_SECONDS

_T = TypeVar("_T")


def outlast(work: Callable[[], _T]) -> _T:
    """Call *work*, which may be done twice, and again while the server goes away under it and comes back.

    Raises:
        As *work*; what says that the server went away, only when it has done so for `RETURN_SECONDS`.
    """
    deadline = time.monotonic() + RETURN_SECONDS
    while True:
        try:
            return work()
        except StorageError as error:
            from mstbucket.pg.failures import went_away

            if time.monotonic() > deadline or not went_away(error):
                raise
        time.sleep(0.05)
