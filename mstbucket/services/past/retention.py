"""Retention: commits that no rule keeps are given up, and then their refs ([PAST-10] to [PAST-15])."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from mstbucket.core.keep_rules import DEFAULT, Keeper, Rules
from mstbucket.errors import InvalidInput
from mstbucket.index import kept, leases
from mstbucket.index.kept import Judged
from mstbucket.limits import KEEP_MAX
from mstbucket.model.past import DEFAULT_KEEP, KeepPolicy
from mstbucket.services.blocks.context import Context
from mstbucket.services.blocks.state import publish_state
from mstbucket.services.tree.refs import trim_refs_of

_BATCH: Final = 500  # commits given up by one transaction
_MS: Final = timedelta(milliseconds=1)


def policy_of(context: Context, bucket: str) -> KeepPolicy:
    """What keeps the commits of a bucket; see `Bucket.get_retention`."""
    rules = kept.rules_of(context.db, bucket)
    if rules is None:
        return DEFAULT_KEEP
    age = None if rules.everything is None else rules.everything * _MS
    return KeepPolicy(age, rules.last, rules.hourly, rules.daily, rules.weekly, rules.monthly)


def set_policy(context: Context, bucket: str, policy: KeepPolicy | None) -> None:
    """Replace what keeps the commits of a bucket; see `Bucket.put_retention`."""
    kept.set_rules(context.db, bucket, None if policy is None else _rules(policy))
    publish_state(context, bucket)  # [REB-21]


def _rules(policy: KeepPolicy) -> Rules:
    numbers = (policy.last, policy.hourly, policy.daily, policy.weekly, policy.monthly)
    for number in numbers:
        if number is not None and not 1 <= number <= KEEP_MAX:
            raise InvalidInput(f"a policy keeps 1 to {KEEP_MAX} commits by a rule, not {number}; a rule left out keeps none")
    age = None if policy.everything is None else policy.everything // _MS
    if age is not None and age < 1:
        raise InvalidInput("a policy keeps everything of a millisecond at least; leave out a rule that keeps nothing")
    if age is None and all(number is None for number in numbers):
        raise InvalidInput("a policy needs a rule; last=1 keeps the newest commit alone, which stays in any case")
    return Rules(age, *numbers)


def expire(context: Context) -> int:
    """Give up the commits of all buckets that no rule, name or lease keeps, and remove their refs; how many commits.

    A collection calls this first. Repeatable; ended anywhere, the next call does the rest. Leases that have run out go too.
    """
    leases.delete_old_leases(context.db)
    count = 0
    for judged in kept.all_rules(context.db):
        gone = _expire(context, judged)
        if gone:
            trim_refs_of(context, judged.identity)
        count += gone
    return count


def _expire(context: Context, judged: Judged) -> int:
    keeper = Keeper(DEFAULT if judged.rules is None else judged.rules, context.db.now_ms())
    count = 0
    batch: list[int] = []
    # Those that stay by a name or a lease, or as the newest, count for the rules as well ([PAST-10]).
    for seq, time in kept.times_of(context.db, judged.bucket):
        if not keeper.keeps(time):
            batch.append(seq)
        if len(batch) == _BATCH:
            count += kept.give_up(context.db, judged.bucket, batch)
            batch = []
    return count + (kept.give_up(context.db, judged.bucket, batch) if batch else 0)
