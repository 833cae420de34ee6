"""Logs of commits as files and as proofs: what they say, what they refuse, and the golden ones."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mstbucket.core import dagcbor
from mstbucket.core.cid import dag_cbor_cid, dag_pb_cid, from_text, raw_cid, to_text
from mstbucket.core.commit_fields import bucket_id
from mstbucket.core.commit_log import (
    Listed,
    Log,
    appended,
    check,
    decode,
    decode_proof,
    encode,
    encode_proof,
    parse_head,
)
from mstbucket.core.dagcbor import Link
from mstbucket.errors import FormatError, InvalidBlock, InvalidInput, OtherCommit, Unsupported, Untrue
from mstbucket.limits import COMMIT_SEQ_MAX, LOG_FILE_MAX, LOG_PROOF_BLOCK_MAX
from tests.core.generators import load_generator

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "fixtures" / "log"
BUCKET = bucket_id(bytes(range(16)))
CIDS = [dag_cbor_cid(b"%d" % n) for n in range(12)]
LOG = Log(BUCKET, tuple((2 * n + 1, cid) for n, cid in enumerate(CIDS)))


def of(size: int) -> Log:
    return Log(BUCKET, LOG.entries[:size])


# --- proofs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", range(1, len(CIDS) + 1))
def test_a_reader_of_any_size_is_taken_to_the_newest_head(known: int) -> None:
    """[LOG-5]"""
    for commit in CIDS:
        proof = decode_proof(encode_proof(LOG.prove(commit, known)))
        assert check(proof, commit, of(known).head()) == LOG.head()
        assert check(proof, commit, None) == LOG.head()  # [LOG-6]


def test_a_log_that_was_changed_does_not_follow() -> None:
    """[LOG-5] An entry changed, removed, put between, moved: for readers of every size that had seen it."""
    entries = LOG.entries
    changed = {
        "changed": [*entries[:3], (7, dag_cbor_cid(b"x")), *entries[4:]],
        "removed": [*entries[:3], *entries[4:]],
        "put between": [*entries[:3], (6, dag_cbor_cid(b"x")), *entries[3:]],
        "moved": [*entries[:3], (7, CIDS[4]), (9, CIDS[3]), *entries[5:]],
    }
    for other in changed.values():
        log = Log(BUCKET, tuple(other))
        for known in range(4, len(other) + 1):
            with pytest.raises(Untrue):
                check(log.prove(CIDS[-1], known), CIDS[-1], of(known).head())
        for known in range(1, 4):  # who has not seen that entry cannot know
            assert check(log.prove(CIDS[-1], known), CIDS[-1], of(known).head()) == log.head()


def test_a_proof_about_another_commit_or_from_another_size_is_refused() -> None:
    """[LOG-5]"""
    proof = LOG.prove(CIDS[5], 4)
    with pytest.raises(OtherCommit):
        check(proof, CIDS[6], of(4).head())
    with pytest.raises(Untrue, match="had 4 entries, and the one that is known had 3"):
        check(proof, CIDS[5], of(3).head())
    with pytest.raises(Untrue):
        check(replace(proof, commit=CIDS[6]), CIDS[6], of(4).head())
    with pytest.raises(Untrue):  # a log that has become shorter
        check(of(3).prove(CIDS[1], 3), CIDS[1], of(4).head())


def test_what_is_not_in_the_log_is_not_proved() -> None:
    for commit, since in ((dag_cbor_cid(b"x"), 0), (CIDS[0], 13), (CIDS[0], -1)):
        with pytest.raises(InvalidInput):
            LOG.prove(commit, since)


VALUE: dict[str, Any] = dict(dagcbor.decode(encode_proof(LOG.prove(CIDS[5], 4))))


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        *(({name: None}, InvalidBlock) for name in VALUE),
        *(({name: True}, InvalidBlock) for name in ("log", "size", "index", "since")),
        ({"log": 2}, Unsupported),
        ({"more": 1}, InvalidBlock),
        ({"size": 5}, InvalidBlock),
        ({"size": 0, "index": 0, "since": 0}, InvalidBlock),
        ({"size": COMMIT_SEQ_MAX + 1}, InvalidBlock),
        ({"index": -1}, InvalidBlock),
        ({"since": 13}, InvalidBlock),
        ({"since": -1}, InvalidBlock),
        ({"bucket": "photos"}, InvalidBlock),
        ({"commit": Link(raw_cid(b""))}, InvalidBlock),
        ({"commit": Link(dag_pb_cid(b""))}, InvalidBlock),
        ({"commit": to_text(CIDS[0])}, InvalidBlock),
        ({"inclusion": [bytes(31)]}, InvalidBlock),
        ({"inclusion": bytes(32)}, InvalidBlock),
        ({"consistency": ["x" * 32]}, InvalidBlock),
        ({"consistency": [bytes(32)] * 300}, InvalidBlock),
    ],
)
def test_what_is_no_proof_is_refused(changed: dict[str, Any], error: type[Exception]) -> None:
    """[LOG-4] Null stands for a field that is missing, too."""
    for block in [dagcbor.encode({**VALUE, **changed})] + (
        [dagcbor.encode({name: value for name, value in VALUE.items() if name not in changed})]
        if list(changed.values()) == [None]
        else []
    ):
        with pytest.raises(error):
            decode_proof(block)


def test_the_longest_proof_fits() -> None:
    """[LOG-4]"""
    proof = replace(LOG.prove(CIDS[0], 4), size=COMMIT_SEQ_MAX, index=COMMIT_SEQ_MAX - 1, since=COMMIT_SEQ_MAX - 1,
                    inclusion=(bytes(32),) * 53, consistency=(bytes(32),) * 54)  # fmt: skip
    assert len(encode_proof(proof)) <= LOG_PROOF_BLOCK_MAX // 2
    assert decode_proof(encode_proof(proof)) == proof


# --- files and heads --------------------------------------------------------------------------------------------------


def test_a_log_is_read_as_it_was_written() -> None:
    """[LOG-1]"""
    for size in range(len(CIDS) + 1):
        assert decode(encode(of(size)), "it") == of(size)


TEXT = encode(of(3)).decode()
LINES = TEXT.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", FormatError),
        (TEXT[:-1], FormatError),
        (TEXT + "\n", FormatError),
        (TEXT.replace("\n", "\r\n"), FormatError),
        (TEXT.replace("log 1", "log 2"), Unsupported),
        (TEXT.replace("log 1", "log 01"), FormatError),
        (TEXT.replace(BUCKET, "photos"), FormatError),
        (LINES[0], FormatError),
        (TEXT[:-20], FormatError),
        ("".join([*LINES[:3], LINES[4], LINES[3]]), FormatError),
        ("".join([*LINES, LINES[-1]]), FormatError),
        (TEXT.replace("\n3 ", "\n03 "), FormatError),
        (TEXT.replace("\n3 ", "\n3  "), FormatError),
        (TEXT.replace(to_text(CIDS[1]), to_text(raw_cid(b""))), FormatError),
        (TEXT.replace(to_text(CIDS[1]), to_text(CIDS[1]).upper()), FormatError),
        (TEXT.replace("\n5 ", f"\n{COMMIT_SEQ_MAX + 1} "), FormatError),
        (TEXT.replace("# bucket", "# bücket"), FormatError),
    ],
)
def test_what_is_no_log_is_refused(text: str, error: type[Exception]) -> None:
    """[LOG-1] [LOG-2]"""
    with pytest.raises(error):
        decode(text.encode(), "it")


def test_a_log_that_is_too_long_is_refused_before_it_is_read() -> None:
    """[LOG-1]"""
    with pytest.raises(FormatError, match="no log of commits"):
        decode(bytes(LOG_FILE_MAX + 1), "it")


def test_commits_are_listed_in_the_order_of_their_numbers_and_as_they_follow() -> None:
    """[LOG-2]"""
    a, b, c = CIDS[:3]
    log = appended(Log(BUCKET, ()), [Listed(4, a, c, None), Listed(5, b, a, None), Listed(9, c, None, None)])
    assert log.entries == ((4, a), (5, b), (9, c))
    assert appended(log, [Listed(10, a, b, c)]).entries[-1] == (10, a)  # what was merged in is the last entry
    refused: list[Callable[[], Listed]] = [
        lambda: Listed(9, a, c, None), lambda: Listed(3, a, c, None), lambda: Listed(10, a, b, None),
        lambda: Listed(10, a, None, None),
    ]  # fmt: skip
    for make in refused:
        with pytest.raises(Untrue):
            appended(log, [make()])


def test_a_head_is_read_as_it_is_written() -> None:
    """[LOG-3]"""
    assert parse_head(str(LOG.head())) == LOG.head()
    good = str(LOG.head())
    longer, other = ("0" + good, " " + good, good + "0", good + "\n"), ("", "12", good[:-1], good.replace("12:", "-1:"))
    for text in (*longer, *other, good.upper()):
        with pytest.raises(InvalidInput):
            parse_head(text)


# --- golden -----------------------------------------------------------------------------------------------------------


def test_the_golden_log_and_its_proofs() -> None:
    """[LOG-1] [LOG-3] [LOG-4] The generator makes these files again, and each proves what the index says."""
    made = load_generator("generate_log").make()
    assert {path.name: path.read_bytes() for path in GOLDEN.iterdir()} == made
    said = json.loads(made["index.json"])
    heads = [parse_head(text) for text in said["heads"]]
    log = decode(made["log.txt"], "it")
    assert [Log(log.bucket, log.entries[:size]).head() for size in range(1, 8)] == heads
    for one in said["proofs"]:
        known = heads[one["since"] - 1] if one["since"] else None
        assert check(decode_proof(made[one["file"]]), from_text(one["commit"]), known) == heads[-1]


def test_the_example_of_the_specification_is_the_golden_proof() -> None:
    text = (ROOT / "spec" / "format" / "37-log.md").read_text(encoding="utf-8").partition("## Example")[2]
    found = "".join(re.findall(r"^ {4,6}([0-9a-f]+)(?: |$)", text, re.MULTILINE))
    assert bytes.fromhex(found) == (GOLDEN / "commit-7-since-2.cbor").read_bytes()
