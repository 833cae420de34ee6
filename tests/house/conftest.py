"""What the tests of the house look at: the files of the repository, and the package's imports as a graph."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "mstbucket"
NOT_OURS = {".git", ".venv", "build", "dist", "__pycache__"}  # what .gitignore names; other dot-directories go by rule


@dataclass(frozen=True)
class Module:
    """One module of the package: its dotted name, its file, its syntax tree."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"


@dataclass(frozen=True)
class Import:
    """One import statement's target, as far as it is known to name a module."""

    target: str
    line: int


def files(directory: Path) -> Iterator[Path]:
    """Every file of the repository below `directory`, without what .gitignore leaves out."""
    for path in sorted(directory.iterdir()):
        if path.is_dir():
            ours = path.name not in NOT_OURS and not path.name.endswith(".egg-info")
            if ours and (path.name == ".ci" or not path.name.startswith(".")):
                yield from files(path)
        elif path.suffix not in {".pyc", ".pyo", ".pyd", ".so"} and path.name != ".git":
            yield path


def module_of(path: Path) -> Module:
    """Parse the file of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, path, ast.parse(path.read_text(encoding="utf-8"), str(path)))


def imports_of(module: Module, known: set[str]) -> Iterator[Import]:
    """Every module that `module` imports anywhere in its text, also inside functions and for type checkers only."""
    package = module.name if module.is_package else module.name.rpartition(".")[0]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:  # `from mstbucket.core import cid` imports a module, `… import CID` a name of one
                inner = f"{base}.{alias.name}"
                yield Import(inner if inner in known else base, node.lineno)


@pytest.fixture(scope="session")
def root() -> Path:
    """The top directory of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def repository() -> list[Path]:
    """Every file of the repository."""
    return list(files(ROOT))


@pytest.fixture(scope="session")
def modules() -> dict[str, Module]:
    """Every module of the package, by its dotted name."""
    found = [module_of(path) for path in files(ROOT / PACKAGE) if path.suffix == ".py"]
    return {module.name: module for module in found}


@pytest.fixture(scope="session")
def imports(modules: dict[str, Module]) -> dict[str, list[Import]]:
    """What every module of the package imports, ours and foreign."""
    known = set(modules)
    return {name: list(imports_of(module, known)) for name, module in modules.items()}
