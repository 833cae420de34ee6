"""Plant each bug of the table in a copy of this working tree, and see whether the tests notice.

    python tests/planted/run.py               all of them
    python tests/planted/run.py WORD…         those with one of these words in their name

Prints a line for each: caught, by which test; or MISSED, and then the exit code is 1. A bug takes as long as its tests.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from bugs import BUGS, Bug

ROOT: Final = Path(__file__).parents[2]
HANG_SECONDS: Final = 1200  # a bug may make tests wait for ever: that is noticed, too


def copy_tree(target: Path) -> None:
    """Copy what git knows, as it is in the working tree."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)


def run_tests(tree: Path, tests: tuple[str, ...]) -> tuple[int, str]:
    """The exit code of pytest in *tree*, and the first test that failed."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow and not s3", "--timeout=300", *tests]
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=HANG_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return 1, "they hang"
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return done.returncode, found[1] if found is not None else done.stdout[-2000:] + done.stderr[-2000:]


def is_caught(bug: Bug) -> bool:
    """Plant it, run its tests, and print what became of it."""
    with tempfile.TemporaryDirectory(prefix="mstbucket-planted-") as name:
        tree = Path(name)
        copy_tree(tree)
        file = tree / bug.file
        file.write_text(file.read_text(encoding="utf-8").replace(bug.old, bug.new), encoding="utf-8")
        for tests in bug.tests:  # one after the other: the first failure is enough
            code, failed = run_tests(tree, (tests,))
            if code == 1:
                print(f"caught  {bug.name}: {failed}", flush=True)
                return True
            if code != 0:
                sys.exit(f"pytest ended with {code} beside the bug {bug.name!r}:\n{failed}")
    print(f"MISSED  {bug.name} ({bug.file})", flush=True)
    return False


def main(words: list[str]) -> int:
    chosen = [bug for bug in BUGS if not words or any(word in bug.name for word in words)]
    caught = [is_caught(bug) for bug in chosen]
    print(f"{sum(caught)} of {len(chosen)} caught")
    return 0 if all(caught) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
