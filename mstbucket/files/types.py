"""The content type that the name of a file or key tells."""

from __future__ import annotations

import mimetypes
from functools import cache
from typing import Final

# A compressed file is what it is, not what it would be without its compression.
_COMPRESSED: Final = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "br": "application/x-brotli",
    "compress": "application/x-compress",
}


def guess_type(key: str) -> str | None:
    """The content type that the end of a key tells.

    [CLI-19] From Python's own table and not the machine's, so that a tree gives the
    same manifests wherever it is copied from.
    """
    # `./`, since a key is no URL: `data:…` has a meaning there.
    kind, encoding = _types().guess_type("./" + key.rpartition("/")[2])
    return _COMPRESSED.get(encoding, "application/octet-stream") if encoding else kind


@cache
def _types() -> mimetypes.MimeTypes:
    return mimetypes.MimeTypes()
