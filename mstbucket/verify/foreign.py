"""The words for a CAR that is sound, and no export: another tool's file, a proof or a delta."""

from __future__ import annotations

from mstbucket.core import delta_statement as deltas
from mstbucket.core import statement as statements
from mstbucket.core.cid import CID, to_text
from mstbucket.core.delta_statement import DeltaStatement
from mstbucket.core.statement import PartQuestion, Statement
from mstbucket.errors import ForeignCar, InvalidBlock, Unsupported


def foreign(root: CID, what: str) -> ForeignCar:
    # [VER-22]
    return ForeignCar(
        f"this is no bucket export: its root is {to_text(root)}, {what}, and not the commit of a bucket; perhaps a tool of "
        "IPFS reads it"
    )


def foreign_block(root: CID, block: bytes) -> ForeignCar:
    """What to say of a root that is strict DAG-CBOR, and no commit."""
    stated = statement_of(block)
    if stated is not None:  # [PROOF-14]
        return ForeignCar(f"this is no whole bucket, but a proof about commit {to_text(stated.commit)}{of_part(stated)}: "
                          "'check-proof' checks it")  # fmt: skip
    change = _delta_of(block)
    if change is not None:  # [VER-22]
        return ForeignCar(f"this is no whole bucket, but a delta from commit {to_text(change.base)} to "
                          f"{to_text(change.commit)}: 'import' it where the bucket is at the first one, or 'car join' it "
                          "with the export of that, and verify the result")  # fmt: skip
    return foreign(root, "a block of another kind")


def _delta_of(block: bytes) -> DeltaStatement | None:
    try:
        return deltas.decode(block)
    except (InvalidBlock, Unsupported):
        return None


def statement_of(block: bytes) -> Statement | None:
    try:
        return statements.decode(block)
    except (InvalidBlock, Unsupported):
        return None


def of_part(statement: Statement) -> str:
    question = statement.question
    return f", the complete state of its keys with prefix {question.part!r}" if isinstance(question, PartQuestion) else ""
