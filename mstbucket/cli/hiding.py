"""No password gets to stderr, wherever in a message it stands: people put URLs where they do not belong."""

from __future__ import annotations

import re
from typing import Final

_SECRETS: Final = (
    (re.compile(r"(?i)\b((?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&']+)"), r"\1***"),
    # Within one word, up to the last @: a password that was not percent-encoded may hold one.
    (re.compile(r"(://[^\s:/?#@]*):[^\s]*@"), r"\1:***@"),
)


def hide(text: str) -> str:
    """`text` with `***` in place of what looks like the password of a URL or of a connection string ([CLI-24])."""
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text
