"""Statements: the block that a proof begins with, what is to be proved of which commit (`spec/format/31-proofs.md`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from mstbucket.core import dagcbor
from mstbucket.core.change_statement import ChangesQuestion, changes_from_value, encode_changes
from mstbucket.core.cid import CID, DAG_CBOR_PREFIX
from mstbucket.core.dagcbor import Link
from mstbucket.core.keys import check_text, encode_key
from mstbucket.errors import InvalidBlock, InvalidInput, Unsupported
from mstbucket.limits import CHANGES_STATEMENT_MAX, LIST_KEYS_MAX, OBJECT_SIZE_MAX, STATEMENT_BLOCK_MAX

PROOF_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class KeyQuestion:
    """Whether there is an object with this key, and which.

    Attributes:
        body: the bytes of the object that are proved too, as a half-open range; None where none are.
    """

    key: str
    body: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class PageQuestion:
    """Which keys begin with a prefix: a page of S3's listing.

    Attributes:
        prefix: "" for all keys.
        delimiter: keys that have it behind the prefix count together as a common prefix; None for none.
        start_after: keys up to this one are not asked about; "" for none.
        max_keys: keys and common prefixes of the page, 1 to `LIST_KEYS_MAX`.
    """

    prefix: str
    delimiter: str | None = None
    start_after: str = ""
    max_keys: int = LIST_KEYS_MAX


@dataclass(frozen=True, slots=True)
class PartQuestion:
    """Everything that the bucket holds under the keys that begin with *part*."""

    part: str


Question = KeyQuestion | PageQuestion | PartQuestion | ChangesQuestion


@dataclass(frozen=True, slots=True)
class Statement:
    """A question about the state of a bucket that *commit* names."""

    commit: CID
    question: Question


def encode(statement: Statement) -> bytes:
    """Return the one block of a statement.

    Raises:
        InvalidInput: a key or text that no object can have, a range or a number out of bounds.
    """
    question = statement.question
    if isinstance(question, ChangesQuestion):
        return encode_changes(statement.commit, question)
    value: dict[str, Any] = {"proof": PROOF_VERSION, "commit": Link(statement.commit)}
    if isinstance(question, KeyQuestion):
        encode_key(question.key)  # which refuses what is none
        value["key"] = question.key
        if question.body is not None:
            start, end = question.body
            if not 0 <= start <= end <= OBJECT_SIZE_MAX:
                raise InvalidInput(f"bytes {start} to {end} are no range of an object")
            value["body"] = [start, end]
        return _bounded(dagcbor.encode(value))
    if isinstance(question, PartQuestion):
        check_text("prefix", question.part)
        value["part"] = question.part
        return _bounded(dagcbor.encode(value))
    check_text("prefix", question.prefix)
    check_text("start_after", question.start_after)
    if not 1 <= question.max_keys <= LIST_KEYS_MAX:  # [PROOF-4]
        raise InvalidInput(f"max_keys is {question.max_keys}; it must be from 1 to {LIST_KEYS_MAX}")
    value |= {"prefix": question.prefix, "max_keys": question.max_keys}
    if question.delimiter is not None:
        check_text("delimiter", question.delimiter)
        if question.delimiter == "":
            raise InvalidInput("a delimiter has at least one character: leave it out for none")
        value["delimiter"] = question.delimiter
    if question.start_after:
        value["start_after"] = question.start_after
    return _bounded(dagcbor.encode(value))


def _bounded(block: bytes) -> bytes:
    if len(block) > STATEMENT_BLOCK_MAX:
        raise InvalidInput(f"a statement of {len(block)} bytes, more than {STATEMENT_BLOCK_MAX}: shorten its texts")
    return block


def decode(block: bytes) -> Statement:
    """Return the statement that *block* is.

    Raises:
        Unsupported: a newer program wrote it: update this one.
        InvalidBlock: anything that `encode` does not write.
    """
    if len(block) > CHANGES_STATEMENT_MAX:  # [PROOF-9] before anything is read
        raise InvalidBlock(f"a statement has {len(block)} bytes, more than {CHANGES_STATEMENT_MAX}")
    # A link is mere bytes here. What is written from it below has to be the block, and so settles that.
    value = dagcbor.decode_fast(block)
    of_changes = isinstance(value, dict) and "since" in value
    if not of_changes:
        if len(block) > STATEMENT_BLOCK_MAX:  # [PROOF-3]
            raise InvalidBlock(f"a statement has {len(block)} bytes, more than {STATEMENT_BLOCK_MAX}")
        value = dagcbor.decode(block)
    if not isinstance(value, dict) or type(value.get("proof")) is not int:
        raise InvalidBlock("the first block is no statement: this is no proof")
    if value["proof"] != PROOF_VERSION:
        raise Unsupported(f"the proof has version {value['proof']}; this program reads {PROOF_VERSION}")
    try:
        statement = Statement(*changes_from_value(value)) if of_changes else _from_value(value)
        again = encode(statement)
    except (InvalidInput, TypeError, ValueError, LookupError, AttributeError) as error:
        raise InvalidBlock(f"the statement of the proof is none: {error}") from error
    if again != block:  # [PROOF-3]
        raise InvalidBlock("the statement of the proof is not written as its fields demand")
    return statement


def _from_value(value: dict[str, Any]) -> Statement:
    commit = value["commit"].cid
    if commit[:4] != DAG_CBOR_PREFIX:
        raise InvalidInput("its commit is not dag-cbor")
    if "key" in value:
        body = value.get("body")
        start_end = None if body is None else (_whole(body[0]), _whole(body[1]))
        return Statement(commit, KeyQuestion(_text(value["key"]), start_end))
    if "part" in value:
        return Statement(commit, PartQuestion(_text(value["part"])))
    delimiter = value.get("delimiter")
    return Statement(
        commit,
        PageQuestion(
            prefix=_text(value["prefix"]),
            delimiter=None if delimiter is None else _text(delimiter),
            start_after=_text(value.get("start_after", "")),
            max_keys=_whole(value["max_keys"]),
        ),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"a {type(value).__name__} where a text is wanted")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise InvalidInput(f"a {type(value).__name__} where a number is wanted")
    return value
