"""The statement of a change proof: which keys of a bucket differ between two commits, and what they name in each.

There may be thousands of changes, so it is read by the fast decoder, written again by hand, and compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mstbucket.core.cid import CID, CID_SIZE, DAG_CBOR_PREFIX
from mstbucket.core.dagcbor import LINK_HEAD, head
from mstbucket.core.keys import check_key, split_version_key
from mstbucket.errors import InvalidInput, Unsupported
from mstbucket.limits import CHANGES_STATEMENT_MAX

#: A key of the tree, and the manifest that it names in the earlier and in the later commit; None where it is absent.
Change = tuple[bytes, CID | None, CID | None]

_HEAD: Final = b"\xa5\x65proof\x01\x65since" + LINK_HEAD  # the fields in the order of DAG-CBOR
_COMMIT: Final = b"\x66commit" + LINK_HEAD
_OBJECTS: Final = b"\x67objects"
_VERSIONS: Final = b"\x68versions"
_NULL: Final = b"\xf6"


@dataclass(frozen=True, slots=True)
class ChangesQuestion:
    """What differs between the bucket at *since* and at the later commit of the statement: these keys, and no others.

    Attributes:
        objects: of the tree of objects, by key.
        versions: of the tree of versions, by its keys.
    """

    since: CID
    objects: tuple[Change, ...]
    versions: tuple[Change, ...]


def encode_changes(commit: CID, question: ChangesQuestion) -> bytes:
    """Return the block of the statement that *question* differs so from *commit*.

    Raises:
        InvalidInput: keys out of order or not of their tree, or a change that changes nothing.
        Unsupported: too many of them.
    """
    parts = [_HEAD, _dag_cbor(question.since), _COMMIT, _dag_cbor(commit), _OBJECTS]
    _write(parts, question.objects, check_key)
    parts.append(_VERSIONS)
    _write(parts, question.versions, split_version_key)
    block = b"".join(parts)
    if len(block) > CHANGES_STATEMENT_MAX:  # [PROOF-9]
        raise Unsupported(
            f"{len(question.objects) + len(question.versions)} changes take {len(block)} bytes, more than "
            f"{CHANGES_STATEMENT_MAX}: prove them from commit to commit between, or export a delta"
        )
    return block


def changes_from_value(value: dict[str, Any]) -> tuple[CID, ChangesQuestion]:
    """Return the commit and the question of what the fast decoder made of a block; the caller writes it and compares."""
    objects, versions = (tuple((key, old, new) for key, old, new in value[name]) for name in ("objects", "versions"))
    return value["commit"], ChangesQuestion(value["since"], objects, versions)


def _write(parts: list[bytes], changes: tuple[Change, ...], check: Callable[[bytes], object]) -> None:
    parts.append(head(4, len(changes)))
    before = b""
    for key, old, new in changes:
        check(key)
        # [PROOF-9] in order, each once, and each of them changes something
        if key <= before:
            raise InvalidInput(f"the change of {key[:40]!r} comes after {before[:40]!r}: sort them, without repeats")
        if old == new:
            raise InvalidInput(f"the change of {key[:40]!r} changes nothing")
        before = key
        parts += (b"\x83", head(2, len(key)), key)
        for cid in (old, new):
            parts += (_NULL,) if cid is None else (LINK_HEAD, _dag_cbor(cid))


def _dag_cbor(cid: CID) -> CID:
    if len(cid) != CID_SIZE or cid[:4] != DAG_CBOR_PREFIX:
        raise InvalidInput("a commit or a manifest of the statement is not dag-cbor")
    return cid
