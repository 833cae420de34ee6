"""A rebuild that is killed, at every transaction and at random moments, ends the same when it is repeated."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from seen import seen

import mstbucket
from mstbucket import Store
from mstbucket.pg.database import Database

HANG_SECONDS = 120.0


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_child(work: Any) -> int:
    """Do it in a forked process; how that ended: 0, or minus the signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    end = time.monotonic() + HANG_SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail("the rebuild hangs")


@pytest.fixture
def lost(store: Store) -> dict[str, Any]:
    """What was seen of a store that is lost: two buckets, one with locks, and packs of all sizes."""
    things, locked = store.create_bucket("things"), store.create_bucket("locked", object_lock=True)
    source = random.Random(3)
    for flush in range(3):
        for n in range(60):
            things.put_object(f"{n % 40}", source.randbytes(n * 20), metadata={"flush": str(flush)})
        things.put_object(f"large{flush}", source.randbytes(200_000))
        locked.put_object("a", b"%d" % flush)
        locked.put_object_legal_hold("a", True)
        things.flush()
        locked.flush()
    saw = {bucket.name: seen(bucket) for bucket in (things, locked)}
    store.close()
    return saw


def check(url: str, blobs: Path, lost: dict[str, Any]) -> None:
    with mstbucket.open(database=url, blobs=blobs, background=False) as again:
        assert {info.name: seen(again.bucket(info.name)) for info in again.list_buckets()} == lost
        assert again.bucket("locked").get_object_legal_hold("a") is True
        with again._context.db.reading() as connection:
            for table in ("rebuild", "rebuild_blocks", "rebuild_buckets", "rebuild_locks", "lock_changes"):
                assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_killed_at_every_transaction(lost: dict[str, Any], databases: Any, template: str, tmp_path: Path) -> None:
    """[REB-2] [REB-10]: before each commit, and after each."""
    commit = Database._commit
    for point in range(1, 100):
        url = databases.url(databases.create(template))
        counted = 0

        def counting(db: Database, connection: Any, url: str = url, point: int = point) -> None:
            nonlocal counted
            counted += 1
            if 2 * counted - 1 == point:
                kill_myself()
            commit(db, connection)
            if 2 * counted == point:
                kill_myself()

        def work(url: str = url, counting: Any = counting) -> None:
            Database._commit = counting  # type: ignore[method-assign]
            Store.rebuild(database=url, blobs=tmp_path / "blobs")

        ended = in_child(work)
        if ended == 0:
            assert point > 8  # packs, their blocks, two buckets, the end
            return
        assert ended == -signal.SIGKILL
        with contextlib.suppress(mstbucket.errors.Conflict):  # it was killed behind the last commit: the store is there
            Store.rebuild(database=url, blobs=tmp_path / "blobs")
        check(url, tmp_path / "blobs", lost)
    pytest.fail("a rebuild has more transactions than this test expects")


def test_killed_at_random_moments_again_and_again(
    lost: dict[str, Any], databases: Any, template: str, tmp_path: Path
) -> None:
    """[REB-10]"""
    url = databases.url(databases.create(template))
    source = random.Random(11)
    for _ in range(8):
        delay = source.uniform(0, 0.25)

        def work(delay: float = delay) -> None:
            threading.Timer(delay, kill_myself).start()
            Store.rebuild(database=url, blobs=tmp_path / "blobs")

        if in_child(work) == 0:
            break
    else:
        # On a fast machine one may end before it is killed: then the store is there.
        with contextlib.suppress(mstbucket.errors.Conflict):
            Store.rebuild(database=url, blobs=tmp_path / "blobs")
    check(url, tmp_path / "blobs", lost)


def test_a_repeat_of_one_that_ended_says_that_the_store_is_there(
    lost: dict[str, Any], databases: Any, template: str, tmp_path: Path
) -> None:
    """[REB-1]: whoever was killed behind the last transaction learns that nothing is left to do."""
    url = databases.url(databases.create(template))
    Store.rebuild(database=url, blobs=tmp_path / "blobs")
    with pytest.raises(mstbucket.errors.Conflict, match="in this database already: nothing is left to rebuild, open it"):
        Store.rebuild(database=url, blobs=tmp_path / "blobs")
    check(url, tmp_path / "blobs", lost)


def test_two_at_once_end_in_one_store(lost: dict[str, Any], databases: Any, template: str, tmp_path: Path) -> None:
    """[REB-10]: one of them works, and the other is told so or finds it done."""
    url = databases.url(databases.create(template))
    told: list[str] = []

    def work() -> None:
        try:
            Store.rebuild(database=url, blobs=tmp_path / "blobs")
            told.append("done")
        except mstbucket.errors.Conflict as error:
            told.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told.count("done") == 1
    check(url, tmp_path / "blobs", lost)
