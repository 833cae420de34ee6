"""Conditions: the table of RFC 9110 and S3 for reads and copies; for writes also what a loser leaves, which is nothing."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inside import left

import mstbucket
from mstbucket import errors
from mstbucket.core.s3rules.conditions import Conditions, conditions, expected
from mstbucket.errors import InvalidInput, NoSuchKey, NotModified, PreconditionFailed
from mstbucket.index.tx import enter
from mstbucket.limits import CHUNK_SIZE, INLINE_MAX

BODY = b"what is there"
ETAG = hashlib.md5(BODY).hexdigest()
OTHER = hashlib.md5(b"another").hexdigest()
EARLIER, LATER = timedelta(hours=-1), timedelta(hours=1)

READS: dict[str, tuple[dict[str, Any], type[Exception] | None]] = {
    "If-Match with the ETag reads": ({"if_match": ETAG}, None),
    "If-Match with the ETag in quotes reads": ({"if_match": f'"{ETAG}"'}, None),
    "If-Match with a star reads": ({"if_match": "*"}, None),
    "If-Match with a list that holds the ETag reads": ({"if_match": f'"{OTHER}", "{ETAG}"'}, None),
    "If-Match with a list without quotes reads": ({"if_match": f"{OTHER},{ETAG}"}, None),
    "If-Match with another ETag is 412": ({"if_match": OTHER}, PreconditionFailed),
    "If-Match with the weak form of the ETag is 412": ({"if_match": f'W/"{ETAG}"'}, PreconditionFailed),
    "If-Match with the ETag in capitals is 412": ({"if_match": ETAG.upper()}, PreconditionFailed),
    "If-Match with a star in quotes is 412": ({"if_match": '"*"'}, PreconditionFailed),
    "If-Match with the empty entity-tag is 412": ({"if_match": '""'}, PreconditionFailed),
    "If-None-Match with the ETag is 304": ({"if_none_match": ETAG}, NotModified),
    "If-None-Match with the ETag in quotes is 304": ({"if_none_match": f'"{ETAG}"'}, NotModified),
    "If-None-Match with the weak form of the ETag is 304": ({"if_none_match": f'W/"{ETAG}"'}, NotModified),
    "If-None-Match with a star is 304": ({"if_none_match": "*"}, NotModified),
    "If-None-Match with a list that holds the ETag is 304": ({"if_none_match": f'"{OTHER}","{ETAG}"'}, NotModified),
    "If-None-Match with another ETag reads": ({"if_none_match": OTHER}, None),
    "If-Modified-Since earlier reads": ({"if_modified_since": EARLIER}, None),
    "If-Modified-Since later is 304": ({"if_modified_since": LATER}, NotModified),
    "If-Modified-Since the same second is 304": ({"if_modified_since": timedelta()}, NotModified),
    "If-Unmodified-Since earlier is 412": ({"if_unmodified_since": EARLIER}, PreconditionFailed),
    "If-Unmodified-Since later reads": ({"if_unmodified_since": LATER}, None),
    "If-Unmodified-Since the same second reads": ({"if_unmodified_since": timedelta()}, None),
    "If-Match true with If-Unmodified-Since false reads": ({"if_match": ETAG, "if_unmodified_since": EARLIER}, None),
    "If-Match false with If-Unmodified-Since true is 412": (
        {"if_match": OTHER, "if_unmodified_since": LATER}, PreconditionFailed),
    "If-None-Match false with If-Modified-Since true is 304": (
        {"if_none_match": ETAG, "if_modified_since": EARLIER}, NotModified),
    "If-None-Match true with If-Modified-Since false reads": (
        {"if_none_match": OTHER, "if_modified_since": LATER}, None),
    "If-Match true with If-None-Match false is 304": ({"if_match": ETAG, "if_none_match": ETAG}, NotModified),
    "If-Match false with If-None-Match false is 412": ({"if_match": OTHER, "if_none_match": ETAG}, PreconditionFailed),
    "If-Unmodified-Since false with If-None-Match false is 412": (
        {"if_unmodified_since": EARLIER, "if_none_match": ETAG}, PreconditionFailed),
    "If-Unmodified-Since true with If-Modified-Since false is 304": (
        {"if_unmodified_since": LATER, "if_modified_since": LATER}, NotModified),
}  # fmt: skip

WRITES: dict[str, tuple[dict[str, str], type[Exception] | None, type[Exception] | None]] = {
    # what is asked, what becomes of it where the object is there, and where it is not
    "If-None-Match star": ({"if_none_match": "*"}, PreconditionFailed, None),
    "If-None-Match with the ETag": ({"if_none_match": ETAG}, PreconditionFailed, None),
    "If-None-Match with the ETag in quotes": ({"if_none_match": f'"{ETAG}"'}, PreconditionFailed, None),
    "If-None-Match with the weak form of the ETag": ({"if_none_match": f'W/"{ETAG}"'}, PreconditionFailed, None),
    "If-None-Match with another ETag": ({"if_none_match": OTHER}, None, None),
    "If-Match with the ETag": ({"if_match": ETAG}, None, NoSuchKey),
    "If-Match with the ETag in quotes": ({"if_match": f'"{ETAG}"'}, None, NoSuchKey),
    "If-Match with a list": ({"if_match": f'{OTHER}, "{ETAG}"'}, None, NoSuchKey),
    "If-Match star": ({"if_match": "*"}, None, NoSuchKey),
    "If-Match with another ETag": ({"if_match": OTHER}, PreconditionFailed, NoSuchKey),
    "If-Match with the weak form of the ETag": ({"if_match": f'W/"{ETAG}"'}, PreconditionFailed, NoSuchKey),
    "both, both met": ({"if_match": ETAG, "if_none_match": OTHER}, None, NoSuchKey),
    "both, the second not met": ({"if_match": ETAG, "if_none_match": "*"}, PreconditionFailed, NoSuchKey),
}

NONSENSE = ["", " ", ",", "*,*", f"{ETAG}, *", '"half', 'half"', 'a"b"', f'"{ETAG}" "{OTHER}"', "a b", "a\0b", "\ud800"]


def asked(bucket: mstbucket.Bucket, said: dict[str, Any]) -> dict[str, Any]:
    """The row's differences of time as times from the object's Last-Modified, as its header would say it."""
    modified = bucket.head_object("k").last_modified.replace(microsecond=0)
    return {name: modified + value if isinstance(value, timedelta) else value for name, value in said.items()}


def outcome(call: Callable[[], object], error: type[Exception] | None) -> None:
    if error is None:
        call()
    else:
        with pytest.raises(error):
            call()


@pytest.fixture
def there(bucket: mstbucket.Bucket) -> mstbucket.Bucket:
    """A bucket with one object `k`."""
    bucket.put_object("k", BODY)
    return bucket


@pytest.mark.parametrize("row", READS)
def test_reading_on_a_condition(there: mstbucket.Bucket, row: str) -> None:
    """[COND-1], [COND-2], [COND-3], [COND-4]: get and head alike, before and after the object went into the tree."""
    said, error = READS[row]
    for _ in range(2):
        given = asked(there, said)
        outcome(partial(there.head_object, "k", **given), error)
        outcome(partial(there.get_object, "k", **given), error)
        outcome(partial(there.get_object, "k", range="bytes=99-", **given), error or errors.InvalidRange)
        with pytest.raises(NoSuchKey):
            there.head_object("missing", **given)
        there.flush()


@pytest.mark.parametrize("row", READS)
def test_copying_on_a_condition_of_the_source(there: mstbucket.Bucket, tmp_path: Path, row: str) -> None:
    """[COND-5]: the same table, but 412 for every row that is not met."""
    said, error = READS[row]
    said = {f"copy_source_{name}": value for name, value in asked(there, said).items()}
    before = left(there, tmp_path)
    outcome(lambda: there.copy_object("k", "copy", **said), None if error is None else PreconditionFailed)
    if error is not None:
        assert left(there, tmp_path) == before
    else:
        assert there.get_object("copy").read() == BODY
    with pytest.raises(NoSuchKey):
        there.copy_object("missing", "copy", **said)


SIZES = [0, 5, INLINE_MAX, INLINE_MAX + 1, 2 * CHUNK_SIZE + 1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("row", WRITES)
def test_putting_on_a_condition(there: mstbucket.Bucket, tmp_path: Path, row: str, size: int) -> None:
    """[COND-6], [COND-7], [COND-8]: bodies on every way in, and nothing left where the condition is not met."""
    said, error_there, error_missing = WRITES[row]
    body = b"n" * size
    for key, error in (("k", error_there), ("missing", error_missing)):
        before = left(there, tmp_path)
        outcome(partial(there.put_object, key, body, **said), error)
        if error is None:
            assert there.get_object(key).read() == body
        else:
            assert left(there, tmp_path) == before
    there.flush()
    there.verify()


@pytest.mark.parametrize("row", WRITES)
def test_copying_on_a_condition_of_the_target(there: mstbucket.Bucket, tmp_path: Path, row: str) -> None:
    """[COND-6], [COND-7], [COND-8]"""
    said, error_there, error_missing = WRITES[row]
    there.put_object("source", b"of the copy")
    for key, error in (("k", error_there), ("missing", error_missing)):
        before = left(there, tmp_path)
        outcome(partial(there.copy_object, "source", key, **said), error)
        if error is None:
            assert there.get_object(key).read() == b"of the copy"
        else:
            assert left(there, tmp_path) == before


@pytest.mark.parametrize("row", WRITES)
def test_deleting_on_a_condition(there: mstbucket.Bucket, tmp_path: Path, row: str) -> None:
    """[COND-6], [COND-7], [COND-8]: what is not there is no error, unless If-Match asks for it."""
    said, error_there, error_missing = WRITES[row]
    there.flush()
    before = left(there, tmp_path)
    outcome(lambda: there.delete_object("missing", **said), error_missing)
    assert left(there, tmp_path) == before
    outcome(lambda: there.delete_object("k", **said), error_there)
    if error_there is not None:
        assert left(there, tmp_path) == before
    else:
        assert list(there.objects()) == []
        assert there.flush().objects == 0


@pytest.mark.parametrize("name", ["if_match", "if_none_match"])
@pytest.mark.parametrize("text", NONSENSE, ids=repr)
def test_what_is_no_etag_is_refused(there: mstbucket.Bucket, tmp_path: Path, text: str, name: str) -> None:
    """[COND-1]"""
    before = left(there, tmp_path)
    calls: list[Callable[..., object]] = [
        partial(there.get_object, "k"), partial(there.head_object, "k"), partial(there.put_object, "k", b""),
        partial(there.copy_object, "k", "copy"), partial(there.delete_object, "k"),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(InvalidInput):
            call(**{name: text})
    with pytest.raises(InvalidInput):
        there.copy_object("k", "copy", copy_source_if_match=text)
    assert left(there, tmp_path) == before


def test_a_time_without_a_zone_is_refused(there: mstbucket.Bucket) -> None:
    """[COND-4]"""
    for name in ("if_modified_since", "if_unmodified_since"):
        with pytest.raises(InvalidInput, match="time zone"):
            there.head_object("k", **{name: datetime(2026, 1, 1)})  # type: ignore[arg-type]


def test_times_from_before_1970_and_after_9999_are_times_like_any(there: mstbucket.Bucket) -> None:
    """[COND-4]"""
    there.head_object("k", if_modified_since=datetime.min.replace(tzinfo=UTC) + timedelta(days=1))
    there.head_object("k", if_unmodified_since=datetime.max.replace(tzinfo=UTC))


def test_a_deleted_key_can_be_created_again(there: mstbucket.Bucket) -> None:
    there.delete_object("k")
    there.put_object("k", b"again", if_none_match="*")
    assert there.get_object("k").read() == b"again"


VISIBLE = st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters='",*', categories=("L", "N", "P", "S"))


@given(st.lists(st.text(VISIBLE, min_size=1), min_size=1), st.booleans())
def test_a_list_of_any_etags_holds_each_of_them(tags: list[str], quoted: bool) -> None:
    """[COND-1], [COND-3]"""
    text = ", ".join(f'"{tag}"' if quoted else tag for tag in tags)
    assert expected(text, None).match == tuple(f'"{tag}"' for tag in tags)
    assert conditions(text, None, None, None).verdict(tags[-1], 0) == "met"
    assert conditions(None, text, None, None).verdict(tags[0], 0) == "unchanged"


def rfc_9110(c: Conditions, etag: str, second: int) -> int:
    """Section 13.2.2, step by step as it is written; the slow oracle."""
    steps = []
    if c.match is not None:
        steps.append(("*" in c.match or f'"{etag}"' in c.match, 412))
    if c.match is None and c.unmodified_since is not None:
        steps.append((second <= c.unmodified_since, 412))
    if c.none_match is not None:
        steps.append(("*" not in c.none_match and f'"{etag}"' not in c.none_match, 304))
    if c.none_match is None and c.modified_since is not None:
        steps.append((second > c.modified_since, 304))
    return next((status for true, status in steps if not true), 200)


TAG_LISTS = [None, ("*",), ('"a"',), ('"b"', '"c"'), ("W/\"a\"",)]


def test_every_combination_is_decided_as_the_rfc_says() -> None:
    """[COND-2], [COND-4]: exhaustive over small values, also within one second."""
    status = {"met": 200, "changed": 412, "unchanged": 304}
    times = [None, 4, 5, 6]
    for match in TAG_LISTS:
        for none_match in TAG_LISTS:
            for modified in times:
                for unmodified in times:
                    c = Conditions(match, none_match, modified, unmodified)
                    for ms in (5000, 5999):
                        assert status[c.verdict("a", ms)] == rfc_9110(c, "a", 5), (c, ms)


# --- many objects at a time --------------------------------------------------------------------------------------------


def test_one_condition_that_is_not_met_stores_nothing_of_its_batch(there: mstbucket.Bucket, tmp_path: Path) -> None:
    """[COND-8], [COND-9]: with bodies on every way in."""
    before = left(there, tmp_path)
    for size in (3, 2 * INLINE_MAX):
        requests = [mstbucket.PutRequest(f"n{n}", b"x" * size, if_none_match="*") for n in range(5)]
        with pytest.raises(PreconditionFailed, match="'k'"):
            there.put_objects([*requests, mstbucket.PutRequest("k", b"", if_none_match="*")])
        with pytest.raises(NoSuchKey):
            there.put_objects([*requests, mstbucket.PutRequest("missing", b"", if_match="*")])
        assert left(there, tmp_path) == before
        there.put_objects(requests)
        there.delete_objects([request.key for request in requests])
        before = left(there, tmp_path)


def test_a_condition_sees_the_requests_before_it(there: mstbucket.Bucket) -> None:
    """[COND-9]: a key that is created twice in one call; one that is changed step by step."""
    steps = [mstbucket.PutRequest("new", b"0", if_none_match="*")]
    etags = [hashlib.md5(f"{n}".encode()).hexdigest() for n in range(5)]
    steps += [mstbucket.PutRequest("new", f"{n}".encode(), if_match=etags[n - 1]) for n in range(1, 5)]
    assert there.put_objects(steps) == 5
    assert there.get_object("new").read() == b"4"
    with pytest.raises(PreconditionFailed):
        there.put_objects([mstbucket.PutRequest("twice", b"first"), mstbucket.PutRequest("twice", b"", if_none_match="*")])
    assert there.get_object("twice").read() == b"first"


# --- who comes at the same time ------------------------------------------------------------------------------------------

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.mark.parametrize("first", ["commits", "rolls back"])
@pytest.mark.parametrize("second", ["put", "put a large body", "conditional put", "bulk", "delete"])
def test_whoever_comes_second_waits_for_the_one_who_holds_a_key_that_is_not_there(
    bucket: mstbucket.Bucket, first: str, second: str
) -> None:
    """[COND-6]: the first has looked, and found nothing; nobody comes between that and its end."""
    db, done = bucket._context.db, threading.Event()
    failed: list[BaseException] = []
    calls: dict[str, Callable[[], object]] = {
        "put": lambda: bucket.put_object("k", b"second"),
        "put a large body": lambda: bucket.put_object("k", b"second" * INLINE_MAX),
        "conditional put": lambda: bucket.put_object("k", b"second", if_none_match="*"),
        "bulk": lambda: bucket.put_objects([mstbucket.PutRequest("k", b"second"), mstbucket.PutRequest("l", b"second")]),
        "delete": lambda: bucket.delete_object("k", if_match="*"),
    }

    def work() -> None:
        try:
            calls[second]()
        except BaseException as error:
            failed.append(error)
        done.set()

    thread = threading.Thread(target=work)
    with pytest.raises(InterruptedError), db.transaction() as connection:  # noqa: PT012
        tx = enter(connection, "things")
        tx.expect("k", expected(None, "*"))
        thread.start()
        with db.connection() as observer:  # a transaction would see one state of that view only
            while observer.execute(WAITING).fetchone() == (0,):
                assert not done.wait(0.01), failed
        if first == "commits":
            connection.execute(
                "INSERT INTO objects (bucket, key, manifest, content, size, etag, content_type, modified) "
                "SELECT %s, 'k', '\\x01', '\\x01', 1, 'first', 'text', 0",
                (tx.bucket,),
            )
            connection.execute("COMMIT")
        raise InterruptedError
    thread.join()
    etag = {item.key: item.etag for item in bucket.objects()}.get("k")
    if second == "conditional put":
        assert [type(error) for error in failed] == ([PreconditionFailed] if first == "commits" else [])
        assert (etag == "first") == (first == "commits")
    elif second == "delete":
        assert [type(error) for error in failed] == ([] if first == "commits" else [NoSuchKey])
        assert etag is None
    else:
        assert failed == []
        assert etag not in (None, "first")


def test_a_copy_onto_itself_takes_what_is_being_written(there: mstbucket.Bucket) -> None:
    """[COND-5]: new metadata on the object of now, never on one that was replaced meanwhile."""
    db = there._context.db
    there.put_object("later", b"later")
    said = {"metadata_directive": "REPLACE", "metadata": {"new": "1"}, "copy_source_if_match": "*"}
    with ThreadPoolExecutor(1) as pool, db.transaction() as connection:
        connection.execute("SELECT 1 FROM objects WHERE key = 'k' FOR UPDATE")
        copying = pool.submit(there.copy_object, "k", "k", **said)  # type: ignore[arg-type]
        with db.connection() as observer:
            while observer.execute(WAITING).fetchone() == (0,):
                assert not copying.done()
        connection.execute(
            "UPDATE objects o SET (content, size, etag, sha256) = (SELECT content, size, etag, sha256 FROM objects "
            "WHERE key = 'later') WHERE key = 'k'"
        )
        connection.execute("COMMIT")
        connection.execute("BEGIN")
        copying.result(30)
    assert there.get_object("k").read() == b"later"
    assert there.head_object("k").metadata == {"new": "1"}


@pytest.mark.parametrize("first", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("second", ["put_object", "put_objects", "copy_object", "delete_object"])
def test_a_condition_waits_for_the_outcome_of_a_write_that_has_begun(
    there: mstbucket.Bucket, first: str, second: str
) -> None:
    """[COND-6]: the ETag that counts is the one that is replaced, and not the last that was seen."""
    there.put_object("source", b"")
    calls: dict[str, Callable[[], object]] = {
        "put_object": lambda: there.put_object("k", b"second", if_match=ETAG),
        "put_objects": lambda: there.put_objects([mstbucket.PutRequest("k", b"x" * 2 * INLINE_MAX, if_match=ETAG)]),
        "copy_object": lambda: there.copy_object("source", "k", if_match=ETAG),
        "delete_object": lambda: there.delete_object("k", if_match=ETAG),
    }
    db = there._context.db
    with ThreadPoolExecutor(1) as pool, db.transaction() as connection:
        connection.execute("UPDATE objects SET etag = 'first' WHERE key = 'k'")
        writing = pool.submit(calls[second])
        with db.connection() as observer:
            while observer.execute(WAITING).fetchone() == (0,):
                assert not writing.done()
        connection.execute(first)
        connection.execute("BEGIN")
        outcome(partial(writing.result, 30), PreconditionFailed if first == "COMMIT" else None)
    etag = {item.key: item.etag for item in there.objects()}.get("k")
    assert etag == "first" if first == "COMMIT" else etag not in ("first", ETAG)
