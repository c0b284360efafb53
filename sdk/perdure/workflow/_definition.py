"""@workflow.defn, run and init: what makes a workflow of a class or a function."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, overload

from perdure._signatures import parameter_problems, signature_of, types_of
from perdure._texts import checked_text
from perdure.definitions import QUERY, SIGNAL, WORKFLOW, handler_definition
from perdure.exceptions import DefinitionError, FailureError
from perdure_replayer import guards
from perdure_replayer.definition import HandlerDefinition, WorkflowDefinition

ClassOrFunctionType = TypeVar("ClassOrFunctionType", bound=type | Callable[..., Awaitable[Any]])
CallableType = TypeVar("CallableType", bound=Callable[..., Any])
CallableAsyncType = TypeVar("CallableAsyncType", bound=Callable[..., Awaitable[Any]])

_RUN = "__perdure_run__"
_INIT = "__perdure_init__"
_ALWAYS_FAIL_THE_RUN: tuple[type[BaseException], ...] = (FailureError, asyncio.TimeoutError)


@overload
def defn(cls: ClassOrFunctionType) -> ClassOrFunctionType: ...


@overload
def defn(
    *,
    name: str | None = None,
    sandboxed: bool = True,
    failure_exception_types: Sequence[type[BaseException]] | None = None,
) -> Callable[[ClassOrFunctionType], ClassOrFunctionType]: ...


def defn(
    cls: Any = None,
    *,
    name: str | None = None,
    sandboxed: bool = True,
    failure_exception_types: Sequence[type[BaseException]] | None = None,
) -> Any:
    """Make a workflow of a class with a run method, or of a plain async function, which stays what it is.

    An exception of `failure_exception_types` fails the run, as do FailureError and asyncio.TimeoutError; any other
    fails only the turn, which is tried again until the code is mended. Left out, it is nothing for a class and
    every Exception for a function. `sandboxed=False` leaves out the scan for clocks, randomness, threads,
    sockets and files, which otherwise raises RestrictedCallError with file and line.

    Raises DefinitionError with all that is wrong.
    """
    if name is not None:
        checked_text("name", name)

    def decorate(target: Any) -> Any:
        if inspect.isclass(target):
            definition = _define_class(target, name, tuple(failure_exception_types or ()))
            setattr(definition.run, WORKFLOW, definition)
        else:
            definition = _define_function(target, name, failure_exception_types)
        if sandboxed:
            guards.refuse(target)
        setattr(target, WORKFLOW, definition)
        return target

    return decorate if cls is None else decorate(cls)


def run(fn: CallableAsyncType) -> CallableAsyncType:
    """Mark the method that is the workflow's course; there is exactly one, on the class itself."""
    target = f"@workflow.run method {getattr(fn, '__qualname__', repr(fn))}"
    qualname = getattr(fn, "__qualname__", "")
    if not hasattr(fn, "__code__"):
        raise DefinitionError(
            target, [f"it is a {type(fn).__name__}; put @workflow.run directly on the method"]
        )
    # Bound to a name of its own, so that type checkers do not narrow what is returned.
    is_async: bool = inspect.iscoroutinefunction(fn)
    if not is_async:
        raise DefinitionError(target, ["it is not async; write async def"])
    if qualname.rpartition(".")[0].rpartition(".")[2] in ("", "<locals>"):
        raise DefinitionError(target, ["it is no method; for a plain function @workflow.defn is enough"])
    setattr(fn, _RUN, True)
    return fn


def init(init_fn: CallableType) -> CallableType:
    """Mark an `__init__` that takes the same arguments as the run method."""
    if getattr(init_fn, "__name__", "") != "__init__":
        shown = getattr(init_fn, "__qualname__", repr(init_fn))
        raise DefinitionError(f"@workflow.init method {shown}", ["only __init__ can have @workflow.init"])
    setattr(init_fn, _INIT, True)
    return init_fn


def _define_function(
    function: Any, name: str | None, failure_exception_types: Sequence[type[BaseException]] | None
) -> WorkflowDefinition:
    target = f"workflow {name or getattr(function, '__qualname__', repr(function))}"
    if not inspect.isfunction(function):
        raise DefinitionError(
            target, [f"it is a {type(function).__name__}; only classes and async functions can be"]
        )
    signature = inspect.signature(function)
    problems = parameter_problems(signature)
    if not inspect.iscoroutinefunction(function):
        problems.append("it is not async; write async def")
    if function.__name__ == "<lambda>":
        problems.append("a lambda has no name to be found under; use async def")
    if next(iter(signature.parameters), "") == "self":
        problems.append("it is a method; put @workflow.defn on the class and @workflow.run on the method")
    if hasattr(function, WORKFLOW):
        problems.append("it is a workflow already")
    if problems:
        raise DefinitionError(target, problems)
    arg_types, return_type = types_of(function, signature)
    fails = (
        (Exception,) if failure_exception_types is None else (*_ALWAYS_FAIL_THE_RUN, *failure_exception_types)
    )
    return WorkflowDefinition(
        name=name or function.__name__,
        run=function,
        workflow_class=None,
        arg_types=arg_types,
        return_type=return_type,
        failure_exception_types=fails,
    )


def _define_class(
    cls: type, name: str | None, failure_exception_types: tuple[type[BaseException], ...]
) -> WorkflowDefinition:
    problems: list[str] = []
    if WORKFLOW in cls.__dict__:
        problems.append("it is a workflow already")
    run_method = _run_method(cls, problems)
    signals, dynamic_signal = _handlers(cls, SIGNAL, "signal", problems)
    queries, dynamic_query = _handlers(cls, QUERY, "query", problems)
    init_takes_args = hasattr(_constructor(cls), _INIT)
    if run_method is not None:
        problems += parameter_problems(signature_of(run_method, is_method=True))
        problems += _init_problems(cls, run_method, init_takes_args=init_takes_args)
    if problems or run_method is None:
        raise DefinitionError(f"workflow class {cls.__qualname__}", problems)
    arg_types, return_type = types_of(run_method, signature_of(run_method, is_method=True))
    return WorkflowDefinition(
        name=name or cls.__name__,
        run=run_method,
        workflow_class=cls,
        arg_types=arg_types,
        return_type=return_type,
        init_takes_args=init_takes_args,
        signals=signals,
        dynamic_signal=dynamic_signal,
        queries=queries,
        dynamic_query=dynamic_query,
        failure_exception_types=(*_ALWAYS_FAIL_THE_RUN, *failure_exception_types),
    )


def _run_method(cls: type, problems: list[str]) -> Callable[..., Any] | None:
    own: list[Callable[..., Any]] = [member for member in cls.__dict__.values() if hasattr(member, _RUN)]
    if len(own) == 1:
        return own[0]
    if own:
        names = " and ".join(member.__name__ for member in own)
        problems.append(f"it has several @workflow.run methods ({names}); there can be one")
        return None
    for base in cls.__mro__[1:]:
        for name, member in base.__dict__.items():
            if not hasattr(member, _RUN):
                continue
            if name in cls.__dict__:
                problems.append(
                    f"its {name} overrides the @workflow.run method of {base.__qualname__}; decorate it too"
                )
            else:
                problems.append(
                    f"its @workflow.run method {name} is that of {base.__qualname__}; define one on the class itself "
                    "(it may call super)"
                )
            return None
    problems.append("it has no @workflow.run method; put @workflow.run on an async method")
    return None


def _handlers(
    cls: type, attribute: str, kind: str, problems: list[str]
) -> tuple[dict[str, HandlerDefinition], HandlerDefinition | None]:
    """Named handlers and the dynamic one, in order of definition, bases first."""
    found: dict[str, HandlerDefinition] = {}
    attributes = {name: owner for owner in reversed(cls.__mro__) for name in owner.__dict__}
    for name in attributes:
        member = inspect.getattr_static(cls, name)
        handler = handler_definition(member, attribute)
        if handler is None:
            base = next(
                (one for one in cls.__mro__ if handler_definition(one.__dict__.get(name), attribute)), None
            )
            if base is not None:
                problems.append(
                    f"its {name} overrides the @workflow.{kind} of {base.__qualname__}; decorate it too"
                )
        elif handler.name in found:
            other = found[handler.name].function.__name__
            shown = repr(handler.name) if handler.name else "that is dynamic"
            problems.append(
                f"it has several handlers for the {kind} {shown} ({other} and {name}); rename one"
            )
        else:
            found[handler.name] = handler
    return found, found.pop("", None)


def _init_problems(cls: type, run_method: Callable[..., Any], *, init_takes_args: bool) -> list[str]:
    constructor = _constructor(cls)
    if constructor is object.__init__:
        return []
    initial = signature_of(constructor, is_method=True)
    if init_takes_args:
        if _parameters(initial) != _parameters(signature_of(run_method, is_method=True)):
            return ["@workflow.init needs the parameters, types and defaults of the @workflow.run method"]
        return []
    required = [
        one.name
        for one in initial.parameters.values()
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if required:
        return [f"its __init__ needs {', '.join(required)}; put @workflow.init on it, or give defaults"]
    return []


def _constructor(cls: type) -> Any:
    return inspect.getattr_static(cls, "__init__")


def _parameters(signature: inspect.Signature) -> list[tuple[Any, ...]]:
    return [(one.kind, one.default, one.annotation) for one in signature.parameters.values()]
