"""Heads and proofs of logs against the words of RFC 9162, against known vectors, and all changes of all small ones."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mstbucket.core.merkle_log import (
    check_consistency,
    consistency_path,
    head,
    head_by_inclusion,
    inclusion_path,
    leaf_hash,
)
from mstbucket.errors import Untrue

MOST = 64
LEAVES = [leaf_hash(b"%d" % n) for n in range(MOST + 1)]

#: Of Certificate Transparency's own tests: entries, and the heads of the first one, two, three, ... of them.
ENTRIES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
HEADS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


# --- the words of the RFC, written down -------------------------------------------------------------------------------


def split(n: int) -> int:
    """The largest power of two smaller than n."""
    return max(2**k for k in range(n.bit_length()) if 2**k < n)


def mth(d: list[bytes]) -> bytes:
    """2.1.1, of hashes of entries."""
    if not d:
        return sha256(b"").digest()
    if len(d) == 1:
        return d[0]
    k = split(len(d))
    return sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


def path(m: int, d: list[bytes]) -> list[bytes]:
    """2.1.3.1"""
    if len(d) == 1:
        return []
    k = split(len(d))
    return [*path(m, d[:k]), mth(d[k:])] if m < k else [*path(m - k, d[k:]), mth(d[:k])]


def proof(m: int, d: list[bytes]) -> list[bytes]:
    """2.1.4.1"""
    return subproof(m, d, True)


def subproof(m: int, d: list[bytes], b: bool) -> list[bytes]:
    if m == len(d):
        return [] if b else [mth(d)]
    k = split(len(d))
    return [*subproof(m, d[:k], b), mth(d[k:])] if m <= k else [*subproof(m - k, d[k:], False), mth(d[:k])]


# --- the same, for all small logs -------------------------------------------------------------------------------------


def test_known_heads() -> None:
    """[LOG-3]"""
    leaves = [leaf_hash(bytes.fromhex(entry)) for entry in ENTRIES]
    assert [head(leaves[:size]).hex() for size in range(1, 9)] == HEADS
    assert head([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_heads_and_proofs_are_those_of_the_rfc(size: int) -> None:
    """[LOG-3] [LOG-5] Every entry, and every earlier size, of every log of up to 64 entries."""
    leaves = LEAVES[:size]
    now = head(leaves)
    assert now == mth(leaves)
    for index in range(size):
        found = inclusion_path(leaves, index)
        assert found == path(index, leaves)
        assert head_by_inclusion(leaves[index], index, size, found) == now
    for since in range(1, size + 1):
        found = consistency_path(leaves, since)
        assert found == proof(since, leaves)
        check_consistency(since, mth(leaves[:since]), size, now, found)


@pytest.mark.parametrize("size", range(1, 20))
def test_no_proof_holds_for_anything_else(size: int) -> None:
    """[LOG-5] Another entry, place or size; a hash changed, too many or too few: a proof of presence gives no known head."""
    heads = {head(LEAVES[:n]) for n in range(MOST + 1)}
    for index in range(size):
        right = inclusion_path(LEAVES[:size], index)
        for leaf, at, of, hashes in (
            [(LEAVES[MOST], index, size, right), (LEAVES[index], -1, size, right)]
            + [(LEAVES[index], other, size, right) for other in range(size + 1) if other != index]
            + [(LEAVES[index], index, size, other) for other in spoiled(right)]
        ):
            try:
                found = head_by_inclusion(leaf, at, of, hashes)
            except Untrue:
                continue
            assert found not in heads


@pytest.mark.parametrize("size", range(1, 20))
def test_no_log_follows_one_that_it_does_not(size: int) -> None:
    """[LOG-5] Another earlier head or size, another later one, a hash changed, too many or too few."""
    now = head(LEAVES[:size])
    other = [leaf_hash(b"other"), *LEAVES[1:]]
    for since in range(1, size + 1):
        right, before = consistency_path(LEAVES[:size], since), head(LEAVES[:since])
        wrong = [(since, head(other[:since]), size, now, right), (since, before, size, head(other[:size]), right)]
        wrong += [(since, head(other[:since]), size, now, consistency_path(other[:size], since))]
        wrong += [(n, before, size, now, right) for n in range(size + 2) if n != since]
        wrong += [(since, before, size, now, hashes) for hashes in spoiled(right)]
        for case in wrong:
            with pytest.raises(Untrue):
                check_consistency(*case)


def spoiled(hashes: list[bytes]) -> list[list[bytes]]:
    changed = [[*hashes[:at], leaf_hash(hashes[at]), *hashes[at + 1 :]] for at in range(len(hashes))]
    fewer = [hashes[:at] + hashes[at + 1 :] for at in range(len(hashes))]
    more = [[*hashes[:at], hashes[at - 1] if hashes else bytes(32), *hashes[at:]] for at in range(len(hashes) + 1)]
    return changed + fewer + more + ([hashes[::-1]] if hashes != hashes[::-1] else [])


@given(st.integers(65, 3000), st.data())
def test_larger_logs(size: int, data: st.DataObject) -> None:
    """[LOG-5] Entries of logs that nobody can try all of."""
    leaves = [leaf_hash(b"%d" % n) for n in range(size)]
    index, since = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    now = head(leaves)
    assert head_by_inclusion(leaves[index], index, size, inclusion_path(leaves, index)) == now
    check_consistency(since, head(leaves[:since]), size, now, consistency_path(leaves, since))
