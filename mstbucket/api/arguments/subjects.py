"""What the error of a verb is about, where nobody below knew: the bucket and the key that the caller named ([ARG-5])."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from mstbucket.errors import MstBucketError


def subject_of(function: Callable[..., Any]) -> Callable[[tuple[Any, ...], Mapping[str, Any], MstBucketError], None] | None:
    """A function that tells an error of a call which bucket and key it is about; None where the verb names neither.

    The call is given as the arguments it got, by place and by name. A verb with a source and a target names two of each, so
    only who raises can say which one.
    """
    names = list(inspect.signature(function).parameters)
    if names[:1] != ["self"] or "source_key" in names:
        return None
    places = {name: names.index(name) for name in ("name", "key") if name in names}

    def tell(args: tuple[Any, ...], given: Mapping[str, Any], error: MstBucketError) -> None:
        said = {name: args[at] if at < len(args) else given.get(name) for name, at in places.items()}
        bucket, key = said.get("name", getattr(args[0], "name", None)), said.get("key")
        error.about(
            bucket=bucket if isinstance(bucket, str) else None,
            key=key if isinstance(key, str) else None,
        )

    return tell
