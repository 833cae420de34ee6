"""Digests of bytes that do not become an object, such as a document that tells what to delete."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import md5

from mstbucket.api.arguments import guarded
from mstbucket.core.checksums import hasher
from mstbucket.core.s3rules.digests import claims_of
from mstbucket.model.objects import EMPTY


@guarded
def check_digests(data: bytes, *, content_md5: str | None = None, checksums: Mapping[str, str] = EMPTY) -> None:
    """Compare bytes with what was said of them, as a put does with its body.

    Args:
        data: the bytes.
        content_md5, checksums: as for `Bucket.put_object`.

    Raises:
        BadDigest: they are others.
        InvalidDigest: no bytes have such a digest.
        InvalidInput: there is no such algorithm.
    """
    claimed = claims_of(content_md5, checksums, None)
    digests = {}
    for algorithm in claimed.algorithms:
        one = hasher(algorithm)
        one.update(data)
        digests[algorithm] = one.digest()
    if claimed.md5 is not None or digests:
        claimed.check("the body", md5(data, usedforsecurity=False).hexdigest(), digests)
