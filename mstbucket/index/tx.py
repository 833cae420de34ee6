"""What happens inside a transaction behind the barrier, whatever it is for."""

from __future__ import annotations

from typing import Any

from mstbucket.core.s3rules.conditions import Expected
from mstbucket.pg import binary


def expectation(expected: Expected) -> tuple[Any, Any]:
    """What a write expects, as the last two arguments of SQL's `expect`."""
    return (
        None if expected.match is None else binary.text_array(expected.match),
        None if expected.none_match is None else binary.text_array(expected.none_match),
    )


def expect(connection: Any, bucket: int, key: str, expected: Expected) -> None:
    """Hold the key, and raise unless it is as expected.

    Raises:
        PreconditionFailed, NoSuchKey: it is not.
    """
    if not expected.anything:
        connection.execute("SELECT expect(%s, %s, %s, %s)", (bucket, key, *expectation(expected)))
