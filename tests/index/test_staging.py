"""Rows of an import: those of plain manifests, which are made at once, beside the same made field by field."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mstbucket.core import manifest
from mstbucket.core.cid import dag_cbor_cid, raw_cid
from mstbucket.core.dagcbor import decode_fast
from mstbucket.core.manifest import Manifest
from mstbucket.index import staging
from mstbucket.pg import binary

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
MAPS = st.one_of(st.just({}), st.just({}), st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=2))
TIMES = st.integers(0, 2**63 - 1)
MANIFESTS = st.builds(
    Manifest,
    content=st.binary(max_size=9).map(raw_cid),
    size=st.integers(0, 2**20),
    etag=TEXTS.filter(lambda text: bool(text) and '"' not in text),
    content_type=TEXTS,
    created=TIMES,
    modified=TIMES,
    sha256=st.one_of(st.none(), st.binary(min_size=32, max_size=32)),
    checksums=MAPS,
    metadata=MAPS,
    tags=MAPS,
    version_id=st.one_of(st.none(), st.none(), st.just("v-1")),
)


@given(MANIFESTS, st.text(min_size=1, max_size=30).map(lambda text: text.encode("utf-8", "replace")))
def test_a_row_is_the_same_whatever_else_its_manifest_has(made: Manifest, key: bytes) -> None:
    block = manifest.encode(made)
    cid = dag_cbor_cid(block)
    place = (binary.int8(7), binary.data(key))
    slowly = binary.row(*place, *staging._manifest_columns(cid, decode_fast(block).get))
    assert staging.object_row(7, key, cid, block) == slowly
