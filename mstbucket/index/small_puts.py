"""Puts of small bodies, alone or in a group, on the shortest way: one prepared statement makes all durable and visible.

The statements are functions of the schema, and what these do is written there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from mstbucket.core.s3rules.conditions import Expected
from mstbucket.errors import MstBucketError
from mstbucket.index.objects import NewObject, columns_of
from mstbucket.index.rows import created_column, etag_column, json_of, sha256_column
from mstbucket.index.tx import expectation
from mstbucket.pg import binary
from mstbucket.pg.queries import Call

if TYPE_CHECKING:
    from mstbucket.pg.database import Database

_PUT_INLINE: Final = Call.of(
    "put_inline", "text", "text", "bytea", "bytea", "bigint", "bytea", "text", "bigint", "bigint", "bytea", "jsonb", "jsonb",
    "jsonb", "jsonb", "bytea", "text[]", "text[]", "text", "text", "text",
)  # fmt: skip
_PUT_GROUP: Final = Call.of(
    "put_group", "text", "text", "text", "bytea[]", "bytea[]", "jsonb[]", "jsonb[]", "text[]", "bytea[]", "bytea[]",
    "bigint[]", "bytea[]", "text[]", "bigint[]", "bigint[]", "bytea[]", "jsonb[]", "jsonb[]", "jsonb[]", "jsonb[]", "text[]",
)  # fmt: skip
_int8: Final = Struct(">q").pack


class SmallPut(NamedTuple):
    """A put of a small body: the object, the body, and what the key has to hold."""

    new: NewObject
    body: bytes
    expected: Expected


def put_inline(db: Database, bucket: str, put: SmallPut, versioning: str | None, lock_ms: int | None) -> None:
    """Store an object and its small body, durably, in one statement.

    Args:
        put: made for a bucket whose versioning is in the state `versioning`.
        lock_ms: wait for a lock of others no longer than this; None is for ever.

    Raises:
        NoSuchBucket: there is no such bucket.
        VersioningChanged: the bucket is in another state. Nothing was done.
        PreconditionFailed, NoSuchKey: the key is not as expected. Nothing was done.
        BlocksMoved: the body is a block of a damaged pack. Nothing was done.
        Conflict: somebody else holds a lock that it needs, for longer than that. Nothing was done.
    """
    new, body, expected = put
    m = new.manifest
    created = created_column(m.created, m.modified)
    assert m.content is not None and m.size is not None and m.etag is not None and m.content_type is not None
    db.call(
        _PUT_INLINE,
        (
            bucket.encode(), new.key.encode(), new.cid, m.content, _int8(m.size), etag_column(m.etag),
            m.content_type.encode(), None if created is None else _int8(created), _int8(m.modified),
            sha256_column(m.content, m.sha256), _jsonb(m.checksums), _jsonb(m.headers), _jsonb(m.metadata),
            _jsonb(m.tags), body, *expectation(expected), _text(versioning), _text(m.version_id), _milliseconds(lock_ms),
        ),
    )  # fmt: skip


def put_group(
    db: Database, bucket: str, puts: Sequence[SmallPut], versioning: str | None, lock_ms: int
) -> list[MstBucketError | None]:
    """Store small objects, durably, in one transaction, or find that some of them are refused ([PUT-16], [PUT-17]).

    Args:
        puts: no two of one key. All of them have a condition, or none.
        versioning, lock_ms: as in `put_inline`.

    Returns:
        The refusal of each in the order of `puts`, or None. If there is one, nothing was done.

    Raises:
        As `put_inline`. Nothing was done.
        OutcomeUnknown: nobody can say what became of the transaction.
    """
    puts_in_order = sorted(puts, key=_key_of)  # [PUT-9]
    bodies = {put.new.manifest.content: put.body for put in puts}
    match = none_match = None
    if not puts[0].expected.anything:
        match = binary.jsonb_array([_list(put.expected.match) for put in puts_in_order])
        none_match = binary.jsonb_array([_list(put.expected.none_match) for put in puts_in_order])
    arguments = (
        bucket.encode(), _text(versioning), _milliseconds(lock_ms),
        binary.bytea_array(list(bodies)), binary.bytea_array(list(bodies.values())), match, none_match,
        *columns_of([put.new for put in puts_in_order]),
    )  # fmt: skip
    from mstbucket.pg.failures import own

    [refused] = db.call_settled(_PUT_GROUP, arguments)
    if refused is None:
        return [None] * len(puts)
    why = {put.new.key: text for put, text in zip(puts_in_order, refused, strict=True)}
    return [None if (text := why[put.new.key]) is None else own(text) for put in puts]


def _key_of(put: SmallPut) -> bytes:
    return put.new.key.encode()


def _list(tags: Sequence[str] | None) -> str | None:
    return None if tags is None else json.dumps(tags, ensure_ascii=False)


def _milliseconds(limit: int | None) -> bytes | None:
    return None if limit is None else b"%dms" % limit


def _text(value: str | None) -> bytes | None:
    return None if value is None else value.encode()


def _jsonb(mapping: Mapping[str, str]) -> bytes | None:
    """[MAN-5] The leading byte is the version of the type's binary form."""
    text = json_of(mapping)
    return None if text is None else b"\x01" + text.encode()
