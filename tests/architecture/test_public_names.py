"""`__all__` is a deliberate list: sorted, and neither more nor less than what is there."""

import ast
import sys
import types
from importlib import import_module

import pytest

from tests.architecture.source_tree import PACKAGES, imported_names, package_modules


def listed(module):
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets
        ):
            return ast.literal_eval(node.value)
    return None


def dotted_name(module):
    for package in PACKAGES:
        if module.path.is_relative_to(package):
            parts = module.path.relative_to(package.parent).with_suffix("").parts
            return ".".join(part for part in parts if part != "__init__")
    raise AssertionError(module.name)


def order(name):
    """Ruff's order: constants, then classes, then functions; each by name."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    return kind, name


MODULES = [module for module in package_modules() if listed(module) is not None]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_listed_names_are_sorted_unique_and_exist(module):
    names = list(listed(module))
    loaded = import_module(dotted_name(module))

    assert names == sorted(names, key=order)
    assert len(names) == len(set(names))
    assert not [name for name in names if not hasattr(loaded, name)]


FRONTS = [module for module in MODULES if module.path.name == "__init__.py"]


@pytest.mark.parametrize("module", FRONTS, ids=lambda module: module.name)
def test_a_package_front_hides_nothing_and_leaks_nothing(module):
    loaded = import_module(dotted_name(module))
    lazy = "__getattr__" in vars(loaded)

    present = {
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }

    names = set(listed(module))
    borrowed = {
        name
        for name, origin in imported_names(module.tree).items()
        if origin.partition(".")[0] in sys.stdlib_module_names
    }
    modules = {name for name in names if isinstance(getattr(loaded, name), types.ModuleType)}
    assert present - borrowed <= names
    assert names - modules <= present or lazy
