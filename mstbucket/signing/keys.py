"""Keys that sign commits: made, kept in files, used. The only place that knows the library for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from mstbucket.core.did import key_text
from mstbucket.errors import InvalidInput, Unsupported, WrongSignature
from mstbucket.files.whole import check_path, creating, named

_FILE_MAX: Final = 16 * 1024  # bytes of a key file; PEM takes 119


class Signer:
    """A private ed25519 key. Its repr, and whatever prints it, shows the public key only.

    Attributes:
        key: the public key, 32 bytes.
    """

    __slots__ = ("_private", "key")

    def __init__(self, private: Any) -> None:
        self._private = private
        self.key: bytes = private.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"Signer({key_text(self.key)})"

    def __reduce__(self) -> Any:
        raise Unsupported("a private key is not pickled: keep it in its file")

    def sign(self, data: bytes) -> bytes:
        """Return the signature of *data*, 64 bytes; the same one every time."""
        signature: bytes = self._private.sign(data)
        return signature


def verify(key: bytes, sig: bytes, data: bytes, what: str) -> None:
    """Check that *sig* is the signature of *data* with the public *key*.

    Raises:
        WrongSignature: it is not.
    """
    ed25519 = _library()
    from cryptography.exceptions import InvalidSignature

    try:
        ed25519.Ed25519PublicKey.from_public_bytes(key).verify(sig, data)
    except (InvalidSignature, ValueError) as error:
        raise WrongSignature(f"{what} is not signed by {key_text(key)}, though it says so") from error


def new_key(path: str | os.PathLike[str]) -> Signer:
    """Make a key, and write it to a new file that its owner alone can read: PEM, as OpenSSL writes one.

    Raises:
        StorageError: the file is there already, or cannot be written.
    """
    check_path(path)
    ed25519 = _library()  # first: without the library it says what to install
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = ed25519.Ed25519PrivateKey.generate()
    data = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with creating(Path(path)) as file:
        file.write(data)
    return Signer(private)


def read_key(path: str | os.PathLike[str]) -> Signer:
    """The key in a file: an ed25519 private key in PEM, as `new_key` and `openssl genpkey -algorithm ed25519` write it.

    Raises:
        InvalidInput: it holds none.
        NoSuchFile, NotAFile, FileNotPermitted: it cannot be opened.
        StorageError: it cannot be read.
    """
    check_path(path)
    ed25519 = _library()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    with named(f"the key in {os.fsdecode(path)} cannot be read"), open(path, "rb") as file:
        data = file.read(_FILE_MAX + 1)
    try:
        private = load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidInput(f"{os.fsdecode(path)} holds no private key in PEM without a password") from error
    if not isinstance(private, ed25519.Ed25519PrivateKey):
        raise InvalidInput(f"{os.fsdecode(path)} holds a key of another kind: an ed25519 key is wanted")
    return Signer(private)


def _library() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise Unsupported("signatures need a library: in your clone, run pip install '.[crypto]'") from error
    return ed25519
