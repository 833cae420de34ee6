"""Forks from a shell."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def place(bucket: str) -> str:
    return bucket if bucket.startswith("mst://") else f"mst://{bucket}"


def test_a_bucket_is_forked_as_it_is_and_as_it_was(cli: Any, place: str) -> None:
    """[CLI-51]: without a commit, what was not flushed is in the fork, too."""
    cli("cp", "-", f"{place}/k", stdin=b"first")
    cli("snapshot", "create", place, "before")
    cli("cp", "-", f"{place}/k", stdin=b"second")
    ((then,), (now,)) = (
        cli("fork", source, f"{place}-{name}", "--json").records
        for source, name in ((f"{place}@before", "then"), (place, "now"))
    )
    assert cli("cat", f"{place}-then/k").out == b"first"
    assert cli("cat", f"{place}-now/k").out == b"second"
    (newest, first) = cli("log", place, "--json").records
    assert (then["forked"], now["forked"]) == (first["commit"], newest["commit"])
    assert then["commit"] == cli("log", f"{place}-then", "--json").records[0]["commit"]
    assert cli("fork", f"{place}@before", f"{place}-then").code == 4
    assert cli("fork", f"{place}@nothing", f"{place}-other").code == 3
    assert cli("fork", place, f"{place}-other@1").code == 2
