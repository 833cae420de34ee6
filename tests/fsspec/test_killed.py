"""A process that writes through the file system and is killed: no half of an object, and what was closed is there."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.fsspec import MstBucketFileSystem

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
import mstbucket
from mstbucket.fsspec import MstBucketFileSystem
with mstbucket.open(database=sys.argv[2], blobs=sys.argv[3], background=False) as store:
    fs = MstBucketFileSystem(store)
    fs.pipe_file("things/closed", b"x" * 100_000)
    with fs.open("things/closed too", "wb", block_size=1) as file:
        file.write(b"y" * (6 << 20))
    with fs.open("things/half", "wb", block_size=1) as file:
        while True:
            file.write(b"z" * (1 << 20))
            print(file.tell(), flush=True)
"""


@pytest.mark.parametrize("megabytes", [1, 7, 13])
def test_a_writer_that_is_killed_leaves_what_it_closed_and_no_half(
    fs: MstBucketFileSystem,
    store: mstbucket.Store,
    database_url: str,
    tmp_path: Path,
    start_child: Callable[..., subprocess.Popen[Any]],
    megabytes: int,
) -> None:
    """[FS-11] [FS-13]"""
    fs.pipe_file("things/half", b"before")
    command = [sys.executable, "-c", WRITER, str(ROOT), database_url, str(tmp_path / "blobs")]
    with start_child(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) >= megabytes << 20:
                break
        child.send_signal(signal.SIGKILL)
    assert fs.find("things") == ["things/closed", "things/closed too", "things/half"]
    assert fs.cat_file("things/half") == b"before"
    assert fs.cat_file("things/closed") == b"x" * 100_000
    assert fs.cat_file("things/closed too") == b"y" * (6 << 20)
    store.bucket("things").flush()
    store.bucket("things").verify()
