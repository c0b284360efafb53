"""Finds restricted calls in workflow code by reading its bytecode against the objects its names stand for.

It reads the function, or the methods of the class, what is nested in them, and the functions and constructors
of the same module that they call. It runs no user code and imports nothing, so it may be called at decoration
and again at registration, when names that were defined later have come to stand for something.

A false alarm is worse than a miss, which the runtime guard may still catch. So these are passed over: activities,
blocks under `sandbox_unrestricted()`, helpers that ask `in_workflow()`, static and class methods that no other
method calls, and every name whose value is not certain.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from inspect import getattr_static
from types import CodeType, FunctionType, ModuleType
from typing import Any

from perdure_replayer.errors import RestrictedCallError
from perdure_replayer.guards.bytecode import CodeReading, Use
from perdure_replayer.guards.recognition import (
    MISSING,
    RestrictionIndex,
    find_loaded,
    is_stdlib,
    static_attribute,
    unwrapped,
)
from perdure_replayer.guards.restrictions import RESTRICTIONS, Restriction
from perdure_replayer.guards.watch import is_installed

ACTIVITY_MARK = "__perdure_activity__"
"""Attribute that a function carries when it is an activity: what it does is no concern of replay."""

IN_WORKFLOW = "in_workflow"


def scan(workflow: Callable[..., Any] | type) -> list[RestrictedCallError]:
    """All restricted calls found in a workflow function or class, in the order of its code; usually none."""
    scanner = _Scanner(_index(len(sys.modules), is_installed()))
    if isinstance(workflow, type):
        for function in _methods(workflow):
            scanner.read_function(function, first=_InstanceOf(workflow), via="")
    else:
        for function in unwrapped(workflow):
            scanner.read_function(function, first=None, via="")
    return list(scanner.findings.values())


def refuse(workflow: Callable[..., Any] | type) -> None:
    """Raise the first finding of `scan`, with the others as its notes; return when there is none."""
    findings = scan(workflow)
    if not findings:
        return
    for other in findings[1:]:
        findings[0].add_note(f"also: {other.what} at {other.where}. {other.cure}")
    raise findings[0]


@lru_cache(maxsize=1)
def _index(loaded_modules: int, guarded: bool) -> RestrictionIndex:
    """The index of what is loaded now; made again when that changed."""
    return RestrictionIndex(RESTRICTIONS)


@dataclass(frozen=True, slots=True)
class _InstanceOf:
    """An object made by the run's own code; only its class is known."""

    cls: type


@dataclass(frozen=True, slots=True)
class _Named:
    """Something in a module that is not loaded."""

    dotted: str


@dataclass(frozen=True, slots=True)
class _Scope:
    """What the names in one code object stand for."""

    namespace: dict[str, Any]
    """Globals."""
    known: dict[str, Any]
    """Locals and cells whose value is certain."""
    via: str
    """Where generated code, which has no file, was called from."""
    bound: frozenset[str] = frozenset()

    def value(self, use: Use) -> Any:
        if use.name in self.known:
            return self.known[use.name]
        if use.is_local or use.name in self.bound:
            return MISSING
        if use.name in self.namespace:
            return self.namespace[use.name]
        builtins = self.namespace.get("__builtins__")
        return (vars(builtins) if isinstance(builtins, ModuleType) else builtins or {}).get(use.name, MISSING)


@dataclass(slots=True)
class _Scanner:
    """One walk over everything that a workflow reaches."""

    index: RestrictionIndex
    findings: dict[tuple[str, str], RestrictedCallError] = field(default_factory=dict)
    """By place and name: code reached twice is reported once."""
    _seen: set[tuple[CodeType, type | None]] = field(default_factory=set)

    def read_function(self, function: FunctionType, *, first: Any, via: str) -> None:
        """Read a function; `first` is what its first parameter stands for, None when that is not known."""
        code = function.__code__
        key = (code, first.cls if isinstance(first, _InstanceOf) else None)
        if key in self._seen:
            return
        self._seen.add(key)
        known: dict[str, Any] = {}
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                known[name] = cell.cell_contents
            except ValueError:  # Empty: the closure's variable has no value yet.
                continue
        if first is not None and code.co_argcount:
            known[code.co_varnames[0]] = first
        self._read_code(code, _Scope(function.__globals__, known, via))

    def _read_code(self, code: CodeType, outer: _Scope) -> None:
        reading = CodeReading(code)
        once, bound = reading.stored_once(), reading.bound_names()
        known = {name: value for name, value in outer.known.items() if name not in bound}
        known |= {i.local: _loaded_or_named(i.dotted) for i in reading.local_imports() if i.local in once}
        scope = replace(outer, known=known, bound=bound)
        for use in reading.uses():
            if not use.is_unrestricted:
                self._judge(code, use, scope)
            # After the judgement: the result is bound after the call.
            if use.result_local in once and isinstance(made := self._value(use, scope), type):
                known[use.result_local] = _InstanceOf(made)
        for nested in reading.nested():
            self._read_code(nested, replace(scope, bound=frozenset()))

    def _value(self, use: Use, scope: _Scope) -> Any:
        value = scope.value(use)
        for attribute in use.attributes:
            value = _step(value, attribute)
        return value

    def _judge(self, code: CodeType, use: Use, scope: _Scope) -> None:
        filename = code.co_filename
        where = scope.via if filename.startswith("<") and scope.via else f"{filename}:{use.line}"
        value = scope.value(use)
        found = self._restriction(value)
        for attribute in use.attributes:
            if found is not None and not isinstance(value, type):
                break
            found = self._member(value, attribute)
            value = _step(value, attribute)
            found = found or self._restriction(value)
        if found is not None and _applies(found, use, is_class=isinstance(value, type | _Named)):
            self._report(found, where)
        elif use.is_called and isinstance(value, type):
            found = self._member(_InstanceOf(value), use.result_attribute)
            if found is not None:
                self._report(found, where)
        if use.is_called and found is None:
            self._descend(value, use, scope, where)

    def _restriction(self, value: Any) -> Restriction | None:
        if isinstance(value, _Named):
            return self.index.of_name(value.dotted)
        return self.index.of_object(value)

    def _member(self, value: Any, attribute: str) -> Restriction | None:
        if isinstance(value, _InstanceOf):
            return self.index.of_member(value.cls, attribute, shared=False)
        if value is MISSING or isinstance(value, ModuleType | _Named):
            return None
        return self.index.of_member(value if isinstance(value, type) else type(value), attribute)

    def _report(self, restriction: Restriction, where: str) -> None:
        error = RestrictedCallError(restriction.what, where, restriction.cure)
        self.findings.setdefault((where, restriction.name), error)

    def _descend(self, value: Any, use: Use, scope: _Scope, where: str) -> None:
        """Read what is called, when it is a helper of the same module."""
        first: Any = None
        if isinstance(value, type):
            if value.__module__ != scope.namespace.get("__name__"):
                return
            first, functions = _InstanceOf(value), _constructors(value)
        else:
            functions = unwrapped(value)
            owner = scope.value(use)
            if len(use.attributes) == 1 and isinstance(owner, _InstanceOf):
                first = owner
        if any(_is_activity(one) for one in (value, *functions)):
            return
        for function in functions:
            if function.__globals__ is scope.namespace and IN_WORKFLOW not in function.__code__.co_names:
                self.read_function(function, first=first, via=where)


def _step(value: Any, attribute: str) -> Any:
    if isinstance(value, _Named):
        return _Named(f"{value.dotted}.{attribute}")
    if isinstance(value, _InstanceOf):
        found = static_attribute(value.cls, attribute)
        return found if isinstance(found, FunctionType) else MISSING
    found = static_attribute(value, attribute)
    if found is MISSING and isinstance(value, ModuleType):
        return _Named(f"{value.__name__}.{attribute}")  # Perhaps made on demand by the module's __getattr__.
    return found


def _applies(restriction: Restriction, use: Use, *, is_class: bool) -> bool:
    if restriction.max_args is not None:
        return use.arguments is not None and use.arguments <= restriction.max_args
    # A class is also named in `isinstance` and in `except`; a function is named to be called.
    return use.is_called or not is_class


def _loaded_or_named(dotted: str) -> Any:
    value = find_loaded(dotted)
    return _Named(dotted) if value is MISSING else value


def _methods(cls: type) -> Iterator[FunctionType]:
    """Methods and property getters of a class and of its own bases; not its static and class methods."""
    seen: set[str] = set()
    for base in cls.__mro__:
        if is_stdlib(base.__module__) or base.__module__.partition(".")[0] == "perdure":
            continue
        for name, value in vars(base).items():
            if name in seen:
                continue
            seen.add(name)
            yield from _method_functions(value)


def _method_functions(value: Any) -> list[FunctionType]:
    if isinstance(value, property):
        return [f for accessor in (value.fget, value.fset) for f in unwrapped(accessor)]
    if isinstance(value, cached_property):
        return unwrapped(value.func)
    if isinstance(value, staticmethod | classmethod | type) or not callable(value):
        return []
    functions = unwrapped(value)
    return [] if any(_is_activity(one) for one in (value, *functions)) else functions


def _is_activity(value: Any) -> bool:
    return getattr_static(value, ACTIVITY_MARK, None) is not None


def _constructors(cls: type) -> list[FunctionType]:
    return [
        f for name in ("__new__", "__init__", "__post_init__") for f in unwrapped(static_attribute(cls, name))
    ]
