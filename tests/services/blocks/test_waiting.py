"""What calls hold of blocks until the store is asked is given back, however they end: else all later calls count as many."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from collectstate import ask

import mstbucket
from mstbucket import Bucket, Store
from mstbucket.core.cid import raw_cid
from mstbucket.limits import MIB, PART_SIZE_MIN
from mstbucket.services.blocks.incoming import Incoming
from mstbucket.services.tree.staged_blocks import Staged
from mstbucket.spill.scratch import _Raw, _Scratch

DATA = random.Random(7).randbytes(PART_SIZE_MIN)


class Breaks(Exception):
    """The body ends in the middle."""


class Body:
    """Gives some MiB, and then fails."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        if self._left <= 0:
            raise Breaks
        data = DATA[: min(size if size > 0 else MIB, self._left)]
        self._left -= len(data)
        return data


def _upload(bucket: Bucket, body: Any) -> None:
    upload = bucket.create_multipart_upload("m")
    bucket.upload_part("m", upload.id, 1, body)


def _complete_wrong(bucket: Bucket) -> None:
    upload = bucket.create_multipart_upload("m")
    etag = bucket.upload_part("m", upload.id, 1, DATA).etag
    bucket.complete_multipart_upload("m", upload.id, [(1, etag), (2, etag)])


CALLS: dict[str, Callable[[Bucket, Path], object]] = {
    "a put whose body breaks off early": lambda b, _: b.put_object("a", Body(MIB + 5)),
    "a put whose body breaks off late": lambda b, _: b.put_object("a", Body(5 * MIB)),
    "a put whose digest is another": lambda b, _: b.put_object("a", DATA, content_md5="1B2M2Y8AsgTpgAmY7PhCfg=="),
    "a put under a condition that fails": lambda b, _: b.put_object("a", DATA, if_match='"x"'),
    "a part whose body breaks off": lambda b, _: _upload(b, Body(2 * MIB)),
    "a completion with parts that are not there": lambda b, _: _complete_wrong(b),
}


@pytest.mark.parametrize("what", CALLS)
def test_a_call_that_fails_gives_back_what_it_held(store: Store, bucket: Bucket, tmp_path: Path, what: str) -> None:
    with suppress(Breaks, mstbucket.errors.MstBucketError):
        CALLS[what](bucket, tmp_path)
        pytest.fail("it did not fail")
    assert store._context.waiting.bytes == 0


@pytest.mark.parametrize("part", [0.3, 0.9])
def test_an_import_of_a_file_that_ends_early_gives_back_what_it_held(
    second_store: Store, bucket: Bucket, tmp_path: Path, part: float
) -> None:
    bucket.put_object("large", DATA)
    bucket.flush()
    bucket.export_car(tmp_path / "b.car")
    whole = (tmp_path / "b.car").read_bytes()
    (tmp_path / "cut.car").write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(mstbucket.errors.MstBucketError):
        second_store.import_car(tmp_path / "cut.car", "cut")
    assert second_store._context.waiting.bytes == 0


def test_an_import_on_a_full_temporary_directory_gives_back_what_it_held(store: Store) -> None:
    """The file of places fails once more when it is closed: here it is on a full device."""
    with Staged(store._context) as staged:
        staged._places.close()
        for at in range(2):
            block = DATA[at : at + MIB]
            staged.add(raw_cid(block), block)
        assert store._context.waiting.bytes == 2 * MIB
        staged._places.file = _Scratch(_Raw(os.open("/dev/full", os.O_RDWR), "a test was made", "the test"))
        staged._places.write(b"not written yet")
    assert store._context.waiting.bytes == 0
    assert ask(store, "SELECT count(*) FROM packs WHERE state = 'pending'") == [(0,)]


def test_all_calls_together_are_counted_and_none_twice(store: Store) -> None:
    with Incoming(store._context) as one, Incoming(store._context) as other:
        for incoming in (one, other):
            for at in (0, 0, 1):
                block = DATA[at : at + 1000]
                incoming.add(raw_cid(block), block)
        assert store._context.waiting.bytes == 4000
        one.seal()
        assert store._context.waiting.bytes == 2000
    assert store._context.waiting.bytes == 0


def test_a_forked_child_counts_nothing_that_its_parent_holds(store: Store) -> None:
    """Nobody there gives it back; and the lock may be that of a thread which is not there."""
    waiting = store._context.waiting
    waiting.add(1000)
    with waiting._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # on a hang
            waiting.add(1)
            os._exit(waiting.bytes)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert waiting.bytes == 1000
    waiting.add(-1000)
