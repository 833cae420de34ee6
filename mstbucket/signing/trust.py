"""Whether a commit is to be trusted: who signed it, and whether it follows what was accepted before."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mstbucket.core import commit as commits
from mstbucket.core import endorsements
from mstbucket.core.cid import CID, to_text
from mstbucket.core.commit import Commit
from mstbucket.core.did import key_text
from mstbucket.core.endorsements import Signature, Succession
from mstbucket.core.pins import Pin, check_key, check_pin, pin_of
from mstbucket.errors import InvalidInput, PinMismatch, WrongSignature
from mstbucket.files.whole import reading, replacing
from mstbucket.limits import ENDORSEMENT_BLOCK_MAX
from mstbucket.signing.keys import Signer, verify
from mstbucket.signing.pin_file import locked, read_pins, write_pin

SUCCESSIONS_MAX: Final = 64  # that are followed from one key to the next


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found of a commit.

    Attributes:
        signer: the public key whose signature was checked; None where there is none, or nothing was demanded.
        pin: what to remember once all else has been checked; None for nothing.
    """

    signer: bytes | None
    pin: Pin | None


@dataclass(frozen=True, slots=True)
class Trust:
    """What a reader demands of a commit, beyond whole and true bytes.

    Attributes:
        signer: the public key that must have signed it; None for any key, or none.
        signature: a signature that stands apart from the commit; None if the commit has its own, or none.
        pins: the file of what was accepted before; None to remember nothing.
        successions: by which one key follows another.
        new: whether to accept a bucket that is not in a file of pins, though others are.
    """

    signer: bytes | None = None
    signature: Signature | None = None
    pins: str | os.PathLike[str] | None = None
    successions: tuple[Succession, ...] = ()
    new: bool = False

    def check(self, cid: CID, commit: Commit) -> Checked:
        """Check a commit before it is accepted; nothing is written.

        Raises:
            WrongSignature: it is not signed as demanded, or its signature is wrong.
            PinMismatch: it is not what may follow what was accepted before.
            Unsupported: the library for signatures is not installed.
        """
        if self.signer is None and self.pins is None and self.signature is None:
            return Checked(None, None)
        key = self._signed_by(cid, commit)
        if self.signer is not None and key != self.signer and self.signer not in self._keys_before(commit.bucket, key):
            who = "not signed" if key is None else f"signed by {key_text(key)}"
            raise WrongSignature(f"commit {to_text(cid)} is {who}, and {key_text(self.signer)} is expected").about(cid=cid)
        if self.pins is None:
            return Checked(key, None)
        pins = read_pins(self.pins)
        pin = pins.get(commit.bucket)
        if pin is not None:
            check_pin(pin, cid, commit)
            check_key(pin, cid, pin.key if pin.key in self._keys_before(commit.bucket, key) else key)
        elif pins and not self.new:  # [SIGN-7]
            raise PinMismatch(
                f"bucket {commit.bucket} ({commit.name!r}) is not among the {len(pins)} in the file of pins: if it is meant "
                "to be a new one, say so"
            ).about(cid=cid)
        return Checked(key, pin_of(cid, commit, key))

    def remember(self, checked: Checked) -> None:
        """Write down what was accepted, durably [SIGN-8]. The file is read again first: another process may have changed it.

        Raises:
            PinMismatch: another process accepted another or a later commit meanwhile.
        """
        pin = checked.pin
        if pin is None or self.pins is None:
            return
        with locked(self.pins):
            pins = read_pins(self.pins)
            before = pins.get(pin.bucket)
            if before is not None and (before.seq > pin.seq or (before.seq == pin.seq and before.cid != pin.cid)):
                raise PinMismatch(f"commit {before.seq} of bucket {pin.bucket} was accepted meanwhile")
            if before != pin:
                write_pin(self.pins, pins, pin)

    def _signed_by(self, cid: CID, commit: Commit) -> bytes | None:
        """The key whose signature was checked; None where there is none."""
        if self.signature is not None:  # [SIGN-3]
            if self.signature.commit != cid:
                signed = to_text(self.signature.commit)
                raise WrongSignature(f"the signature is for commit {signed}, and not for {to_text(cid)}").about(cid=cid)
            verify(self.signature.key, self.signature.sig, endorsements.signing_bytes(self.signature), "the commit")
            return self.signature.key
        if commit.key is None or commit.sig is None:
            return None
        verify(commit.key, commit.sig, commits.signing_bytes(commit), f"commit {to_text(cid)}")  # [COM-10]
        return commit.key

    def _keys_before(self, bucket: str, key: bytes | None) -> set[bytes]:
        """The keys that *key* has followed. Each succession is signed by the older of its two keys [SIGN-5]."""
        found: set[bytes] = set()
        wanted = key
        for _ in range(SUCCESSIONS_MAX):
            for one in self.successions:
                if one.bucket == bucket and one.successor == wanted and one.key not in found:
                    verify(one.key, one.sig, endorsements.signing_bytes(one), "the succession")
                    found.add(one.key)
                    wanted = one.key
                    break
            else:
                break
        return found


def read_endorsement(path: str | os.PathLike[str]) -> Signature | Succession:
    """The signature or succession in a file.

    Raises:
        FormatError: it holds none.
        StorageError: it cannot be read.
    """
    with reading(path) as file:
        return endorsements.decode(file.read(ENDORSEMENT_BLOCK_MAX + 1))


def read_signature(path: str | os.PathLike[str]) -> Signature:
    """The signature in a file; as `read_endorsement`."""
    found = read_endorsement(path)
    if not isinstance(found, Signature):
        raise InvalidInput(f"{os.fsdecode(path)} is a succession, where a signature is wanted")
    return found


def read_successions(paths: Sequence[str | os.PathLike[str]]) -> tuple[Succession, ...]:
    """The successions in files; as `read_endorsement`."""
    found = []
    for path in paths:
        one = read_endorsement(path)
        if not isinstance(one, Succession):
            raise InvalidInput(f"{os.fsdecode(path)} is a signature, where a succession is wanted")
        found.append(one)
    return tuple(found)


def sign_commit(signer: Signer, commit: CID) -> bytes:
    """A signature of a commit that stands apart from it, as a block [SIGN-3]."""
    unsigned = Signature(commit, signer.key, bytes(endorsements.SIGNATURE_SIZE))
    return endorsements.encode(Signature(commit, signer.key, signer.sign(endorsements.signing_bytes(unsigned))))


def succeed(signer: Signer, bucket: str, successor: bytes) -> bytes:
    """A succession, as a block: *signer* says that *successor* signs for the bucket from now on [SIGN-5]."""
    unsigned = Succession(bucket, signer.key, successor, bytes(endorsements.SIGNATURE_SIZE))
    sig = signer.sign(endorsements.signing_bytes(unsigned))
    return endorsements.encode(Succession(bucket, signer.key, successor, sig))


def write_endorsement(path: str | os.PathLike[str], block: bytes) -> None:
    """Write a signature or a succession to a file, durably and in one step."""
    with replacing(Path(path)) as file:
        file.write(block)
