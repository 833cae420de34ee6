"""What users may rely on is what `mstbucket.__all__` names, and all of it says what it does."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from functools import partial

import pytest

import mstbucket

NAMES = sorted(mstbucket.__all__)


def public_members(owner: type) -> Iterator[tuple[str, object]]:
    """The public methods and properties that a class of ours, or one it inherits from, defines."""
    for base in reversed(owner.__mro__):
        if base.__module__.partition(".")[0] != "mstbucket":
            continue
        for name, member in vars(base).items():
            function = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
            if not name.startswith("_") and (inspect.isfunction(function) or isinstance(member, property)):
                yield f"{owner.__name__}.{name}", function


def test_the_list_is_sorted_and_names_nothing_twice() -> None:
    assert list(mstbucket.__all__) == sorted(set(mstbucket.__all__))


def test_dir_offers_every_public_name() -> None:
    assert set(NAMES) <= set(dir(mstbucket))


def test_a_star_import_gives_exactly_the_public_names() -> None:
    namespace: dict[str, object] = {}
    exec("from mstbucket import *", namespace)
    assert sorted(set(namespace) - {"__builtins__"}) == NAMES


def test_a_name_that_is_not_public_is_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        mstbucket.no_such_name


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there_and_has_a_docstring(name: str) -> None:
    value = getattr(mstbucket, name)
    documented = value if isinstance(value, (type, types.FunctionType, types.ModuleType)) else type(value)
    # Dataclasses without a docstring get their signature for one; that says nothing.
    text = inspect.cleandoc(documented.__doc__ or "")
    assert text
    assert not text.startswith(f"{name}(")


def test_every_public_method_has_a_docstring() -> None:
    types_ = [value for value in map(partial(getattr, mstbucket), NAMES) if isinstance(value, type)]
    methods = [member for type_ in types_ for member in public_members(type_)]
    assert methods
    assert [name for name, function in methods if not inspect.getdoc(function)] == []


def test_every_public_type_goes_by_its_own_name() -> None:
    """What an error message or a repr calls it is what a user can import."""
    values = {name: getattr(mstbucket, name) for name in NAMES}
    assert [name for name, value in values.items() if isinstance(value, type) and value.__name__ != name] == []
