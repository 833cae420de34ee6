"""Settings of a store: every process follows them, within bounds that say why."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mstbucket import Bucket, Store, StoreSettings, errors
from mstbucket.services.upkeep import settings, worker


@pytest.mark.parametrize("name", sorted(settings.BOUNDS))
def test_a_value_out_of_its_bounds_is_refused_with_the_reason(store: Store, name: str) -> None:
    """[REB-30]"""
    least, most, _ = settings.BOUNDS[name]
    for value in (least, most, None):
        assert getattr(store.set(name, value), name) == value
    for value in (least - 1, most + 1):
        with pytest.raises(errors.InvalidInput, match=f"{least} to {most} "):
            store.set(name, value)
    assert store.settings() == StoreSettings()
    with pytest.raises(errors.InvalidInput, match="there is no setting"):
        store.set("colour", 1)


def test_the_cadence_of_the_background_is_that_of_the_store(store: Store, bucket: Bucket) -> None:
    """[REB-30]: by number, and by age."""
    for n in range(100):
        bucket.put_object(f"{n}", b"x")
    assert worker.due(store._context) == []
    store.set("flush_keys", 100)
    assert worker.due(store._context) == ["things"]
    store.set("flush_keys", None)
    with store._context.db.connection() as connection:
        connection.execute("UPDATE dirty SET since = since - 6000")
    assert worker.due(store._context) == []
    store.set("flush_age", 5)
    assert worker.due(store._context) == ["things"]
    ahead = store.unflushed()
    assert (ahead.changes, ahead.bodies) == (100, 1)
    assert ahead.oldest is not None
    assert 6 <= ahead.oldest < 120
    assert ahead.wal is None or ahead.wal > 0
    bucket.flush()
    assert store.unflushed().changes == 0
    assert (store.unflushed().oldest, store.unflushed().bodies) == (None, 0)


def test_bodies_above_the_threshold_are_in_a_pack_at_once(store: Store, open_store: Callable[[], Store]) -> None:
    """[REB-30]: of stores that are opened afterwards; 0 keeps none but empty ones in the database."""
    store.create_bucket("things")
    store.set("inline_max", 0)
    other = open_store()
    for n, size in enumerate((0, 1, 1000)):
        other.bucket("things").put_object(f"{n}", bytes([n]) * size)
    assert other.unflushed().bodies == 0
    assert other.bucket("things").get_object("2").read() == bytes([2]) * 1000
    other.bucket("things").flush()
    other.bucket("things").verify()
