"""What is known of other processes, against what the system says in another way."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mstbucket.pg import processes


@pytest.fixture
def three() -> Iterator[set[int]]:
    """Three children of this process, one of them dead and not waited for."""
    made = [subprocess.Popen(["sleep", "60"]) for _ in range(3)]
    made[0].kill()
    os.waitid(os.P_PID, made[0].pid, os.WEXITED | os.WNOWAIT)
    yield {child.pid for child in made}
    for child in made:
        child.kill()
        child.wait()


@pytest.mark.parametrize("listed", [True, False], ids=["the kernel lists them", "the kernel has no list"])
def test_the_children_of_a_process_are_those_whose_parent_it_is(
    three: set[int], listed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list is one small file; without it every process of the system is looked at."""
    plain = open

    def without_list(name: Any, *rest: Any, **named: Any) -> Any:
        if str(name).endswith("/children") and not listed:
            raise FileNotFoundError(name)
        return plain(name, *rest, **named)

    monkeypatch.setattr(builtins, "open", without_list)
    ours = f"PPid:\t{os.getpid()}"
    oracle = {int(path.parent.name) for path in Path("/proc").glob("[0-9]*/status") if ours in lines(path)}
    assert set(processes.children(os.getpid())) == oracle >= three
    assert {processes.parent_of(pid) for pid in three} == {os.getpid()}


def test_a_process_that_is_gone_has_neither_children_nor_a_parent() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert processes.children(done.pid) == []
    assert processes.parent_of(done.pid) is None


def lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []  # gone meanwhile
