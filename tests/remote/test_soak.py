"""A real service that fails a third of the time, against a dictionary: no wrong result, no undeclared exception."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from mstbucket.errors import BlobExists, MstBucketError, NoSuchBlob, OutcomeUnknown, StorageError
from mstbucket.remote import attempts as attempts_module

pytestmark = pytest.mark.s3

ERRORS = ((500, "InternalError"), (503, "SlowDown"), (409, "OperationAborted"), (502, "BadGateway"))


class Bad:
    """20 % errors, of them a quarter broken connections; 5 % lost answers; 5 % cut bodies; repeatable by its seed."""

    def __init__(self, seed: int, faults: Any) -> None:
        self._random = random.Random(seed)
        self._faults = faults
        self._lock = threading.Lock()
        self.done = 0

    def __call__(self, method: str, _path: str, _headers: Any) -> Any:
        with self._lock:
            chance, error = self._random.random(), self._random.choice(ERRORS)
        self.done += chance < 0.3
        if chance < 0.15:
            return self._faults.refusal(*error)
        if chance < 0.2:
            return self._faults.LOSE_REQUEST
        if chance < 0.25:
            return self._faults.LOSE_ANSWER
        return self._faults.CUT_ANSWER if chance < 0.3 and method == "GET" else self._faults.PASS


def soak(corner: Any, proxy: Any, faults: Any, seed: int, steps: int) -> int:
    """Run random calls; return how many of them failed in the end."""
    blobs = corner.open(proxy.endpoint)
    rnd = random.Random(seed)
    proxy.rule = bad = Bad(seed, faults)
    model: dict[str, bytes] = {}
    names = [f"{a}/{b}" for a in "xyz" for b in "abcdef"]
    gave_up = 0

    def settle(*touched: str) -> None:
        """What a call that failed left, as the service itself says."""
        for name in touched:
            try:
                model[name] = corner.read(name)
            except KeyError:
                model.pop(name, None)

    for _ in range(steps):
        name, data, before = rnd.choice(names), rnd.randbytes(rnd.randrange(40_000)), dict(model)
        step = rnd.randrange(6)
        many = rnd.sample(names, 4)
        try:
            if step == 0:
                blobs.put_if_absent(name, data)
                assert name not in model
                model[name] = data
            elif step == 1:
                with blobs.open_write(name) as writer:
                    writer.write(data)
                    writer.commit()
                assert name not in model
                model[name] = data
            elif step == 2:
                found = blobs.get_range(name, 0, len(model.get(name, b"")))
                assert found == model[name]
            elif step == 3:
                listed = {info.name: info.size for info in blobs.list(name[0])}
                assert listed == {key: len(value) for key, value in model.items() if key[0] == name[0]}
            elif step == 4:
                blobs.delete(name)
                model.pop(name, None)
            else:
                blobs.delete_many(many)
                for each in many:
                    model.pop(each, None)
        except BlobExists:
            assert name in model
        except NoSuchBlob:
            assert name not in model
        except OutcomeUnknown:
            gave_up += 1
            settle(name)
            assert model.get(name) in ((before[name],) if name in before else (None, data))
        except StorageError:
            gave_up += 1
            settle(*(many if step == 5 else (name,)))
            if step < 4:
                assert model == before  # [BLOB-4] nothing is visible of a write that failed
    proxy.rule = lambda *_: faults.PASS
    assert {name: corner.read(name) for name in corner.names() if name != ".mstbucket"} == model
    assert bad.done > steps // 10
    return gave_up


@pytest.mark.parametrize("tries", [2, 6])
def test_a_service_that_often_fails_never_gives_a_wrong_result(
    corner: Any, proxy: Any, faults: Any, monkeypatch: pytest.MonkeyPatch, tries: int
) -> None:
    """[S3B-5] [S3B-6] [BLOB-13] with few attempts, so that calls fail in the end, and with all"""
    monkeypatch.setattr(attempts_module, "FIRST_WAIT", 0.0001)
    monkeypatch.setattr(attempts_module, "TRIES", tries)
    gave_up = soak(corner, proxy, faults, tries, 300)
    assert (gave_up > 3) == (tries == 2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_for_long(corner: Any, proxy: Any, faults: Any, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """[S3B-5] [S3B-6] [BLOB-13]"""
    monkeypatch.setattr(attempts_module, "FIRST_WAIT", 0.0001)
    monkeypatch.setattr(attempts_module, "TRIES", 2 + seed)
    try:
        soak(corner, proxy, faults, seed, 5_000)
    except MstBucketError as error:  # opening and settling go by the service itself
        pytest.fail(f"an error went through: {error!r}")
