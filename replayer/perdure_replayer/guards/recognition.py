"""Recognises restricted things by identity, so that an alias is as good as the name.

The index is made from the modules that are loaded; where one is not, its names are compared as text.
"""

import sys
from collections.abc import Mapping
from inspect import getattr_static
from types import BuiltinMethodType, FunctionType, MethodType, ModuleType
from typing import Any, Final, cast

from perdure_replayer.guards.restrictions import Restriction

MISSING: Final = object()
"""Stands for a value that is not known without running code."""


class RestrictionIndex:
    """Restrictions of loaded objects. Holds what it knows, so that no identity is used twice."""

    def __init__(self, restrictions: Mapping[str, Restriction]) -> None:
        self._by_name = restrictions
        self._objects: dict[int, tuple[object, Restriction]] = {}
        self._members: dict[tuple[int, str], tuple[object, Restriction]] = {}
        for dotted, restriction in restrictions.items():
            owner_name, _, attribute = dotted.rpartition(".")
            owner = find_loaded(owner_name)
            if isinstance(owner, type):
                self._members[id(owner), attribute] = (owner, restriction)
            elif isinstance(owner, ModuleType):
                self._learn(vars(owner).get(attribute), restriction)

    def _learn(self, value: object, restriction: Restriction) -> None:
        while value is not None:
            # First name wins: `open` is called open, not io.open.
            self._objects.setdefault(id(value), (value, restriction))
            # A class or function may stand wrapped in a guard, while users still hold the original.
            value = getattr(value, "__wrapped__", None)

    def of_name(self, dotted: str) -> Restriction | None:
        """The restriction of something whose module is not loaded."""
        return self._by_name.get(dotted)

    def of_object(self, value: Any) -> Restriction | None:
        """The restriction of a function or class, however it was reached."""
        known = self._objects.get(id(value))
        if known is not None:
            return known[1]
        if isinstance(value, BuiltinMethodType | MethodType) and isinstance(value.__self__, type):
            return self.of_member(value.__self__, value.__name__)
        return None

    def of_member(self, owner: type, attribute: str, *, shared: bool = True) -> Restriction | None:
        """The restriction of an attribute of a class or of its objects; `shared` objects outlive the run."""
        for base in owner.__mro__:
            known = self._members.get((id(base), attribute))
            if known is not None:
                return known[1] if shared or not known[1].shared_only else None
            if attribute in vars(base) and not is_stdlib(base.__module__):
                return None  # The user's own override.
        return None


def find_loaded(dotted: str) -> Any:
    """The object of a dotted name in the loaded modules, or MISSING. Imports nothing, runs no user code."""
    module_name, attributes = dotted, list[str]()
    while module_name not in sys.modules:
        module_name, _, attribute = module_name.rpartition(".")
        if not module_name:
            return MISSING
        attributes.insert(0, attribute)
    value: Any = sys.modules[module_name]
    for attribute in attributes:
        value = static_attribute(value, attribute)
    return value


def static_attribute(value: Any, attribute: str) -> Any:
    """An attribute as far as it can be told without running code; MISSING otherwise."""
    if isinstance(value, ModuleType):
        return vars(value).get(attribute, MISSING)
    if not isinstance(value, type):
        return MISSING
    found: Any = getattr_static(value, attribute, MISSING)
    is_wrapper = isinstance(found, staticmethod | classmethod)
    return getattr(cast("Any", found), "__wrapped__", MISSING) if is_wrapper else found


def unwrapped(value: Any) -> list[FunctionType]:
    """Functions behind a callable, outermost first: itself and what decorators wrapped."""
    found: list[FunctionType] = []
    seen: set[int] = set()
    while value is not None and id(value) not in seen:
        seen.add(id(value))
        if isinstance(value, FunctionType):
            found.append(value)
        # A bound method has its function there, everything else that wraps has __wrapped__.
        value = value.__func__ if isinstance(value, MethodType) else getattr(value, "__wrapped__", None)
    return found


def is_stdlib(module_name: str) -> bool:
    """Whether a module belongs to Python itself."""
    return module_name.partition(".")[0] in sys.stdlib_module_names
