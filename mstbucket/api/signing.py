"""Keys that sign commits, and signatures that stand apart from them."""

from __future__ import annotations

import os

from mstbucket.api.arguments import guarded
from mstbucket.core.cid import from_text
from mstbucket.core.commit_fields import check_bucket_id
from mstbucket.core.did import key_text, parse_key
from mstbucket.signing import keys
from mstbucket.signing import trust as trusting


@guarded
def new_signing_key(path: str | os.PathLike[str]) -> str:
    """Make a key that signs commits, in a new file that its owner alone can read; return its public text, `did:key:…`.

    Whoever has the file can sign for you, and without it nobody can: keep a copy where the store is not.

    Raises:
        StorageError: the file is there already, or cannot be written.
        Unsupported: the library is not installed.
    """
    return key_text(keys.new_key(path).key)


@guarded
def public_key(path: str | os.PathLike[str]) -> str:
    """Return the public text, `did:key:…`, of the key in a file.

    Raises:
        InvalidInput: it holds no ed25519 private key in PEM.
        StorageError: it cannot be read.
        Unsupported: the library is not installed.
    """
    return key_text(keys.read_key(path).key)


@guarded
def sign_commit(commit: str, key: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Sign a commit with the key in a file, and write the signature to *path*; the commit itself stays as it is.

    Raises:
        InvalidInput: the commit is no CID, or the file holds no key.
        StorageError: a file cannot be read or written.
        Unsupported: the library is not installed.
    """
    trusting.write_endorsement(path, trusting.sign_commit(keys.read_key(key), from_text(commit)))


@guarded
def sign_succession(bucket: str, key: str | os.PathLike[str], successor: str, path: str | os.PathLike[str]) -> None:
    """Say, with the key in a file, that from now on *successor* signs for a bucket; write that to *path*.

    Args:
        bucket: the identity of the bucket, as `stat` and `inspect` show it.
        successor: the public text of the new key.

    Raises:
        InvalidInput: one of them is none.
        StorageError: a file cannot be read or written.
        Unsupported: the library is not installed.
    """
    check_bucket_id(bucket)
    trusting.write_endorsement(path, trusting.succeed(keys.read_key(key), bucket, parse_key(successor)))
