"""Signals and queries: the decorators, and handlers that workflow code sets while it runs."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from perdure._signatures import parameter_problems, signature_of, types_of
from perdure.common import RawValue
from perdure.definitions import QUERY, SIGNAL
from perdure.exceptions import DefinitionError
from perdure.workflow._access import current
from perdure_history.payloads import Payload
from perdure_replayer.definition import HandlerDefinition

CallableType = TypeVar("CallableType", bound=Callable[..., Any])

_DYNAMIC = ""
"""Stands for the name in the definition of a dynamic handler."""


@overload
def signal(fn: CallableType) -> CallableType: ...


@overload
def signal(
    *, name: str | None = None, dynamic: bool = False, description: str | None = None
) -> Callable[[CallableType], CallableType]: ...


def signal(
    fn: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    dynamic: bool = False,
    description: str | None = None,
) -> Any:
    """Make a method the handler of a signal, under its own name or `name`; it may be async.

    `dynamic`: it gets the signals that have no other handler, as (self, name, sequence of RawValue).
    """
    return _decorator(fn, SIGNAL, "signal", name, dynamic=dynamic)


@overload
def query(fn: CallableType) -> CallableType: ...


@overload
def query(
    *, name: str | None = None, dynamic: bool = False, description: str | None = None
) -> Callable[[CallableType], CallableType]: ...


def query(
    fn: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    dynamic: bool = False,
    description: str | None = None,
) -> Any:
    """Make a method the answer to a query, under its own name or `name`. It only reads and never waits.

    `dynamic`: it answers the queries that have no other handler, as (self, name, sequence of RawValue).
    """
    return _decorator(fn, QUERY, "query", name, dynamic=dynamic)


def _decorator(
    fn: Callable[..., Any] | None, attribute: str, kind: str, name: str | None, *, dynamic: bool
) -> Any:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        definition = _definition(function, kind, name, dynamic=dynamic, is_method=True)
        setattr(function, attribute, definition)
        return function

    return decorate if fn is None else decorate(fn)


def _definition(
    function: Any, kind: str, name: str | None, *, dynamic: bool, is_method: bool
) -> HandlerDefinition:
    target = f"@workflow.{kind} {getattr(function, '__qualname__', repr(function))}"
    if is_method and not inspect.isfunction(function):
        raise DefinitionError(
            target, [f"it is a {type(function).__name__}; put @workflow.{kind} directly on the method"]
        )
    problems = [] if callable(function) else ["it is not callable"]
    if name == "" or (name and dynamic):
        problems.append("a dynamic handler has no name" if dynamic else "its name is empty")
    if problems:
        raise DefinitionError(target, problems)
    signature = signature_of(function, is_method=is_method)
    problems = parameter_problems(signature)
    if is_method and not inspect.signature(function).parameters:
        problems.append("it does not take self; a handler is a method of the workflow class")
    if dynamic and len(signature.parameters) != 2:
        problems.append("a dynamic handler takes (self, name: str, args: Sequence[RawValue])")
    if problems:
        raise DefinitionError(target, problems)
    arg_types, return_type = types_of(function, signature)
    return HandlerDefinition(
        name=_DYNAMIC if dynamic else name or function.__name__,
        function=_taking_raw_values(function) if dynamic else function,
        arg_types=None if dynamic else arg_types,
        return_type=return_type,
        takes_raw=dynamic,
    )


def _taking_raw_values(function: Callable[..., Any]) -> Callable[..., Any]:
    """The replayer hands payloads to a dynamic handler; the user's code gets them as RawValue."""

    @functools.wraps(function)
    def called(*args: Any) -> Any:
        *before, payloads = args
        return function(*before, _raw_values(payloads))

    return called


def _raw_values(payloads: Sequence[Payload]) -> list[RawValue]:
    return [RawValue(payload) for payload in payloads]


def _ignoring_self(function: Callable[..., Any]) -> Callable[..., Any]:
    """The replayer calls handlers with the workflow object first; one set at runtime knows it already."""

    def called(_workflow: Any, /, *args: Any) -> Any:
        return function(*args)

    called.__dict__["perdure_handler"] = function
    return called


def _set(kind: str, name: str | None, handler: Callable[..., Any] | None) -> None:
    what = f"set_{kind}_handler()" if name is not None else f"set_dynamic_{kind}_handler()"
    runtime = current(what)
    definition: HandlerDefinition | None = None
    if handler is not None:
        plain = _definition(handler, kind, name, dynamic=name is None, is_method=False)
        definition = HandlerDefinition(
            name=plain.name,
            function=_ignoring_self(plain.function),
            arg_types=plain.arg_types,
            return_type=plain.return_type,
            takes_raw=plain.takes_raw,
        )
    if kind == "signal":
        runtime.set_signal_handler(name, definition)
    else:
        runtime.set_query_handler(name, definition)


def _get(kind: str, name: str | None) -> Callable[..., Any] | None:
    what = f"get_{kind}_handler()" if name is not None else f"get_dynamic_{kind}_handler()"
    runtime = current(what)
    found = (runtime.signal_handlers() if kind == "signal" else runtime.query_handlers()).get(name)
    if found is None:
        return None
    set_here: Callable[..., Any] | None = getattr(found.function, "perdure_handler", None)
    own: Callable[..., Any] = set_here or found.function
    own = inspect.unwrap(own) if found.takes_raw else own
    return own if set_here or runtime.instance is None else functools.partial(own, runtime.instance)


def get_signal_handler(name: str) -> Callable[..., Any] | None:
    """The handler of a signal, bound to the workflow object; None when there is none of this name."""
    return _get("signal", name)


def set_signal_handler(name: str, handler: Callable[..., Any] | None) -> None:
    """Set, replace or (None) remove the handler of a signal. Signals that waited for it are delivered in order."""
    _set("signal", name, handler)


def get_dynamic_signal_handler() -> Callable[..., Any] | None:
    """The handler of signals that have no other; None when there is none."""
    return _get("signal", None)


def set_dynamic_signal_handler(handler: Callable[..., Any] | None) -> None:
    """Set, replace or (None) remove the handler of signals that have no other: (name, sequence of RawValue)."""
    _set("signal", None, handler)


def get_query_handler(name: str) -> Callable[..., Any] | None:
    """The handler of a query, bound to the workflow object; None when there is none of this name."""
    return _get("query", name)


def set_query_handler(name: str, handler: Callable[..., Any] | None) -> None:
    """Set, replace or (None) remove the handler of a query."""
    _set("query", name, handler)


def get_dynamic_query_handler() -> Callable[..., Any] | None:
    """The handler of queries that have no other; None when there is none."""
    return _get("query", None)


def set_dynamic_query_handler(handler: Callable[..., Any] | None) -> None:
    """Set, replace or (None) remove the handler of queries that have no other: (name, sequence of RawValue)."""
    _set("query", None, handler)


def all_handlers_finished() -> bool:
    """Whether no signal handler is still running: worth waiting for before the workflow returns."""
    return current("all_handlers_finished()").all_handlers_finished()
