"""Size is a smell that can be measured: a long module holds two ideas, a long function two steps."""

import ast

import pytest

from tests.architecture.source_tree import Module, modules_of_tests, package_modules

MODULE_LINES = 400
TEST_MODULE_LINES = 500
FUNCTION_LINES = 60
PUBLIC_METHODS = 15

ALLOWED: dict[str, str] = {
    "replayer/perdure_replayer/context.py::RunContext": "answers all that workflow code can ask, which is Temporal's list",
    "replayer/perdure_replayer/loop.py::WorkflowLoop": "an asyncio event loop has the methods that asyncio calls",
    "replayer/perdure_replayer/runtime.py::Runtime": "the protocol of RunContext",
    "sdk/perdure/client/_client.py::start_workflow": "most of it is Temporal's keywords",
}
"""What may be larger, with the reason."""


def functions(module: Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def public_methods(node: ast.ClassDef) -> int:
    methods = (child for child in node.body if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))
    return len({method.name for method in methods if not method.name.startswith("_")})


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the function without its docstring, which may be as long as the promise it makes."""
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    return length


@pytest.mark.parametrize("module", package_modules(), ids=lambda module: module.name)
def test_modules_functions_and_classes_keep_to_their_budget(module):
    over = {}
    if len(module.text.splitlines()) > MODULE_LINES:
        over[module.name] = f"{len(module.text.splitlines())} lines, at most {MODULE_LINES}"
    for function in functions(module):
        if code_lines(function) > FUNCTION_LINES:
            over[f"{module.name}::{function.name}"] = (
                f"{code_lines(function)} lines, at most {FUNCTION_LINES}"
            )
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef) and public_methods(node) > PUBLIC_METHODS:
            over[f"{module.name}::{node.name}"] = (
                f"{public_methods(node)} public methods, at most {PUBLIC_METHODS}"
            )

    unexplained = {place: why for place, why in over.items() if place not in ALLOWED}

    assert not unexplained


@pytest.mark.parametrize("module", modules_of_tests(), ids=lambda module: module.name)
def test_test_files_hold_one_promise_each(module):
    length = len(module.text.splitlines())

    assert length <= TEST_MODULE_LINES or module.name in ALLOWED, (
        f"{length} lines, at most {TEST_MODULE_LINES}"
    )


def test_exceptions_from_the_budget_are_explained_and_still_needed():
    known = {module.name: module for module in (*package_modules(), *modules_of_tests())}

    for place, reason in ALLOWED.items():
        path, _, name = place.partition("::")
        assert reason.strip()
        assert path in known, f"{place} is gone; remove the exception"
        assert not name or name in known[path].text, f"{place} is gone; remove the exception"
