"""A commit gets its last form: signed, where this process has a key for that, and as a block with its CID."""

from __future__ import annotations

from dataclasses import replace

from mstbucket.core import commit as commits
from mstbucket.core.cid import CID, dag_cbor_cid
from mstbucket.core.commit import Commit
from mstbucket.signing.keys import Signer


def seal(commit: Commit, signer: Signer | None) -> tuple[Commit, CID, bytes]:
    """The commit as it will be, its CID and its block ([COM-10])."""
    if signer is not None:
        named = replace(commit, key=signer.key)
        commit = replace(named, sig=signer.sign(commits.signing_bytes(named)))
    block = commits.encode(commit)
    return commit, dag_cbor_cid(block), block
