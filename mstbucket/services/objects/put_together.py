"""Small puts of several threads in one transaction, each as if it were alone ([PUT-16] to [PUT-19])."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mstbucket.errors import Conflict, MstBucketError, OutcomeUnknown
from mstbucket.index.small_puts import SmallPut, put_group, put_inline
from mstbucket.limits import GROUP_LOCK_MS
from mstbucket.pg.database import Database
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.groups import Member


def put_small(context: Context, bucket: str, put: SmallPut, versioning: str | None) -> None:
    """Store a small object, durably, by itself or with others that come just now; see `put_inline` for the arguments."""
    # Puts with a condition hold their keys before they write: in groups of their own the keys stay in order ([PUT-9]).
    line = (bucket, versioning, put.expected.anything)
    alone = partial(put_inline, context.db, bucket, put, versioning, None)
    together: Callable[[list[Member[SmallPut]]], None] = partial(_put_together, context.db, bucket, versioning)
    context.groups.run(line, Member(put, put.new.key, len(put.body)), alone, together)


def _put_together(db: Database, bucket: str, versioning: str | None, members: list[Member[SmallPut]]) -> None:
    if len(members) == 1:
        _put_first(db, bucket, versioning, members[0])
        return
    rest = members
    try:
        while rest:  # [PUT-17] again without those that were refused: at least one each time
            answers = put_group(db, bucket, [member.what for member in rest], versioning, GROUP_LOCK_MS)
            refused = any(error is not None for error in answers)
            for member, error in zip(rest, answers, strict=True):
                if error is not None or not refused:
                    member.done(error)
            rest = [member for member, error in zip(rest, answers, strict=True) if refused and error is None]
    except OutcomeUnknown as error:  # [PUT-19]
        for member in rest:
            member.done(OutcomeUnknown(str(error)))
    except MstBucketError:
        for member in rest:  # [PUT-18] nothing was done: whoever is at fault is told by itself
            member.apart()


def _put_first(db: Database, bucket: str, versioning: str | None, member: Member[SmallPut]) -> None:
    """The put of one who came alone. Others may be waiting behind it by now, so it does not wait for anybody's lock."""
    try:
        put_inline(db, bucket, member.what, versioning, GROUP_LOCK_MS)
    except MstBucketError as error:
        if type(error) is Conflict:
            member.apart()
        else:
            member.done(error)
    else:
        member.done()
