"""`snapshot`: commits that have a name, and which of the others stay."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from mstbucket.cli.address import SCHEME, parse_bucket
from mstbucket.cli.output import Output, count, local_time
from mstbucket.cli.stores import open_store
from mstbucket.errors import InvalidInput

if TYPE_CHECKING:
    from mstbucket import KeepPolicy, SnapshotInfo

_SECOND: Final = timedelta(seconds=1)
_COUNTED: Final = ("last", "hourly", "daily", "weekly", "monthly")


def create(arguments: argparse.Namespace, out: Output) -> None:
    """Give a commit a name."""
    with open_store(arguments) as store:
        made = store.bucket(parse_bucket(arguments.bucket)).create_snapshot(arguments.name, commit=arguments.commit)
    out.emit(asdict(made), _line(made))


def show(arguments: argparse.Namespace, out: Output) -> None:
    """List the commits that have a name."""
    with open_store(arguments) as store:
        for one in store.bucket(parse_bucket(arguments.bucket)).snapshots():
            out.emit(asdict(one), _line(one))


def remove(arguments: argparse.Namespace, out: Output) -> None:
    """Take a name away."""
    name = parse_bucket(arguments.bucket)
    with open_store(arguments) as store:
        store.bucket(name).delete_snapshot(arguments.name)
    out.emit({"action": "snapshot rm", "bucket": name, "name": arguments.name}, f"removed snapshot {arguments.name}")


def policy(arguments: argparse.Namespace, out: Output) -> None:
    """Show or replace a bucket's policy."""
    from mstbucket import KeepPolicy

    name = parse_bucket(arguments.bucket)
    numbers = {rule: getattr(arguments, f"keep_{rule}") for rule in _COUNTED}
    for rule, number in numbers.items():
        if number is not None and number < 1:
            raise InvalidInput(f"--keep-{rule} takes a number from 1, not {number}; a rule left out keeps nothing by itself")
    seconds = arguments.keep_all
    given = seconds is not None or any(number is not None for number in numbers.values())
    if given and arguments.default:
        raise InvalidInput("either --default, or rules of your own")
    wanted = None
    if given:
        try:
            wanted = KeepPolicy(None if seconds is None else timedelta(seconds=seconds), **numbers)
        except OverflowError as error:
            raise InvalidInput(f"--keep-all {seconds} is more seconds than there are") from error
    with open_store(arguments) as store:
        bucket = store.bucket(name)
        if given or arguments.default:
            bucket.put_retention(wanted)
        stands = bucket.get_retention()
    record = {"bucket": name, "keep_all": None if stands.everything is None else stands.everything / _SECOND}
    record |= {f"keep_{rule}": getattr(stands, rule) for rule in _COUNTED}
    out.emit(record, f"{SCHEME}{name}  keeps {_rules(stands)}")


def _rules(policy: KeepPolicy) -> str:
    said = [] if policy.everything is None else [f"all of {policy.everything / _SECOND:,.10g} seconds"]
    said += [f"{rule} {getattr(policy, rule):,}" for rule in _COUNTED if getattr(policy, rule) is not None]
    return ", ".join(said)


def _line(one: SnapshotInfo) -> str:
    return f"{one.seq:>6}  {local_time(one.time)}  {one.commit}  {count(one.objects, 'object'):>16}  {one.name}"
