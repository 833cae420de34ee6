"""The API's edge: what a verb is given is of the declared type, or `InvalidInput` says what to write instead ([ARG-1]).

`verbs` puts a check before every public method of a class, `guarded` before a function. Which check a parameter gets is
said by its annotation; one that no check is known for is refused when the module is imported, so no verb stays without.
What has several shapes (tags, parts, items, rules, locks) is brought into one by `shapes`, `tags` and `rules`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from mstbucket.api.arguments import plain
from mstbucket.api.arguments.plain import Check, optional
from mstbucket.api.arguments.requests import put_request, put_requests
from mstbucket.api.arguments.subjects import subject_of
from mstbucket.api.arguments.tags import tag_pairs
from mstbucket.errors import MstBucketError

_P = ParamSpec("_P")
_R = TypeVar("_R")
_C = TypeVar("_C", bound=type)


def _later(_name: str, value: Any) -> Any:
    """For what the verb itself gives to a function of `shapes` or `rules`, which is typed."""
    return value


#: The check of a parameter, by its annotation without ` | None`.
CHECKS: Final[Mapping[str, Check]] = {
    "str": plain.text,
    "int": plain.whole,
    "bool": plain.truth,
    "datetime": plain.moment,
    "timedelta": plain.age,
    "datetime | timedelta": plain.moment_or_age,
    "Mapping[str, str]": plain.text_map,
    "Tags": tag_pairs,
    "Body": plain.body,
    "Readable": plain.reader,
    "bytes": plain.octets,
    "PutRequest": put_request,
    "Iterable[PutRequest]": put_requests,
    "Callable[[int], object]": plain.called,
    "Callable[[PutResult], object]": plain.called,
    "Callable[[], Mapping[str, str]]": plain.called,
    "str | os.PathLike[str]": plain.path,
    "str | os.PathLike[str] | BlobStore": plain.blobs,
    "BucketView": plain.view,
    "BucketAttributes": plain.bucket_handle,
    "StoreRemotes": plain.store_handle,
    "BucketAttributes | FileBucket": plain.bucket_or_files,
    "StoreRemotes | FileRemote": plain.store_or_files,
    "KeySource": plain.key_source,
    "str | int | datetime": plain.commit,
    "Executor": plain.executor,
    "str | BucketAttributes": _later,
    "str | BucketAttributes | BucketView": _later,
    "str | os.PathLike[str] | StoreCare": plain.path_or_store,
    "Trust": _later,
    "DeleteItems": _later,
    "PartNames": _later,
    "BucketLimits": _later,
    "CorsRules": _later,
    "LifecycleRules": _later,
    "KeepPolicy": _later,
    "str | Mapping[str, object]": _later,
    "bool | Mapping[str, object]": _later,
    "Retention | Mapping[str, object]": _later,
    "DefaultRetention | Mapping[str, object]": _later,
}

#: Parameters of which the name says more than the annotation.
BY_NAME: Final[Mapping[tuple[str, str], Check]] = {
    ("name", "str"): plain.bucket_name,
    ("bucket", "str"): plain.bucket_name,
    ("source_bucket", "str"): plain.bucket_name,
    ("target_bucket", "str"): plain.bucket_name,
    ("database", "str"): plain.stored_text,
    ("label", "str"): plain.stored_text,
    ("expect", "str"): plain.cid,
    ("cid", "str"): plain.cid,
    ("commit", "str"): plain.cid,
    ("output", "BinaryIO"): plain.writer,
    ("fileobj", "BinaryIO"): plain.writer,
    ("range", "str"): plain.range_text,
    ("source", "str | os.PathLike[str] | Readable"): plain.path_or_reader,
    ("target", "str | os.PathLike[str] | BinaryIO"): plain.path_or_writer,
}


def verbs(owner: _C) -> _C:
    """A class whose public methods check what they are given; what they raise says which bucket and key it is about."""
    for name, member in list(vars(owner).items()):
        if inspect.isfunction(member) and not name.startswith("_"):
            setattr(owner, name, guarded(member))
    return owner


def guarded(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """`function`, whose arguments are checked before it does anything."""
    checks = dict(_checks(function))
    in_order = tuple(checks.items())
    tell = subject_of(function)

    @wraps(function)
    def checked(*args: _P.args, **given: _P.kwargs) -> _R:
        try:
            if len(args) <= len(in_order):  # else Python itself complains of one too many
                args = tuple(check(name, value) for (name, check), value in zip(in_order, args, strict=False))  # type: ignore[assignment]
            for name, value in given.items():
                if name in checks:
                    given[name] = checks[name](name, value)
            return function(*args, **given)
        except MstBucketError as error:
            if tell is not None:
                tell(args, given, error)
            raise

    return checked


def _checks(function: Callable[..., Any]) -> Iterator[tuple[str, Check]]:
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "self":
            yield name, _later
            continue
        annotation = str(parameter.annotation)
        kind = annotation.removesuffix(" | None")
        check = BY_NAME.get((name, kind)) or CHECKS.get(kind)
        if check is None:
            raise TypeError(f"{function.__qualname__}: no check is known for {name}: {annotation}")
        yield name, check if kind == annotation else optional(check)
