"""The head of a bucket in a folder of files: which files give its newest commit (`spec/format/36-folder.md`).

It is the text that `sha256sum -c` checks the files by; what more it says stands in lines that begin with "#".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from mstbucket.core import delta_statement
from mstbucket.core.cid import CID, DAG_CBOR_PREFIX, dag_cbor_cid, from_text, to_text
from mstbucket.core.commit_fields import check_bucket_id
from mstbucket.core.keys import check_bucket_name
from mstbucket.errors import FormatError, InvalidCid, InvalidInput, Unsupported
from mstbucket.limits import COMMIT_SEQ_MAX, FILE_BEFORE_MAX, FILE_HEAD_MAX

VERSION: Final = 1
HEAD: Final = "head"  # the name of the file

_FIRST: Final = re.compile(r"# mstbucket files ([0-9]{1,9})")
_BUCKET: Final = re.compile(r"# bucket ([a-z2-7]{26})")
_NAME: Final = re.compile(r"# name ([a-z0-9.-]{1,63})")
_BEFORE: Final = re.compile(r"# before ([0-9]{1,19}) (b[a-z2-7]{58})")
_COMMIT: Final = re.compile(r"# commit ([0-9]{1,19}) (b[a-z2-7]{58}) in ([0-9]{1,19}) bytes")
_SUM: Final = re.compile(r"([0-9a-f]{64})  ([a-z0-9.-]{1,255})")


@dataclass(frozen=True, slots=True)
class ChainFile:
    """A file that leads to a commit.

    Attributes:
        seq, commit: where it leads.
        size, sha256: of the file, in bytes and in hex.
    """

    seq: int
    commit: CID
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FileHead:
    """What the files of a bucket give.

    Attributes:
        bucket, name: its identity, and what it was called.
        before: numbers and CIDs of earlier commits that the newest one follows: some, without those of `files`.
        files: an export, and the deltas that lead on from it. The last one leads to the newest commit.
    """

    bucket: str
    name: str
    before: tuple[tuple[int, CID], ...]
    files: tuple[ChainFile, ...]

    @property
    def newest(self) -> ChainFile:
        """The file that leads to the newest commit."""
        return self.files[-1]

    def root(self, index: int) -> CID:
        """The root of a file: the commit of an export, and the statement of a delta ([DELTA-1])."""
        file = self.files[index]
        return file.commit if index == 0 else delta_root(self.files[index - 1].commit, file.commit)

    def file_name(self, index: int) -> str:
        """What a file is called ([FOLD-3])."""
        file = self.files[index]
        return full_name(file) if index == 0 else delta_name(self.files[index - 1], file)


def full_name(file: ChainFile) -> str:
    """The name of an export."""
    return f"full-{file.seq}-{to_text(file.commit)}.car"


def delta_name(base: ChainFile, file: ChainFile) -> str:
    """The name of the delta that leads from one to the other. It says both commits, by the root."""
    return f"delta-{base.seq}-{file.seq}-{to_text(delta_root(base.commit, file.commit))}.car"


def delta_root(base: CID, commit: CID) -> CID:
    """The CID of the statement that a delta begins with."""
    return dag_cbor_cid(delta_statement.encode(delta_statement.DeltaStatement(base, commit)))


def encode(head: FileHead) -> bytes:
    """Return the text of it."""
    lines = [f"# mstbucket files {VERSION}", f"# bucket {head.bucket}", f"# name {head.name}"]
    lines += [f"# before {seq} {to_text(cid)}" for seq, cid in head.before]
    for index, file in enumerate(head.files):
        lines.append(f"# commit {file.seq} {to_text(file.commit)} in {file.size} bytes")
        lines.append(f"{file.sha256}  {head.file_name(index)}")
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def decode(data: bytes, where: str) -> FileHead:
    """Return what *data* says; *where* it was read is for messages.

    Raises:
        Unsupported: a newer program wrote it.
        FormatError: `encode` does not write it, or it cannot be true.
    """
    if len(data) > FILE_HEAD_MAX:  # [FOLD-5]
        raise FormatError(f"{where} has more than {FILE_HEAD_MAX} bytes: it is no head of a bucket's files")
    try:
        return _parsed(data.decode("ascii").split("\n"), data)
    except (UnicodeDecodeError, InvalidInput, InvalidCid, _OddError) as error:
        raise FormatError(f"{where} is no head of a bucket's files: {error}") from error


class _OddError(Exception):
    pass


def _parsed(lines: list[str], data: bytes) -> FileHead:
    rest = iter(lines)
    version = _need(_FIRST, next(rest, ""))
    if int(version[1]) != VERSION:
        raise Unsupported(f"the folder has version {version[1]}; this program reads {VERSION}")
    bucket = check_bucket_id(_need(_BUCKET, next(rest, ""))[1])
    name = _need(_NAME, next(rest, ""))[1]
    check_bucket_name(name)
    before: list[tuple[int, CID]] = []
    line = next(rest, "")
    while found := _BEFORE.fullmatch(line):
        before.append((_number(found[1]), _commit(found[2])))
        line = next(rest, "")
    files: list[ChainFile] = []
    while line:
        stated, summed = _need(_COMMIT, line), _need(_SUM, next(rest, ""))
        files.append(ChainFile(_number(stated[1]), _commit(stated[2]), int(stated[3]), summed[1]))
        line = next(rest, "")
    head = FileHead(bucket, name, tuple(before), tuple(files))
    _check(head)
    if encode(head) != data:  # [FOLD-5] also every name of a file is what its commits demand
        raise _OddError("a line is not what the others demand")
    return head


def _check(head: FileHead) -> None:
    if not head.files:
        raise _OddError("it names no file")
    numbers = [file.seq for file in head.files]
    if any(one >= other for one, other in pairwise(numbers)):
        raise _OddError("the numbers of its commits do not rise")
    if len(head.before) > FILE_BEFORE_MAX or any(seq >= numbers[-1] for seq, _ in head.before):
        raise _OddError(f"it names more than {FILE_BEFORE_MAX} commits before the newest one, or later ones")


def _need(form: re.Pattern[str], line: str) -> re.Match[str]:
    found = form.fullmatch(line)
    if found is None:
        raise _OddError(f"there is {line[:80]!r} where {form.pattern!r} has to be")
    return found


def _number(text: str) -> int:
    number = int(text)
    if not 1 <= number <= COMMIT_SEQ_MAX:
        raise _OddError(f"no commit has the number {text}")
    return number


def _commit(text: str) -> CID:
    cid = from_text(text)
    if cid[:4] != DAG_CBOR_PREFIX:
        raise _OddError(f"{text} is no commit")
    return cid
