"""Whatever a temporary file refuses is a declared error, where bytes leave a buffer: at a write, a seek, a read, the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: What a child does while no file of it may be longer than so many bytes. Each ends with the declared error.
FULL = {
    "a write that is larger than the buffer": "file.write(bytes(200_000))",
    "a seek after writes that the buffer took": "file.write(bytes(5_000)); file.seek(0)",
    "a read after writes that the buffer took": "file.write(bytes(5_000)); file.read(1)",
    "a flush": "file.write(bytes(5_000)); file.flush()",
    "a write past the bound of memory": "spooled.write(bytes(200_000))",
    "a sort of byte strings": "with SortedBytes(100) as names: names.add(bytes(5_000))",
    "a sort of records": "with SortedRecords(5_000, 1) as index: index.add(bytes(5_000))",
    "a sort of rows": "list(sort_rows(('k' * 5_000, '', n, 0, 0) for n in range(50_001)))",
    "a pile": "with Pile(100) as pile: pile.add(bytes(200_000))",
    "what has been seen": "with Seen(1) as seen: [seen.add(raw_cid(b'%d' % n)) for n in range(1_000)]",
    "rows of an import": "with closing(Spool()) as rows: [rows.add(bytes(1_000)) for _ in range(40_000)]",
}
CHILD = """
import resource, signal, sys
from contextlib import closing
from mstbucket.core.cid import raw_cid
from mstbucket.errors import StorageError
from mstbucket.services.tree.import_rows import Spool
from mstbucket.spill.pile import Pile
from mstbucket.spill.scratch import Spooled, scratch
from mstbucket.spill.seen import Seen
from mstbucket.spill.sort_bytes import SortedBytes
from mstbucket.spill.sort_records import SortedRecords
from mstbucket.spill.sort_rows import sort_rows

file = scratch("a test was made", "the test")
spooled = Spooled(100, "a test was made")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
with file, spooled:
    try:
        exec(sys.argv[1])
    except StorageError as error:
        print(error)
"""


@pytest.mark.parametrize("step", FULL)
def test_what_a_full_directory_refuses_is_declared(step: str, tmp_path: Path) -> None:
    """Also at the end of the blocks, where what is left in a buffer fails once more."""
    command = [sys.executable, "-W", "error", "-c", CHILD, FULL[step]]
    ended = subprocess.run(command, capture_output=True, text=True, env={"TMPDIR": str(tmp_path)}, check=False)
    assert ended.stderr == ""
    assert ended.returncode == 0
    assert "the temporary directory failed while" in ended.stdout
    assert "File too large" in ended.stdout
    assert "TMPDIR" in ended.stdout
