"""A proof as a file: a CAR whose blocks stand in the order in which the check asks for them."""

from __future__ import annotations

from collections.abc import Mapping

from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import CID, to_text
from mstbucket.errors import ExtraBlock, InvalidInput, MissingBlock, OtherCommit
from mstbucket.model.streams import Readable
from mstbucket.verify.answer import Accept, Answer, answer
from mstbucket.verify.objects import Sink


def check_proof(stream: Readable, commit: CID | None, since: CID | None, accept: Accept, sink: Sink) -> Answer:
    """Check the proof in *stream* against a commit that is known from elsewhere, and return what it proves.

    One pass, in constant memory but for the answer.

    Args:
        commit: the known one; None where *accept* alone decides.
        since: for a change proof the earlier commit, if it is known; None for any, and for other proofs.
        accept: called with the commit before anything else is read. What it raises is passed on.
        sink: gets the bytes of the body. They do not count before this returns.

    Raises:
        InvalidCar, HashMismatch, InvalidBlock, Untrue: the file is damaged, or does not prove what it states.
        MissingBlock, ExtraBlock: the file does not hold all that the proof needs, or holds more.
        OtherCommit: it is about another commit.
        InvalidInput: an earlier commit is named, and the proof is not about changes.
        Unsupported: a newer program wrote it.
    """
    evidence = _Evidence(CarReader(stream), {"commit": commit, "earlier commit": since})
    found = answer(evidence.root, evidence.take, sink, accept)
    evidence.end()
    if since is not None and found.since is None:
        raise InvalidInput("an earlier commit is named, and the proof is about one commit alone: leave it out")
    return found


class _Evidence:
    """Gives the blocks of a proof, each when it is its turn."""

    def __init__(self, reader: CarReader, known: Mapping[str, CID | None]) -> None:
        self.root = reader.root
        self._sections = iter(reader)
        self._known = known
        self._offset = 0

    def take(self, cid: CID, what: str) -> bytes:
        # [PROOF-8] before anything about it is read
        known = self._known.get(what)
        if known is not None and cid != known:
            raise OtherCommit(f"the proof is about {what} {to_text(cid)}, and not about {to_text(known)}").about(cid=cid)
        found, block, offset = next(self._sections, (None, b"", self._offset))
        self._offset = offset
        if found != cid:  # [PROOF-2]
            there = "the file ends" if found is None else f"there is {to_text(found)}"
            raise MissingBlock(
                f"{what} {to_text(cid)} is missing from the proof: {there} at byte {offset}; nothing is proved without"
            ).about(cid=cid, offset=offset)
        return block

    def end(self) -> None:
        """[PROOF-2] Nothing follows the last block that was asked for."""
        for cid, _, offset in self._sections:
            raise ExtraBlock(
                f"block {to_text(cid)} at byte {offset} is no part of the proof"
            ).about(cid=cid, offset=offset)

