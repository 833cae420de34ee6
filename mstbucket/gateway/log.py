"""The access log: one JSON line a request, on standard error ([GW-29]). No secrets, no signatures, no query."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Entry:
    """What is known of a request, filled in as it goes.

    Attributes:
        seconds: from the end of its head to the end of its answer.
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
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **asdict(entry)}
    line["seconds"] = round(entry.seconds, 6)
    with suppress(OSError, ValueError):
        sys.stderr.write(json.dumps({name: value for name, value in line.items() if value is not None}) + "\n")
        sys.stderr.flush()
