"""The words for a CAR that is sound, and no export: another tool's file, or a proof."""

from __future__ import annotations

from mstbucket.core import statement as statements
from mstbucket.core.cid import CID, to_text
from mstbucket.core.statement import PartQuestion, Statement
from mstbucket.errors import ForeignCar, InvalidBlock, Unsupported


def foreign(root: CID, what: str) -> ForeignCar:
    # [VER-22]
    return ForeignCar(
        f"this is no bucket export: its root is {to_text(root)}, {what}, and not the commit of a bucket; perhaps a tool of "
        "IPFS reads it"
    )


def statement_of(block: bytes) -> Statement | None:
    try:
        return statements.decode(block)
    except (InvalidBlock, Unsupported):
        return None


def of_part(statement: Statement) -> str:
    question = statement.question
    return f", the complete state of its keys with prefix {question.part!r}" if isinstance(question, PartQuestion) else ""
