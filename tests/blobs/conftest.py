"""Processes of their own for the tests of blob stores: killed for real, and run where the disk is full."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mstbucket

PACKAGE = Path(mstbucket.__file__).parents[1]


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Python code in a process of its own, `before` it a command that sets the scene."""
    running: list[subprocess.Popen[str]] = []

    def run(code: str, *arguments: object, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        command = [*before, sys.executable, "-c", code, *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
        pipe = subprocess.PIPE
        running.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()
