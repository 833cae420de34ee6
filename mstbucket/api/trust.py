"""What a reader demands of a commit that it is shown, beside that the bytes are whole and true."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mstbucket.api.arguments import plain
from mstbucket.errors import InvalidInput
from mstbucket.files.whole import check_path
from mstbucket.later import later

if TYPE_CHECKING:
    from mstbucket.core.cid import CID
    from mstbucket.core.commit import Commit
    from mstbucket.core.did import parse_key
    from mstbucket.signing import trust as trusting
    from mstbucket.signing.trust import Checked
else:
    parse_key = later("mstbucket.core.did", "parse_key")
    trusting = later("mstbucket.signing.trust")
    Checked = later("mstbucket.signing.trust", "Checked")


@dataclass(frozen=True, slots=True)
class Trust:
    """Who has to have signed a commit, and what it has to follow; for `verify_car`, `import_car` and `check_proof`.

    Attributes:
        signer: the public key that has to have signed it, as `did:key:z6Mk…`; None where any will do, or none.
        pins: path of a file in which the newest commit of every bucket is remembered that was accepted. A later call refuses
            an older commit, another one of the same number, one that does not follow, and one signed by another key. It is
            made at the first use. None remembers nothing.
        signature: path of a signature that stands apart from the commit; None where the commit has its own.
        successions: paths of successions, by which an old key names the one that follows it.
        new_bucket: accept a bucket that is not among those in the file of pins. An empty file takes any.
    """

    signer: str | None = None
    pins: str | os.PathLike[str] | None = None
    signature: str | os.PathLike[str] | None = None
    successions: Sequence[str | os.PathLike[str]] = ()
    new_bucket: bool = False


class Demand:
    """What a `Trust` demands of one commit: `accept` comes before the rest is read, and `remember` behind it ([SIGN-8])."""

    def __init__(self, trust: Trust | None) -> None:
        """Nothing is demanded where it is None.

        Raises:
            InvalidInput: a key or a path is none, or it is no `Trust`.
            FormatError, StorageError: a file that it names cannot be read.
        """
        self._trust = _resolved(trust)
        self._checked = Checked(None, None)

    @property
    def names_somebody(self) -> bool:
        """Whether it says who has to have signed: a key, or the keys in a file of pins."""
        return self._trust.signer is not None or self._trust.pins is not None

    @property
    def signer(self) -> bytes | None:
        """The public key whose signature was checked; None where none was."""
        return self._checked.signer

    def accept(self, cid: CID, commit: Commit) -> None:
        """Check the commit. Raises what `signing.trust.Trust.check` raises."""
        self._checked = self._trust.check(cid, commit)

    def remember(self) -> None:
        """Write down that the commit was accepted, durably, where there is a file of pins. Raises as `Trust.remember`."""
        self._trust.remember(self._checked)


def _resolved(trust: Trust | None) -> trusting.Trust:
    if trust is None:
        return trusting.Trust()
    if not isinstance(trust, Trust):
        raise InvalidInput(f"trust is of type {type(trust).__name__}; it has to be a mstbucket.Trust")
    _check(trust)
    return trusting.Trust(
        signer=None if trust.signer is None else parse_key(trust.signer),
        signature=None if trust.signature is None else trusting.read_signature(trust.signature),
        pins=trust.pins,
        successions=trusting.read_successions(trust.successions),
        new=trust.new_bucket,
    )


def _check(trust: Trust) -> None:
    """[ARG-1] What a dataclass holds nobody has checked before it is used."""
    successions: object = trust.successions
    if isinstance(successions, (str, bytes, os.PathLike)) or not isinstance(successions, Sequence):
        raise plain.wrong("successions", successions, "a list of paths")
    plain.optional(plain.text)("signer", trust.signer)
    plain.truth("new_bucket", trust.new_bucket)
    given = [(name, path) for name, path in (("pins", trust.pins), ("signature", trust.signature)) if path is not None]
    for name, path in (*given, *(("a succession", path) for path in successions)):
        check_path(plain.path(name, path))
