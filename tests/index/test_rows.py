"""Columns that say a manifest shorter: back to the same fields, by the library and by the functions that the views use."""

from __future__ import annotations

from dataclasses import replace
from hashlib import md5, sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mstbucket
from mstbucket.core import manifest
from mstbucket.core.cid import DAG_PB_PREFIX, RAW_PREFIX, dag_cbor_cid, to_text
from mstbucket.core.manifest import Manifest
from mstbucket.index.objects import NewObject, add_objects
from mstbucket.index.rows import created_column, etag_column, etag_of, sha256_column, sha256_of
from mstbucket.index.tx import enter

DIGEST = sha256(b"body").digest()
OTHER = sha256(b"other").digest()
RAW, LARGE = RAW_PREFIX + DIGEST, DAG_PB_PREFIX + DIGEST
HEX = md5(b"body").hexdigest()
ETAGS = {
    "a digest in hex": HEX,
    "a digest in capitals": HEX.upper(),
    "of a multipart upload": f"{HEX}-2",
    "16 bytes of text": "sixteen letters.",
    "16 bytes in 8 letters": "ä" * 8,
    "15 bytes of text": "fifteen letters",
    "17 bytes of text": "seventeen letters",
    "32 letters of which one is no hex": HEX[:-1] + "g",
    "32 letters with blanks": " ".join(["ab"] * 11)[:32],
    "digits of another script": "٣" * 32,
    "one letter": "a",
}
OBJECTS = {
    "raw, with its digest": (RAW, 4, DIGEST),
    "raw, with another digest": (RAW, 4, OTHER),
    "raw, without one": (RAW, 4, None),
    "large, with the digest of its root": (LARGE, 2**21, DIGEST),
    "large, with a digest": (LARGE, 2**21, OTHER),
    "large, without one": (LARGE, 2**21, None),
}


@given(st.text(min_size=1) | st.from_regex(r"[0-9a-fA-F]{31,33}", fullmatch=True) | st.text(min_size=4, max_size=16))
def test_an_etag_is_read_as_it_was_written(etag: str) -> None:
    assert etag_of(etag_column(etag)) == etag


@given(st.lists(st.text("abc0ä\u0663", min_size=1, max_size=34), unique=True, min_size=2))
def test_two_etags_have_two_columns(etags: list[str]) -> None:
    assert len({etag_column(etag) for etag in etags}) == len(etags)


@pytest.mark.parametrize("content", [None, RAW, LARGE])
@pytest.mark.parametrize("digest", [None, DIGEST, OTHER])
def test_a_digest_is_read_as_it_was_written(content: bytes | None, digest: bytes | None) -> None:
    assert sha256_of(content, sha256_column(content, digest)) == digest


def test_what_every_object_has_takes_no_room() -> None:
    assert sha256_column(RAW, DIGEST) is None
    assert created_column(7, 7) is None
    assert len(etag_column(HEX)) == 16


@pytest.mark.parametrize(("content", "size", "digest"), OBJECTS.values(), ids=OBJECTS.keys())
@pytest.mark.parametrize("created", [5, 7, 9])
def test_the_library_and_the_views_show_what_was_stored(
    bucket: mstbucket.Bucket, content: bytes, size: int, digest: bytes | None, created: int
) -> None:
    """[VIEW-2]; and the row makes the manifest whose CID it has."""
    first = Manifest(content, size, HEX, "text/plain", created, 7, sha256=digest)
    made = {name: replace(first, etag=etag) for name, etag in ETAGS.items()}
    db = bucket._context.db
    with db.transaction() as connection:
        add_objects(enter(connection, "things"), [NewObject.of(name, m) for name, m in made.items()])
    seen = {item.key: item.etag for item in bucket.objects()}
    assert seen == ETAGS
    with db.reading() as connection:
        asked = "SELECT key, etag, sha256, extract(epoch FROM created) * 1000 FROM v_objects"
        views = {key: (etag, shown, int(when)) for key, etag, shown, when in connection.execute(asked)}
    for name, m in made.items():
        info = bucket.head_object(name)
        assert (info.etag, info.sha256) == (m.etag, None if digest is None else digest.hex())
        assert views[name] == (m.etag, info.sha256, created)
        assert bucket.head_object(name, if_match=f'"{m.etag}"').manifest == to_text(dag_cbor_cid(manifest.encode(m)))
