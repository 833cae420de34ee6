"""Tag sets by S3's rules: how many tags there may be, how long they are, and that no key comes twice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast

from mstbucket.core.commit_fields import tags_size
from mstbucket.errors import InvalidTag
from mstbucket.limits import BUCKET_TAGS_MAX, BUCKET_TAGS_SIZE_MAX, OBJECT_TAGS_MAX, TAG_KEY_MAX, TAG_VALUE_MAX
from mstbucket.model.objects import PlainTags, PutRequest, Tags

_UNFIT: Final = re.compile("[\0\ud800-\udfff]")


def tag_set(tags: Tags, most: int, whose: str) -> dict[str, str]:
    """Tags in either shape of `PlainTags`, as a map.

    Args:
        most: how many of them there may be.
        whose: the bucket or object, for the message.

    Raises:
        InvalidTag: they break a rule of [TAG-1] or [TAG-2]; the message says which.
    """
    if not tags:  # of most objects
        return {}
    plain = cast("PlainTags", tags)
    pairs = list(plain.items() if isinstance(plain, Mapping) else plain)
    if len(pairs) > most:  # [TAG-1]
        raise InvalidTag(f"{whose} would have {len(pairs)} tags; at most {most} are allowed")
    found: dict[str, str] = {}
    for name, value in pairs:
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidTag(f"tag {name!r} of {whose}: key and value have to be texts")
        if not 1 <= len(name) <= TAG_KEY_MAX or len(value) > TAG_VALUE_MAX:  # [TAG-1]
            raise InvalidTag(
                f"tag {name!r} of {whose}: a key has 1 to {TAG_KEY_MAX} characters, a value up to {TAG_VALUE_MAX}"
            )
        if _UNFIT.search(name) or _UNFIT.search(value):
            raise InvalidTag(f"tag {name!r} of {whose} holds NUL or a lone surrogate, which no UTF-8 text here can hold")
        if name in found:  # [TAG-2]
            raise InvalidTag(f"tag {name!r} of {whose} is there twice; a key may have one value")
        found[name] = value
    return found


def tags_of(request: PutRequest) -> dict[str, str]:
    """The tags of a request, or `InvalidTag`."""
    return tag_set(request.tags, OBJECT_TAGS_MAX, repr(request.key))


def bucket_tag_set(tags: Tags, bucket: str) -> dict[str, str]:
    """The tags of a bucket as a map for which a commit has room, or `InvalidTag`."""
    found = tag_set(tags, BUCKET_TAGS_MAX, f"bucket {bucket!r}")
    size = tags_size(found)
    if size > BUCKET_TAGS_SIZE_MAX:  # [TAG-7] else no later flush could write its commit
        raise InvalidTag(f"the tags of bucket {bucket!r} have {size} bytes of UTF-8; at most {BUCKET_TAGS_SIZE_MAX} fit")
    return found
