"""What differs between two commits of real buckets, against the objects themselves ([PAST-36])."""

from __future__ import annotations

from itertools import count, product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mstbucket
from mstbucket import Bucket, BucketView, ObjectChange, ObjectInfo
from mstbucket.errors import NoSuchCommit

NAMES = count()
KEYS = ("a", "a/1", "a/2", "b", "b/\U0010ffff", "é")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(KEYS), st.sampled_from([b"", b"1", b"2"])),
        st.tuples(st.sampled_from(KEYS), st.none()),
        st.just("flush"),
    ),
    max_size=20,
)


def state(side: Bucket | BucketView) -> dict[str, ObjectInfo]:
    return {item.key: side.head_object(item.key) for item in side.objects()}


def oracle(old: dict[str, ObjectInfo], new: dict[str, ObjectInfo], prefix: str) -> list[ObjectChange]:
    keys = sorted(key for key in old.keys() | new.keys() if key.startswith(prefix))
    return [ObjectChange(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(STEPS, STEPS)
def test_every_two_commits_differ_by_what_their_objects_say(store: mstbucket.Store, one: Any, other: Any) -> None:
    """[PAST-36] of one bucket, and of two."""
    states: list[tuple[Bucket, int, dict[str, ObjectInfo]]] = []
    for steps in (one, other):
        bucket = store.create_bucket(f"differs-{next(NAMES)}")
        for step in [*steps, "flush"]:
            if step == "flush":
                states.append((bucket, bucket.flush().seq, state(bucket)))
            elif step[1] is None:
                bucket.delete_object(step[0])
            else:
                bucket.put_object(*step)
    for (here, old, was), (there, new, now) in product(states, states):
        for prefix in ("", "a/", "none"):
            wanted = oracle(was, now, prefix)
            with here.at(old) as a, there.at(new) as b:
                assert list(a.diff(b, prefix=prefix)) == wanted
            if here is there:
                assert list(here.diff(old, new, prefix=prefix)) == wanted


def test_a_comparison_ends_its_leases_however_it_ends(bucket: Bucket) -> None:
    """[PAST-31]"""

    def leases() -> Any:
        with bucket._context.db.reading() as connection:
            return connection.execute("SELECT count(*) FROM leases").fetchone()

    first = bucket.flush().seq
    for key in KEYS:
        bucket.put_object(key, b"")
    second = bucket.flush().seq
    found = bucket.diff(first, second)
    assert next(found).key == "a"
    assert leases() == (2,)
    found.close()  # type: ignore[attr-defined]
    assert leases() == (0,)
    with pytest.raises(NoSuchCommit):
        next(bucket.diff(first, 9))
    assert leases() == (0,)


def test_two_stores_are_compared_too(bucket: Bucket, second_store: mstbucket.Store, tmp_path: Any) -> None:
    """[PAST-36]"""
    bucket.put_object("key", b"1")
    bucket.flush()
    bucket.export_car(tmp_path / "file.car")
    copy = second_store.import_car(tmp_path / "file.car")
    bucket.put_object("key", b"2")
    with copy.at(1) as old, bucket.at(bucket.flush().seq) as new:
        (change,) = old.diff(new)
        assert change.old is not None
        assert change.new is not None
        assert (change.key, change.old.size, change.new.size) == ("key", 1, 1)
