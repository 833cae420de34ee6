"""Writers of the same keys in processes of their own, at the same time: no version is lost, doubled, or out of order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pytest
from racing import run_at_once

import mstbucket

PROCESSES = 8
KEYS = ["a", "b", "c/d"]
STEPS = 24

OPENING = """
import random, sys, time, mstbucket
from mstbucket.errors import VersioningChanged
me, steps, keys = int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:]
rng = random.Random(me)

def acknowledged(result, began):
    marker = int(getattr(result, "delete_marker", False))
    print(result.key, result.version_id, marker, began, time.monotonic_ns(), flush=True)

with mstbucket.open(database=sys.argv[1], blobs=sys.argv[2], background=False) as store:
    bucket = store.bucket("things")
    there = [v for v in bucket.list_object_versions().versions if v.key in keys]
    print("ready", flush=True)
    sys.stdin.readline()
"""

# Every way of writing. Prints each write that was acknowledged, with the moments between which it happened.
WRITER = OPENING + """
    for step in range(steps):
        key, body = rng.choice(keys), f"{me} {step}".encode()
        way = step % 7
        upload = bucket.create_multipart_upload(key).id if way == 6 else ""
        part = bucket.upload_part(key, upload, 1, body) if way == 6 else None
        began = time.monotonic_ns()
        if way == 0:
            acknowledged(bucket.put_object(key, body), began)
        elif way == 1:
            acknowledged(bucket.put_object(key, body * 20_000), began)
        elif way == 2:
            bucket.put_objects([mstbucket.PutRequest(k, body) for k in rng.sample(keys, len(keys))],
                               stored=lambda result, began=began: acknowledged(result, began))
        elif way == 3:
            acknowledged(bucket.copy_object("start", key), began)
        elif way == 4:
            acknowledged(bucket.delete_object(key), began)
        elif way == 5:
            for result in bucket.delete_objects(rng.sample(keys, len(keys))).deleted:
                acknowledged(result, began)
        else:
            acknowledged(bucket.complete_multipart_upload(key, upload, [(1, part.etag)]), began)
"""

# Folds all the time, until its input is closed.
FLUSHER = OPENING + """
    for _ in range(steps):
        bucket.flush()
"""

# Switches versioning back and forth.
SWITCH = OPENING + """
    for step in range(steps):
        bucket.put_bucket_versioning(("Suspended", "Enabled")[step % 2])
        time.sleep(0.02)
"""

# Writes with the state changing beneath it; what is refused for that has not been done.
DETERMINED = OPENING + """
    for step in range(steps):
        key, body, began = rng.choice(keys), f"{me} {step}".encode(), time.monotonic_ns()
        try:
            acknowledged(bucket.delete_object(key) if step % 4 == 3 else bucket.put_object(key, body), began)
        except VersioningChanged:
            pass
"""

# Deletes the versions that there were at the beginning, every process all of them, and puts a new one now and then.
REMOVER = OPENING + """
    rng.shuffle(there)
    for n, version in enumerate(there):
        if n % 10 == 0:
            began = time.monotonic_ns()
            acknowledged(bucket.put_object(version.key, str(n).encode()), began)
        result = bucket.delete_object(version.key, version_id=version.version_id)
        if result.existed:
            print("removed", version.version_id, int(result.delete_marker), 0, 0, flush=True)
"""


@dataclass(frozen=True)
class Write:
    """A write that was acknowledged: it happened between two moments, in nanoseconds of the machine's one clock."""

    key: str
    version_id: str
    marker: bool
    began: int
    ended: int


Race = Callable[[list[str]], list[Write]]


@pytest.fixture
def race(bucket: mstbucket.Bucket, database_url: str, tmp_path: Path) -> Race:
    """Runs programs in processes that start to write at the same time; gives all that they printed."""

    def run(programs: list[str]) -> list[Write]:
        printed = run_at_once(
            [program, database_url, str(tmp_path / "blobs"), f"{me}", f"{STEPS}", *KEYS]
            for me, program in enumerate(programs)
        )
        lines = [line.split() for text in printed for line in text.splitlines()]
        return [Write(key, name, marker == "1", int(began), int(ended)) for key, name, marker, began, ended in lines]

    return run


def versions_of(bucket: mstbucket.Bucket) -> dict[str, list[tuple[str, bool]]]:
    """(version id, is a marker) of each key, newest first. Exactly one of each key is the latest: the first."""
    found = defaultdict(list)
    page = bucket.list_object_versions()
    assert not page.is_truncated
    for version in page.versions:
        assert version.is_latest == (version.key not in found)
        found[version.key].append((version.version_id, version.delete_marker))
    return dict(found)


def check_order(listed: list[tuple[str, bool]], writes: dict[str, Write]) -> None:
    """No version is listed as newer than one that was begun only after it had been acknowledged."""
    for (newer, _), (older, _) in combinations([item for item in listed if item[0] in writes], 2):
        assert writes[newer].ended >= writes[older].began, f"{newer} is listed above {older}, and ended before that began"


def check_whole(bucket: mstbucket.Bucket) -> None:
    """Index and tree are the same both ways, and current objects are those with an object on top."""
    bucket.flush()
    assert bucket.verify().dirty == 0
    on_top = [key for key, listed in versions_of(bucket).items() if not listed[0][1]]
    assert [item.key for item in bucket.objects()] == on_top


def test_every_acknowledged_write_is_one_version(
    bucket: mstbucket.Bucket, race: Race, second_store: mstbucket.Store, tmp_path: Path
) -> None:
    """[VSN-2], [VSN-3], [VSN-5]: eight processes put, copy, complete and delete three keys, and one folds all the time."""
    bucket.put_object("start", b"the source of the copies")
    bucket.put_bucket_versioning("Enabled")
    told = race([WRITER] * PROCESSES + [FLUSHER])
    assert len(told) > PROCESSES * STEPS
    assert max(Counter(write.version_id for write in told).values()) == 1
    found = versions_of(bucket)
    assert found.pop("start") == [("null", False)]
    assert sorted((key, *item) for key, listed in found.items() for item in listed) == sorted(
        (write.key, write.version_id, write.marker) for write in told
    )
    writes = {write.version_id: write for write in told}
    for listed in found.values():
        check_order(listed, writes)
    overlapping = sum(a.began < b.ended and b.began < a.ended for a, b in combinations(told, 2) if a.key == b.key)
    assert overlapping > len(told), "the processes never met"
    check_whole(bucket)
    bucket.export_car(tmp_path / "x.car")
    assert versions_of(second_store.import_car(tmp_path / "x.car")) == versions_of(bucket)


def test_suspended_there_is_one_null_version_of_a_key_and_the_last_write_made_it(
    bucket: mstbucket.Bucket, race: Race
) -> None:
    """[VSN-3], [VSN-5]: whatever the eight processes did before."""
    bucket.put_object("start", b"the source of the copies")
    bucket.put_bucket_versioning("Enabled")
    before = {key: [(str(bucket.put_object(key, b"").version_id), False)] for key in KEYS}
    bucket.put_bucket_versioning("Suspended")
    told = race([WRITER] * PROCESSES + [FLUSHER])
    assert {write.version_id for write in told} == {"null"}
    found = versions_of(bucket)
    for key in KEYS:
        (name, marker), *older = found[key]
        assert (name, older) == ("null", before[key])
        ended = [write for write in told if write.key == key]
        last = [write for write in ended if not any(other.began > write.ended for other in ended)]
        assert marker in {write.marker for write in last}
    check_whole(bucket)


def test_no_version_is_lost_while_versioning_is_switched(bucket: mstbucket.Bucket, race: Race) -> None:
    """[VSN-7]: every id that was told is there; of the null versions one at most."""
    bucket.put_bucket_versioning("Enabled")
    told = race([DETERMINED] * (PROCESSES - 1) + [SWITCH])
    named = {write.version_id: write for write in told if write.version_id != "null"}
    assert 0 < len(named) < len(told), "versioning was never switched"
    found = versions_of(bucket)
    for key in KEYS:
        listed = Counter(name for name, _ in found[key])
        assert listed == Counter({write.version_id for write in told if write.key == key})
        check_order(found[key], named)
    check_whole(bucket)


def test_every_version_is_removed_once(bucket: mstbucket.Bucket, race: Race) -> None:
    """[VSN-6]: by eight processes that all delete all of them, while new ones are put; the rest stays."""
    bucket.put_bucket_versioning("Enabled")
    there = []
    for n in range(STEPS):
        key = KEYS[n % len(KEYS)]
        there += [str(bucket.put_object(key, b"").version_id), str(bucket.delete_object(key).version_id)]
    bucket.flush()
    told = race([REMOVER] * PROCESSES)
    removed = [write.version_id for write in told if write.key == "removed"]
    assert sorted(removed) == sorted(there)
    stay = {write.version_id: write for write in told if write.key != "removed"}
    found = versions_of(bucket)
    assert sorted(name for listed in found.values() for name, _ in listed) == sorted(stay)
    for listed in found.values():
        check_order(listed, stay)
    check_whole(bucket)
