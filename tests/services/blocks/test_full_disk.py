"""A disk that is really full under a whole store: every call says so, nothing is half there, and all works again after.

The store stands on a small file system of its own, which is filled up to the last byte. Where none may be mounted, the
operating system's limit on the size of one file does it, and then only the packs are short of room.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import mstbucket

PROGRAM: Final = '''
import json, os, resource, sys
import mstbucket
from mstbucket import errors

top, kind = sys.argv[1:]
ballast = os.path.join(top, "ballast")
said = {}

def fill():
    if kind == "limit":
        return resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
    with open(ballast, "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass

def free():
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    if os.path.exists(ballast):
        os.unlink(ballast)

def attempt(name, call):
    try:
        call()
        said[name] = ["no error", ""]
    except Exception as error:
        said[name] = [type(error).__name__, str(error)]

def small():
    for n in range(5000):  # until the database needs room
        bucket.put_object(f"small/{n}", os.urandom(40_000))
        acknowledged.append(f"small/{n}")

with mstbucket.open(os.path.join(top, "store"), background=False) as store:
    bucket = store.create_bucket("things")
    bucket.put_objects(mstbucket.PutRequest(f"before/{n}", b"%d" % n * 3000) for n in range(20))
    bucket.flush()
    bucket.export_car(os.path.join(top, "before.car"))
    bucket.put_object("unflushed", b"x" * 50_000)
    acknowledged = [f"before/{n}" for n in range(20)] + ["unflushed"]
    fill()
    calls = {
        "put": lambda: bucket.put_object("large", bytes(3_000_000)),
        "put many": lambda: bucket.put_objects(mstbucket.PutRequest(f"many/{n}", os.urandom(9000)) for n in range(200)),
        "flush": lambda: bucket.flush(),
        "export": lambda: bucket.export_car(os.path.join(top, "full.car")),
        "import": lambda: store.import_car(os.path.join(top, "before.car"), "imported"),
    }
    if kind == "mount":
        attempt("put small", small)
    for name, call in calls.items():
        attempt(name, call)
    said["shown"] = [item.key for item in bucket.objects()]
    said["readable"] = all(len(bucket.get_object(key).read()) == bucket.head_object(key).size for key in said["shown"])
    said["buckets"] = [info.name for info in store.list_buckets()]
    said["files"] = sorted(os.listdir(top))
    free()
    with store._context.db.reading() as connection:
        packs = connection.execute("SELECT name FROM packs").fetchall()
    said["packs"] = [sorted(row[0] for row in packs), [info.name for info in store._context.blobs.list("packs/")]]
    for name, call in calls.items():
        attempt(f"{name} again", call)
    said["verified"] = [store.bucket(name).verify().objects for name in ("things", "imported")]
    said["acknowledged"] = acknowledged
print(json.dumps(said))
'''

#: The log of the database is filled up too: then the server cannot go on, and comes back when there is room.
LOG_FULL: Final = '''
import json, os, sys, time
import mstbucket
from mstbucket import errors

top, kind = sys.argv[1:]
ballast = os.path.join(top, "ballast")
failed, acknowledged = [], []
with mstbucket.open(os.path.join(top, "store"), background=False) as store:
    bucket = store.create_bucket("things")
    with open(ballast, "wb", buffering=0) as file:
        try:
            while kind == "mount" and file.write(bytes(65536)):  # never the machine's own disk
                pass
        except OSError:
            pass
    while len(failed) < 3 and len(acknowledged) < 50:
        try:
            bucket.put_object(f"{len(acknowledged)}", b"x")
            acknowledged.append(f"{len(acknowledged)}")
            with store._context.db.connection() as connection:
                connection.execute("SELECT pg_switch_wal()")
        except errors.StorageError as error:
            failed.append(str(error))
    os.unlink(ballast)
    bucket.put_object("after", b"y")
    bucket.flush()
    print(json.dumps([failed, acknowledged, [item.key for item in bucket.objects()], bucket.verify().objects]))
'''


def run(program: str, top: Path, size: str) -> tuple[str, Any]:
    """Run a program where the disk is small; how that was had, and what the program said."""
    environment = {**os.environ, "PYTHONPATH": str(Path(mstbucket.__file__).parents[1])}
    mount = f'mount -t tmpfs -o size={size} none "$0" && exec "$@"'
    for private in (["unshare", "--mount"], ["unshare", "--mount", "--user", "--map-root-user"]):
        if shutil.which("unshare") and subprocess.run([*private, "true"], capture_output=True, check=False).returncode == 0:
            kind, before = "mount", [*private, "sh", "-c", mount, str(top)]
            break
    else:
        kind, before = "limit", []
    command = [*before, sys.executable, "-c", program, str(top), kind]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return kind, json.loads(done.stdout)


def test_on_a_full_disk_every_call_says_so_and_loses_nothing(tmp_path: Path) -> None:
    """[PUT-4], [EXP-2], [IMP-3]: what failed is nowhere, not even as a row; afterwards the same calls succeed."""
    kind, said = run(PROGRAM, tmp_path, "160m")
    failing = ["put", "put many", "flush", "export", "import"] + ["put small"] * (kind == "mount")
    for name in failing:
        assert said[name][0] == "StorageError", said[name]
        reason = r"disk is full|No space left|File too large|ulimit"
        assert any(word in said[name][1] for word in reason.split("|")), said[name]
        assert any(word in said[name][1] for word in ("free some space", "make room", "ulimit")), said[name]
    assert said["shown"] == sorted(said["acknowledged"])
    assert said["readable"]
    assert said["buckets"] == ["things"]
    assert [name for name in said["files"] if name not in {"ballast"}] == ["before.car", "store"]
    assert said["packs"][0] == said["packs"][1]
    for name in failing:
        if name != "put small":
            assert said[f"{name} again"] == ["no error", ""]
    assert said["verified"] == [len(said["acknowledged"]) + 201, 20]


def test_a_database_whose_log_found_no_room_comes_back(tmp_path: Path) -> None:
    """[PUT-8]: the server stops at it; the open store finds it again as soon as there is room, with all it was told."""
    kind, (failed, acknowledged, shown, verified) = run(LOG_FULL, tmp_path, "120m")
    if kind == "mount":
        assert len(failed) == 3
        assert "full" in failed[-1]
    assert shown == sorted([*acknowledged, "after"])
    assert verified == len(shown)
