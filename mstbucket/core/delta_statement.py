"""The statement that a delta begins with (`spec/format/33-delta.md`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from mstbucket.core import dagcbor
from mstbucket.core.cid import CID, DAG_CBOR_PREFIX, from_text, to_text
from mstbucket.core.dagcbor import Link
from mstbucket.errors import InvalidBlock, InvalidCid, Unsupported
from mstbucket.limits import STATEMENT_BLOCK_MAX

DELTA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class DeltaStatement:
    """What a delta is: all that the bucket of *commit* has, and that of *base* is not known to have."""

    base: CID
    commit: CID


def encode(statement: DeltaStatement) -> bytes:
    """Return the first block of a delta."""
    # [DELTA-2] the base as text: nothing of it is in the file
    return dagcbor.encode(
        {"base": to_text(statement.base), "delta": DELTA_VERSION, "commit": Link(statement.commit)}
    )


def decode(block: bytes) -> DeltaStatement | None:
    """Return the statement that *block* is, or None if it is no statement of a delta at all.

    Raises:
        Unsupported: a newer program wrote it: update this one.
        InvalidBlock: it is one that `encode` does not write.
    """
    if len(block) > STATEMENT_BLOCK_MAX:  # [DELTA-2] before anything is read
        return None
    value = dagcbor.decode(block)
    if not isinstance(value, dict) or type(value.get("delta")) is not int:
        return None
    if value["delta"] != DELTA_VERSION:
        raise Unsupported(f"the delta has version {value['delta']}; this program reads {DELTA_VERSION}")
    try:
        statement = _from_value(value)
    except (InvalidCid, TypeError, LookupError, AttributeError) as error:
        raise InvalidBlock(f"the statement of the delta is none: {error}") from error
    if encode(statement) != block:
        raise InvalidBlock("the statement of the delta is not written as its fields demand")
    return statement


def _from_value(value: dict[str, Any]) -> DeltaStatement:
    statement = DeltaStatement(from_text(value["base"]), value["commit"].cid)
    for cid in (statement.base, statement.commit):
        if cid[:4] != DAG_CBOR_PREFIX:
            raise InvalidBlock("the statement of the delta names what is no commit")
    return statement
