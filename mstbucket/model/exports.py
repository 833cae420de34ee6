"""What exports are, when they are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export is.

    Attributes:
        root: CID of the root: the commit; of a delta, its statement.
        blocks: in the file.
        bytes: length of the whole file, wherever the writing began.
        sha256: of the whole file, in hexadecimal digits.
    """

    root: str
    blocks: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FilesReport:
    """What an export of files is.

    Attributes:
        root: CID of the folder that holds all.
        commit: CID of the commit whose objects these are.
        files, folders: how many are in it, the root included.
        escaped: how many keys are no paths, and have another name in it.
        renamed: the first of these, with the path that each has.
        blocks: in the file.
        bytes: length of the file.
        sha256: of the file, in hexadecimal digits.
    """

    root: str
    commit: str
    files: int
    folders: int
    escaped: int
    renamed: Mapping[str, str]
    blocks: int
    bytes: int
    sha256: str
