"""The locks hold everything, hold it by hash, and agree with pyproject.toml and with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?P<rest>(?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.M
)


def pins_in(path: Path) -> dict[str, str]:
    """Name to version and hashes, of every package a lock pins."""
    found = PIN.finditer(path.read_text(encoding="utf-8"))
    return {canonicalize_name(pin["name"]): f"{pin['version']}{pin['rest']}" for pin in found}


@pytest.fixture(scope="module")
def run_lock(root: Path) -> dict[str, str]:
    return pins_in(root / "requirements.lock")


@pytest.fixture(scope="module")
def test_lock(root: Path) -> dict[str, str]:
    return pins_in(root / "requirements-test.lock")


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-test.lock"])
def test_a_lock_holds_nothing_but_pins_with_hashes(root: Path, name: str) -> None:
    text = (root / name).read_text(encoding="utf-8")
    assert [line for line in PIN.sub("", text).splitlines() if line and not line.startswith("#")] == []


def test_both_locks_pin_the_same_files(run_lock: dict[str, str], test_lock: dict[str, str]) -> None:
    assert run_lock
    assert {name: test_lock.get(name) for name in run_lock} == run_lock


def test_every_package_can_come_as_a_wheel_or_as_source(test_lock: dict[str, str]) -> None:
    """One hash alone means that the lock was made from a mirror that had only the file for one machine."""
    assert [name for name, pin in test_lock.items() if pin.count("--hash") < 2] == []


def test_the_locks_meet_what_the_project_asks_for(
    project: dict[str, Any], run_lock: dict[str, str], test_lock: dict[str, str]
) -> None:
    wanted = [(text, run_lock) for text in [*project["project"]["dependencies"], *project["build-system"]["requires"]]]
    wanted += [(text, test_lock) for extra in project["project"]["optional-dependencies"].values() for text in extra]
    unmet = []
    for text, lock in wanted:
        requirement = Requirement(text)
        version = lock.get(canonicalize_name(requirement.name), "").split(" ")[0]
        if not version or not requirement.specifier.contains(version, prereleases=True):
            unmet.append(f"{text}: the lock has {version or 'nothing'}; run .ci/lock")
    assert not unmet, "\n".join(unmet)
