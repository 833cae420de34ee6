"""All SQL stands in one room: what is asked of the database is in `index/`, and how a server is spoken to in `pg/`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest

ROOMS = ("mstbucket.index", "mstbucket.pg")

# The words that begin a statement, as they are written here, with what has to follow; prose has no such pair.
STATEMENT = re.compile(
    r"\b(SELECT\b|INSERT INTO|UPDATE \w+( \w+)? SET|DELETE FROM|COPY \w+ (\(|FROM|TO)|LOCK TABLE|TRUNCATE \w"
    r"|CREATE (OR REPLACE |TEMPORARY |UNIQUE )?(TABLE|INDEX|FUNCTION|VIEW)|FOR UPDATE|ORDER BY|GROUP BY|LEFT JOIN)"
)
CALLS = {"execute", "executemany", "cursor"}
OWN = ("mstbucket.pg.queries", "mstbucket.pg.binary")  # the forms of questions and of their arguments

Modules = dict[str, Any]
Imports = dict[str, Any]


def is_in_room(module: str) -> bool:
    return any(module == room or module.startswith(room + ".") for room in ROOMS)


def outside(modules: Modules) -> Iterator[tuple[str, ast.AST]]:
    """Every node of every module that is no room for SQL."""
    for name, module in modules.items():
        if not is_in_room(name):
            documentation = {id(text) for node in ast.walk(module.tree) for text in docstring(node)}
            yield from ((name, node) for node in ast.walk(module.tree) if id(node) not in documentation)


def docstring(node: ast.AST) -> Iterator[ast.AST]:
    """The constant that documents a module, a class or a function."""
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body:
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            yield first.value


def is_statement(node: ast.AST) -> bool:
    """Whether it is a text, or a part of a formatted one, that a server would execute."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and STATEMENT.search(node.value) is not None


def is_question(node: ast.AST) -> bool:
    """Whether it calls what a connection executes, or copies by: `copy` with a text, or of a cursor."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    of_cursor = isinstance(node.func.value, ast.Call) or "cursor" in ast.unparse(node.func.value)
    return node.func.attr in CALLS or (node.func.attr == "copy" and bool(node.args) and of_cursor)


def hides_a_connection(node: ast.AST) -> bool:
    """Whether it says `connection: Any`, of an argument or of an attribute."""
    if isinstance(node, ast.arg):
        name, annotation = node.arg, node.annotation
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        name, annotation = node.target.id, node.annotation
    else:
        return False
    return "connection" in name and annotation is not None and re.search(r"\bAny\b", ast.unparse(annotation)) is not None


def is_position(node: ast.AST) -> bool:
    """Whether it takes a field by its number, from a row of more than one: `row[3]`, but not `row[0]` or `rows[-1]`."""
    return (
        isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, int)
        and node.slice.value >= 1
    )


def test_sql_is_written_in_its_room_only(modules: Modules) -> None:
    wrong = [f"{name}:{node.lineno}: {ast.unparse(node)[:90]}" for name, node in outside(modules) if is_statement(node)]
    assert not wrong, "\n".join(wrong)


def test_nobody_else_asks_a_connection(modules: Modules) -> None:
    wrong = [f"{name}:{node.lineno}: {ast.unparse(node)[:90]}" for name, node in outside(modules) if is_question(node)]
    assert not wrong, "\n".join(wrong)


def test_a_connection_has_its_type(modules: Modules) -> None:
    """In the room for SQL as well."""
    wrong = [
        f"{name}:{node.lineno}: {ast.unparse(node)}"
        for name, module in modules.items()
        for node in ast.walk(module.tree)
        if hides_a_connection(node)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_forms_of_questions_are_known_in_the_room_only(imports: Imports) -> None:
    wrong = [
        f"{name}:{found.line} imports {found.target}"
        for name, all_found in imports.items()
        for found in all_found
        if found.target in OWN and not is_in_room(name)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_fields_of_a_row_have_names(modules: Modules) -> None:
    """Only the single field of a row may be taken by its number, which is 0 then."""
    wrong = [
        f"{name}:{node.lineno}: {ast.unparse(node)}"
        for name, module in modules.items()
        if name.startswith("mstbucket.index.")
        for node in ast.walk(module.tree)
        if is_position(node)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("query = 'SELECT 1'", is_statement),
        ("query = f'SELECT {columns} FROM objects'", is_statement),
        ("query = '\\n    UPDATE objects o SET seq = 1'", is_statement),
        ("COPY = 'COPY past FROM STDIN (FORMAT binary)'", is_statement),
        ("connection.execute(query)", is_question),
        ("self._db.connection().cursor('name')", is_question),
        ("connection.cursor().copy(statement)", is_question),
        ("cursor.copy(statement)", is_question),
        ("def f(connection: Any) -> None: ...", hides_a_connection),
        ("def f(connection: 'Any | None' = None) -> None: ...", hides_a_connection),
        ("class A:\n    connection: Any", hides_a_connection),
        ("row[3]", is_position),
        ("rows[-1][4]", is_position),
    ],
)
def test_the_rules_find_what_they_are_for(text: str, rule: Any) -> None:
    assert any(rule(node) for node in ast.walk(ast.parse(text)))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("message = 'select a bucket, and delete from it; update it'", is_statement),
        ("self._hash.copy()", is_question),
        ("copying.copy(context, source)", is_question),
        ("def f(connection: Connection, value: Any) -> None: ...", hides_a_connection),
        ("row[0], rows[-1], rows[1:], row[name]", is_position),
    ],
)
def test_the_rules_leave_the_rest(text: str, rule: Any) -> None:
    assert not any(rule(node) for node in ast.walk(ast.parse(text)))
