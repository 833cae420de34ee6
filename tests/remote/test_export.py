"""An export to a real service, from the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.s3


def test_an_export_becomes_an_object_when_it_is_whole(corner: Any, tmp_path: Path) -> None:
    """[CLI-103] One that is there is replaced only with --force; where the export fails, none is made."""

    def command(*arguments: object) -> int:
        given = [sys.executable, "-m", "mstbucket", "--store", tmp_path / "store", *arguments]
        return subprocess.run(list(map(str, given)), capture_output=True, check=False, timeout=120).returncode

    url = corner.url().replace("/?", "/made.car?")
    (tmp_path / "body").write_bytes(bytes(range(256)) * 90_000)  # 23 MB: in parts
    assert command("mb", "mst://things") == 0
    assert command("cp", tmp_path / "body", "mst://things/body") == 0
    assert command("export", "mst://things@7", url) == 3
    assert corner.names() == []
    assert command("export", "mst://things", url) == 0
    assert command("export", "mst://things", tmp_path / "file.car") == 0
    assert corner.read("made.car") == (tmp_path / "file.car").read_bytes()
    assert command("cp", tmp_path / "file.car", "mst://things/more") == 0
    assert command("export", "mst://things", url) != 0
    assert corner.read("made.car") == (tmp_path / "file.car").read_bytes()
    assert command("export", "mst://things", url, "--force") == 0
    assert command("export", "mst://things", tmp_path / "file.car", "--force") == 0
    assert corner.read("made.car") == (tmp_path / "file.car").read_bytes()
    assert corner.uploads() == []
