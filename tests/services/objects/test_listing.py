"""Listings against sorted Python: every page size, every delimiter, keys that lie on the traps."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

import mstbucket
from mstbucket import errors
from mstbucket.limits import LIST_KEYS_MAX

ALPHABET = ["a", "/", "0", ".", "b", "é", "\ud7ff", "\U0010ffff", "\ue000"]


def fill(bucket: mstbucket.Bucket, keys: Iterable[str]) -> list[str]:
    keys = sorted(set(keys), key=str.encode)
    bucket.put_objects(mstbucket.PutRequest(key, b"") for key in keys)
    return keys


def expected(keys: list[str], prefix: str, delimiter: str | None, after: str) -> list[tuple[str, bool]]:
    """Every item of the whole listing, the obvious way: (text, is a common prefix), in order."""
    items: list[tuple[str, bool]] = []
    for key in keys:
        if not key.startswith(prefix) or key.encode() <= after.encode():
            continue
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        item = (key, False) if at < 0 else (key[: at + len(delimiter or "")], True)
        if not items or items[-1] != item:
            items.append(item)
    return items


def listed(
    bucket: mstbucket.Bucket, prefix: str, delimiter: str | None, after: str, size: int
) -> list[tuple[str, bool]]:
    """Every item, page by page; each page is checked for its size and the truth of `is_truncated`."""
    items: list[tuple[str, bool]] = []
    token = None
    while True:
        page = bucket.list_objects(
            prefix, delimiter=delimiter, start_after=after or None, continuation_token=token, max_keys=size
        )
        here = [(o.key, False) for o in page.contents] + [(p, True) for p in page.common_prefixes]
        here.sort(key=lambda item: item[0].encode())
        items += here
        assert len(here) == size or not page.is_truncated
        assert page.is_truncated == (page.next_continuation_token is not None)
        if not page.is_truncated:
            return items
        token = page.next_continuation_token


def test_thousands_of_paged_listings_agree_with_sorted_python(store: mstbucket.Store) -> None:
    """[LIST-1], [LIST-3], [LIST-4], [LIST-5]."""
    rng = random.Random(20261121)
    count = 0
    for round_ in range(12):
        bucket = store.create_bucket(f"listing-{round_}")
        keys = fill(bucket, ("".join(rng.choices(ALPHABET, k=rng.randint(1, 5))) for _ in range(rng.choice([3, 12, 40]))))
        for _ in range(40):
            prefix = rng.choice(["", rng.choice(keys)[: rng.randint(0, 3)], "".join(rng.choices(ALPHABET, k=1))])
            delimiter = rng.choice([None, "/", "/", "a", "b/", "\U0010ffff", "é", "//", "never"])
            after = rng.choice(["", "", rng.choice(keys), rng.choice(keys)[:2], "\U0010ffff"])
            want = expected(keys, prefix, delimiter, after)
            for size in {1, 2, 3, max(len(want), 1), len(want) + 1, 1000}:
                assert listed(bucket, prefix, delimiter, after, size) == want, (prefix, delimiter, after, size)
                count += 1
    assert count >= 2000


def test_keys_around_a_folder_are_not_lost_with_pages_of_one(bucket: mstbucket.Bucket) -> None:
    """[LIST-4]: the step past a common prefix."""
    keys = fill(bucket, ["docs", "docs-old/x", "docs.txt", "docs/readme", "docs/\U0010ffff", "docs0"])
    assert listed(bucket, "", "/", "", 1) == expected(keys, "", "/", "")


@pytest.mark.parametrize(
    ("asked", "keys", "truncated"),
    [(0, 0, False), (1, 1, True), (3, 3, False), (4, 3, False), (5000, 3, False)],
    ids=["none", "one", "exact fit", "more than there are", "above the limit"],
)
def test_max_keys(bucket: mstbucket.Bucket, asked: int, keys: int, truncated: bool) -> None:
    """[LIST-2] and [LIST-3]."""
    fill(bucket, "abc")
    page = bucket.list_objects(max_keys=asked)
    assert (len(page.contents), page.is_truncated) == (keys, truncated)


def test_no_page_is_longer_than_the_limit(bucket: mstbucket.Bucket) -> None:
    """[LIST-2]."""
    keys = fill(bucket, (f"{n:05}" for n in range(LIST_KEYS_MAX + 5)))
    page = bucket.list_objects(max_keys=10**6)
    assert [o.key for o in page.contents] == keys[:LIST_KEYS_MAX]
    assert page.is_truncated
    assert [o.key for o in bucket.objects()] == keys
    assert [o.key for o in bucket.objects("0100")] == keys[1000:]


def test_a_token_replaces_start_after_and_survives_writes(bucket: mstbucket.Bucket) -> None:
    """[LIST-5]: what is there all the time is listed once, whatever comes and goes."""
    keys = fill(bucket, (f"k{n:02}" for n in range(20)))
    page = bucket.list_objects(max_keys=10)
    bucket.delete_object("k09")
    bucket.put_object("k005", b"")
    bucket.put_object("k095", b"")
    rest = bucket.list_objects(start_after="k19", continuation_token=page.next_continuation_token)
    assert [o.key for o in rest.contents] == ["k095", *keys[10:]]


@pytest.mark.parametrize("token", ["", "x", "AAAA", "é", "=" * 8, "azzzzzzzzzzz"], ids=repr)
def test_a_foreign_token_is_refused(bucket: mstbucket.Bucket, token: str) -> None:
    """[LIST-5]."""
    with pytest.raises(errors.InvalidToken) as caught:
        bucket.list_objects(continuation_token=token)
    assert caught.value.code == "InvalidArgument"


def test_every_damaged_token_is_refused(bucket: mstbucket.Bucket) -> None:
    """[LIST-5]."""
    fill(bucket, ["a/b", "a/c", "d"])
    token = bucket.list_objects(delimiter="/", max_keys=1).next_continuation_token
    assert token is not None
    for at in range(len(token)):
        with pytest.raises(errors.InvalidToken):
            bucket.list_objects(continuation_token=token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :])


@pytest.mark.parametrize("field", ["prefix", "delimiter", "start_after"])
@pytest.mark.parametrize("text", ["\0", "\ud800"], ids=["NUL", "lone surrogate"])
def test_text_that_no_key_can_hold_is_refused(bucket: mstbucket.Bucket, field: str, text: str) -> None:
    with pytest.raises(errors.InvalidInput):
        bucket.list_objects(**{field: text})  # type: ignore[arg-type]


def test_negative_max_keys_is_refused(bucket: mstbucket.Bucket) -> None:
    with pytest.raises(errors.InvalidInput):
        bucket.list_objects(max_keys=-1)
