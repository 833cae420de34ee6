"""Writes that must not replace another, when answers are lost, on a real service: [S3B-4] to [S3B-6], [S3B-10]."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from mstbucket.blobs.base import BlobStore
from mstbucket.errors import BlobExists, OutcomeUnknown, StorageError
from mstbucket.limits import MIB
from mstbucket.remote import attempts as attempts_module
from mstbucket.remote.upload import FIRST_PART, MARK
from mstbucket.testing.medium import streaming

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("hasty")]

NAME = "packs/aa/pack.car"
SMALL = b"the bytes of a blob"
LARGE = os.urandom(FIRST_PART + 2 * MIB)  # two parts


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Does not wait long between attempts."""
    monkeypatch.setattr(attempts_module, "FIRST_WAIT", 0.001)


def put(blobs: BlobStore, data: bytes) -> None:
    blobs.put_if_absent(NAME, data)


def stream(blobs: BlobStore, data: bytes) -> None:
    streaming(blobs)(NAME, data)


class Checking:
    """A service that checks the condition of a completion, by a proxy before one that may not.

    `lose` names what happens to completions of blobs: "request", "answer", "both" or nothing.
    """

    def __init__(self, proxy: Any, faults: Any, corner: Any) -> None:
        self._faults = faults
        self._corner = corner
        self.lost = 0
        self.lose: str | None = None
        self.taken = False
        proxy.rule = self

    def __call__(self, method: str, path: str, headers: Any) -> Any:
        if method != "POST" or "uploadId=" not in path:
            return self._faults.PASS
        assert headers["If-None-Match"] == "*"  # [S3B-4]
        if "/." in path:  # the upload that tries whether it is checked
            return self._faults.refusal(412, "PreconditionFailed")
        if self.lose is not None and self.lost < 2:
            self.lost += 1
            return self._faults.LOSE_ANSWER if self.lose == "answer" else self._faults.LOSE_REQUEST
        if NAME in self._corner.names():
            return self._faults.refusal(412, "PreconditionFailed")
        return self._faults.PASS


@pytest.fixture
def checking(proxy: Any, faults: Any, corner: Any) -> Checking:
    return Checking(proxy, faults, corner)


# --- one PUT ---


@pytest.mark.parametrize("write", [put, stream])
def test_a_lost_answer_is_a_success_if_the_blob_there_is_ours(
    corner: Any, proxy: Any, faults: Any, write: Callable[[BlobStore, bytes], None]
) -> None:
    """[S3B-6] the repetition is told 412, and the mark tells whose it is"""
    blobs = corner.open(proxy.endpoint)
    proxy.rule = faults.once("PUT", NAME, faults.LOSE_ANSWER)
    write(blobs, SMALL)
    assert proxy.count("PUT", NAME) == 2
    assert corner.read(NAME) == SMALL


@pytest.mark.parametrize("write", [put, stream])
@pytest.mark.parametrize("other", [SMALL, b"of somebody else"], ids=["the same bytes", "other bytes"])
def test_a_lost_request_is_a_refusal_if_somebody_elses_came_meanwhile(
    corner: Any, proxy: Any, faults: Any, write: Callable[[BlobStore, bytes], None], other: bytes
) -> None:
    """[S3B-6] also where the bytes are the same: of two, one has won"""
    blobs, rival = corner.open(proxy.endpoint), corner.open()
    lose = faults.once("PUT", NAME, faults.LOSE_REQUEST)

    def rule(method: str, path: str, headers: Any) -> Any:
        what = lose(method, path, headers)
        if what == faults.LOSE_REQUEST:
            rival.put_if_absent(NAME, other)
        return what

    proxy.rule = rule
    with pytest.raises(BlobExists, match=NAME):
        write(blobs, SMALL)
    assert corner.read(NAME) == other


def test_a_lost_request_is_sent_again(corner: Any, proxy: Any, faults: Any) -> None:
    """[S3B-5]"""
    blobs = corner.open(proxy.endpoint)
    proxy.rule = faults.once("PUT", NAME, faults.LOSE_REQUEST, times=3)
    put(blobs, SMALL)
    assert proxy.count("PUT", NAME) == 4
    assert corner.read(NAME) == SMALL


def test_a_conflict_is_tried_again(corner: Any, proxy: Any, faults: Any) -> None:
    """[S3B-5] 409: somebody is writing it now, and may fail"""
    blobs = corner.open(proxy.endpoint)
    proxy.rule = faults.once("PUT", NAME, faults.refusal(409, "ConditionalRequestConflict"), times=2)
    put(blobs, SMALL)
    assert proxy.count("PUT", NAME) == 3


def test_a_refusal_without_a_doubt_is_believed_and_costs_nothing_more(corner: Any, proxy: Any) -> None:
    """[S3B-6]"""
    blobs = corner.open(proxy.endpoint)
    put(blobs, SMALL)
    proxy.seen.clear()
    with pytest.raises(BlobExists):
        put(blobs, SMALL)
    assert [method for method, _ in proxy.seen] == ["PUT"]


def test_where_nobody_answers_any_more_the_outcome_is_unknown(corner: Any, proxy: Any, faults: Any) -> None:
    """[S3B-6]"""
    blobs = corner.open(proxy.endpoint)
    lost = faults.once("PUT", NAME, faults.LOSE_ANSWER)
    proxy.rule = lambda *request: lost(*request) if not corner.names().count(NAME) else faults.LOSE_REQUEST
    with pytest.raises(OutcomeUnknown, match="look before repeating"):
        put(blobs, SMALL)
    proxy.rule = lambda *_: faults.PASS
    blobs.put(NAME, SMALL)  # which may be repeated
    assert corner.read(NAME) == SMALL


def test_when_the_service_answers_again_only_to_a_question_the_outcome_is_known(
    corner: Any, proxy: Any, faults: Any
) -> None:
    """[S3B-6]"""
    blobs = corner.open(proxy.endpoint)
    proxy.rule = faults.once("PUT", NAME, faults.LOSE_ANSWER, times=100)
    put(blobs, SMALL)
    assert corner.read(NAME) == SMALL
    blobs.delete(NAME)
    proxy.rule = faults.once("PUT", NAME, faults.LOSE_REQUEST, times=100)
    with pytest.raises(OutcomeUnknown):
        put(blobs, SMALL)
    assert NAME not in corner.names()


# --- parts ---


def test_a_large_blob_goes_in_parts_where_the_completion_is_checked(corner: Any, proxy: Any, checking: Checking) -> None:
    """[S3B-4]"""
    blobs = corner.open(proxy.endpoint)
    stream(blobs, LARGE)
    assert corner.read(NAME) == LARGE
    assert proxy.count("PUT", f"{NAME}?uploadId=") == 2
    stream_again = corner.open(proxy.endpoint)
    with pytest.raises(BlobExists):
        stream(stream_again, LARGE[::-1])
    assert corner.read(NAME) == LARGE
    assert corner.uploads() == []  # [S3B-10]
    assert set(corner.names()) == {".mstbucket", NAME}  # of trying the service nothing stays


@pytest.mark.parametrize("lose", ["answer", "request"])
def test_a_lost_answer_to_the_completion_is_a_success(
    corner: Any, proxy: Any, checking: Checking, lose: str
) -> None:
    """[S3B-6]"""
    blobs = corner.open(proxy.endpoint)
    checking.lose = lose
    stream(blobs, LARGE)
    assert checking.lost == 2
    assert corner.read(NAME) == LARGE
    assert corner.uploads() == []


def test_a_large_blob_goes_in_one_put_where_the_completion_is_not_checked(corner: Any, proxy: Any, faults: Any) -> None:
    """[S3B-4] and is tried once per opened store"""
    blobs = corner.open(proxy.endpoint)

    def ignored(method: str, path: str, answer: Any) -> Any:
        if method == "POST" and "uploadId=" in path and answer[0] == 412:
            return 200, [("Content-Type", "application/xml")], b"<CompleteMultipartUploadResult/>"
        return answer

    proxy.amend = ignored
    stream(blobs, LARGE)
    assert corner.read(NAME) == LARGE
    tried = proxy.count("POST", "uploadId=")
    assert tried == 1
    with pytest.raises(BlobExists):
        stream(blobs, LARGE[::-1])
    assert corner.read(NAME) == LARGE
    assert proxy.count("POST", "uploadId=") == tried
    assert proxy.count("PUT", f"{NAME}?uploadId=") == 0
    assert corner.uploads() == []


def test_every_conditional_write_has_a_mark_of_its_own(corner: Any) -> None:
    """[S3B-6]"""
    blobs = corner.open()
    marks = set()
    for number in range(3):
        blobs.put_if_absent(f"packs/{number}", SMALL)
        marks.add(corner.bucket().head(f"{corner.prefix}packs/{number}").attributes.metadata[MARK])
    assert len(marks) == 3
    assert all(len(mark) == 32 for mark in marks)


@pytest.mark.parametrize("when", ["a part", "the completion", "the whole"])
def test_a_writer_that_fails_leaves_nothing(
    corner: Any, proxy: Any, faults: Any, checking: Checking, when: str
) -> None:
    """[S3B-10]"""
    blobs = corner.open(proxy.endpoint)
    stream(blobs, LARGE)
    blobs.delete(NAME)
    requests = {"a part": ("PUT", "partNumber=2"), "the completion": ("POST", "uploadId="), "the whole": ("PUT", NAME)}
    method, part = requests[when]
    proxy.rule = faults.once(method, part, faults.refusal(403, "AccessDenied"), times=100)
    with pytest.raises(StorageError, match="AccessDenied"):
        stream(blobs, SMALL if when == "the whole" else LARGE)
    assert corner.uploads() == []
    assert corner.names() == [".mstbucket"]


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_writer_that_is_given_up_leaves_nothing(corner: Any, proxy: Any, checking: Checking, pieces: int) -> None:
    """[S3B-10]"""
    with corner.open(proxy.endpoint).open_write(NAME) as writer:
        for _ in range(pieces):
            writer.write(LARGE)
    assert corner.uploads() == []
    assert corner.names() == [".mstbucket"]
