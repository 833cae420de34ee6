"""Logs of commits, without a store: their heads, proofs, and what a reader checks who remembers a head."""

from __future__ import annotations

import os
from pathlib import Path

from mstbucket.api.arguments import guarded
from mstbucket.core import commit_log
from mstbucket.core.cid import from_text
from mstbucket.errors import FormatError, InvalidInput
from mstbucket.files.whole import opened, replacing
from mstbucket.limits import LOG_PROOF_BLOCK_MAX
from mstbucket.model.streams import Readable
from mstbucket.services.past.log_file import read


@guarded
def log_head(path: str | os.PathLike[str]) -> str:
    """Return the head of a log, `SIZE:HASH`.

    Raises:
        FormatError: the file is no log, or one without commits.
        StorageError: it cannot be read.
    """
    log = read(path)
    if not log.entries:
        raise FormatError(f"{os.fsdecode(path)} lists no commit, so it has no head")
    return str(log.head())


@guarded
def prove_log(
    log: str | os.PathLike[str], path: str | os.PathLike[str], *, commit: str | None = None, since: int = 0
) -> str:
    """Prove that a commit is in a log, and that the log has only grown since an earlier size; return the head.

    Args:
        log: the file that `Bucket.append_log` keeps.
        path: where the proof goes: some hundred bytes.
        commit: CID of the commit, as text; by default the newest one.
        since: the size in the head that the reader knows; 0 for a reader who knows none.

    Raises:
        InvalidInput: the commit is not in the log, or the log never had that size.
        FormatError: the file is no log.
        StorageError: a file cannot be read or written.
    """
    found = read(log)
    if commit is None and not found.entries:
        raise InvalidInput(f"{os.fsdecode(log)} lists no commit")
    cid = found.entries[-1][1] if commit is None else from_text(commit)
    proof = found.prove(cid, since)
    with replacing(Path(path)) as file:
        file.write(commit_log.encode_proof(proof))
    return str(found.head())


@guarded
def check_log_proof(source: str | os.PathLike[str] | Readable, commit: str, known: str | None = None) -> str:
    """Check that a commit is in the log which the reader knows, and that nothing in this log was changed since.

    Args:
        source: path of the proof, or an open binary file that is read once from where it stands.
        commit: CID of the commit, as text: of one that was found good.
        known: the head that the reader remembers, as `Bucket.append_log` or this function returned it. Without it, the
            commit is in some log: the head is taken as it comes.

    Returns:
        The log's head now. Remember it instead, when all else about the commit has been found true.

    Raises:
        OtherCommit: the proof is about another commit.
        Untrue: it does not hold, or the log is not the known one with more behind it: history was rewritten.
        FormatError: the file is no proof of a log.
        InvalidInput: the commit is no CID, or *known* no head.
        StorageError: the file cannot be read.
    """
    cid = from_text(commit)
    head = None if known is None else commit_log.parse_head(known)
    with opened(source) as file:
        block = b""
        while len(block) <= LOG_PROOF_BLOCK_MAX and (data := file.read(LOG_PROOF_BLOCK_MAX + 1 - len(block))):
            block += data
    return str(commit_log.check(commit_log.decode_proof(block), cid, head))
