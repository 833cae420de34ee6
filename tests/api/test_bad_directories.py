"""A directory of blobs in which something is wrong, under a whole store: what is wrong, where, and what to do is said."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

import mstbucket
from mstbucket.errors import MissingBlock, StorageError

LARGE: Final = bytes(range(256)) * 1000

CALLS: Final[dict[str, Callable[[mstbucket.Bucket], object]]] = {
    "get": lambda bucket: bucket.get_object("large").read(),
    "put": lambda bucket: bucket.put_object("other", LARGE[::-1] + b"!"),  # what is not there yet
    "flush": lambda bucket: bucket.flush(),
    "verify": lambda bucket: bucket.verify(),
}


def replace(what: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Put something else in the place of a folder of the blobs; the folder stays beside the blobs."""

    def spoil(blobs: Path) -> None:
        (blobs / what).rename(blobs.parent / "aside")
        make(blobs / what)

    return spoil


def vanish(blobs: Path) -> None:
    shutil.copytree(blobs, blobs.parent / "copy")
    shutil.rmtree(blobs)


GONE: Final = (StorageError, "{blobs}.*the directory is gone: mount or restore it, and open the store again")
FILE: Final = (StorageError, "{blobs}/%s.*a file stands where a directory should be: move it away")
LINK: Final = (StorageError, "{blobs}/%s.*a symbolic link, which is not followed: put the file itself there")
LOST: Final = (MissingBlock, "bucket 'things'.*pack packs/.* is gone.*restore the pack")
Expected = tuple[type[Exception], str] | None

#: What is wrong, and what each call says of it; None is success.
SITUATIONS: Final[dict[str, tuple[Callable[[Path], object], dict[str, Expected]]]] = {
    "the directory vanished": (vanish, dict.fromkeys(CALLS, GONE)),
    "the directory was moved and is still open": (
        lambda blobs: blobs.rename(blobs.parent / "moved"), dict.fromkeys(CALLS),
    ),
    "the packs vanished": (
        lambda blobs: shutil.rmtree(blobs / "packs"), {"get": LOST, "put": None, "flush": LOST, "verify": LOST},
    ),
    "a file instead of the packs": (
        replace("packs", Path.touch),
        # The flush has the pack of its nodes open still, and reads on.
        {"get": LOST, "put": (FILE[0], FILE[1] % "packs"), "flush": (FILE[0], FILE[1] % "packs"), "verify": LOST},
    ),
    "a link instead of the packs": (
        replace("packs", lambda path: path.symlink_to(path.parent.parent / "aside")),
        dict.fromkeys(CALLS, (LINK[0], LINK[1] % "packs")),
    ),
    "a file instead of the refs": (
        replace("refs", Path.touch), {"get": None, "put": None, "flush": (FILE[0], FILE[1] % "refs"), "verify": None},
    ),
    "a file where blobs are written": (
        replace(".writing", Path.touch),
        {"get": None, "put": (FILE[0], FILE[1] % "packs"), "flush": (FILE[0], FILE[1] % "packs"), "verify": None},
    ),
}  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("call", CALLS)
def test_what_is_wrong_with_the_blobs_is_said(
    situation: str, call: str, bucket: mstbucket.Bucket, tmp_path: Path
) -> None:
    """[BLOB-13] [PACK-8]"""
    spoil, expectations = SITUATIONS[situation]
    expected = expectations[call]
    bucket.put_object("large", LARGE)
    bucket.flush()
    bucket.put_object("small", b"small")
    spoil(tmp_path / "blobs")
    if expected is None:
        CALLS[call](bucket)
    else:
        with pytest.raises(expected[0]) as caught:
            CALLS[call](bucket)
        assert re.search(expected[1].format(blobs=re.escape(str(tmp_path / "blobs"))), str(caught.value)), caught.value
    # The database has what it had, whatever became of the files.
    put = call == "put" and expected is None
    assert [item.key for item in bucket.objects()] == ["large", *(["other"] if put else []), "small"]


# --- opening ---------------------------------------------------------------------------------------------------------------


def make_file(path: Path) -> Path:
    path.write_text("mine")
    return path


PLACES: Final[dict[str, tuple[Callable[[Path], Path], str]]] = {
    "a file": (lambda top: make_file(top / "file"), "a file stands where a directory should be: move it away"),
    "below a file": (lambda top: make_file(top / "file") / "blobs", "a file stands where a directory should be"),
    "a pipe": (lambda top: os.mkfifo(top / "pipe") or top / "pipe", "a file stands where a directory should be"),  # type: ignore[func-returns-value]
    "a link to nothing": (
        lambda top: (top / "link").symlink_to(top / "none") or top / "link",  # type: ignore[func-returns-value]
        "the directory is gone: mount or restore it",
    ),
    "a link to itself": (
        lambda top: (top / "link").symlink_to(top / "link") or top / "link",  # type: ignore[func-returns-value]
        "a symbolic link, which is not followed",
    ),
    "a name that is too long": (lambda top: top / ("x" * 300), "the name is too long: choose a shorter one"),
    "where nothing can be made": (lambda top: Path("/proc/self/blobs"), "check|directory is gone"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_place_that_cannot_hold_blobs_is_refused_and_left_alone(place: str, database_url: str, tmp_path: Path) -> None:
    """[BLOB-13]"""
    make, says = PLACES[place]
    path = make(tmp_path)
    before = sorted(tmp_path.iterdir())
    said = rf"the directory of the blobs cannot be used at {re.escape(str(path))}: .*({says})"
    with pytest.raises(StorageError, match=said):
        mstbucket.open(database=database_url, blobs=path, background=False)
    assert sorted(tmp_path.iterdir()) == before


# --- a file system that cannot be written ----------------------------------------------------------------------------------

PROGRAM: Final = '''
import json, os, subprocess, sys
import mstbucket

url, blobs, kind = sys.argv[1:]
said = {}
with mstbucket.open(database=url, blobs=blobs, background=False) as store:
    bucket = store.create_bucket("things")
    bucket.put_object("large", bytes(200_000))
    bucket.flush()
    bucket.put_object("small", b"small")
    if kind == "mount":
        subprocess.run(["mount", "-o", "remount,ro", blobs], check=True)
    for name, call in {
        "get": lambda: bucket.get_object("large").read(),
        "verify": bucket.verify,
        "put": lambda: bucket.put_object("other", bytes(200_001)),
        "flush": bucket.flush,
    }.items():
        try:
            call()
            said[name] = ["", ""]
        except Exception as error:
            said[name] = [type(error).__name__, str(error)]
with mstbucket.open(database=url, blobs=blobs, background=False) as store:
    said["opened again"] = [item.key for item in store.bucket("things").objects()]
    with store._context.db.reading() as connection:
        said["packs"] = connection.execute("SELECT count(*) FROM packs WHERE state <> 'ready'").fetchone()[0]
print(json.dumps(said))
'''


def test_a_file_system_that_became_read_only_can_be_read_and_says_what_to_do(database_url: str, tmp_path: Path) -> None:
    """[BLOB-13] [PUT-4] Where none may be mounted, all calls succeed, and only that is tested."""
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    mount = 'mount -t tmpfs none "$0" && exec "$@"'
    for private in (["unshare", "--mount"], ["unshare", "--mount", "--user", "--map-root-user"]):
        if shutil.which("unshare") and subprocess.run([*private, "true"], capture_output=True, check=False).returncode == 0:
            kind, before = "mount", [*private, "sh", "-c", mount, str(blobs)]
            break
    else:
        kind, before = "none", []
    command = [*before, sys.executable, "-c", PROGRAM, database_url, str(blobs), kind]
    environment = {**os.environ, "PYTHONPATH": str(Path(mstbucket.__file__).parents[1])}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    said = json.loads(done.stdout)
    for name in ("get", "verify"):
        assert said[name] == ["", ""]
    for name in ("put", "flush"):
        kind_of, text = said[name]
        assert (kind_of, text == "") == (("StorageError", False) if kind == "mount" else ("", True))
        assert kind != "mount" or re.search(rf"{blobs}/.*the file system is read-only: mount it for writing", text)
    assert said["opened again"] == ["large", *(["other"] if kind != "mount" else []), "small"]
    assert said["packs"] == 0


LOST = """
import os, sys, mstbucket
from mstbucket.errors import InvalidInput, StorageError
from mstbucket.fsspec import MstBucketFileSystem
here, database, blobs = sys.argv[1:]
os.chdir(here)
os.rmdir(here)
for call in (
    lambda: mstbucket.open("store"),
    lambda: mstbucket.open(database=database, blobs="blobs"),
    lambda: mstbucket.Store.rebuild("store"),
    lambda: mstbucket.Store.rebuild(database=database, blobs="blobs"),
    lambda: MstBucketFileSystem("store"),
):
    try:
        call()
    except StorageError as error:
        assert "the working directory was removed" in str(error), error
    else:
        raise SystemExit("taken")
try:
    mstbucket.Store.rebuild("s3://somewhere/store")
except InvalidInput as error:
    assert "not a URL" in str(error), error
else:
    raise SystemExit("taken")
with mstbucket.open(database=database, blobs=blobs, background=False) as store:
    print([info.name for info in store.list_buckets()])
"""


def test_a_relative_place_below_a_directory_that_was_removed_is_a_declared_error(
    bucket: mstbucket.Bucket, database_url: str, tmp_path: Path
) -> None:
    """[ARG-1] [CLI-6] a path from the root works there as everywhere."""
    here = tmp_path / "here"
    here.mkdir()
    command = [sys.executable, "-c", LOST, str(here), database_url, str(tmp_path / "blobs")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "['things']\n", "")
