"""The views that people query with their own tools: complete, exact, reachable by index, and as the README shows them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mstbucket
from mstbucket.core import cid as cids

README = Path(__file__).parents[2] / "docs" / "ask-the-index.md"


@pytest.fixture
def sql(store: mstbucket.Store) -> Iterator[psycopg.Connection[Any]]:
    """A connection such as somebody's own tool makes: nothing but the connection string."""
    with psycopg.connect(store.conninfo(), autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        yield connection


@pytest.fixture
def photos(store: mstbucket.Store) -> mstbucket.Bucket:
    """A bucket to ask about."""
    bucket = store.create_bucket("photos")
    store.create_bucket("empty-one")
    bucket.put_objects(
        mstbucket.PutRequest(
            f"2026/{n:03}.raw", bytes(n), metadata={"place": f"pier {n % 3}"}, tags={"kind": "raw"} if n % 2 else {}
        )
        for n in range(40)
    )
    bucket.put_bucket_tagging({"team": "größe"})
    bucket.flush()
    bucket.put_object("unflushed", b"x", headers={"expires": "never"}, content_type="text/plain")
    return bucket


def rows(sql: psycopg.Connection[Any], query: str, *arguments: object) -> list[tuple[Any, ...]]:
    return sql.execute(query, arguments).fetchall()


def test_every_object_stands_in_its_view_as_the_library_shows_it(
    photos: mstbucket.Bucket, sql: psycopg.Connection[Any]
) -> None:
    """[VIEW-1], [VIEW-2]."""
    query = """
        SELECT key, size, etag, content_type, last_modified, metadata, tags, headers, sha256, content, manifest, dirty
        FROM mstbucket.v_objects WHERE bucket = 'photos' ORDER BY key
    """
    found = rows(sql, query)
    infos = [photos.head_object(item.key) for item in photos.objects()]
    assert found == [
        (
            i.key, i.size, i.etag, i.content_type, i.last_modified.astimezone(UTC), i.metadata or None, i.tags or None,
            i.headers or None, i.sha256, i.content, i.manifest, i.key == "unflushed",
        )
        for i in infos
    ]  # fmt: skip
    assert len(found) == 41


def test_buckets_and_commits_stand_in_theirs(
    store: mstbucket.Store, photos: mstbucket.Bucket, sql: psycopg.Connection[Any]
) -> None:
    """[VIEW-1], [VIEW-2]."""
    query = "SELECT bucket, identity, created, commit, seq, dirty, tags FROM mstbucket.v_buckets ORDER BY bucket"
    tags = {"photos": {"team": "größe"}}
    assert rows(sql, query) == [
        (b.name, b.identity, b.created, b.commit, b.seq, b.dirty, tags.get(b.name)) for b in store.list_buckets()
    ]
    photos.flush()
    query = "SELECT seq, cid, prev, tree, versions, time, objects, bytes, current FROM mstbucket.v_commits ORDER BY seq DESC"
    assert rows(sql, query) == [
        (c.seq, c.cid, c.prev, c.tree, c.versions, c.time, c.objects, c.bytes, c.seq == 2) for c in photos.log()
    ]


def test_the_text_of_a_cid_is_the_librarys(store: mstbucket.Store) -> None:
    """[VIEW-3]."""
    with psycopg.connect(store.conninfo(), autocommit=True) as connection:

        @given(st.binary(max_size=40), st.sampled_from([cids.raw_cid, cids.dag_pb_cid, cids.dag_cbor_cid]))
        def same(block: bytes, make: Any) -> None:
            cid = make(block)
            assert rows(connection, "SELECT mstbucket.cid_text(%s)", cid) == [(cids.to_text(cid),)]

        same()
        assert rows(connection, "SELECT mstbucket.cid_text(NULL)") == [(None,)]


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01 00:00:00+00"),
        (1766000000001, "2025-12-17 19:33:20.001+00"),
        (253402300799999, "9999-12-31 23:59:59.999+00"),
        (253402300800000, "infinity"),
        (2**63 - 1, "infinity"),
    ],
)
def test_any_time_that_a_manifest_can_hold_has_a_moment(sql: psycopg.Connection[Any], ms: int, text: str) -> None:
    """[VIEW-4]: one foreign row must not spoil a query over all of them."""
    assert rows(sql, "SELECT mstbucket.moment(%s::bigint)::text", ms) == [(text,)]


def test_an_index_on_tags_and_one_on_metadata_are_used(photos: mstbucket.Bucket, sql: psycopg.Connection[Any]) -> None:
    """[VIEW-5]."""
    sql.execute("CREATE INDEX by_tags ON mstbucket.objects USING gin (tags jsonb_path_ops)")
    sql.execute("CREATE INDEX by_place ON mstbucket.objects (bucket, (metadata->>'place'))")
    sql.execute("SET enable_seqscan = off")
    sql.execute("SET enable_indexscan = off")  # of the primary key, which serves forty rows as well
    sql.execute("ANALYZE mstbucket.objects")
    for index, query in (
        ("by_tags", "SELECT key FROM mstbucket.v_objects WHERE bucket = 'photos' AND tags @> '{\"kind\": \"raw\"}'"),
        ("by_place", "SELECT key FROM mstbucket.v_objects WHERE bucket = 'photos' AND metadata->>'place' = 'pier 1'"),
    ):
        plan = "\n".join(row[0] for row in rows(sql, f"EXPLAIN {query}"))
        assert index in plan, plan
        assert rows(sql, query)
    photos.put_object("k", b"", tags={"kind": "raw"})
    assert photos.flush().objects == 42


def test_what_the_readme_asks_is_answered(photos: mstbucket.Bucket, sql: psycopg.Connection[Any]) -> None:
    """[VIEW-6]: every statement of its SQL blocks runs; every query of them finds something."""
    photos.create_multipart_upload("waiting")
    blocks = re.findall(r"^```sql\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    statements = [one.strip() for block in blocks for one in block.split(";") if one.strip()]
    assert len(statements) >= 4
    for statement in statements:
        cursor = sql.execute(statement.encode())
        asks = re.search(r"^SELECT", statement, re.MULTILINE) is not None
        assert asks == (cursor.description is not None)
        assert not asks or cursor.fetchall(), statement


def test_open_uploads_stand_in_theirs(photos: mstbucket.Bucket, sql: psycopg.Connection[Any]) -> None:
    """[VIEW-1], [VIEW-2]: with what has come of them; an upload that has ended is not there."""
    query = """
        SELECT key, id, initiated, content_type, metadata, tags, headers, checksum_algorithm, checksum_type, parts, bytes,
               last_part
        FROM mstbucket.v_uploads WHERE bucket = 'photos' ORDER BY key
    """
    done = photos.create_multipart_upload("done")
    part = photos.upload_part("done", done.id, 1, b"x")
    photos.complete_multipart_upload("done", done.id, [(1, part.etag)])
    photos.abort_multipart_upload("gone", photos.create_multipart_upload("gone").id)
    empty = photos.create_multipart_upload("empty", content_type="a/b", metadata={"a": "b"}, checksum_algorithm="sha1")
    full = photos.create_multipart_upload("full", tags={"t": "u"}, headers={"expires": "never"})
    newest = [photos.upload_part("full", full.id, n, bytes(n * 10)) for n in (3, 7)][-1]
    default = "binary/octet-stream"
    assert rows(sql, query) == [
        ("empty", empty.id, empty.initiated, "a/b", {"a": "b"}, None, None, "sha1", "COMPOSITE", 0, 0, None),
        (
            "full", full.id, full.initiated, default, None, {"t": "u"}, {"expires": "never"}, None, None, 2, 100,
            newest.last_modified,
        ),
    ]  # fmt: skip
