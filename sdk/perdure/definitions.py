"""What decorators leave behind, and how to find it again: workflows, activities, signals and queries by target."""

import difflib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from perdure._signatures import CallShape
from perdure.exceptions import NotDefinedError
from perdure_replayer.commands import ActivityOptions
from perdure_replayer.definition import HandlerDefinition, WorkflowDefinition

WORKFLOW = "__perdure_workflow__"
"""Attribute of a workflow function, a workflow class and its run method."""
ACTIVITY = "__perdure_activity__"
"""Attribute of an activity function."""
SIGNAL = "__perdure_signal__"
"""Attribute of a signal handler."""
QUERY = "__perdure_query__"
"""Attribute of a query handler."""


@dataclass(frozen=True, slots=True)
class ActivityDefinition:
    """An activity as workers and workflows see it."""

    name: str
    function: Callable[..., Any]
    """What the user wrote, bound to its object when the target was; calling it never schedules anything."""
    is_async: bool
    arg_types: tuple[Any, ...] | None
    """Types of the parameters without self; None when they are not annotated or variadic."""
    return_type: Any
    options: ActivityOptions
    """The decorator's defaults."""
    no_thread_cancel_exception: bool
    shape: CallShape
    """Which calls it accepts, without self."""
    needs_self: bool
    """A method that is not bound yet: it cannot be run as it is."""


def activity_definition(target: object) -> ActivityDefinition:
    """The definition of an activity function or bound method; raises NotDefinedError for anything else."""
    found = getattr(target, ACTIVITY, None)
    if not isinstance(found, ActivityDefinition):
        raise NotDefinedError("activity", shown(target), _cure(target, "@activity.defn"))
    owner = getattr(target, "__self__", None)
    if owner is None or not found.needs_self:
        return found
    return replace(found, function=found.function.__get__(owner), needs_self=False)


def workflow_definition(target: object) -> WorkflowDefinition:
    """The definition of a workflow class, its run method, or a workflow function; else raises NotDefinedError."""
    # A subclass inherits the attribute, yet is another workflow, which has its own decorator or none.
    found = target.__dict__.get(WORKFLOW) if inspect.isclass(target) else getattr(target, WORKFLOW, None)
    if not isinstance(found, WorkflowDefinition):
        raise NotDefinedError("workflow", shown(target), _cure(target, "@workflow.defn"))
    return found


def workflow_name(target: object) -> str:
    """The recorded name of a workflow: of a definition, or a name as it is."""
    return target if isinstance(target, str) else workflow_definition(target).name


def activity_name(target: object) -> str:
    """The recorded name of an activity: of a definition, or a name as it is."""
    return target if isinstance(target, str) else activity_definition(target).name


def signal_name(target: object) -> str:
    """The name that a signal is sent under: of a handler, or a name as it is."""
    return _handler_name(target, SIGNAL, "signal")


def query_name(target: object) -> str:
    """The name that a query is asked under: of a handler, or a name as it is."""
    return _handler_name(target, QUERY, "query")


def handler_definition(target: object, attribute: str) -> HandlerDefinition | None:
    """The definition that a handler's decorator left, if `target` is one."""
    found = getattr(target, attribute, None)
    return found if isinstance(found, HandlerDefinition) else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that helps with an unknown name: close ones, else all (up to ten)."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3)
    if close:
        return "did you mean " + " or ".join(repr(one) for one in close) + "?"
    if not names:
        return "none is known"
    rest = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return "known: " + ", ".join(repr(one) for one in names[:10]) + rest


def shown(target: object) -> str:
    """How a message shows a function, class or value."""
    if inspect.isclass(target):
        return f"class {target.__qualname__}"
    if callable(target):
        return f"function {getattr(target, '__qualname__', repr(target))}"
    return repr(target)


def _handler_name(target: object, attribute: str, kind: str) -> str:
    if isinstance(target, str):
        return target
    found = handler_definition(target, attribute)
    if found is None:
        raise NotDefinedError(kind, shown(target), _cure(target, f"@workflow.{kind}"))
    if not found.name:
        raise NotDefinedError(
            kind, shown(target), "it is the dynamic handler; pass the name as a text instead"
        )
    return found.name


def _cure(target: object, decorator: str) -> str:
    others = {
        WORKFLOW: "a workflow",
        ACTIVITY: "an activity",
        SIGNAL: "a signal handler",
        QUERY: "a query handler",
    }
    for attribute, what in others.items():
        if hasattr(target, attribute) and what.split()[1] not in decorator and attribute != WORKFLOW:
            return f"it is {what}"
    if inspect.isclass(target) and hasattr(target, WORKFLOW):
        return f"its base class is, but it has no {decorator} of its own; decorate it"
    if callable(target):
        return f"it was not decorated with {decorator}; decorate it, or pass a name"
    return f"pass what was decorated with {decorator}, or a name"
