"""What is imported when it is first used: a command that lists loads nothing that exports.

One way for the whole package, beside a plain import inside of a function. Type checkers see the import it stands for:

    if TYPE_CHECKING:
        from mstbucket.services.tree import export as exporting
    else:
        exporting = later("mstbucket.services.tree.export")

A house test holds the two together, and another says what `ls` may load.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def later(module: str, name: str | None = None) -> Any:
    """Stand for a module, or for a function or class of it to be called; loaded at the first use, in any thread."""
    return _Later(module, name)


class _Later:
    __slots__ = ("_module", "_name")

    def __init__(self, module: str, name: str | None) -> None:
        self._module = module
        self._name = name

    def _loaded(self) -> Any:
        module = import_module(self._module)  # waits where another thread is still loading it
        return module if self._name is None else getattr(module, self._name)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._loaded(), attribute)

    def __call__(self, *args: Any, **given: Any) -> Any:
        return self._loaded()(*args, **given)
