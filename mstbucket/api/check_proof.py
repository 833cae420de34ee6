"""Check a proof without a store: what anybody can do who was handed one, and knows the commit."""

from __future__ import annotations

import os
from typing import BinaryIO

from mstbucket.api.arguments import guarded
from mstbucket.api.trust import Demand, Trust
from mstbucket.core.cid import from_text
from mstbucket.errors import InvalidInput
from mstbucket.files.whole import opened, write_all
from mstbucket.model.looks import Proved
from mstbucket.model.streams import Readable
from mstbucket.verify import proof
from mstbucket.verify.proved import proved


@guarded
def check_proof(
    source: str | os.PathLike[str] | Readable,
    commit: str | None = None,
    *,
    since: str | None = None,
    trust: Trust | None = None,
    output: BinaryIO | None = None,
) -> Proved:
    """Check a proof that `Bucket.prove_key`, `prove_page` or `prove_changes` wrote, and return what it proves.

    Every block is hashed, and every node of the tree is judged at its place. The file holds what the check needs and nothing
    else. It proves what the commit says: so the commit's CID has to come from elsewhere, from somebody you trust. Whether
    that commit is the newest one no proof can tell. See `spec/format/31-proofs.md` for what a proof holds for.

    Args:
        source: path of the file, or an open binary file that is read once from where it stands.
        commit: CID of the commit, as text. It may be left out where `trust` says who has to have signed it.
        since: of a change proof the earlier commit, in the same way. Where it is left out, look at the one in the answer.
        trust: who has to have signed the commit, and what it has to follow; checked first, and remembered when all else is
            true.
        output: where the bytes of a body that is proved go, as they come. They count only when this has returned.

    Raises:
        InvalidInput: neither a commit nor a signer is named: anybody can prove anything of a commit of his own. Or
            *since* is given, and the proof is not about changes.
        WrongSignature, PinMismatch: the commit is not to be trusted, as `trust` has it.
        OtherCommit: the proof is about another commit.
        FormatError, CorruptionError: the file is damaged, or does not prove what it states.
        StorageError: the file cannot be read, or the output written.
    """

    def sink(data: bytes) -> None:
        if output is not None:
            write_all(output, data)

    demand = Demand(trust)
    if commit is None and not demand.names_somebody:
        raise InvalidInput("a proof is about some commit: name the one that you know, or who has to have signed it")
    known, before = (None if cid is None else from_text(cid) for cid in (commit, since))
    with opened(source) as file:
        found = proof.check_proof(file, known, before, demand.accept, sink)
    demand.remember()
    return proved(found)
