"""The errors: drawn, documented, and stable once given out.

`fixtures/error-codes.json` is append-only. A new class gets a new line there; a line that is there never changes and
never goes, because programs of users compare with it.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from mstbucket import errors
from mstbucket.errors import MstBucketError

BRANCH = re.compile(
    r"^ *(?P<indent>│ {3}| {4})?[├└]── (?P<names>\w+(?:, \w+)*)(?: +\((?P<builtin>\w+)\))?", re.MULTILINE
)
CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, MstBucketError)
}
# Nobody who handles errors by this tree would catch these. OSError may be raised where it is translated.
NEVER_RAISED = {"Exception", "BaseException", "ValueError", "KeyError", "IndexError", "LookupError", "RuntimeError"}
# One ends in a process that nobody calls, one is a signal on its way to the end of the command line, one ends in the
# thread that it was raised in, as an outcome, one with the work on a pack that somebody else was faster with, one in
# the pool, which waits, and three in the gateway, whose callers are told over HTTP.
INTERNAL = {
    "mstbucket.pg.processes.Failed", "mstbucket.cli.exits.Interrupted", "mstbucket.sync.mover.Alone",
    "mstbucket.services.blocks.registered.PackMoved", "mstbucket.pg.pool.Full", "mstbucket.gateway.refusals.Refused",
    "mstbucket.gateway.wire.body.ClientGone", "mstbucket.gateway.wire.protocol.TooLarge",
}  # fmt: skip


def parents_drawn() -> dict[str, str]:
    """Class to parent, as the docstring of the module draws it."""
    parents, group = {}, ""
    for found in BRANCH.finditer(inspect.getdoc(errors) or ""):
        for name in found["names"].split(", "):
            parents[name] = group if found["indent"] else "MstBucketError"
        if not found["indent"]:
            group = found["names"]
    return parents


def builtins_drawn() -> dict[str, str]:
    """Class to the built-in class it also is, as the docstring draws it."""
    return {found["names"]: found["builtin"] for found in BRANCH.finditer(errors.__doc__ or "") if found["builtin"]}


def test_the_tree_that_is_drawn_is_the_tree_there_is() -> None:
    there = {name: value.__mro__[1].__name__ for name, value in CLASSES.items() if value is not MstBucketError}
    assert parents_drawn() == there


def test_the_built_in_classes_that_are_drawn_are_those_there_are() -> None:
    there = {
        name: base.__name__
        for name, value in CLASSES.items()
        for base in value.__bases__
        if value is not MstBucketError and base.__module__ == "builtins"
    }
    assert builtins_drawn() == there


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_class_says_what_it_means_and_has_a_code_and_a_status(name: str) -> None:
    error = CLASSES[name]
    assert (vars(error).get("__doc__") or "").strip().endswith((".", ")"))
    assert re.fullmatch(r"[A-Z][A-Za-z]+", error.code)
    assert 400 <= error.status <= 599 or name == "NotModified"  # which HTTP counts among the redirections


def test_codes_and_statuses_are_those_given_out_before(root: Path) -> None:
    given_out = json.loads((root / "fixtures" / "error-codes.json").read_text(encoding="utf-8"))
    there = {name: {"code": error.code, "status": error.status} for name, error in CLASSES.items()}
    assert there == given_out, "append new classes to fixtures/error-codes.json; change nothing that stands there"


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_message_reads_as_it_was_written(name: str) -> None:
    """KeyError would show it in quotes, OSError with two arguments as an errno."""
    error = CLASSES[name]
    made = error("it's gone", 7) if name == "InvalidCar" else error("it's gone")
    assert str(made).startswith("it's gone")


def names_of(bases: list[ast.expr]) -> set[str]:
    return {base.id if isinstance(base, ast.Name) else getattr(base, "attr", "") for base in bases}


def test_no_other_module_declares_errors_that_could_reach_a_user(modules: dict[str, Any]) -> None:
    built_in = {name for name, value in vars(builtins).items() if isinstance(value, type)}
    exceptions = {name for name in built_in if issubclass(getattr(builtins, name), BaseException)} | set(CLASSES)
    strays = [
        f"{name}.{node.name}"
        for name, module in modules.items()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef) and names_of(node.bases) & exceptions and not node.name.startswith("_")
    ]
    assert sorted({stray for stray in strays if not stray.startswith("mstbucket.errors.")} - INTERNAL) == []


def test_no_module_raises_what_the_tree_does_not_hold(modules: dict[str, Any]) -> None:
    wrong = [
        f"{name}:{node.lineno} raises {raised}"
        for name, module in modules.items()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Raise) and node.exc is not None
        for raised in names_of([node.exc.func if isinstance(node.exc, ast.Call) else node.exc]) & NEVER_RAISED
    ]
    assert not wrong, "\n".join(wrong)
