"""What `quickstart` tells people to type is what a shell takes, wherever the clone lies."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

SCRIPT = (Path(__file__).parents[2] / "quickstart").read_text(encoding="utf-8")
QUOTED = re.search(r"^quoted\(\) \{\n.*?^\}\n", SCRIPT, re.MULTILINE | re.DOTALL)


PATHS = ("/plain/path-1.0/x_y", "/with space/x", "/it's/$HOME/`id`", "/a\\b/\"c\"", "/写真;rm -r/*")


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_quoted_where_it_has_to_be(path: str) -> None:
    assert QUOTED is not None
    ran = subprocess.run(["sh", "-c", f'{QUOTED[0]}\nquoted "$1"', "sh", path], capture_output=True, check=True)
    shown = ran.stdout.decode().removesuffix("\n")
    assert shlex.split(shown) == [path]
    assert (shown == path) == (shlex.quote(path) == path)
    assert "$(quoted \"$venv/bin/activate\")" in SCRIPT
