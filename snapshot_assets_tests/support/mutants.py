"""One expression of a module, replaced while a test runs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any


@contextmanager
def mutant(module: ModuleType, old: str, new: str) -> Iterator[None]:
    """The module with ``new`` in the place of ``old``, wherever its functions were imported.

    Functions keep their identity and get other code, so that also those find the change that
    imported them before. Constants of the module change for the module's own functions.

    Raises:
        AssertionError: the text occurs not once in the module's source.
    """
    source = inspect.getsource(module)
    found = source.count(old)
    assert found == 1, f"{old!r} is {found} times in {module.__name__}: write another mutation"
    changed: dict[str, Any] = {"__name__": module.__name__, "__package__": module.__package__}
    exec(compile(source.replace(old, new), str(module.__file__), "exec"), changed)
    kept_code, kept_values = [], {}
    for name, value in vars(module).items():
        if isinstance(value, (int, float)):
            kept_values[name] = value
        elif getattr(value, "__module__", None) == module.__name__:
            kept_code += list(_functions(value, changed[name]))
    codes = [function.__code__ for function, _ in kept_code]
    try:
        for function, other in kept_code:
            function.__code__ = other.__code__
        for name in kept_values:
            setattr(module, name, changed[name])
        yield
    finally:
        for (function, _), code in zip(kept_code, codes, strict=True):
            function.__code__ = code
        for name, value in kept_values.items():
            setattr(module, name, value)


def _functions(one: Any, other: Any) -> Iterator[tuple[FunctionType, FunctionType]]:
    """The functions of a name in a module, paired with those of the changed module."""
    if isinstance(one, FunctionType):
        yield one, other
    elif isinstance(one, type):
        for name, value in vars(one).items():
            found, changed = (
                member.fget if isinstance(member, property) else member
                for member in (value, vars(other).get(name))
            )
            if isinstance(found, FunctionType) and isinstance(changed, FunctionType):
                yield found, changed
