"""`lock`: object lock of a bucket, and what protects a version."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from mstbucket.cli.address import SCHEME, Address, parse_address
from mstbucket.cli.exits import one_line
from mstbucket.cli.output import Output, local_time
from mstbucket.cli.stores import open_store
from mstbucket.errors import InvalidInput, ObjectLockConfigurationNotFound

if TYPE_CHECKING:
    from mstbucket import Bucket, DefaultRetention, Retention

_PERIOD: Final = re.compile(r"(governance|compliance):([0-9]{1,9})([dy])")
_OF_BUCKETS: Final = ("enable", "default")
_OF_VERSIONS: Final = ("retain", "hold", "version_id", "bypass_governance")


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Show what is locked, after the changes that the options ask for."""
    target = parse_address(arguments.target)
    wrong = [name for name in (_OF_BUCKETS if target.key else _OF_VERSIONS) if getattr(arguments, name)]
    if wrong:
        kind, other = ("a key", "a bucket") if target.key else ("a bucket", "a key")
        raise InvalidInput(f"--{wrong[0].replace('_', '-')} is about {other}, and {arguments.target} names {kind}")
    if arguments.bypass_governance and arguments.retain is None:
        raise InvalidInput("--bypass-governance is about a retention that --retain changes: say --retain, too")
    wanted = None if arguments.retain is None else _retention(arguments.retain)
    with open_store(arguments) as store:
        bucket = store.bucket(target.bucket)
        if target.key:
            _version(bucket, target, arguments, wanted, out)
        else:
            _bucket(bucket, arguments, out)


def _bucket(bucket: Bucket, arguments: argparse.Namespace, out: Output) -> None:
    if arguments.default is not None:
        bucket.put_object_lock_configuration(_default(arguments.default))
    elif arguments.enable:
        try:
            bucket.get_object_lock_configuration()  # which stays as it is
        except ObjectLockConfigurationNotFound:
            bucket.put_object_lock_configuration()
    record: dict[str, object] = {"bucket": bucket.name, "object_lock": True, "mode": None, "days": None, "years": None}
    text = "object lock, no default retention"
    try:
        default = bucket.get_object_lock_configuration()
    except ObjectLockConfigurationNotFound:
        record["object_lock"], text = False, "no object lock"
    else:
        if default is not None:
            record |= {"mode": default.mode, "days": default.days, "years": default.years}
            period = f"{default.days} days" if default.years is None else f"{default.years} years"
            text = f"object lock, by default {default.mode} for {period}"
    out.emit(record, f"{SCHEME}{bucket.name}  {text}")


def _version(
    bucket: Bucket, target: Address, arguments: argparse.Namespace, wanted: _Wanted | None, out: Output
) -> None:
    version = arguments.version_id
    if wanted is not None:
        bypass = arguments.bypass_governance
        bucket.put_object_retention(target.key, wanted.retention, version_id=version, bypass_governance_retention=bypass)
    if arguments.hold is not None:
        bucket.put_object_legal_hold(target.key, arguments.hold == "on", version_id=version)
    info = bucket.head_object(target.key, version_id=version)
    mode, until, hold = info.object_lock_mode, info.object_lock_retain_until, info.object_lock_legal_hold
    record = {
        "bucket": bucket.name, "key": info.key, "version_id": info.version_id, "mode": mode, "retain_until": until,
        "legal_hold": hold,
    }  # fmt: skip
    retained = "not retained" if until is None else f"retained until {local_time(until)} in mode {mode}"
    text = f"{SCHEME}{bucket.name}/{info.key}  {retained}{', under a legal hold' if hold else ''}"
    out.emit(record, one_line(text))


def _default(text: str) -> DefaultRetention | None:
    from mstbucket import DefaultRetention

    if text == "none":
        return None
    found = _PERIOD.fullmatch(text)
    if found is None:
        raise InvalidInput(f"--default is 'none', or a mode and a period (compliance:7y, governance:30d), not {text!r}")
    mode, number, unit = found.groups()
    period = {"days": int(number)} if unit == "d" else {"years": int(number)}
    return DefaultRetention("GOVERNANCE" if mode == "governance" else "COMPLIANCE", **period)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What --retain asks for: a retention, or the end of one."""

    retention: Retention | None


def _retention(text: str) -> _Wanted:
    from mstbucket import Retention

    if text == "none":
        return _Wanted(None)
    mode, _, time = text.partition(":")
    form = "--retain is 'none', or a mode and a time such as governance:2030-01-01T00:00:00Z"
    try:
        until = datetime.fromisoformat(time)
    except ValueError as error:
        raise InvalidInput(f"{form}, not {text!r}") from error
    if mode not in ("governance", "compliance"):
        raise InvalidInput(f"{form}; there is no mode {mode!r}")
    if until.tzinfo is None:
        raise InvalidInput(f"{form}; {time!r} says no time zone")
    return _Wanted(Retention("GOVERNANCE" if mode == "governance" else "COMPLIANCE", until))
