"""`lifecycle`: the rules by which the objects of a bucket expire."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mstbucket.cli.address import parse_bucket
from mstbucket.cli.exits import one_line
from mstbucket.cli.output import Output, count
from mstbucket.cli.stores import open_store
from mstbucket.errors import InvalidInput, NoSuchLifecycleConfiguration

if TYPE_CHECKING:
    from mstbucket import Bucket, LifecycleRule

_DATE: Final = "expiration_date"
_UNSAID: Final = {"prefix": "", "tags": {}, "expired_object_delete_marker": False}  # and None for everything else


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Show the rules of a bucket, replace or remove them, or carry them out."""
    name = parse_bucket(arguments.bucket)
    setting = arguments.action in ("set", "put")
    if (arguments.file is None) == setting:
        raise InvalidInput("lifecycle takes a file with 'put' or 'set', and only then; '-' is standard input")
    rules = _rules(_read(arguments.file), arguments.file) if arguments.file is not None else []
    with open_store(arguments) as store:
        bucket = store.bucket(name)
        if arguments.action == "run":
            _carry_out(bucket, out)
        elif arguments.action == "rm":
            bucket.delete_bucket_lifecycle()
        else:
            if setting:
                bucket.put_bucket_lifecycle_configuration(rules)
            (_show_configuration if arguments.action in ("put", "get") else _show)(bucket, out)


def _show_configuration(bucket: Bucket, out: Output) -> None:
    """[CLI-156]"""
    from mstbucket.cli.lifecycle_json import configuration

    found = configuration(_rules_of(bucket))
    out.emit(found, json.dumps(found, indent=2))


def _rules_of(bucket: Bucket) -> Sequence[LifecycleRule]:
    try:
        return bucket.get_bucket_lifecycle_configuration()
    except NoSuchLifecycleConfiguration:
        return ()


def _show(bucket: Bucket, out: Output) -> None:
    for rule in _rules_of(bucket):
        record = {field.name: getattr(rule, field.name) for field in dataclasses.fields(rule)} | {"tags": dict(rule.tags)}
        unsaid = {"id": rule.id, "enabled": rule.enabled, **_UNSAID}
        said = [f"{name}={value}" for name, value in record.items() if value != unsaid.get(name)]
        state = "" if rule.enabled else " (not enabled)"
        out.emit(record, one_line(f"{rule.id}{state}: {' '.join(said)}"))


def _carry_out(bucket: Bucket, out: Output) -> None:
    report = bucket.run_lifecycle()
    text = (
        f"{count(report.expired, 'object')} expired, {count(report.noncurrent, 'noncurrent version')} and "
        f"{count(report.delete_markers, 'delete marker')} removed, {count(report.uploads, 'upload')} aborted"
    )
    out.emit({"action": "run", "bucket": bucket.name, **dataclasses.asdict(report)}, text)


def _read(file: str) -> str:
    if not file:
        raise InvalidInput("an empty file name points at nothing: name the file with the rules")
    try:
        return sys.stdin.buffer.read().decode() if file == "-" else Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file} is no JSON: it is not UTF-8") from error


def _rules(text: str, file: str) -> list[LifecycleRule]:
    """The rules that a file holds: S3's JSON, or an array of objects whose names are the fields of `LifecycleRule`."""
    from mstbucket import LifecycleRule
    from mstbucket.api.arguments.rules import lifecycle_rules
    from mstbucket.cli.lifecycle_json import is_s3, rules_of

    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"the rules are no JSON, in {file!r}: {error}") from error
    except RecursionError as error:
        raise InvalidInput("the rules are nested too deeply to be any") from error
    if is_s3(found):
        for rule in rules_of(found):
            expiration = rule.get("Expiration") if isinstance(rule, dict) else None
            if isinstance(expiration, dict) and expiration.get("Date") is not None:
                expiration["Date"] = _date(expiration["Date"])
        return lifecycle_rules(found)
    if not isinstance(found, list) or not all(isinstance(rule, dict) for rule in found):
        raise InvalidInput("the rules have to be S3's {\"Rules\": […]}, or a JSON array of objects, each as "
                           "'lifecycle show --json' prints it")  # fmt: skip
    known = {field.name for field in dataclasses.fields(LifecycleRule)}
    for rule in found:
        if unknown := sorted(rule.keys() - known):
            raise InvalidInput(f"a rule has no {', '.join(unknown)}; it may have {', '.join(sorted(known))}")
        if rule.get(_DATE) is not None:
            rule[_DATE] = _date(rule[_DATE])
    return [LifecycleRule(**rule) for rule in found]


def _date(text: object) -> datetime:
    try:
        date = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise InvalidInput(f"the date of an expiration is a time such as 2030-01-01T00:00:00Z, not {text!r}") from error
    if date.tzinfo is None:
        raise InvalidInput(f"the date {text!r} says no time zone: write 2030-01-01T00:00:00Z for midnight UTC")
    return date
