"""What the tests of the past share: statements on the test's database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import mstbucket

Rows = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def rows(store: mstbucket.Store) -> Rows:
    """What a statement on the test's database gives."""

    def ask(query: str, *arguments: object) -> list[tuple[Any, ...]]:
        with store._context.db.connection() as connection:
            cursor = connection.execute(query, arguments)
            return cursor.fetchall() if cursor.description else []

    return ask
