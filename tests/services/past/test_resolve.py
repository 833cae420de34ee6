"""Finding a commit of a real bucket by each of its names ([PAST-20], [PAST-22])."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import mstbucket
from mstbucket.core.cid import dag_cbor_cid, to_text
from mstbucket.core.commit_names import commit_name
from mstbucket.errors import NoSuchBucket, NoSuchCommit
from mstbucket.model.buckets import CommitInfo
from mstbucket.services.past.resolve import resolve


def found(bucket: mstbucket.Bucket, given: str | int | datetime) -> CommitInfo:
    with bucket._context.db.reading() as connection:
        return resolve(connection, bucket.name, commit_name(given)).info()


def commits_of(bucket: mstbucket.Bucket, count: int) -> list[CommitInfo]:
    """So many commits, the oldest first, each a minute after the one before."""
    commits = []
    for number in range(count):
        bucket.put_object("key", b"%d" % number)
        commits.append(bucket.flush())
    with bucket._context.db.connection() as connection:
        connection.execute("UPDATE commits SET time = 1000000000000 + seq * 60000")
    return list(bucket.log())[::-1]


def name_it(bucket: mstbucket.Bucket, seq: int, name: str) -> None:
    with bucket._context.db.connection() as connection:
        query = "INSERT INTO snapshots SELECT id, %s, %s, 0 FROM buckets WHERE name = %s"
        connection.execute(query, (name, seq, bucket.name))


def test_each_of_its_names_finds_the_commit(bucket: mstbucket.Bucket) -> None:
    """[PAST-20]"""
    commits_of(bucket, 3)
    name_it(bucket, 2, "second")
    commits = list(bucket.log())[::-1]
    for commit in commits:
        for given in (commit.cid, commit.seq, str(commit.seq), commit.time, commit.time + timedelta(seconds=59)):
            assert found(bucket, given) == commit
    assert found(bucket, "second") == commits[1]
    assert found(bucket, "2100-01-01T00:00:00Z") == commits[-1]


def test_a_time_names_an_older_commit_where_one_was_given_up(bucket: mstbucket.Bucket) -> None:
    """[PAST-20]"""
    commits = commits_of(bucket, 3)
    with bucket._context.db.connection() as connection:
        connection.execute("DELETE FROM commits WHERE seq = 2")
    assert found(bucket, commits[1].time) == commits[0]
    with pytest.raises(NoSuchCommit, match=r"no commit 2: the 2 that can be read are from 1, of 2001-09-09.* to 3, of"):
        found(bucket, 2)


def test_where_the_clock_went_back_the_later_commit_counts(bucket: mstbucket.Bucket) -> None:
    """[PAST-20] the one with the greatest number."""
    commits = commits_of(bucket, 3)
    with bucket._context.db.connection() as connection:
        connection.execute("UPDATE commits SET time = 1 WHERE seq = 3")
    assert found(bucket, commits[0].time).seq == 3


def test_the_error_says_what_there_is(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[PAST-22]"""
    with pytest.raises(NoSuchCommit, match="never flushed"):
        found(bucket, 1)
    commits_of(bucket, 1)
    with pytest.raises(NoSuchCommit, match="the one that can be read is 1, of 2001") as caught:
        found(bucket, 9)
    assert caught.value.bucket == bucket.name
    with pytest.raises(NoSuchCommit, match="none of its commits has a name"):
        found(bucket, "first")
    for name in "abcdefg":
        name_it(bucket, 1, name)
    with pytest.raises(NoSuchCommit, match="'a', 'b', 'c', 'd', 'e' and more"):
        found(bucket, "first")
    for given in (to_text(dag_cbor_cid(b"")), 2**63 - 1, "9" * 19, datetime(1999, 1, 1, tzinfo=UTC), 0):
        with pytest.raises(NoSuchCommit):
            found(bucket, given)
    with pytest.raises(NoSuchBucket):
        found(mstbucket.Bucket(bucket._context, "nothing"), 1)


def test_a_bucket_knows_only_its_own_commits_and_names(store: mstbucket.Store, bucket: mstbucket.Bucket) -> None:
    """[PAST-20]"""
    commits = commits_of(bucket, 2)
    name_it(bucket, 1, "first")
    other = store.create_bucket("others")
    commits_of(other, 1)
    for given in (commits[1].cid, 2, "first"):
        with pytest.raises(NoSuchCommit):
            found(other, given)
