"""A file of pins: what a reader remembers of buckets, so that nobody can show it an older or another one."""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from mstbucket.core.cid import from_text, to_text
from mstbucket.core.did import key_text, parse_key
from mstbucket.core.pins import Pin
from mstbucket.errors import FormatError, InvalidCid, InvalidInput, NoSuchFile
from mstbucket.files.whole import check_path, locked_beside, named, replacing

_FILE_MAX: Final = 64 << 20  # bytes: some 200,000 pins
_VERSION: Final = 1


def read_pins(path: str | os.PathLike[str]) -> dict[str, Pin]:
    """The pins in a file, by the identity of the bucket; none if there is no file.

    Raises:
        FormatError: it is no file of pins.
        StorageError: it cannot be read.
    """
    check_path(path)
    try:
        with named(f"the pins in {os.fsdecode(path)} cannot be read"), open(path, "rb") as file:
            data = file.read(_FILE_MAX + 1)
    except NoSuchFile as error:
        if isinstance(error.__cause__, FileNotFoundError):  # and no file in the way of a folder
            return {}
        raise
    try:
        if len(data) > _FILE_MAX:
            raise InvalidInput(f"more than {_FILE_MAX} bytes")
        value = json.loads(data)
        if value["pins"] != _VERSION:
            raise InvalidInput("another version")
        return {bucket: _pin(bucket, said) for bucket, said in value["buckets"].items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, InvalidCid) as error:
        raise FormatError(f"{os.fsdecode(path)} is no file of pins: {error}") from error


def locked(path: str | os.PathLike[str]) -> AbstractContextManager[None]:
    """Keep other processes from changing the file of pins; the lock is on its directory, and goes with the process.

    Raises:
        NoSuchFile, FileNotPermitted: its directory cannot be opened.
        StorageError: so, for another reason.
        Unsupported: its file system has no locks.
    """
    return locked_beside(path, f"the pins in {os.fsdecode(path)} cannot be written")


def write_pin(path: str | os.PathLike[str], pins: dict[str, Pin], pin: Pin) -> None:
    """Put *pin* among *pins* in the file, durably and in one step.

    Raises:
        StorageError: it cannot be written.
    """
    buckets = {one.bucket: _said(one) for one in sorted({**pins, pin.bucket: pin}.values(), key=lambda one: one.bucket)}
    with replacing(Path(path)) as file:
        file.write(json.dumps({"pins": _VERSION, "buckets": buckets}, indent=2).encode() + b"\n")


def _said(pin: Pin) -> dict[str, Any]:
    return {"seq": pin.seq, "commit": to_text(pin.cid), "key": None if pin.key is None else key_text(pin.key)}


def _pin(bucket: str, said: dict[str, Any]) -> Pin:
    if type(said["seq"]) is not int:
        raise InvalidInput("seq is no whole number")
    key = said["key"]
    return Pin(bucket, said["seq"], from_text(said["commit"]), None if key is None else parse_key(key))
