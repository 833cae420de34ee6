"""What a proof proves, in the form in which people and programs get it."""

from __future__ import annotations

from mstbucket.core.change_statement import Change, ChangesQuestion
from mstbucket.core.cid import CID, to_text
from mstbucket.core.keys import split_version_key
from mstbucket.core.statement import KeyQuestion, PageQuestion, PartQuestion
from mstbucket.core.times import moment
from mstbucket.model import looks
from mstbucket.model.looks import Proved, ProvedChange, ProvedChanges, ProvedPart
from mstbucket.verify.answer import Answer
from mstbucket.verify.objects import ProvedObject


def proved(answer: Answer) -> Proved:
    """The answer with texts for CIDs, and times for milliseconds."""
    question = answer.statement.question
    key = question if isinstance(question, KeyQuestion) else None
    page = question if isinstance(question, PageQuestion) else None
    return Proved(
        commit=to_text(answer.statement.commit),
        bucket=answer.commit.bucket,
        name=answer.commit.name,
        seq=answer.commit.seq,
        key=None if key is None else key.key,
        body=None if key is None else key.body,
        prefix=None if page is None else page.prefix,
        delimiter=None if page is None else page.delimiter,
        start_after=None if page is None else page.start_after,
        max_keys=None if page is None else page.max_keys,
        objects=tuple(map(_object, answer.objects)),
        common_prefixes=answer.common_prefixes,
        next_start_after=answer.next_start_after,
        changes=_changes(answer),
        part=_part(answer),
    )


def _changes(answer: Answer) -> ProvedChanges | None:
    question = answer.statement.question
    if not isinstance(question, ChangesQuestion) or answer.since is None:
        return None
    since = to_text(question.since)
    return ProvedChanges(
        since=since,
        since_seq=answer.since.seq,
        is_next=answer.commit.prev == question.since,
        objects=tuple(_change(change[0], None, change) for change in question.objects),
        versions=tuple(_change(*split_version_key(change[0]), change) for change in question.versions),
    )


def _part(answer: Answer) -> ProvedPart | None:
    question, part = answer.statement.question, answer.part
    if not isinstance(question, PartQuestion) or part is None:
        return None
    return ProvedPart(question.part, part.objects, part.versions, part.bytes)


def _change(key: bytes, sequence: int | None, change: Change) -> ProvedChange:
    _, old, new = change
    return ProvedChange(key.decode(), sequence, _text(old), _text(new))


def _text(cid: CID | None) -> str | None:
    return None if cid is None else to_text(cid)


def _object(one: ProvedObject) -> looks.ProvedObject:
    said = one.manifest
    assert said.content is not None  # a delete marker was refused
    assert said.size is not None
    assert said.etag is not None
    return looks.ProvedObject(
        key=one.key,
        cid=to_text(one.cid),
        content=to_text(said.content),
        size=said.size,
        etag=said.etag,
        last_modified=moment(said.modified),
        content_type=said.content_type,
        metadata=said.metadata,
        tags=said.tags,
    )
