"""Mutates the source of a workflow, one place at a time. What a mutant changes is for the oracle to say."""

import ast
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Change = Callable[[], object]
Statements = list[ast.stmt]


@dataclass(frozen=True)
class Mutant:
    """A changed workflow, as source text."""

    name: str
    operator: str
    source: str
    is_neutral: bool
    """Made by an operator that can change nothing."""


def mutants_of(target: Any, helper: Any) -> Iterator[Mutant]:
    """All mutants of a workflow function or class, in a fixed order; `helper` stands unchanged below each."""
    source = inspect.getsource(target)
    unchanged = "\n\n\n" + inspect.getsource(helper)
    original = ast.unparse(ast.parse(source))
    for operator, sites in OPERATORS.items():
        for number in range(sum(1 for _ in sites(ast.parse(source)))):
            tree = ast.parse(source)
            list(sites(tree))[number]()
            changed = ast.unparse(ast.fix_missing_locations(tree))
            if changed != original:
                name = f"{target.__name__}-{operator}-{number}"
                yield Mutant(name, operator, changed + unchanged, operator in NEUTRAL)


def _suites(tree: ast.AST) -> Iterator[Statements]:
    """Every list of statements inside a function."""
    for function in ast.walk(tree):
        # A plain function cannot wait, and what can be done in it is done in the others.
        if not isinstance(function, ast.AsyncFunctionDef):
            continue
        yield function.body
        for node in ast.walk(function):
            if isinstance(node, _BLOCKS):
                suites = [getattr(node, name, None) for name in ("body", "orelse", "finalbody")]
                yield from (suite for suite in suites if suite)


_BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.ExceptHandler)


def _calls(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
            yield node


def _statements(sample: str) -> Statements:
    return ast.parse(sample).body


# Operators that may change commands


def swap_statements(tree: ast.AST) -> Iterator[Change]:
    for suite in _suites(tree):
        for place in range(len(suite) - 1):

            def change(suite: Statements = suite, place: int = place) -> None:
                suite[place], suite[place + 1] = suite[place + 1], suite[place]

            yield change


def remove_statement(tree: ast.AST) -> Iterator[Change]:
    for suite in _suites(tree):
        for place in range(len(suite)):
            yield lambda suite=suite, place=place: suite.__setitem__(place, ast.Pass())


def repeat_statement(tree: ast.AST) -> Iterator[Change]:
    for suite in _suites(tree):
        for place in range(len(suite)):
            yield lambda suite=suite, place=place: suite.insert(place, suite[place])


def disable_statement(tree: ast.AST) -> Iterator[Change]:
    for suite in _suites(tree):
        for place in range(len(suite)):

            def change(suite: Statements = suite, place: int = place) -> None:
                suite[place] = ast.If(test=ast.Constant(False), body=[suite[place]], orelse=[])

            yield change


def add_step(tree: ast.AST) -> Iterator[Change]:
    for suite in _suites(tree):
        for place in range(len(suite) + 1):
            sample = "await workflow.execute_activity('added', 1)"
            yield lambda suite=suite, place=place, sample=sample: suite.insert(place, _statements(sample)[0])


def add_timer(tree: ast.AST) -> Iterator[Change]:
    for suite in _suites(tree):
        yield lambda suite=suite: suite.insert(0, _statements("await asyncio.sleep(7)")[0])


def yield_once(tree: ast.AST) -> Iterator[Change]:
    for suite in _suites(tree):
        yield lambda suite=suite: suite.insert(0, _statements("await asyncio.sleep(0)")[0])


def rename_activity(tree: ast.AST) -> Iterator[Change]:
    for call in _calls(tree, "act", "step"):
        if isinstance(call.args[0], ast.Constant):
            name = call.args[0]
            yield lambda name=name: setattr(name, "value", f"{name.value}_renamed")


def change_argument(tree: ast.AST) -> Iterator[Change]:
    for call in _calls(tree, "act", "step"):
        for place in range(1, len(call.args)):
            yield lambda call=call, place=place: call.args.__setitem__(place, ast.Constant(value="changed"))
        for keyword in call.keywords:
            if isinstance(keyword.value, ast.List):
                yield lambda values=keyword.value.elts: values.reverse()
                yield lambda values=keyword.value.elts: values.append(ast.Constant(value=None))


def change_delay(tree: ast.AST) -> Iterator[Change]:
    for call in _calls(tree, "asyncio.sleep", "workflow.sleep", "asyncio.timeout"):
        delay = call.args[0]
        if isinstance(delay, ast.Constant):
            yield lambda call=call, delay=delay: call.args.__setitem__(0, ast.Constant(value=delay.value + 1))


def change_constant(tree: ast.AST) -> Iterator[Change]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            other = not node.value if isinstance(node.value, bool) else node.value + 1
            yield lambda node=node, other=other: setattr(node, "value", other)


def negate_condition(tree: ast.AST) -> Iterator[Change]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If):
            yield lambda node=node: setattr(node, "test", ast.UnaryOp(op=ast.Not(), operand=node.test))


def reorder_gather(tree: ast.AST) -> Iterator[Change]:
    for call in _calls(tree, "asyncio.gather"):
        yield lambda call=call: call.args.reverse()


# Operators that change nothing


def rename_local(tree: ast.AST) -> Iterator[Change]:
    names = dict.fromkeys(
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
    for name in names:

        def change(name: str = name) -> None:
            for node in ast.walk(tree):
                if isinstance(node, ast.Name) and node.id == name:
                    node.id = f"{name}_renamed"

        yield change


def add_docstring(tree: ast.AST) -> Iterator[Change]:
    for suite in _suites(tree):
        yield lambda suite=suite: suite.insert(0, _statements("'Says what happens here.'")[0])


def add_log_line(tree: ast.AST) -> Iterator[Change]:
    for suite in _suites(tree):
        for place in range(len(suite)):
            sample = "workflow.logger.info('at %s', workflow.now())"
            yield lambda suite=suite, place=place, sample=sample: suite.insert(place, _statements(sample)[0])


def add_pure_call(tree: ast.AST) -> Iterator[Change]:
    for suite in _suites(tree):
        for place in range(len(suite)):
            sample = "unused = sorted({'b': 1, 'a': len('pure')})"
            yield lambda suite=suite, place=place, sample=sample: suite.insert(place, _statements(sample)[0])


def wrap_in_true(tree: ast.AST) -> Iterator[Change]:
    for suite in _suites(tree):
        for place in range(len(suite)):

            def change(suite: Statements = suite, place: int = place) -> None:
                suite[place] = ast.If(test=ast.Constant(True), body=[suite[place]], orelse=[])

            yield change


def wrap_in_try(tree: ast.AST) -> Iterator[Change]:
    for suite in _suites(tree):

        def change(suite: Statements = suite) -> None:
            (wrapped,) = _statements("try:\n    pass\nfinally:\n    unused = 0")
            assert isinstance(wrapped, ast.Try)
            wrapped.body = list(suite)
            suite[:] = [wrapped]

        yield change


def extract_variable(tree: ast.AST) -> Iterator[Change]:
    for suite in _suites(tree):
        for place, statement in enumerate(suite):
            if not isinstance(statement, ast.Expr | ast.Assign | ast.Return) or statement.value is None:
                continue

            def change(suite: Statements = suite, place: int = place, statement: Any = statement) -> None:
                (extracted,) = _statements("extracted = None")
                assert isinstance(extracted, ast.Assign)
                extracted.value, statement.value = statement.value, ast.Name(id="extracted", ctx=ast.Load())
                suite.insert(place, extracted)

            yield change


def annotate_with_summary(tree: ast.AST) -> Iterator[Change]:
    for call in _calls(tree, "act"):
        sample = ast.parse("f(summary='new words', start_to_close_timeout=99)").body[0]
        assert isinstance(sample, ast.Expr)
        assert isinstance(sample.value, ast.Call)
        yield lambda call=call, added=sample.value.keywords: call.keywords.extend(added)


NEUTRAL = {
    function.__name__: function
    for function in (
        rename_local, add_docstring, add_log_line, add_pure_call, wrap_in_true, wrap_in_try, extract_variable,
        annotate_with_summary,
    )
}  # fmt: skip
OPERATORS = {
    function.__name__: function
    for function in (
        swap_statements, remove_statement, repeat_statement, disable_statement, add_step, add_timer, yield_once,
        rename_activity, change_argument, change_delay, change_constant, negate_condition, reorder_gather,
    )
} | NEUTRAL  # fmt: skip
