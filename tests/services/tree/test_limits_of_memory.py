"""Memory does not grow with what passes through: the peak of a process of its own, above what it held before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import mstbucket
from mstbucket.limits import GIB, MIB

#: Fills the process with everything that is imported and made once, notes what it holds, then does the work. On Linux
#: `ru_maxrss` would not do: a program inherits the peak of the process that started it, which is all of pytest.
HEAD: Final = """
import json, resource, sys, itertools
import mstbucket

class Body:
    '''So many bytes of which no two chunks are equal, never held as a whole.'''
    def __init__(self, size):
        self.left, self.number = size, itertools.count()
    def read(self, size):
        size = min(size, self.left)
        self.left -= size
        return (next(self.number).to_bytes(8, "big") * (size // 8 + 1))[:size]

def peak():
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

def forget():
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak is from now on that of what is held now
    except OSError:
        pass
    return peak()

database, blobs, count, folder = sys.argv[1:]
count = int(count)
said = {}
with mstbucket.open(database=database, blobs=blobs, background=False) as store:
    bucket = store.create_bucket("memory")
    bucket.put_object("warm", Body(5 << 20))
    bucket.get_object("warm").read(1 << 20)
    bucket.put_objects(mstbucket.PutRequest(f"warm/{n}", b"%d" % n * 900) for n in range(20))
    bucket.delete_objects([item.key for item in bucket.objects()])
    base = forget()
"""
BODY: Final = """
    said["size"] = bucket.put_object("large", Body(count)).size
    said["put"] = peak() - base
    said["got"] = sum(len(chunk) for chunk in bucket.get_object("large"))
    said["get"] = peak() - base
print(json.dumps(said))
"""
OBJECTS: Final = """
    bucket.put_objects(mstbucket.PutRequest(f"{n % 977:03}/{n:09}", b"%d" % n) for n in range(count))
    said["put"] = peak() - base
    said["listed"] = sum(1 for _ in bucket.objects())
    said["list"] = peak() - base
    bucket.flush()
    base = forget()
    bucket.export_car(f"{folder}/x.car")
    said["export"] = peak() - base
    mstbucket.verify_car(f"{folder}/x.car")
    said["verify"] = peak() - base
    said["imported"] = sum(1 for _ in store.import_car(f"{folder}/x.car", "back").objects())
    said["import"] = peak() - base
print(json.dumps(said))
"""


def measured(work: str, database: str, tmp_path: Path, count: int) -> dict[str, int]:
    environment = {**os.environ, "PYTHONPATH": str(Path(mstbucket.__file__).parents[1])}
    command = [sys.executable, "-c", HEAD + work, database, str(tmp_path / "blobs"), str(count), str(tmp_path)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    said: dict[str, int] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize(
    "size", [256 * MIB, pytest.param(10 * GIB, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
    ids=["256 MiB", "10 GiB"],
)  # fmt: skip
def test_a_body_passes_through_in_bounded_memory(database_url: str, tmp_path: Path, size: int) -> None:
    """[PUT-3]: in and out."""
    said = measured(BODY, database_url, tmp_path, size)
    assert said["size"] == said["got"] == size
    assert max(said["put"], said["get"]) < 96 * MIB, said


@pytest.mark.parametrize(
    "count", [20_000, pytest.param(200_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
    ids=["20,000", "200,000"],
)  # fmt: skip
def test_many_objects_pass_through_in_bounded_memory(database_url: str, tmp_path: Path, count: int) -> None:
    """Put and listed by iterator, then exported, verified and imported; the flush between them holds what it folds."""
    said = measured(OBJECTS, database_url, tmp_path, count)
    assert said["listed"] == said["imported"] == count
    assert max(said[step] for step in ("put", "list", "export", "verify", "import")) < 96 * MIB, said
