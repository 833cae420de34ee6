"""Completion on a condition: decided where the object is made, and an upload that stays open where it is not met."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

import mstbucket
from mstbucket import errors
from mstbucket.model.uploads import Part
from mstbucket.services.uploads import complete as completing

CALLERS = 6


def begun(bucket: mstbucket.Bucket, body: bytes) -> tuple[str, list[tuple[int, str]]]:
    upload = bucket.create_multipart_upload("k").id
    part = bucket.upload_part("k", upload, 1, body)
    return upload, [(part.number, part.etag)]


@pytest.mark.parametrize(
    ("there", "said", "outcome"),
    [
        (False, {"if_none_match": "*"}, "done"),
        (True, {"if_none_match": "*"}, errors.PreconditionFailed),
        (True, {"if_none_match": '"{etag}"'}, errors.PreconditionFailed),
        (True, {"if_none_match": "other"}, "done"),
        (True, {"if_match": "{etag}"}, "done"),
        (True, {"if_match": '"{etag}"'}, "done"),
        (True, {"if_match": "*"}, "done"),
        (True, {"if_match": "other"}, errors.PreconditionFailed),
        (False, {"if_match": "*"}, errors.NoSuchKey),
        (False, {"if_match": "other"}, errors.NoSuchKey),
        (True, {"if_match": ""}, errors.InvalidInput),
    ],
    ids=[
        "created where nothing is", "not created over an object", "not if it has this ETag", "if it has another one",
        "replaced by ETag", "replaced by quoted ETag", "replaced whatever it is", "not replaced by another's ETag",
        "nothing to replace", "nothing with that ETag", "no condition at all",
    ],
)  # fmt: skip
def test_a_completion_on_a_condition(
    bucket: mstbucket.Bucket, there: bool, said: dict[str, str], outcome: type[Exception] | str
) -> None:
    """[COND-10], [COND-7], [COND-8]: refused, nothing has changed and the upload can be completed without it."""
    etag = bucket.put_object("k", b"before").etag if there else ""
    said = {name: text.format(etag=etag) for name, text in said.items()}
    upload, parts = begun(bucket, b"after")
    if outcome == "done":
        done = bucket.complete_multipart_upload("k", upload, parts, **said)  # type: ignore[arg-type]
        assert bucket.get_object("k").read() == b"after"
        # [COND-10], [MPU-9] the same call again: the object is what the condition would now refuse
        assert bucket.complete_multipart_upload("k", upload, parts, **said) == done  # type: ignore[arg-type]
        return
    assert isinstance(outcome, type)
    with pytest.raises(outcome):
        bucket.complete_multipart_upload("k", upload, parts, **said)  # type: ignore[arg-type]
    assert [item.etag for item in bucket.objects()] == [etag] * there
    assert len(bucket.list_parts("k", upload).parts) == 1
    bucket.complete_multipart_upload("k", upload, parts)
    assert bucket.get_object("k").read() == b"after"


def at_once(calls: list[Callable[[], object]]) -> list[object]:
    """What each returned, or the error that it raised."""
    start = threading.Barrier(len(calls))

    def one(call: Callable[[], object]) -> object:
        start.wait()
        try:
            return call()
        except errors.MstBucketError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(one, calls))


@pytest.mark.parametrize("round_", range(8))
def test_of_completions_and_puts_that_create_a_key_one_wins(bucket: mstbucket.Bucket, round_: int) -> None:
    """[COND-6], [COND-10]: different uploads, small puts and copies, all with If-None-Match, at one key at once."""
    bucket.put_object("source", b"copy")
    begun_ = [begun(bucket, f"upload {n}".encode()) for n in range(CALLERS)]
    calls: list[Callable[[], object]] = [
        lambda u=upload, p=parts: bucket.complete_multipart_upload("k", u, p, if_none_match="*")  # type: ignore[misc]
        for upload, parts in begun_
    ]
    calls += [
        lambda: bucket.put_object("k", b"put", if_none_match="*"),
        lambda: bucket.copy_object("source", "k", if_none_match="*"),
    ]
    outcomes = at_once(calls)
    won = [outcome for outcome in outcomes if isinstance(outcome, mstbucket.PutResult)]
    assert len(won) == 1
    assert {type(outcome) for outcome in outcomes} == {mstbucket.PutResult, errors.PreconditionFailed}
    assert bucket.head_object("k").etag == won[0].etag
    ended = sum(isinstance(outcome, mstbucket.PutResult) for outcome in outcomes[:CALLERS])
    assert len(bucket.list_multipart_uploads().uploads) == CALLERS - ended


@pytest.mark.parametrize("round_", range(8))
def test_of_completions_that_replace_one_object_one_wins(bucket: mstbucket.Bucket, round_: int) -> None:
    """[COND-6], [COND-10]: the losers are told the ETag that is there now, or that the object has gone."""
    etag = bucket.put_object("k", b"before").etag
    calls: list[Callable[[], object]] = [
        lambda u=upload, p=parts: bucket.complete_multipart_upload("k", u, p, if_match=etag)  # type: ignore[misc]
        for upload, parts in [begun(bucket, f"{n}".encode()) for n in range(CALLERS)]
    ]
    calls.append(lambda: bucket.delete_object("k", if_match=etag))
    outcomes = at_once(calls)
    assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 1
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            assert isinstance(outcome, errors.PreconditionFailed | errors.NoSuchKey)


@pytest.mark.parametrize(
    ("said", "code"),
    [({"if_none_match": "*"}, "ConditionalRequestConflict"), ({}, "OperationAborted")],
    ids=["with a condition", "without one"],
)
def test_a_completion_that_never_comes_to_its_decision_is_409(
    bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch, said: dict[str, str], code: str
) -> None:
    """[COND-10]: the part is sent again each time that the body has been composed of it."""
    upload, parts = begun(bucket, b"x")
    compose = completing._Completion._compose
    sent: list[Part] = []

    def composed(self: completing._Completion) -> object:
        body = compose(self)
        sent.append(bucket.upload_part("k", upload, 1, b"x"))
        return body

    monkeypatch.setattr(completing._Completion, "_compose", composed)
    with pytest.raises(errors.Conflict) as caught:
        bucket.complete_multipart_upload("k", upload, parts, **said)  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.status) == (code, 409)
    assert len(sent) == completing.ATTEMPTS
    monkeypatch.undo()
    bucket.complete_multipart_upload("k", upload, parts, **said)  # type: ignore[arg-type]
