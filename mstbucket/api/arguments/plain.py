"""Checks of arguments that have one shape. Each gives the value back, in its exact type, or raises `InvalidInput`."""

from __future__ import annotations

import io
import operator
import os
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from mstbucket.blobs.base import BlobStore
from mstbucket.core.cid import from_text, to_text
from mstbucket.errors import InvalidBucketName, InvalidCid, InvalidInput

#: Takes the parameter's name and what was given for it; gives what the verb works with.
Check = Callable[[str, Any], Any]

_INT_MAX: Final = 2**63 - 1  # what the database and DAG-CBOR hold; of longer ones Python refuses to print some
_RANGE: Final = "a text such as 'bytes=0-9', 'bytes=10-' or 'bytes=-10'"


def wrong(name: str, value: object, wanted: str) -> InvalidInput:
    """The error for an argument of another type: its type is shown, and never its value, which may be secret or endless."""
    given = "None" if value is None else f"of type {type(value).__name__}"
    return InvalidInput(f"{name} is {given}; it has to be {wanted}")


def optional(check: Check) -> Check:
    """The same check, which lets None pass."""

    def check_unless_none(name: str, value: Any) -> Any:
        return None if value is None else check(name, value)

    return check_unless_none


def text(name: str, value: Any) -> str:
    """A text; of a subclass, such as a member of an enumeration of texts, what it is as one."""
    if type(value) is str:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise wrong(name, value, "a text (str): decode the bytes")
    raise wrong(name, value, "a text (str)")


def stored_text(name: str, value: Any) -> str:
    """A text that the database can be told. It may be a secret, and so is not shown."""
    found = text(name, value)
    if _is_odd(found):
        raise InvalidInput(f"{name} holds NUL or a lone surrogate, which no text there can hold")
    return found


def cid(name: str, value: Any) -> str:
    """The text of a CID."""
    found = text(name, value)
    try:
        return to_text(from_text(found))
    except InvalidCid as error:
        raise InvalidInput(f"{name} has to be a CID: {error}") from error


def bucket_name(name: str, value: Any) -> str:
    """A text that the database can compare with the names of buckets."""
    bucket = text(name, value)
    if _is_odd(bucket):
        raise InvalidBucketName(f"bucket name {bucket[:80]!r} holds NUL or a lone surrogate, which no name can hold")
    return bucket


def _is_odd(value: str) -> bool:
    return any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value)


def range_text(name: str, value: Any) -> str:
    """A text, which `core.s3rules.ranges` reads."""
    if not isinstance(value, str):
        raise wrong(name, value, _RANGE)
    return text(name, value)


def whole(name: str, value: Any) -> int:
    """A whole number: an int, or what stands for one exactly, as NumPy's integers do; never a bool."""
    found = value
    if type(value) is not int:
        try:
            found = None if isinstance(value, bool) else operator.index(value)
        except TypeError:
            found = None
        if found is None:
            raise wrong(name, value, "a whole number (int)")
    if not -_INT_MAX <= found <= _INT_MAX:  # [ARG-7]
        raise InvalidInput(f"{name} has {found.bit_length()} bits; it has to be a whole number of at most 63")
    return int(found)


def truth(name: str, value: Any) -> bool:
    """True or False, and nothing that merely counts as one of them."""
    if type(value) is bool:
        return value
    raise wrong(name, value, "True or False")


def moment(name: str, value: Any) -> datetime:
    """A point in time, which a datetime without a time zone is not."""
    if not isinstance(value, datetime):
        raise wrong(name, value, "a datetime with a time zone, such as datetime.now(UTC)")
    if value.utcoffset() is None:
        raise InvalidInput(f"{name}={value!r} says no time zone; give one, such as datetime.UTC")
    return value


def commit(name: str, value: Any) -> str | int | datetime:
    """What may name a commit: a text, a number or a time."""
    if isinstance(value, datetime):
        return moment(name, value)
    if isinstance(value, str):
        return text(name, value)
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise wrong(name, value, "the CID, the number or the time of a commit, or the name of a snapshot")
    return whole(name, value)


def view(name: str, value: Any) -> Any:
    """What `Bucket.at` gives."""
    if not hasattr(value, "_view"):
        raise wrong(name, value, "a BucketView, such as bucket.at(7)")
    return value


def bucket_handle(name: str, value: Any) -> Any:
    """What `Store.bucket` gives."""
    if not (hasattr(value, "_context") and hasattr(value, "name")):
        raise wrong(name, value, "a Bucket, such as store.bucket('photos')")
    return value


def store_handle(name: str, value: Any) -> Any:
    """What `mstbucket.open` gives."""
    if not (hasattr(value, "_context") and hasattr(value, "create_bucket")):
        raise wrong(name, value, "an open Store, as mstbucket.open gives it")
    return value


def bucket_or_files(name: str, value: Any) -> Any:
    """What `Store.bucket` gives, or `FileRemote.bucket`."""
    return value if hasattr(value, "remote") else bucket_handle(name, value)


def store_or_files(name: str, value: Any) -> Any:
    """What `mstbucket.open` gives, or a `FileRemote`."""
    return value if hasattr(value, "_files") else store_handle(name, value)


def moment_or_age(name: str, value: Any) -> datetime | timedelta:
    """A point in time, or how far it is from now."""
    return value if isinstance(value, timedelta) else moment(name, value)


def age(name: str, value: Any) -> timedelta:
    """A length of time."""
    if not isinstance(value, timedelta):
        raise wrong(name, value, "a timedelta, such as timedelta(days=7)")
    return value


def text_map(name: str, value: Any) -> Mapping[str, str]:
    """A map of texts to texts. One of plain texts is given on as it is."""
    if not isinstance(value, Mapping):
        raise wrong(name, value, "a map of texts, such as {'name': 'value'}")
    for key, item in value.items():
        if not isinstance(key, str) or not isinstance(item, str):
            other = key if not isinstance(key, str) else item
            raise wrong(f"a name or value in {name}", other, "a text (str): metadata, headers and checksums are texts")
    if all(type(key) is str and type(item) is str for key, item in value.items()):
        return value
    return {str.__str__(key): str.__str__(item) for key, item in value.items()}


def body(name: str, value: Any) -> Any:
    """What a body may be given as. What a file's `read` returns is checked as it is read."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return value
    if isinstance(value, str):
        raise wrong(name, value, "bytes, a path object or a file: encode the text, or say Path(…) if it is a path")
    if isinstance(value, os.PathLike):
        return path(name, value)
    if callable(getattr(value, "read", None)):
        return value
    raise wrong(name, value, "bytes, a path object, or a file, whose read() returns bytes")


def octets(name: str, value: Any) -> bytes:
    """Bytes that are there."""
    if not isinstance(value, bytes):
        raise wrong(name, value, "bytes")
    return value


def path(name: str, value: Any) -> Any:
    """A path as a text or a path object. What it names is seen when it is used."""
    if isinstance(value, (str, os.PathLike)) and isinstance(os.fspath(value), str):
        if not os.fspath(value):
            raise InvalidInput(f"{name} is an empty path, which mostly is a variable that was not set")
        return value
    raise wrong(name, value, "a path: a text (str) or a path object")


def path_or_reader(name: str, value: Any) -> Any:
    """A path, or a binary file open for reading."""
    return reader(name, value) if callable(getattr(value, "read", None)) else path(name, value)


def path_or_writer(name: str, value: Any) -> Any:
    """A path, or a binary file open for writing."""
    return writer(name, value) if callable(getattr(value, "write", None)) else path(name, value)


def reader(name: str, value: Any) -> Any:
    """A binary file open for reading."""
    if callable(getattr(value, "read", None)) and not isinstance(value, io.TextIOBase):
        return value
    raise wrong(name, value, "a binary file open for reading")


def writer(name: str, value: Any) -> Any:
    """A binary file open for writing."""
    if callable(getattr(value, "write", None)) and not isinstance(value, io.TextIOBase):
        return value
    raise wrong(name, value, "a binary file open for writing")


def blobs(name: str, value: Any) -> Any:
    """A place of blobs, or a store of them."""
    return value if isinstance(value, BlobStore) else path(name, value)


def key_source(name: str, value: Any) -> Any:
    """A path, `env:NAME`, or an object that wraps keys; whether it has a key is seen when it is asked."""
    if callable(getattr(value, "wrap", None)) and callable(getattr(value, "unwrap", None)):
        return value
    if isinstance(value, (str, os.PathLike)):
        return path(name, value)
    raise wrong(name, value, "the path of a key file, 'env:NAME', or an object with wrap and unwrap")


def path_or_store(name: str, value: Any) -> Any:
    """A path, or an open store, which has a method that gives its connection string."""
    return value if hasattr(value, "conninfo") else path(name, value)


def executor(name: str, value: Any) -> Any:
    """Something that work can be submitted to."""
    if not callable(getattr(value, "submit", None)):
        raise wrong(name, value, "an executor of concurrent.futures, or None")
    return value


def called(name: str, value: Any) -> Any:
    """Something that can be called."""
    if not callable(value):
        raise wrong(name, value, "a function, which is called with what was done")
    return value
