"""Who reads the newest commit reads it to its end, also when others follow and all that it alone reached is collected."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket import Bucket, KeepPolicy, Store
from mstbucket.services.blocks.blocks import StoreBlocks
from mstbucket.services.tree import check as checking

KEYS = 300  # in nodes of several heights


@pytest.fixture
def others(open_store: Callable[[], Store]) -> Store:
    """The same store, of another process so to say: what it reads is in no cache of the first."""
    return open_store()


def fill(bucket: Bucket, text: str) -> None:
    """Change every object, and with them every node."""
    bucket.put_objects(mstbucket.PutRequest(f"k{n:04}", f"{text} {n}".encode()) for n in range(KEYS))
    bucket.flush()


def replace_all(others: Store) -> None:
    """Another commit that shares nothing with those before it; these are given up, and what they reach is collected."""
    bucket = others.bucket("things")
    fill(bucket, f"again {len(list(bucket.log()))}")
    bucket.put_retention(KeepPolicy(last=1))
    others.collect(force=True, grace=0)


@contextmanager
def replaced_at_each_reading(others: Store, times: int) -> Iterator[list[int]]:
    """Before each of the first readings of blocks all of the bucket is replaced."""
    done: list[int] = []

    def meanwhile(reader: StoreBlocks) -> None:
        if reader is not others._context.blocks and len(done) < times:
            done.append(1)
            replace_all(others)

    def watched(real: Callable[..., Any]) -> Callable[..., Any]:
        def read(self: StoreBlocks, wanted: Any) -> Any:
            meanwhile(self)
            return real(self, wanted)

        return read

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StoreBlocks, "get", watched(StoreBlocks.get))
        patch.setattr(StoreBlocks, "get_many", watched(StoreBlocks.get_many))
        yield done


@pytest.mark.parametrize(
    "question",
    [
        lambda bucket, target: bucket.prove_key("k0100", target),
        lambda bucket, target: bucket.prove_key("k0100", target, body=True),
        lambda bucket, target: bucket.prove_key("absent", target),
        lambda bucket, target: bucket.prove_page(target, prefix="k01", max_keys=50),
    ],
    ids=["a key", "a body", "a key that is not there", "a page"],
)
def test_a_proof_is_of_one_commit_to_its_end(
    bucket: Bucket, others: Store, question: Callable[[Bucket, io.BytesIO], object], tmp_path: Path
) -> None:
    """[PAST-3]"""
    fill(bucket, "first")
    commit = next(iter(bucket.log())).cid
    target = io.BytesIO()
    with replaced_at_each_reading(others, 2) as done:
        question(bucket, target)
    assert len(done) == 2
    assert next(iter(bucket.log())).cid != commit
    (tmp_path / "proof").write_bytes(target.getvalue())
    assert mstbucket.check_proof(tmp_path / "proof", commit).commit == commit


def test_the_way_to_a_key_is_of_one_commit(bucket: Bucket, others: Store) -> None:
    """[PAST-3]"""
    fill(bucket, "first")
    commit = next(iter(bucket.log())).cid
    with replaced_at_each_reading(others, 2) as done:
        path = bucket.tree_path("k0100")
    assert (path.commit, path.size, len(done)) == (commit, len("first 100"), 2)


def test_verification_goes_on_in_later_commits_that_are_given_up_too(
    bucket: Bucket, others: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[PAST-3] [CHK-2]: the pages are compared with the tree of their time, which stays as long as they are."""
    fill(bucket, "first")
    monkeypatch.setattr(checking, "_PAGE", 100)
    replaced = False
    read_page = checking.read_page

    def after_another(*arguments: Any) -> Any:
        nonlocal replaced
        replaced = not replaced
        if replaced:  # the next look at a page finds the same commit
            replace_all(others)
        return read_page(*arguments)

    monkeypatch.setattr(checking, "read_page", after_another)
    with replaced_at_each_reading(others, 4) as done:
        report = bucket.verify()
    assert report.objects == KEYS
    assert len(done) == 4
    bucket.verify()
