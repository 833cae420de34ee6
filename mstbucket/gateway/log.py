"""The access log: one JSON line a request, on standard error ([GW-29]). No secrets, no signatures, no query."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from dataclasses import dataclass


@dataclass(slots=True)
class Entry:
    """What is known of a request, filled in as it goes.

    Attributes:
        seconds: from the end of the request's head to the end of its answer.
    """

    request: str
    client: str
    method: str
    operation: str = "Unknown"
    bucket: str = ""
    key: str = ""
    access_key: str | None = None
    status: int = 0
    error: str | None = None
    sent: int = 0
    received: int = 0
    seconds: float = 0.0
    detail: str | None = None


def write(entry: Entry) -> None:
    """Write one line; a log that cannot be written does not fail the request."""
    line: dict[str, object] = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    for name in entry.__slots__:
        value = getattr(entry, name)
        if value is not None:
            line[name] = value
    line["seconds"] = round(entry.seconds, 6)
    with suppress(OSError, ValueError):
        sys.stderr.write(json.dumps(line) + "\n")
        sys.stderr.flush()
