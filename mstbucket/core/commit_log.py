"""A log of a bucket's commits: the file that its publisher keeps, its head, and proofs of it (`spec/format/37-log.md`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from mstbucket.core import dagcbor
from mstbucket.core.cid import CID, DAG_CBOR_PREFIX, from_text, to_text
from mstbucket.core.commit_fields import check_bucket_id
from mstbucket.core.dagcbor import Link
from mstbucket.core.merkle_log import (
    HASH_SIZE,
    check_consistency,
    consistency_path,
    head,
    head_by_inclusion,
    inclusion_path,
    leaf_hash,
)
from mstbucket.errors import FormatError, InvalidBlock, InvalidCid, InvalidInput, OtherCommit, Unsupported, Untrue
from mstbucket.limits import COMMIT_SEQ_MAX, LOG_FILE_MAX, LOG_PROOF_BLOCK_MAX

VERSION: Final = 1

_FIRST: Final = re.compile(r"# mstbucket log ([0-9]{1,9})")
_BUCKET: Final = re.compile(r"# bucket ([a-z2-7]{26})")
_ENTRY: Final = re.compile(r"([1-9][0-9]{0,15}) (b[a-z2-7]{58})")
_HEAD: Final = re.compile(r"([1-9][0-9]{0,15}):([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Head:
    """What a log is, in one value: how many commits it has, and the hash over them."""

    size: int
    root: bytes

    def __str__(self) -> str:
        return f"{self.size}:{self.root.hex()}"


def parse_head(text: str) -> Head:
    """Return the head that is written so: its size, a colon, and 64 hexadecimal digits."""
    found = _HEAD.fullmatch(text)
    if found is None:
        raise InvalidInput(f"{text[:80]!r} is no head of a log: write SIZE:HASH, as 'commit-log head' prints it")
    return Head(int(found[1]), bytes.fromhex(found[2]))


@dataclass(frozen=True, slots=True)
class Log:
    """The commits of a bucket that its publisher has listed: number and CID of each, in the order of numbers."""

    bucket: str
    entries: tuple[tuple[int, CID], ...]

    def head(self) -> Head:
        """What to publish, and to remember. A log without entries has none."""
        return Head(len(self.entries), head(self._leaves()))

    def prove(self, commit: CID, since: int) -> LogProof:
        """Prove that the commit is in the log, and that this has only grown since it had *since* entries; 0 asks for less.

        Raises:
            InvalidInput: the commit is not in it, or it never had so many entries.
        """
        places = [place for place, (_, cid) in enumerate(self.entries) if cid == commit]
        if not places:
            raise InvalidInput(f"commit {to_text(commit)} is not in the log: append it first")
        if not 0 <= since <= len(self.entries):
            raise InvalidInput(f"the log has {len(self.entries)} entries, and never had {since}")
        leaves = self._leaves()
        grown = () if since == 0 else tuple(consistency_path(leaves, since))
        return LogProof(self.bucket, commit, len(leaves), places[0], tuple(inclusion_path(leaves, places[0])), since, grown)

    def _leaves(self) -> list[bytes]:
        return [leaf_hash(cid) for _, cid in self.entries]


@dataclass(frozen=True, slots=True)
class LogProof:
    """That a commit is one of a log, and that this log has only grown since an earlier size.

    Attributes:
        bucket: its identity.
        commit: the one that is proved.
        size, index: how many entries the log has, and which of them, from 0, the commit is.
        inclusion: the hashes that lead from the commit to the head.
        since: an earlier size; 0 where nothing is proved about one.
        consistency: the hashes that lead from the head of that size to this one.
    """

    bucket: str
    commit: CID
    size: int
    index: int
    inclusion: tuple[bytes, ...]
    since: int
    consistency: tuple[bytes, ...]


def check(proof: LogProof, commit: CID, known: Head | None) -> Head:
    """Check a proof about *commit* against the head that the reader knows; return the head to remember instead.

    Raises:
        OtherCommit: it is about another commit.
        Untrue: it does not hold, or the log is not the one that is known with more behind it.
    """
    if proof.commit != commit:  # [LOG-5] as [PROOF-8]
        raise OtherCommit(f"the proof is about commit {to_text(proof.commit)}, and not {to_text(commit)}").about(cid=commit)
    found = Head(proof.size, head_by_inclusion(leaf_hash(commit), proof.index, proof.size, proof.inclusion))
    if known is None:
        return found
    if proof.since != known.size:
        raise Untrue(f"the proof is about a log that had {proof.since} entries, and the one that is known had {known.size}")
    check_consistency(known.size, known.root, found.size, found.root, proof.consistency)
    return found


# --- the block of a proof --------------------------------------------------------------------------------------------


def encode_proof(proof: LogProof) -> bytes:
    """Return the one block of it."""
    return dagcbor.encode({
        "log": VERSION, "bucket": proof.bucket, "commit": Link(proof.commit), "size": proof.size, "index": proof.index,
        "inclusion": list(proof.inclusion), "since": proof.since, "consistency": list(proof.consistency),
    })  # fmt: skip


def decode_proof(block: bytes) -> LogProof:
    """Return the proof that *block* is; whether it holds says `check`.

    Raises:
        Unsupported: a newer program wrote it.
        InvalidBlock: anything that `encode_proof` does not write.
    """
    if len(block) > LOG_PROOF_BLOCK_MAX:  # [LOG-4] before anything is read
        raise InvalidBlock(f"a proof of a log has more than {LOG_PROOF_BLOCK_MAX} bytes")
    value = dagcbor.decode(block)
    if not isinstance(value, dict) or type(value.get("log")) is not int:
        raise InvalidBlock("the file is no proof of a log of commits")
    if value["log"] != VERSION:
        raise Unsupported(f"the proof of a log has version {value['log']}; this program reads {VERSION}")
    try:
        proof = _proof(value)
        again = encode_proof(proof)
    except (InvalidInput, LookupError, TypeError, AttributeError) as error:
        raise InvalidBlock("the proof of a log has a field too few, or one of another type") from error
    if again != block:
        raise InvalidBlock("the proof of a log is not written as its fields demand")
    return proof


def _proof(value: dict[str, Any]) -> LogProof:
    commit: CID = value["commit"].cid
    size, index, since = value["size"], value["index"], value["since"]
    if commit[:4] != DAG_CBOR_PREFIX or not all(type(number) is int for number in (size, index, since)):
        raise InvalidInput("another type")
    if not (0 <= index < size <= COMMIT_SEQ_MAX and 0 <= since <= size):
        raise InvalidInput("no place in the log")
    return LogProof(check_bucket_id(value["bucket"]), commit, size, index, _hashes(value["inclusion"]), since,
                    _hashes(value["consistency"]))  # fmt: skip


def _hashes(value: Any) -> tuple[bytes, ...]:
    if type(value) is not list or not all(type(one) is bytes and len(one) == HASH_SIZE for one in value):
        raise InvalidInput("a list of hashes is wanted")
    return tuple(value)


# --- the file of the publisher ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listed:
    """A commit that is to be listed: its number, its CID, and those that it comes from."""

    seq: int
    cid: CID
    prev: CID | None
    merged: CID | None


def appended(log: Log, commits: Iterable[Listed]) -> Log:
    """Return the log with *commits*, in the order of numbers, behind its own.

    Raises:
        Untrue: one has not a larger number than the one before it; or has the next one, and does not follow it.
    """
    entries = list(log.entries)
    for one in commits:
        if entries:
            seq, cid = entries[-1]
            if one.seq <= seq:
                raise Untrue(f"commit {one.seq} cannot follow commit {seq} in a log")
            if one.seq == seq + 1 and cid not in (one.prev, one.merged):  # [LOG-2] as [SIGN-6]
                raise Untrue(f"commit {one.seq} does not follow {to_text(cid)}, which the log has before it: it is of "
                             "another history, and needs a log of its own")  # fmt: skip
        entries.append((one.seq, one.cid))
    return Log(log.bucket, tuple(entries))


def encode(log: Log) -> bytes:
    """Return the text of a log."""
    lines = [f"# mstbucket log {VERSION}", f"# bucket {log.bucket}"]
    lines += [f"{seq} {to_text(cid)}" for seq, cid in log.entries]
    data = "".join(f"{line}\n" for line in lines).encode("ascii")
    if len(data) > LOG_FILE_MAX:
        raise Unsupported(f"the log would have more than {LOG_FILE_MAX} bytes: begin another one")
    return data


def decode(data: bytes, where: str) -> Log:
    """Return the log that *data* says; *where* it was read is for messages.

    Raises:
        Unsupported: a newer program wrote it.
        FormatError: `encode` does not write it.
    """
    if len(data) > LOG_FILE_MAX:  # [LOG-1]
        raise FormatError(f"{where} has more than {LOG_FILE_MAX} bytes: it is no log of commits")
    try:
        lines = data.decode("ascii").split("\n")
        version = _need(_FIRST, lines[0])[1]
        if int(version) != VERSION:
            raise Unsupported(f"the log has version {version}; this program reads {VERSION}")
        bucket = check_bucket_id(_need(_BUCKET, "".join(lines[1:2]))[1])
        entries = tuple(_entry(line) for line in lines[2:-1])
        if any(one[0] >= other[0] for one, other in pairwise(entries)):
            raise InvalidInput("its numbers do not rise")
        log = Log(bucket, entries)
        if encode(log) != data:
            raise InvalidInput("a line is not whole")
    except UnicodeDecodeError as error:
        at = error.start
        raise FormatError(f"{where} is no log of commits: byte {data[at]:#x} stands at offset {at}") from error
    except (InvalidInput, InvalidCid) as error:
        raise FormatError(f"{where} is no log of commits: {error}") from error
    return log


def _entry(line: str) -> tuple[int, CID]:
    found = _need(_ENTRY, line)
    seq, cid = int(found[1]), from_text(found[2])
    if seq > COMMIT_SEQ_MAX or cid[:4] != DAG_CBOR_PREFIX:
        raise InvalidInput(f"{line!r} names no commit")
    return seq, cid


def _need(form: re.Pattern[str], line: str) -> re.Match[str]:
    found = form.fullmatch(line)
    if found is None:
        raise InvalidInput(f"it has {line[:80]!r} where a line of the form {form.pattern} has to be")
    return found
