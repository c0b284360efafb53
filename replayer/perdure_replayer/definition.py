"""What replay must know of a workflow; the sdk's decorators and converters build it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from perdure_history.failures import Failure
from perdure_history.payloads import Payload
from perdure_replayer.errors import ReplayError


class Converter(Protocol):
    """User values <-> payloads, exceptions <-> failures. Pure: no I/O, no clock."""

    def to_payload(self, value: object) -> Payload:
        """Encode one value; raises a typed error that names the field when it cannot be encoded."""
        ...

    def from_payload(self, payload: Payload, hint: Any) -> Any:
        """Decode one value as the type `hint` (`typing.Any`: plain JSON types)."""
        ...

    def to_failure(self, error: BaseException) -> Failure:
        """The durable form of an exception, with its cause chain and stack trace."""
        ...

    def from_failure(self, failure: Failure) -> BaseException:
        """The exception that a failure stands for, with its cause chain."""
        ...

    def is_cancelled(self, error: BaseException) -> bool:
        """Whether the exception is a cancellation, or an activity's or child's failure caused by one."""
        ...


@dataclass(frozen=True, slots=True)
class HandlerDefinition:
    """A signal or query handler: a function whose first parameter is the workflow object."""

    name: str
    function: Callable[..., Any]
    arg_types: tuple[Any, ...] | None
    """Types of the parameters after self; None when they are not annotated or variadic."""
    return_type: Any = Any
    takes_raw: bool = False
    """A dynamic handler: called with (name, sequence of raw payload values)."""


@dataclass(frozen=True, slots=True)
class WorkflowDefinition:
    """A workflow as replay sees it: plain functions and their types."""

    name: str
    run: Callable[..., Any]
    """The coroutine function. For a class, unbound: called with the object first."""
    workflow_class: type | None
    """None for a function workflow."""
    arg_types: tuple[Any, ...] | None
    """Types of run's parameters (without self); None when unannotated."""
    return_type: Any = Any
    init_takes_args: bool = False
    """`__init__` gets the same arguments as run (`@workflow.init`)."""
    signals: Mapping[str, HandlerDefinition] = field(default_factory=dict[str, HandlerDefinition])
    dynamic_signal: HandlerDefinition | None = None
    queries: Mapping[str, HandlerDefinition] = field(default_factory=dict[str, HandlerDefinition])
    dynamic_query: HandlerDefinition | None = None
    failure_exception_types: tuple[type[BaseException], ...] = ()
    """Exceptions that fail the run instead of the turn. A function workflow has (Exception,)."""

    def fails_run(self, error: BaseException) -> bool:
        """Whether `error`, let through by workflow code, ends the run as failed (else the turn fails).

        What replay itself refuses, such as a look at the clock, only ever fails the turn: mended code saves
        the run.
        """
        return isinstance(error, self.failure_exception_types) and not isinstance(error, ReplayError)


def decode_arguments(
    converter: Converter, payloads: Sequence[Payload], types: tuple[Any, ...] | None
) -> list[Any]:
    """User values of `payloads`, each by its parameter's type; missing trailing ones take their defaults."""
    if types is None:
        return [converter.from_payload(payload, Any) for payload in payloads]
    hints = types + (Any,) * (len(payloads) - len(types))
    return [converter.from_payload(payload, hint) for payload, hint in zip(payloads, hints, strict=False)]
