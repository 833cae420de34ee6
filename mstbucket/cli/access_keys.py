"""`key create|ls|rotate|disable|enable|policy|rm`: who may sign requests to the gateway ([CLI-91])."""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mstbucket.cli.output import Output, iso
from mstbucket.cli.stores import open_store
from mstbucket.errors import InvalidInput
from mstbucket.limits import POLICY_SIZE_MAX

if TYPE_CHECKING:
    from mstbucket import AccessKey, NewAccessKey


def create(arguments: argparse.Namespace, out: Output) -> None:
    """Make a key, and show its secret this once."""
    days = arguments.days
    if days is not None and not 1 <= days <= 36_500:
        raise InvalidInput(f"--days is from 1 to 36500, not {days}")
    expires = None if days is None else timedelta(days=days)
    with open_store(arguments) as store:
        _show_secret(out, store.access_keys.create(arguments.name, expires=expires))


def show(arguments: argparse.Namespace, out: Output) -> None:
    """List the keys."""
    with open_store(arguments) as store:
        for key in store.access_keys.list_all():
            out.emit(_record(key), _line(key))


def rotate(arguments: argparse.Namespace, out: Output) -> None:
    """Give a key a new secret, and show it this once."""
    with open_store(arguments) as store:
        _show_secret(out, store.access_keys.rotate(arguments.id))


def disable(arguments: argparse.Namespace, out: Output) -> None:
    """Refuse a key from now on."""
    with open_store(arguments) as store:
        key = store.access_keys.disable(arguments.id)
        out.emit(_record(key), _line(key))


def enable(arguments: argparse.Namespace, out: Output) -> None:
    """Accept a key again."""
    with open_store(arguments) as store:
        key = store.access_keys.enable(arguments.id)
        out.emit(_record(key), _line(key))


def policy(arguments: argparse.Namespace, out: Output) -> None:
    """Limit the holder of a key to what a policy allows, or lift that limit."""
    text = None if arguments.file == "none" else _text_of(arguments.file)
    with open_store(arguments) as store:
        key = store.access_keys.set_policy(arguments.id, text)
        out.emit(_record(key), _line(key))


def limit(arguments: argparse.Namespace, out: Output) -> None:
    """Bound the bytes that the holder of a key may send from now on, or lift that bound."""
    size = None if arguments.bytes == "none" else arguments.bytes
    with open_store(arguments) as store:
        key = store.access_keys.set_limit(arguments.id, size)
        out.emit(_record(key), _line(key))


def _text_of(file: str) -> str:
    try:
        with nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as source:
            return source.read(POLICY_SIZE_MAX + 1).decode("utf-8")
    except ValueError as error:
        raise InvalidInput(f"cannot read the policy in {file!r}: {error}") from error


def remove(arguments: argparse.Namespace, out: Output) -> None:
    """Remove a key."""
    with open_store(arguments) as store:
        store.access_keys.remove(arguments.id)
        out.report({"removed": arguments.id}, f"removed: {arguments.id}")


def _show_secret(out: Output, new: NewAccessKey) -> None:
    text = f"access key  {new.key.id}\nsecret key  {new.secret}    (shown this once)"
    out.emit({**_record(new.key), "secret": new.secret}, text)


def _record(key: AccessKey) -> dict[str, object]:
    expires = None if key.expires is None else iso(key.expires)
    return {
        "id": key.id, "name": key.name, "created": iso(key.created), "expires": expires, "disabled": key.disabled,
        "policy": None if key.policy is None else key.policy.text,
        "bytes_max": key.bytes_max, "bytes_sent": key.bytes_sent,
    }  # fmt: skip


def _line(key: AccessKey) -> str:
    state = "disabled" if key.disabled else "expired" if key.expired else "enabled"
    until = "" if key.expires is None else f" until {iso(key.expires)}"
    limited = "limited" if key.policy is not None else "all"
    counted = "" if key.bytes_max is None else f" sent {key.bytes_sent} of {key.bytes_max} bytes"
    return f"{key.id}  {state:8}  {limited:7}  {iso(key.created)}{until}{counted}  {key.name}"
