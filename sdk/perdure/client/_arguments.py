"""Arguments of a call as the client takes them: one after the other, or as `args`; checked before they are sent."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from perdure._signatures import CallShape, call_shape, signature_of
from perdure.exceptions import ArgumentError
from perdure_replayer.definition import WorkflowDefinition


def either(arguments: Sequence[Any], args: Sequence[Any], what: str) -> Sequence[Any]:
    """The arguments of a call, given in one of the two ways; raises ArgumentError when given in both."""
    if arguments and args:
        raise ArgumentError(what, "(...)", "arguments were given one after the other and as `args` too")
    return args or arguments


def check_arguments(definition: WorkflowDefinition, values: Sequence[Any]) -> None:
    """Raise ArgumentError when the workflow cannot be called with so many arguments."""
    shape = _shape(definition.run, definition.workflow_class is not None)
    shape.arguments(f"workflow {definition.name!r}", tuple(values))


@functools.lru_cache(maxsize=1024)
def _shape(run: Callable[..., Any], is_method: bool) -> CallShape:  # noqa: FBT001  part of the key
    return call_shape(signature_of(inspect.unwrap(run), is_method=is_method))
