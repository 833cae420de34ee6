"""A short run of `fuzz_formats.py`, so that it stays one that runs."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest


def test_changed_files_end_in_an_answer_or_in_a_declared_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch of each kind at least, however slow the machine is; what is found raises."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.chdir(tmp_path)
    fuzz = importlib.import_module("fuzz_formats")
    monkeypatch.setattr(fuzz, "BATCH", 40)
    monkeypatch.setattr(fuzz, "STORED", 20)
    done = fuzz.run(0, 7)
    assert {kind: done[kind] for kind in ("export", "proof", "part", "changes", "delta")} == dict.fromkeys(
        ("export", "proof", "part", "changes", "delta"), 40
    )
